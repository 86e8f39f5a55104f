"""Starlette, and FastAPI, which is derived from it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Router

from stepup_middleware.asgi import Scope

from .base import (
    DECORATOR_ATTRIBUTE,
    DEPTH,
    Below,
    FoundRoute,
    Framework,
    behind,
    names_a_tag,
    never_awaited,
    tag_around,
    tag_of,
)

TAG_AS_DEPENDENCY = (
    "has a tag as a dependency, which asks nothing: put @requires_step_up(...) below the decorator of the route, "
    "or depend on a function of yours that has `await require_step_up(request, ...)`"
)


class StarletteFramework(Framework):
    """Starlette and FastAPI."""

    name = "starlette"
    keeps_path_parameters = True
    keeps_error_handlers = "exception_handlers"

    def is_app(self, value: Any) -> bool:
        return isinstance(value, Starlette | Router)

    def is_part(self, app: Any) -> bool:
        return not isinstance(app, Starlette)

    def own_root(self, app: Any) -> str:
        """Return what ``FastAPI(root_path=)`` puts in the place of the server's."""
        return str(getattr(app, "root_path", "") or "")

    def build(self, app: Any) -> None:
        if isinstance(app, Starlette) and app.middleware_stack is None:
            app.middleware_stack = app.build_middleware_stack()

    def in_hand(self, scope: Scope) -> bool:
        return "starlette.exception_handlers" in scope

    def is_reached_in(self, scope: Scope) -> bool:
        """Whether the last route that was found is that of a function; a mount's is its app."""
        endpoint = scope.get("endpoint")
        return inspect.isroutine(endpoint) or isinstance(endpoint, functools.partial) or tag_of(endpoint) is not None

    def arguments(self, scope: Scope, kept: Iterable[str]) -> Mapping[str, str]:
        """FastAPI's arguments may have another name than the parameter (``Path(alias=)``)."""
        fields = getattr(getattr(scope.get("route"), "dependant", None), "path_params", ())
        return {name: name for name in kept} | {field.alias: field.name for field in fields}

    def routes(self, app: Any, prefix: str, below: Below) -> Iterator[FoundRoute]:
        for route in app.routes:
            yield from _route(route, prefix, below)


def _is_tag(dependency: Any) -> bool:
    return hasattr(dependency, DECORATOR_ATTRIBUTE)


def _depends_on_a_tag(route: Any) -> bool:
    """Whether FastAPI would call a tag for its value, which asks nothing: its parameters are taken for the client's."""
    waiting = [getattr(route, "dependant", None)]
    while waiting:
        wanted = waiting.pop()
        call = getattr(wanted, "call", None)
        if _is_tag(call) or (wanted is not getattr(route, "dependant", None) and names_a_tag(call)):
            return True
        waiting += getattr(wanted, "dependencies", ())
    return False


def _route(route: Any, prefix: str, below: Below, depth: int = 0) -> Iterator[FoundRoute]:
    """Yield what a route is or holds."""
    if depth > DEPTH:
        return
    path = prefix + str(getattr(route, "path", ""))
    endpoint = getattr(route, "endpoint", None)
    if endpoint is not None:
        tag, around = tag_of(endpoint), tag_around(getattr(route, "app", None))
        methods = tuple(sorted(getattr(route, "methods", None) or ("WEBSOCKET",)))
        name = str(getattr(route, "name", ""))
        fault = TAG_AS_DEPENDENCY if _depends_on_a_tag(route) else ""
        if not hasattr(route, "dependant"):  # FastAPI awaits whatever can be
            fault = never_awaited(endpoint)
        yield behind(FoundRoute(path, methods, name, tag, endpoint=endpoint, fault=fault), around)
        return
    included = getattr(route, "original_router", None)  # FastAPI keeps an included router and how it was included
    if included is not None:
        how = getattr(route, "include_context", None)
        path = prefix + str(getattr(how, "prefix", ""))
        depending = any(_is_tag(getattr(each, "dependency", None)) for each in getattr(how, "dependencies", ()))
        for child in included.routes:
            for found in _route(child, path, below, depth + 1):
                yield found._replace(fault=TAG_AS_DEPENDENCY) if depending else found
        return
    mounted = getattr(route, "app", None)
    tag = tag_around(mounted)
    if tag is not None:
        yield FoundRoute(path=path + "/*", methods=("*",), name=str(getattr(route, "name", "")), tag=tag)
    if mounted is not None:
        for found in below(mounted, path):
            if tag is None or found.readable:
                yield found._replace(tag=found.tag or tag)
        return
    for child in getattr(route, "routes", None) or ():
        yield from _route(child, path, below, depth + 1)


FRAMEWORK = StarletteFramework()
