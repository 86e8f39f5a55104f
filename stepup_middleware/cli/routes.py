"""``stepup routes``: every route with its purpose, and what is wrong with it."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable, Iterator

from stepup_middleware.core.policy import StoredPolicy, effective_requirement
from stepup_middleware.frameworks.base import FoundRoute
from stepup_middleware.inspection import meets_nothing, routes_of
from stepup_middleware.request.context import Tag
from stepup_middleware.rules import Rule

from .output import table
from .sources import load_middleware


def routes(options: argparse.Namespace) -> int:
    """List the routes of an app. Returns 1 when a tag names an unknown purpose."""
    middleware = load_middleware(options.app)
    purposes = middleware.stepup.purposes
    policy = StoredPolicy()
    if options.workspace:

        async def stored() -> StoredPolicy:
            async with middleware.stepup._parts.store as store:
                return await store.records.get_policy(options.workspace)

        policy = asyncio.run(stored())
    rows, faults = [], 0
    for route in routes_of(middleware):
        for methods, tag, by in _asking(route, middleware.rules):
            purpose = purposes.get(tag.purpose) if tag else None
            fault = route.fault
            if not route.readable:
                fault = f"the routes of {route.name} cannot be listed; its tags hold when they are met"
            elif tag and purpose is None:
                fault = "unknown purpose"
            elif purpose and purpose.deprecated:
                fault = f"deprecated on {purpose.deprecated.on}: {purpose.deprecated.text}"
            faults += bool(route.fault or (tag and purpose is None))
            requirement = effective_requirement(purpose, policy).value if purpose else "-"
            rows.append((",".join(methods), route.path, tag.purpose if tag else "-", requirement, by, fault))
    table(("METHODS", "PATH", "PURPOSE", "REQUIREMENT", "BY", "FAULT"), rows)
    for rule in middleware.rules:
        if meets_nothing(rule, found := list(routes_of(middleware))):
            print(f"The rule for {','.join(rule.methods)} {rule.path} meets no route ({len(found)} listed).")
    print("Handlers that ask by themselves (require_step_up) are not in the list.")
    return 1 if faults else 0


def _asking(route: FoundRoute, rules: Iterable[Rule]) -> Iterator[tuple[tuple[str, ...], Tag | None, str]]:
    """Yield what asks at a route: its tag, or each rule that may, down to the first one that asks about all of it.

    Methods by which some request of the route may fall under no rule come last.
    """
    if route.tag:
        yield route.methods, route.tag, "tag"
        return
    left = set(route.methods)
    for rule in rules:
        if left and any(rule.meets(left, place) for place in route.places):
            yield (
                route.methods,
                rule.tag,
                f"rule {rule.path}" + (f" when {rule.condition.name}" if rule.condition else ""),
            )
            left = {method for method in left if not rule.takes([method], route.path)}
    if left:
        yield tuple(method for method in route.methods if method in left), None, "-"
