"""Quart, whose endpoints find their request by its context."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stepup_middleware.asgi import Scope

from .base import Below, FoundRoute, Framework, Reached, tag_of


class QuartFramework(Framework):
    """Quart."""

    name = "quart"
    quiet = ("werkzeug.exceptions", "Unauthorized")

    def in_hand(self, scope: Scope) -> bool:
        import quart

        return quart.has_request_context() or quart.has_websocket_context()

    def reached(self, request: Any, scope: Scope) -> Reached | None:
        import quart

        if request is None and quart.has_request_context():
            request = quart.request
        if request is None and quart.has_websocket_context():
            request = quart.websocket
        return None if request is None else Reached(str(request.method), f"{request.root_path}{request.path}")

    def ways_in(self, kind: type[Any]) -> list[str]:
        return ["dispatch_request"] if hasattr(kind, "dispatch_request") else super().ways_in(kind)

    def routes(self, app: Any, prefix: str, below: Below) -> Iterator[FoundRoute]:
        for rule in app.url_map.iter_rules():
            methods = tuple(sorted(set(rule.methods or ()) - {"HEAD", "OPTIONS"}))
            if rule.websocket:
                methods = ("WEBSOCKET",)
            view = app.view_functions.get(rule.endpoint)
            path = prefix + rule.rule
            yield FoundRoute(path=path, methods=methods, name=rule.endpoint, tag=tag_of(view), endpoint=view)


FRAMEWORK = QuartFramework()
