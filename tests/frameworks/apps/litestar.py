"""The app in Litestar."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

from litestar import Controller, Litestar, Request, WebSocket, get, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.response import Response, Stream

from stepup_middleware import require_step_up, requires_step_up
from stepup_middleware.asgi import ASGIApp

from . import PIECES, PURPOSE, STRICT, Ran, kind_of, shown

tagged = requires_step_up(PURPOSE, details=shown)


def build(ran: Ran) -> ASGIApp:
    """Build the app."""

    @get("/open")
    async def open_page() -> dict[str, bool]:
        return {"open": True}

    @post("/function", status_code=200)
    @tagged
    async def function(request: Request[Any, Any, Any]) -> dict[str, str]:
        ran("function")
        return {"ran": "function", "factor": kind_of(request.scope)}

    @tagged
    class Endpoint(Controller):
        """A controller."""

        path = "/class"

        @post(status_code=200)
        async def act(self, request: Request[Any, Any, Any]) -> dict[str, str]:
            ran("class")
            return {"ran": "class", "factor": kind_of(request.scope)}

    @post("/inside", status_code=200)
    async def inside(request: Request[Any, Any, Any]) -> dict[str, str]:
        proof = await require_step_up(request.scope, STRICT, details=[("Run", "2026-06")])
        ran("inside")
        return {"ran": "inside", "factor": proof.factor_kind}

    @post("/sync", status_code=200)
    @tagged
    def sync(request: Request[Any, Any, Any]) -> dict[str, str]:
        ran("sync")
        return {"ran": "sync", "factor": kind_of(request.scope)}

    @post("/bound", status_code=200)
    @requires_step_up(PURPOSE)
    async def bound(request: Request[Any, Any, Any]) -> Response[bytes]:
        ran("bound")
        return Response(await request.body(), media_type="application/octet-stream")

    @post("/stream", status_code=200)
    @tagged
    async def stream() -> Stream:
        async def pieces() -> AsyncIterator[bytes]:
            for piece in PIECES:
                yield piece

        ran("stream")
        return Stream(pieces())

    @post("/background", status_code=200)
    @tagged
    async def background() -> Response[dict[str, str]]:
        return Response({"ran": "background"}, background=BackgroundTask(ran, "background"))

    @post("/ruled/{id:str}", status_code=200)
    async def ruled(request: Request[Any, Any, Any]) -> dict[str, str]:
        ran("ruled")
        return {"ran": "ruled", "factor": kind_of(request.scope)}

    @websocket("/socket")
    @tagged
    async def socket(socket: WebSocket[Any, Any, Any]) -> None:
        ran("socket")
        await socket.accept()
        await socket.send_text("hello")
        await socket.close()

    app = Litestar([open_page, function, Endpoint, inside, sync, bound, stream, background, ruled, socket])
    return cast(ASGIApp, app)
