"""What an untagged route pays for the middleware, in process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import thread_time

from stepup_middleware import StepUp, StepUpMiddleware
from stepup_middleware.asgi import ASGIApp, Message, Receive, Scope, Send
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.support import KEY, RP, scope_of

from .harness import Benchmark, Figure, Sample, Scale, Sides, at_most, scratch

_START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
_BODY: Message = {"type": "http.response.body", "body": b"ok"}


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without looking."""
    await send(_START)
    await send(_BODY)


class NoOp:
    """Pure ASGI middleware that does nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        await self.app(scope, receive, send)


async def nobody(scope: Scope) -> None:
    """Say that nobody is signed in."""


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Message) -> None:
    pass


async def _requests(app: ASGIApp, count: int) -> Sample:
    scope = scope_of("GET", "/open")
    began = thread_time()
    for _ in range(count):
        await app(scope, _receive, _send)
    return {"seconds": (thread_time() - began) / count}


@asynccontextmanager
async def _sides(scale: Scale) -> AsyncIterator[Sides]:
    with scratch() as folder:
        stepup = StepUp(secret_key=KEY, store=SQLiteStore(folder / "stepup.db"), relying_party=RP, identify=nobody)
        async with stepup:
            ours, no_op = StepUpMiddleware(bare, stepup=stepup), NoOp(bare)
            count = scale.of(50_000)
            yield {
                "ours": lambda: _requests(ours, count),
                "no-op": lambda: _requests(no_op, count),
                "bare": lambda: _requests(bare, count),
            }


BENCHMARKS = (
    Benchmark(
        name="untagged",
        sides=_sides,
        figures=(
            Figure(
                "untagged route, in process",
                "a no-op pure ASGI middleware",
                at_most(1.05),
                "seconds",
                "ours",
                "no-op",
            ),
        ),
        rounds=9,
    ),
)
