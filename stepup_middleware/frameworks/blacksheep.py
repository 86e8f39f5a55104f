"""BlackSheep, which hands a function what it asks for by its parameters, and not always its request."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import unquote

from blacksheep import Request, WebSocket
from blacksheep.server.routing import HeadersFilter

from stepup_middleware.asgi import Scope
from stepup_middleware.request.context import Tag

from .base import Below, FoundRoute, Framework, RequestLine, never_awaited, tag_of
from .entries import Entry

_in_hand: ContextVar[Any] = ContextVar("stepup_middleware_blacksheep", default=None)
_LAST = "stepup_request"  # the parameter by which a function is handed its request
_HANDED = "__stepup_handed__"  # of a function that is


class BlackSheepFramework(Framework):
    """BlackSheep, whose routes keep the functions of a controller themselves."""

    name = "blacksheep"
    routes_by_raw_path = True
    app_class = "Application"
    mounts_are_text = True
    quiet = ("blacksheep.exceptions", "Unauthorized")
    keeps_error_handlers = "exceptions_handlers"

    def in_hand(self, scope: Scope) -> bool:
        return _in_hand.get() is not None

    def request_in_hand(self) -> Any:
        return _in_hand.get()

    def reached(self, request: Any, scope: Scope) -> RequestLine | None:
        if not hasattr(request, "route_values"):
            return None
        return RequestLine(str(request.method), str(request.path))

    def path_parameters(self, request: Any) -> Mapping[str, Any]:
        return getattr(request, "route_values", None) or {}

    def parameter(self, text: str) -> str:
        return unquote(text)

    def entries(self, kind: type[Any]) -> dict[str, Entry]:
        """None: the routes keep the functions of a controller themselves, from before the class is there."""
        return {}

    def routes(self, app: Any, prefix: str, below: Below) -> Iterator[FoundRoute]:
        found = [(method, route) for method, route in app.router.registered_routes]
        found += [(route.method, route) for route in app.controllers_router.routes]
        found += app.router.iter_with_methods()  # where they are once the app has started
        for method, route in found:
            pattern = route.pattern.decode() if isinstance(route.pattern, bytes) else str(route.pattern)
            methods = ("WEBSOCKET" if str(method) == "GET_WS" else str(method),)
            name = str(getattr(route.handler, "__name__", ""))
            handler = getattr(route.handler, "root_fn", route.handler)  # as it was before the app had started
            tag = tag_of(handler)
            prepare = (
                None if tag is None or _is_handed_a_request(handler) else functools.partial(_hand, app, route, methods)
            )
            fault = "" if tag is None else _found_by_what_is_not_bound(route, tag) or never_awaited(handler)
            yield FoundRoute(prefix + pattern, methods, name, tag, endpoint=handler, fault=fault, prepare=prepare)
        for mount in app.mount_registry.mounted_apps:
            yield from below(mount.handler, prefix + mount.pattern.decode().rstrip("*").rstrip("/"))


def _found_by_what_is_not_bound(route: Any, tag: Tag) -> str:
    """Return what is wrong with a tag on a route that its router finds by headers."""
    filters = [each for each in getattr(route, "filters", None) or () if isinstance(each, HeadersFilter)]
    names = {bytes(name).lower() for each in filters for name, _ in each.required_headers}
    if not names.difference(tag.bind_headers):
        return ""
    listed = ", ".join(sorted(f'"{name.decode("latin-1")}"' for name in names))
    return (
        f"is found by headers, which are not bound, so that a proof would serve others: write bind_headers=[{listed}]"
    )


def _is_handed_a_request(handler: Callable[..., Any]) -> bool:
    return any(
        each.name in ("request", "websocket", _LAST) or each.annotation in (Request, WebSocket, "Request", "WebSocket")
        for each in inspect.signature(handler).parameters.values()
    )


def _hand(app: Any, route: Any, methods: tuple[str, ...]) -> None:
    """Let a function of a route be handed its request, which is kept by the context while it runs."""
    handler = route.handler
    if hasattr(handler, _HANDED):
        return

    @functools.wraps(handler)
    async def with_request(*args: Any) -> Any:
        values = args[:-1] if asked else args
        token = _in_hand.set(args[-1])
        try:
            return await handler(*values)
        finally:
            _in_hand.reset(token)

    asked = not app.started  # else it is by now what BlackSheep has made of the function, which takes the request alone
    if asked:
        signature = inspect.signature(handler)
        kind = WebSocket if methods == ("WEBSOCKET",) else Request
        last = inspect.Parameter(_LAST, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=kind)
        parameters = [*signature.parameters.values(), last]
        with_request.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    setattr(with_request, _HANDED, True)
    route.handler = with_request


FRAMEWORK = BlackSheepFramework()
