"""``stepup routes``: every route with its purpose, and what is wrong with it."""

from __future__ import annotations

import argparse
import asyncio

from stepup_middleware.core.policy import StoredPolicy, effective_requirement
from stepup_middleware.inspection import meets_nothing, routes_of

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
        rule = next((each for each in middleware.rules if each.meets(route.methods, route.path)), None)
        tag = route.tag or (rule.tag if rule else None)
        by = "tag" if route.tag else f"rule {rule.path}" if rule else "-"
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
        rows.append((",".join(route.methods), route.path, tag.purpose if tag else "-", requirement, by, fault))
    table(("METHODS", "PATH", "PURPOSE", "REQUIREMENT", "BY", "FAULT"), rows)
    for rule in middleware.rules:
        if meets_nothing(rule, found := list(routes_of(middleware))):
            print(f"The rule for {','.join(rule.methods)} {rule.path} meets no route ({len(found)} listed).")
    print("Handlers that ask by themselves (require_step_up) are not in the list.")
    return 1 if faults else 0
