"""Finds the tags of an app: for the start-up check and for ``stepup routes``.

What a framework does not publish is read where it keeps it, and only to list: a tag that is not found here is
checked when it is met, at the endpoint.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from stepup_middleware.errors import ConfigurationError
from stepup_middleware.exchange import Tag, logger
from stepup_middleware.frameworks import framework_around, framework_of
from stepup_middleware.gate import TAG_ATTRIBUTE, bare

if TYPE_CHECKING:
    from stepup_middleware.middleware import StepUpMiddleware

_DEPTH = 20


class FoundRoute(NamedTuple):
    """A route as the app has it. ``tag`` is None for an untagged one; ``readable`` False for an app without a list."""

    path: str
    methods: tuple[str, ...]
    name: str
    tag: Tag | None
    readable: bool = True
    endpoint: Any = None

    @property
    def lost_its_tag(self) -> bool:
        """Whether the router has the function without the tag, which was put above the route's own decorator."""
        return self.tag is None and inspect.isfunction(self.endpoint) and self.endpoint in bare


def tag_of(value: Any) -> Tag | None:
    """Return the tag on an endpoint or ASGI app, if it has one (through ``functools.partial`` too)."""
    for _ in range(_DEPTH):
        if hasattr(value, TAG_ATTRIBUTE) or not hasattr(value, "func"):
            break
        found = next((tag for tag in map(tag_of, getattr(value, "args", ())) if tag is not None), None)
        if found is not None:
            return found
        value = value.func
    tag = getattr(value, TAG_ATTRIBUTE, None)
    if tag is None and inspect.ismethod(value):
        tag = getattr(value.__func__, TAG_ATTRIBUTE, None)
    if tag is None and isinstance(getattr(value, "view_class", None), type):
        tag = getattr(value.view_class, TAG_ATTRIBUTE, None)  # what as_view() made of a class
    return tag if isinstance(tag, Tag) else None


def routes_of(app: Any, *, prefix: str = "", depth: int = 0) -> Iterator[FoundRoute]:
    """Yield the routes of an app of a known framework, through middleware, mounts and included routers."""
    for _ in range(_DEPTH):
        reader = _READERS.get(framework_of(type(app)) or "")
        if reader is not None:
            try:
                yield from list(reader(app, prefix))
            except Exception:
                logger.warning("the routes of %s cannot be read", type(app).__name__, exc_info=True)
                yield _unreadable(app, prefix)
            return
        if getattr(app, "routes", None) or getattr(app, "app", None) is None:
            break
        app = app.app
    if isinstance(getattr(app, "routes", None), Iterable):
        for route in app.routes:
            yield from _route(route, prefix, depth)
    elif tag_of(app) is None and framework_of(type(app)) is None:
        yield _unreadable(app, prefix)


def _unreadable(app: Any, prefix: str) -> FoundRoute:
    name = str(getattr(app, "__qualname__", type(app).__qualname__))
    return FoundRoute(path=prefix + "/*", methods=("*",), name=name, tag=None, readable=False)


def _route(route: Any, prefix: str, depth: int) -> Iterator[FoundRoute]:
    """Yield what a route of Starlette or FastAPI is or holds."""
    if depth > _DEPTH:
        return
    path = prefix + str(getattr(route, "path", ""))
    endpoint = getattr(route, "endpoint", None)
    if endpoint is not None:
        tag = tag_of(endpoint) or _middleware_tag(getattr(route, "app", None))
        methods = tuple(sorted(getattr(route, "methods", None) or ("WEBSOCKET",)))
        name = str(getattr(route, "name", ""))
        yield FoundRoute(path=path, methods=methods, name=name, tag=tag, endpoint=endpoint)
        return
    included = getattr(route, "original_router", None)  # FastAPI keeps an included router and how it was included
    if included is not None:
        path = prefix + str(getattr(getattr(route, "include_context", None), "prefix", ""))
        for child in included.routes:
            yield from _route(child, path, depth + 1)
        return
    mounted = getattr(route, "app", None)
    tag = _middleware_tag(mounted)
    if tag is not None:
        yield FoundRoute(path=path + "/*", methods=("*",), name=str(getattr(route, "name", "")), tag=tag)
    children = getattr(route, "routes", None)
    if children and framework_around(mounted) is None:
        for child in children:
            yield from _route(child, path, depth + 1)
    elif mounted is not None and tag is None:
        yield from routes_of(mounted, prefix=path, depth=depth + 1)


