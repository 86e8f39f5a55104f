"""Classes of Litestar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from litestar import Controller, HttpMethod, Litestar, Router, WebSocket, asgi, route, websocket
from litestar.handlers import WebsocketListener
from litestar.response import Response
from starlette.responses import PlainTextResponse

from stepup_middleware.asgi import ASGIApp

from . import Make, Ran, Shape, Tag, add_to

SHAPES: dict[str, Shape] = {}
ALL = list(HttpMethod)


def app(controller: Any) -> ASGIApp:
    return cast(ASGIApp, Litestar([controller], openapi_config=None))


def _shape(name: str, **settings: Any) -> Callable[[Make], Make]:
    return add_to(SHAPES, app, name, **settings)


def kind_of(*bases: type[Any], **members: Any) -> Any:
    return type("Shaped", bases or (Controller,), {"__module__": __name__, "path": "/x", **members})


def handler(ran: Ran) -> Any:
    async def act(self: Any) -> Response[str]:
        ran()
        return Response("ran", status_code=200)

    act.__annotations__["return"] = Response[str]
    return route(http_method=ALL)(act)


async def lenient(connection: Any, handler: Any) -> None:
    """Let everybody through."""


@_shape("handlers")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(kind_of(act=handler(ran)))


@_shape("guards of its own")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(kind_of(act=handler(ran), guards=[lenient]))


@_shape("derived, with guards of its own")
def _(tag: Tag, ran: Ran) -> Any:
    return kind_of(tag(kind_of()), act=handler(ran), guards=[])


@_shape("derived, behind a mixin that keeps __init_subclass__ to itself")
def _(tag: Tag, ran: Ran) -> Any:
    mixin = type("Mixin", (), {"as_router": Controller.as_router, "__init_subclass__": classmethod(lambda cls: None)})
    return kind_of(mixin, tag(kind_of()), act=handler(ran))


@_shape("guards that are taken away after the tag")
def _(tag: Tag, ran: Ran) -> Any:
    kind = tag(kind_of(act=handler(ran)))
    kind.guards = None
    return kind


@_shape("handlers that are added after the tag")
def _(tag: Tag, ran: Ran) -> Any:
    kind = tag(kind_of())
    kind.act = handler(ran)
    return kind


@_shape("an own __init__() that takes the guards away")
def _(tag: Tag, ran: Ran) -> Any:
    def begin(self: Any, owner: Any) -> None:
        Controller.__init__(self, owner)
        self.guards = None

    return tag(kind_of(act=handler(ran), __init__=begin))


@_shape("an own as_router()")
def _(tag: Tag, ran: Ran) -> Any:
    def as_router(self: Any) -> Router:
        made = Router(path="/x", route_handlers=self.get_route_handlers())
        made.owner = self.owner
        return made

    return tag(kind_of(act=handler(ran), path="/", as_router=as_router))


@_shape("an own get_route_handlers()")
def _(tag: Tag, ran: Ran) -> Any:
    def handlers(self: Any) -> Any:
        return Controller.get_route_handlers(self)

    return tag(kind_of(act=handler(ran), get_route_handlers=handlers))


@_shape("an as_router() that is set after the tag")
def _(tag: Tag, ran: Ran) -> Any:
    kind = tag(kind_of(act=handler(ran)))
    kind.as_router = Controller.as_router
    return kind


@_shape("a hook before the request")
def _(tag: Tag, ran: Ran) -> Any:
    async def before(request: Any) -> None:
        ran()

    return tag(kind_of(act=handler(ran), before_request=before))


@_shape("in a router")
def _(tag: Tag, ran: Ran) -> Any:
    return Router("/", route_handlers=[tag(kind_of(act=handler(ran)))])


@_shape("an ASGI handler")
def _(tag: Tag, ran: Ran) -> Any:
    async def act(self: Any, scope: Any, receive: Any, send: Any) -> None:
        ran()
        await PlainTextResponse("ran")(scope, receive, send)

    act.__annotations__ = {"scope": Any, "receive": Any, "send": Any, "return": None}
    return tag(kind_of(act=asgi("/")(act)))


@_shape("a WebSocket's handler")
def _(tag: Tag, ran: Ran) -> Any:
    async def act(self: Any, socket: Any) -> None:
        ran()
        await socket.accept()
        await socket.close()

    act.__annotations__ = {"socket": WebSocket[Any, Any, Any], "return": None}
    return tag(kind_of(act=websocket("/")(act)))


@_shape("a WebSocket's listener")
def _(tag: Tag, ran: Ran) -> Any:
    async def on_accept(self: Any) -> None:
        ran()

    async def on_receive(self: Any, data: str) -> None:
        ran()

    on_receive.__annotations__ = {"data": str, "return": None}
    on_accept.__annotations__ = {"return": None}
    return tag(kind_of(WebsocketListener, on_accept=on_accept, on_receive=on_receive))
