"""Quart, whose endpoints find their request by its context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import quart

from stepup_middleware.asgi import Scope

from .base import Below, FoundRoute, Framework, RequestLine, never_awaited, tag_of
from .entries import Entry, builds_nothing, view_entries


class QuartFramework(Framework):
    """Quart."""

    name = "quart"
    app_class = "Quart"
    quiet = ("werkzeug.exceptions", "Unauthorized")
    keeps_error_handlers = "error_handler_spec"

    def in_hand(self, scope: Scope) -> bool:
        return quart.has_request_context() or quart.has_websocket_context()

    def request_in_hand(self) -> Any:
        proxy: Any = quart.request if quart.has_request_context() else quart.websocket
        return proxy._get_current_object() if proxy else None

    def reached(self, request: Any, scope: Scope) -> RequestLine | None:
        if not hasattr(request, "url_rule"):
            return None
        return RequestLine(str(request.method), f"{request.root_path}{request.path}")

    def path_parameters(self, request: Any) -> Mapping[str, Any]:
        return getattr(request, "view_args", None) or {}

    def entries(self, kind: type[Any]) -> dict[str, Entry]:
        """``as_view`` makes what a route leads to; ``dispatch_request`` is what an earlier one calls."""
        return view_entries(kind)

    def guards_inside(self, kind: type[Any]) -> bool:
        return builds_nothing(kind)

    def routes(self, app: Any, prefix: str, below: Below) -> Iterator[FoundRoute]:
        for rule in app.url_map.iter_rules():
            methods = tuple(sorted(set(rule.methods or ()) - {"HEAD", "OPTIONS"}))
            if rule.websocket:
                methods = ("WEBSOCKET",)
            view = app.view_functions.get(rule.endpoint)
            fault = never_awaited(view)
            yield FoundRoute(prefix + rule.rule, methods, rule.endpoint, tag_of(view), endpoint=view, fault=fault)


FRAMEWORK = QuartFramework()
