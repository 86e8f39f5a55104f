"""The app in FastAPI: an included router, endpoints without a request among their parameters, a dependency."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from anyio import from_thread
from fastapi import APIRouter, BackgroundTasks, Body, Depends, FastAPI, Request, WebSocket
from fastapi.responses import Response, StreamingResponse

from stepup_middleware import require_step_up, requires_step_up
from stepup_middleware.asgi import ASGIApp

from . import PIECES, PURPOSE, STRICT, Ran, kind_of, shown

tagged = requires_step_up(PURPOSE, details=shown)


def build(ran: Ran) -> ASGIApp:
    """Build the app."""
    app = FastAPI()
    router = APIRouter()

    @app.get("/open")
    async def open_page() -> dict[str, bool]:
        return {"open": True}

    @router.post("/function")
    @tagged
    async def function(amount: Annotated[int, Body(embed=True)] = 1) -> dict[str, str]:
        ran("function")
        return {"ran": "function", "factor": "passkey"}

    @tagged
    class Endpoint:
        """An object that is an endpoint."""

        async def __call__(self, request: Request) -> dict[str, str]:
            ran("class")
            return {"ran": "class", "factor": kind_of(request.scope)}

    router.add_api_route("/class", Endpoint(), methods=["POST"])

    async def proved(request: Request) -> None:
        await require_step_up(request.scope, STRICT, details=[("Run", "2026-06")])

    @router.post("/inside", dependencies=[Depends(proved)])
    async def inside(request: Request) -> dict[str, str]:
        ran("inside")
        return {"ran": "inside", "factor": kind_of(request.scope)}

    @router.post("/sync")
    @tagged
    def sync(request: Request) -> dict[str, str]:
        ran("sync")
        return {"ran": "sync", "factor": kind_of(request.scope)}

    @router.post("/asking")
    def asking(request: Request, amount: Annotated[int, Body(embed=True)]) -> dict[str, str]:
        proof = from_thread.run(partial(require_step_up, request, PURPOSE, details=[("Amount", str(amount))]))
        ran("asking")
        return {"ran": "asking", "factor": proof.factor_kind}

    @router.post("/bound")
    @requires_step_up(PURPOSE)
    async def bound(request: Request) -> Response:
        ran("bound")
        return Response(await request.body())

    @router.post("/stream")
    @tagged
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for piece in PIECES:
                yield piece

        ran("stream")
        return StreamingResponse(pieces())

    @router.post("/background")
    @tagged
    async def background(tasks: BackgroundTasks) -> dict[str, str]:
        tasks.add_task(ran, "background")
        return {"ran": "background"}

    @router.post("/ruled/{id}")
    async def ruled(request: Request, id: str) -> dict[str, str]:
        ran("ruled")
        return {"ran": "ruled", "factor": kind_of(request.scope)}

    @router.websocket("/socket")
    @tagged
    async def socket(websocket: WebSocket) -> None:
        ran("socket")
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    app.include_router(router)
    return app
