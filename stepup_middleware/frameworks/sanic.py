"""Sanic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stepup_middleware.asgi import Scope

from .base import Below, FoundRoute, Framework, RequestLine, tag_of
from .entries import Entry, builds_nothing, view_entries


class SanicFramework(Framework):
    """Sanic."""

    name = "sanic"
    routes_by_raw_path = True
    app_class = "Sanic"
    routes_by_whole_path = True
    quiet = ("sanic.exceptions", "Unauthorized")
    keeps_error_handlers = "error_handler.cached_handlers"

    def reached(self, request: Any, scope: Scope) -> RequestLine | None:
        if not hasattr(request, "raw_url"):
            return None
        return RequestLine(str(request.method), str(request.path))

    def path_parameters(self, request: Any) -> Mapping[str, Any]:
        return getattr(request, "match_info", None) or {}

    def parameter(self, text: str) -> str:
        """Return it as it came, percent-encoded; what is behind a ``#`` is no part of a path to Sanic."""
        return text.partition("#")[0]

    def entries(self, kind: type[Any]) -> dict[str, Entry]:
        """``as_view`` makes what a route leads to; ``dispatch_request`` is what an earlier one calls."""
        return view_entries(kind)

    def guards_inside(self, kind: type[Any]) -> bool:
        return builds_nothing(kind)

    def routes(self, app: Any, prefix: str, below: Below) -> Iterator[FoundRoute]:
        for route in app.router.routes_all.values():
            path = f"{prefix}/{route.path}"
            methods = tuple(sorted(route.methods))
            handler = route.handler
            yield FoundRoute(path=path, methods=methods, name=str(route.name), tag=tag_of(handler), endpoint=handler)


FRAMEWORK = SanicFramework()
