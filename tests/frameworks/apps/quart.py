"""The app in Quart, whose endpoints find their request by its context."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

from quart import Quart, request, websocket
from quart.views import MethodView

from stepup_middleware import require_step_up, requires_step_up
from stepup_middleware.asgi import ASGIApp

from . import PIECES, PURPOSE, STRICT, Ran, kind_of, shown

tagged = requires_step_up(PURPOSE, details=shown)


def build(ran: Ran) -> ASGIApp:
    """Build the app."""
    app = Quart(__name__)

    @app.get("/open")
    async def open_page() -> Any:
        return {"open": True}

    @app.post("/function")
    @tagged
    async def function() -> Any:
        ran("function")
        return {"ran": "function", "factor": kind_of(request.scope)}

    @tagged
    class Endpoint(MethodView):
        """A class endpoint."""

        async def post(self) -> Any:
            ran("class")
            return {"ran": "class", "factor": kind_of(request.scope)}

    app.add_url_rule("/class", view_func=Endpoint.as_view("class"))

    @app.post("/inside")
    async def inside() -> Any:
        proof = await require_step_up(request.scope, STRICT, details=[("Run", "2026-06")])
        ran("inside")
        return {"ran": "inside", "factor": proof.factor_kind}

    @app.post("/sync")
    @tagged
    def sync() -> Any:
        ran("sync")
        return {"ran": "sync", "factor": kind_of(request.scope)}

    @app.post("/bound")
    @requires_step_up(PURPOSE)
    async def bound() -> Any:
        ran("bound")
        return await request.get_data(), {"content-type": "application/octet-stream"}

    @app.post("/stream")
    @tagged
    async def stream() -> Any:
        async def pieces() -> AsyncIterator[bytes]:
            for piece in PIECES:
                yield piece

        ran("stream")
        return pieces()

    @app.post("/background")
    @tagged
    async def background() -> Any:
        app.add_background_task(ran, "background")
        return {"ran": "background"}

    @app.post("/ruled/<id>")
    async def ruled(id: str) -> Any:
        ran("ruled")
        return {"ran": "ruled", "factor": kind_of(request.scope)}

    @app.websocket("/socket")
    @tagged
    async def socket() -> None:
        ran("socket")
        await websocket.accept()
        await websocket.send("hello")

    return cast(ASGIApp, app)
