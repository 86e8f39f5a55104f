"""Finds the tags of an app: for the start-up check and for ``stepup routes``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepup_middleware.errors import ConfigurationError
from stepup_middleware.exchange import Tag
from stepup_middleware.gate import TAG_ATTRIBUTE

if TYPE_CHECKING:
    from stepup_middleware.middleware import StepUpMiddleware

_DEPTH = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRoute:
    """A route as the app has it. ``tag`` is None for an untagged one."""

    path: str
    methods: tuple[str, ...]
    name: str
    tag: Tag | None


def tag_of(value: Any) -> Tag | None:
    """Return the tag on an endpoint or ASGI app, if it has one (through ``functools.partial`` too)."""
    while hasattr(value, "func") and not hasattr(value, TAG_ATTRIBUTE):
        value = value.func
    tag = getattr(value, TAG_ATTRIBUTE, None)
    if tag is None and inspect.ismethod(value):
        tag = getattr(value.__func__, TAG_ATTRIBUTE, None)
    return tag if isinstance(tag, Tag) else None


def routes_of(app: Any, *, prefix: str = "", depth: int = 0) -> Iterator[FoundRoute]:
    """Yield the routes of an app that keeps Starlette's route objects, mounts and included routers too."""
    if depth > _DEPTH:
        return
    inner = getattr(app, "app", None)
    for route in getattr(app, "routes", None) or ():
        yield from _route(route, prefix, depth)
    if not hasattr(app, "routes") and inner is not None and inner is not app:
        yield from routes_of(inner, prefix=prefix, depth=depth + 1)


def _route(route: Any, prefix: str, depth: int) -> Iterator[FoundRoute]:
    path = prefix + str(getattr(route, "path", ""))
    endpoint = getattr(route, "endpoint", None)
    if endpoint is not None:
        tag = tag_of(endpoint) or _middleware_tag(getattr(route, "app", None))
        methods = tuple(sorted(getattr(route, "methods", None) or ("WEBSOCKET",)))
        yield FoundRoute(path=path, methods=methods, name=str(getattr(route, "name", "")), tag=tag)
        return
    mounted = getattr(route, "app", None)
    tag = _middleware_tag(mounted)
    if tag is not None:
        yield FoundRoute(path=path + "/*", methods=("*",), name=str(getattr(route, "name", "")), tag=tag)
    for child in getattr(route, "routes", None) or ():
        yield from _route(child, path, depth + 1)


def _middleware_tag(app: Any) -> Tag | None:
    for _ in range(_DEPTH):
        if app is None:
            return None
        tag = tag_of(app)
        if tag is not None:
            return tag
        app = getattr(app, "app", None)
    return None


def check_tags(middleware: StepUpMiddleware) -> None:
    """Raise ``ConfigurationError`` when a tag that can be found names a purpose outside the catalogue."""
    purposes = middleware.stepup.purposes
    for rule in middleware.rules:
        if rule.purpose not in purposes:
            raise ConfigurationError(f"the rule for {rule.path} names the unknown purpose {rule.purpose!r}")
    for route in routes_of(middleware):
        if route.tag is not None and route.tag.purpose not in purposes:
            raise ConfigurationError(f"the route {route.path} names the unknown purpose {route.tag.purpose!r}")
