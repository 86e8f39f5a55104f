"""BlackSheep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stepup_middleware.asgi import Scope

from .base import Below, FoundRoute, Framework, RequestLine, tag_of
from .entries import Entry


class BlackSheepFramework(Framework):
    """BlackSheep, whose routes keep the functions of a controller themselves."""

    name = "blacksheep"
    app_class = "Application"
    quiet = ("blacksheep.exceptions", "Unauthorized")
    keeps_error_handlers = "exceptions_handlers"

    def reached(self, request: Any, scope: Scope) -> RequestLine | None:
        if not hasattr(request, "route_values"):
            return None
        return RequestLine(str(request.method), str(request.path))

    def path_parameters(self, request: Any) -> Mapping[str, Any]:
        return getattr(request, "route_values", None) or {}

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
            yield FoundRoute(path=prefix + pattern, methods=methods, name=name, tag=tag_of(handler), endpoint=handler)
        for mount in app.mount_registry.mounted_apps:
            yield from below(mount.handler, prefix + mount.pattern.decode().rstrip("*").rstrip("/"))


FRAMEWORK = BlackSheepFramework()
