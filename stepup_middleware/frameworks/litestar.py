"""Litestar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from stepup_middleware.asgi import Scope

from .base import TAG_ATTRIBUTE, Below, FoundRoute, Framework, Guard, tag_of


class LitestarFramework(Framework):
    """Litestar, whose controllers have guards that are asked before the body is read."""

    name = "litestar"
    quiet = ("litestar.exceptions", "NotAuthorizedException")
    keeps_path_parameters = True

    def in_hand(self, scope: Scope) -> bool:
        return "litestar_app" in scope

    async def body(self, request: Any, limit: int) -> bytes | None:
        body: bytes = await request.body()  # bounded by Litestar's request_max_body_size
        return body

    def ways_in(self, kind: type[Any]) -> list[str]:
        return ["guards"]

    def guarded(self, kind: type[Any], name: str, guard: Guard) -> Any:
        present = getattr(kind, name, None)
        return [*(present if isinstance(present, list | tuple) else ()), _guard(guard)]

    def routes(self, app: Any, prefix: str, below: Below) -> Iterator[FoundRoute]:
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
                path = prefix + route.path
                yield FoundRoute(path=path, methods=methods, name=str(handler), tag=tag, endpoint=places[0])


def _guard(guard: Guard) -> Callable[..., Any]:
    async def asked(connection: Any, handler: Any) -> None:
        await guard.admit(connection)

    setattr(asked, TAG_ATTRIBUTE, guard.tag)
    return asked


FRAMEWORK = LitestarFramework()
