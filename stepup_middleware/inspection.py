"""Finds the tags of an app: for the start-up check and for ``stepup routes``.

What a framework does not publish is read where it keeps it, and only to list: a tag that is not found here is
checked when it is met, at the endpoint.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from stepup_middleware.errors import ConfigurationError
from stepup_middleware.exchange import logger
from stepup_middleware.frameworks import ANY, framework, framework_of
from stepup_middleware.frameworks.base import DEPTH, FoundRoute, tag_of
from stepup_middleware.frameworks.classes import belongs_to, judged

if TYPE_CHECKING:
    from stepup_middleware.middleware import StepUpMiddleware


def routes_of(app: Any, prefix: str = "", *, depth: int = 0) -> Iterator[FoundRoute]:
    """Yield the routes of an app of a known framework, through middleware, mounts and included routers."""
    if depth > DEPTH:
        return
    for _ in range(DEPTH):
        found = framework_of(type(app))
        has_routes = isinstance(getattr(app, "routes", None), Iterable)
        if found is None and has_routes:
            found = framework("starlette")
        if getattr(app, "app", None) is None or (found is not None and (found.name != "starlette" or has_routes)):
            break
        app = app.app
    if found is not None and found.name == "starlette" and not has_routes:
        found = None
    if found is not None:
        try:
            below = functools.partial(routes_of, depth=depth + 1)
            listed = list(found.routes(app, prefix, below))
            yield from listed if depth else map(_judged, listed)  # once the tags of mounts are known
        except Exception:
            logger.warning("the routes of %s cannot be read", type(app).__name__, exc_info=True)
            yield _unreadable(app, prefix)
    elif tag_of(app) is None:
        yield _unreadable(app, prefix)


def _judged(route: FoundRoute) -> FoundRoute:
    kind = belongs_to(route.endpoint)
    return judged(route, (framework_of(kind) if kind else None) or ANY)


def _unreadable(app: Any, prefix: str) -> FoundRoute:
    name = str(getattr(app, "__qualname__", type(app).__qualname__))
    return FoundRoute(path=prefix + "/*", methods=("*",), name=name, tag=None, readable=False)


def check_tags(middleware: StepUpMiddleware) -> None:
    """Raise ``ConfigurationError`` for a tag that names a purpose outside the catalogue, or that its route has lost."""
    purposes = middleware.stepup.purposes
    for rule in middleware.rules:
        if rule.purpose not in purposes:
            raise ConfigurationError(f"the rule for {rule.path} names the unknown purpose {rule.purpose!r}")
    for route in routes_of(middleware):
        if route.tag is not None and route.tag.purpose not in purposes:
            raise ConfigurationError(f"the route {route.path} names the unknown purpose {route.tag.purpose!r}")
        if route.fault:
            raise ConfigurationError(f"the route {route.path} {route.fault}")
