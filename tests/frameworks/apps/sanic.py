"""The app in Sanic."""

from __future__ import annotations

import secrets
from typing import Any, cast

from sanic import Request, Sanic, Websocket
from sanic.response import HTTPResponse, json, raw
from sanic.views import HTTPMethodView

from stepup_middleware import require_step_up, requires_step_up
from stepup_middleware.asgi import ASGIApp

from . import PIECES, PURPOSE, STRICT, Ran, kind_of, shown

tagged = requires_step_up(PURPOSE, details=shown)


def build(ran: Ran) -> ASGIApp:
    """Build the app."""
    app: Sanic[Any, Any] = Sanic("app" + secrets.token_hex(4), configure_logging=False)
    app.config.TOUCHUP = False  # it rewrites the class itself, once a process
    app.config.MOTD = False

    @app.get("/open")
    async def open_page(request: Request) -> HTTPResponse:
        return json({"open": True})

    @app.post("/function")
    @tagged
    async def function(request: Request) -> HTTPResponse:
        ran("function")
        return json({"ran": "function", "factor": kind_of(request.scope)})

    @tagged
    class Endpoint(HTTPMethodView):
        """A class of handlers."""

        async def post(self, request: Request) -> HTTPResponse:
            ran("class")
            return json({"ran": "class", "factor": kind_of(request.scope)})

    app.add_route(Endpoint.as_view(), "/class")

    @app.post("/inside")
    async def inside(request: Request) -> HTTPResponse:
        proof = await require_step_up(request, STRICT, details=[("Run", "2026-06")])
        ran("inside")
        return json({"ran": "inside", "factor": proof.factor_kind})

    @app.post("/sync")
    @tagged
    def sync(request: Request) -> HTTPResponse:
        ran("sync")
        return json({"ran": "sync", "factor": kind_of(request.scope)})

    @app.post("/bound")
    @requires_step_up(PURPOSE)
    async def bound(request: Request) -> HTTPResponse:
        ran("bound")
        return raw(request.body)

    @app.post("/stream")
    @tagged
    async def stream(request: Request) -> None:
        ran("stream")
        response = await request.respond(content_type="text/plain")
        for piece in PIECES:
            await response.send(piece)
        await response.eof()

    @app.post("/background")
    @tagged
    async def background(request: Request) -> HTTPResponse:
        async def later() -> None:
            ran("background")

        request.app.add_task(later())
        return json({"ran": "background"})

    @app.post("/ruled/<id>")
    async def ruled(request: Request, id: str) -> HTTPResponse:
        ran("ruled")
        return json({"ran": "ruled", "factor": kind_of(request.scope)})

    @app.websocket("/socket")  # type: ignore[untyped-decorator]
    @tagged
    async def socket(request: Request, ws: Websocket) -> None:
        ran("socket")
        await ws.send("hello")

    return cast(ASGIApp, app)
