"""Apps with a fault of their set-up, as a server imports them: ``STEPUP_TEST_FAULT`` says which.

``late``: a tag is lost on a route that is added after the app was wrapped. ``inside``: an unknown purpose, with the
middleware in Starlette's own list. ``store``, ``folder`` and ``none``: nothing is wrong with the app, which has no
lifespan.
"""

from __future__ import annotations

import os
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from stepup_middleware import RelyingParty, StepUp, StepUpMiddleware, requires_step_up
from stepup_middleware.asgi import ASGIApp, Receive, Scope, Send
from stepup_middleware.stores.sqlite import SQLiteStore

PURPOSE = "webhook_secret_rotation"


async def nobody(scope: Scope) -> None:
    """Sign nobody in."""


def built(fault: str) -> ASGIApp:
    """Return the app."""
    stepup = StepUp(
        secret_key="the key of the tests of starts, 32 bytes or more",
        store=SQLiteStore(os.environ["STEPUP_TEST_DATABASE"]),
        relying_party=RelyingParty(id="localhost", name="Test", origins=["http://localhost:8000"]),
        identify=nobody,
    )

    async def act(request: Request) -> PlainTextResponse:
        return PlainTextResponse("ran")

    if fault == "inside":
        routes = [Route("/x", requires_step_up("webhook_secret_rotatoin")(act), methods=["POST"])]
        return Starlette(routes=routes, middleware=[Middleware(StepUpMiddleware, stepup=stepup)])
    if fault == "late":
        inner = FastAPI()
        app = StepUpMiddleware(inner, stepup=stepup)
        requires_step_up(PURPOSE)(inner.post("/x")(_lost))
        return app
    routed = Starlette(routes=[Route("/x", requires_step_up(PURPOSE)(act), methods=["POST"])])

    async def without_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise ValueError("no lifespan")
        await routed(scope, receive, send)

    return StepUpMiddleware(without_lifespan, stepup=stepup)


async def _lost() -> Any:
    return {"ran": True}


app = built(os.environ.get("STEPUP_TEST_FAULT", "none"))
