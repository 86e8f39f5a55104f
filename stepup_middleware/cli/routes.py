"""``stepup routes``: every route with its purpose, and what is wrong with it."""

from __future__ import annotations

import argparse
import asyncio

from stepup_middleware.core.policy import StoredPolicy, effective_requirement
from stepup_middleware.frameworks.base import FoundRoute
from stepup_middleware.inspection import routes_of

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
    found = [FoundRoute(path=rule.path, methods=(rule.method,), name="rule", tag=rule.tag) for rule in middleware.rules]
    found += list(routes_of(middleware))
    rows, faults = [], 0
    for route in found:
        purpose = purposes.get(route.tag.purpose) if route.tag else None
        fault = (
            "" if route.readable else f"the routes of {route.name} cannot be listed; its tags hold when they are met"
        )
        if route.tag and purpose is None:
            fault = "unknown purpose"
        elif purpose and purpose.deprecated:
            fault = f"deprecated on {purpose.deprecated.on}: {purpose.deprecated.text}"
        faults += bool(route.tag and purpose is None)
        rows.append(
            (
                ",".join(route.methods),
                route.path,
                route.tag.purpose if route.tag else "-",
                effective_requirement(purpose, policy).value if purpose else "-",
                fault,
            )
        )
    table(("METHODS", "PATH", "PURPOSE", "REQUIREMENT", "FAULT"), rows)
    print("Handlers that ask by themselves (require_step_up) are not in the list.")
    return 1 if faults else 0
