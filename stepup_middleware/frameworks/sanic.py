"""Sanic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stepup_middleware.asgi import Scope

from .base import Below, FoundRoute, Framework, Reached, tag_of


class SanicFramework(Framework):
    """Sanic."""

    name = "sanic"
    quiet = ("sanic.exceptions", "Unauthorized")

    def reached(self, request: Any, scope: Scope) -> Reached | None:
        if not hasattr(request, "raw_url"):
            return None
        return Reached(str(request.method), str(request.path))

    async def body(self, request: Any, limit: int) -> bytes | None:
        body = getattr(request, "body", None)  # read before the handler by Sanic, within its own bound
        return body if isinstance(body, bytes) else None

    def ways_in(self, kind: type[Any]) -> list[str]:
        return ["dispatch_request"] if hasattr(kind, "dispatch_request") else super().ways_in(kind)

    def routes(self, app: Any, prefix: str, below: Below) -> Iterator[FoundRoute]:
        for route in app.router.routes_all.values():
            path = f"{prefix}/{route.path}"
            methods = tuple(sorted(route.methods))
            handler = route.handler
            yield FoundRoute(path=path, methods=methods, name=str(route.name), tag=tag_of(handler), endpoint=handler)


FRAMEWORK = SanicFramework()