def _middleware_tag(app: Any) -> Tag | None:
    for _ in range(_DEPTH):
        if app is None:
            return None
        tag = tag_of(app)
        if tag is not None:
            return tag
        app = getattr(app, "app", None)
    return None


def _litestar(app: Any, prefix: str) -> Iterator[FoundRoute]:
    for route in app.routes:
        for handler in getattr(route, "route_handlers", None) or [route.route_handler]:
            methods = tuple(sorted(getattr(handler, "http_methods", ("WEBSOCKET",))))
            if methods == ("OPTIONS",):
                continue  # Litestar's own
            places = [
                getattr(handler, "fn", None),
                *handler.resolve_guards(),
                *(getattr(handler, "middleware", None) or ()),
            ]
            tag = next((found for found in map(tag_of, places) if found is not None), None)
            yield FoundRoute(path=prefix + route.path, methods=methods, name=str(handler), tag=tag, endpoint=places[0])


def _quart(app: Any, prefix: str) -> Iterator[FoundRoute]:
    for rule in app.url_map.iter_rules():
        methods = tuple(sorted(set(rule.methods or ()) - {"HEAD", "OPTIONS"}))
        if rule.websocket:
            methods = ("WEBSOCKET",)
        view = app.view_functions.get(rule.endpoint)
        yield FoundRoute(path=prefix + rule.rule, methods=methods, name=rule.endpoint, tag=tag_of(view), endpoint=view)


def _django(app: Any, prefix: str) -> Iterator[FoundRoute]:
    from django.urls import get_resolver

    def below(patterns: Any, path: str) -> Iterator[FoundRoute]:
        for pattern in patterns:
            here = path + str(pattern.pattern)
            if hasattr(pattern, "url_patterns"):
                yield from below(pattern.url_patterns, here)
            else:
                name = str(pattern.name or pattern.lookup_str)
                view = pattern.callback
                yield FoundRoute(path=here, methods=("*",), name=name, tag=tag_of(view), endpoint=view)

    yield from below(get_resolver().url_patterns, prefix + "/")


def _falcon(app: Any, prefix: str) -> Iterator[FoundRoute]:
    def below(nodes: Any) -> Iterator[FoundRoute]:
        for node in nodes:
            if node.uri_template:
                for method, responder in sorted(node.method_map.items()):
                    if str(responder.__module__).startswith("falcon."):
                        continue  # its answers for methods that the resource has not
                    name = type(node.resource).__name__
                    path = prefix + node.uri_template
                    yield FoundRoute(path=path, methods=(method,), name=name, tag=tag_of(responder))
            yield from below(node.children)

    yield from below(app._router._roots)


def _blacksheep(app: Any, prefix: str) -> Iterator[FoundRoute]:
    found = [(method, route) for method, route in app.router.registered_routes]
    found += [(route.method, route) for route in app.controllers_router.routes]
    for method, route in found:
        pattern = route.pattern.decode() if isinstance(route.pattern, bytes) else str(route.pattern)
        methods = ("WEBSOCKET" if str(method) == "GET_WS" else str(method),)
        name = str(getattr(route.handler, "__name__", ""))
        handler = route.handler
        yield FoundRoute(path=prefix + pattern, methods=methods, name=name, tag=tag_of(handler), endpoint=handler)


def _sanic(app: Any, prefix: str) -> Iterator[FoundRoute]:
    for route in app.router.routes_all.values():
        path = f"{prefix}/{route.path}"
        methods = tuple(sorted(route.methods))
        handler = route.handler
        yield FoundRoute(path=path, methods=methods, name=str(route.name), tag=tag_of(handler), endpoint=handler)


_READERS: dict[str, Callable[[Any, str], Iterator[FoundRoute]]] = {
    "litestar": _litestar,
    "quart": _quart,
    "django": _django,
    "falcon": _falcon,
    "blacksheep": _blacksheep,
    "sanic": _sanic,
}


def check_tags(middleware: StepUpMiddleware) -> None:
    """Raise ``ConfigurationError`` for a tag that names a purpose outside the catalogue, or that its route has lost."""
    purposes = middleware.stepup.purposes
    for rule in middleware.rules:
        if rule.purpose not in purposes:
            raise ConfigurationError(f"the rule for {rule.path} names the unknown purpose {rule.purpose!r}")
    for route in routes_of(middleware):
        if route.tag is not None and route.tag.purpose not in purposes:
            raise ConfigurationError(f"the route {route.path} names the unknown purpose {route.tag.purpose!r}")
        if route.lost_its_tag:
            raise ConfigurationError(
                f"the route {route.path} has its function without the tag: put requires_step_up below the decorator "
                "that registers the function"
            )
