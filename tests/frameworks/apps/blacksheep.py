"""The app in BlackSheep."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

from blacksheep import Application, Content, Request, Response, Router, WebSocket, json
from blacksheep.contents import StreamedContent
from blacksheep.server.controllers import Controller
from blacksheep.server.responses import ok
from blacksheep.server.routing import RoutesRegistry

from stepup_middleware import require_step_up, requires_step_up
from stepup_middleware.asgi import ASGIApp

from . import PIECES, PURPOSE, STRICT, Ran, kind_of, shown

tagged = requires_step_up(PURPOSE, details=shown)


def build(ran: Ran) -> ASGIApp:
    """Build the app."""
    app = Application(router=Router())
    route = app.router

    @route.get("/open")
    async def open_page() -> Response:
        return json({"open": True})

    @route.post("/function")
    @tagged
    async def function(request: Request) -> Response:
        ran("function")
        return json({"ran": "function", "factor": kind_of(request.scope)})

    app.controllers_router = RoutesRegistry()

    class Endpoint(Controller):
        """A controller, whose methods are tagged."""

        @app.controllers_router.post("/class")
        @tagged
        async def act(self, request: Request) -> Response:
            ran("class")
            return json({"ran": "class", "factor": kind_of(request.scope)})

    @route.post("/inside")
    async def inside(request: Request) -> Response:
        proof = await require_step_up(request, STRICT, details=[("Run", "2026-06")])
        ran("inside")
        return json({"ran": "inside", "factor": proof.factor_kind})

    @route.post("/sync")
    @tagged
    def sync(request: Request) -> Response:
        ran("sync")
        return json({"ran": "sync", "factor": kind_of(request.scope)})

    @route.post("/bound")
    @requires_step_up(PURPOSE)
    async def bound(request: Request) -> Response:
        ran("bound")
        return Response(200, content=Content(b"application/octet-stream", await request.read() or b""))

    @route.post("/stream")
    @tagged
    async def stream(request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            for piece in PIECES:
                yield piece

        ran("stream")
        return Response(200, content=StreamedContent(b"text/plain", pieces))

    @route.post("/background")
    @tagged
    async def background() -> Response:
        ran("background")
        return ok("ran")

    @route.post("/ruled/{id}")
    async def ruled(request: Request, id: str) -> Response:
        ran("ruled")
        return json({"ran": "ruled", "factor": kind_of(request.scope)})

    @route.ws("/socket")
    @tagged
    async def socket(websocket: WebSocket) -> None:
        ran("socket")
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    return cast(ASGIApp, app)
