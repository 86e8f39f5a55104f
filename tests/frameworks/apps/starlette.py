"""The app in Starlette."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from stepup_middleware import require_step_up, requires_step_up
from stepup_middleware.asgi import ASGIApp

from . import PIECES, PURPOSE, STRICT, Ran, kind_of, shown

tagged = requires_step_up(PURPOSE, details=shown)


def build(ran: Ran) -> ASGIApp:
    """Build the app."""

    async def open_page(request: Request) -> Response:
        return JSONResponse({"open": True})

    @tagged
    async def function(request: Request) -> Response:
        ran("function")
        return JSONResponse({"ran": "function", "factor": kind_of(request.scope)})

    @tagged
    class Endpoint(HTTPEndpoint):
        """A class endpoint."""

        async def post(self, request: Request) -> Response:
            ran("class")
            return JSONResponse({"ran": "class", "factor": kind_of(request.scope)})

    async def inside(request: Request) -> Response:
        proof = await require_step_up(request.scope, STRICT, details=[("Run", "2026-06")])
        ran("inside")
        return JSONResponse({"ran": "inside", "factor": proof.factor_kind})

    @tagged
    def sync(request: Request) -> Response:
        ran("sync")
        return JSONResponse({"ran": "sync", "factor": kind_of(request.scope)})

    @requires_step_up(PURPOSE)
    async def bound(request: Request) -> Response:
        ran("bound")
        return Response(await request.body())

    @tagged
    async def stream(request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            for piece in PIECES:
                yield piece

        ran("stream")
        return StreamingResponse(pieces())

    @tagged
    async def background(request: Request) -> Response:
        return JSONResponse({"ran": "background"}, background=BackgroundTask(ran, "background"))

    async def ruled(request: Request) -> Response:
        ran("ruled")
        return JSONResponse({"ran": "ruled", "factor": kind_of(request.scope)})

    @tagged
    async def socket(websocket: WebSocket) -> None:
        ran("socket")
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    return Starlette(
        routes=[
            Route("/open", open_page),
            Route("/function", function, methods=["POST"]),
            Route("/class", Endpoint),
            Route("/inside", inside, methods=["POST"]),
            Route("/sync", sync, methods=["POST"]),
            Route("/bound", bound, methods=["POST"]),
            Route("/stream", stream, methods=["POST"]),
            Route("/background", background, methods=["POST"]),
            Route("/ruled/{id}", ruled, methods=["POST"]),
            WebSocketRoute("/socket", socket),
        ]
    )
