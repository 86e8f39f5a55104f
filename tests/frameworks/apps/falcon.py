"""The app in Falcon, whose resources are classes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import falcon.asgi

from stepup_middleware import require_step_up, requires_step_up
from stepup_middleware.asgi import ASGIApp

from . import PIECES, PURPOSE, STRICT, Ran, kind_of, shown

tagged = requires_step_up(PURPOSE, details=shown)


def build(ran: Ran) -> ASGIApp:
    """Build the app."""

    class Open:
        """An untagged resource."""

        async def on_get(self, req: Any, resp: Any) -> None:
            resp.media = {"open": True}

    class Function:
        """One tagged responder."""

        @tagged
        async def on_post(self, req: Any, resp: Any) -> None:
            ran("function")
            resp.media = {"ran": "function", "factor": kind_of(req.scope)}

    @tagged
    class Endpoint:
        """A tagged resource."""

        async def on_post(self, req: Any, resp: Any) -> None:
            ran("class")
            resp.media = {"ran": "class", "factor": kind_of(req.scope)}

    class Inside:
        """A responder that asks itself."""

        async def on_post(self, req: Any, resp: Any) -> None:
            proof = await require_step_up(req, STRICT, details=[("Run", "2026-06")])
            ran("inside")
            resp.media = {"ran": "inside", "factor": proof.factor_kind}

    class Bound:
        """What it reads is bound."""

        @requires_step_up(PURPOSE)
        async def on_post(self, req: Any, resp: Any) -> None:
            ran("bound")
            resp.data = await req.stream.read()

    @tagged
    class Stream:
        """A stream."""

        async def on_post(self, req: Any, resp: Any) -> None:
            async def pieces() -> AsyncIterator[bytes]:
                for piece in PIECES:
                    yield piece

            ran("stream")
            resp.stream = pieces()

    @tagged
    class Background:
        """A task that is left behind."""

        async def on_post(self, req: Any, resp: Any) -> None:
            async def later() -> None:
                ran("background")

            resp.schedule(later)
            resp.media = {"ran": "background"}

    class Ruled:
        """Untagged here."""

        async def on_post(self, req: Any, resp: Any, id: str) -> None:
            ran("ruled")
            resp.media = {"ran": "ruled", "factor": kind_of(req.scope)}

    @tagged
    class Socket:
        """A WebSocket."""

        async def on_websocket(self, req: Any, ws: Any) -> None:
            ran("socket")
            await ws.accept()
            await ws.send_text("hello")
            await asyncio.sleep(0)
            await ws.close()

    app = falcon.asgi.App()
    for route, resource in {
        "/open": Open(),
        "/function": Function(),
        "/class": Endpoint(),
        "/inside": Inside(),
        "/bound": Bound(),
        "/stream": Stream(),
        "/background": Background(),
        "/ruled/{id}": Ruled(),
        "/socket": Socket(),
    }.items():
        app.add_route(route, resource)
    return cast(ASGIApp, app)
