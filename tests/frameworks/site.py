"""All apps behind one server, chosen by the first label of the host: ``django.localhost``."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from typing import Any

from stepup_middleware import RelyingParty, Rule, StepUp, StepUpMiddleware, Subject
from stepup_middleware.asgi import ASGIApp, Message, Receive, Scope, Send
from stepup_middleware.stores.sqlite import SQLiteStore

from .apps import FRAMEWORKS, PURPOSE, shown

ORIGIN = "http://localhost:8000"
KEY = "the key of the tests of frameworks, 32 bytes or more"
RULES = [
    Rule("POST", "/ruled/{id}", purpose=PURPOSE, details=shown),
    Rule("POST", "/upload", purpose=PURPOSE, optional=True),
]


async def identify(scope: Scope) -> Subject | None:
    """Return whom the cookie names: any name is signed in."""
    for name, value in scope["headers"]:
        if name == b"cookie":
            session = SimpleCookie(value.decode("latin-1")).get("session")
            if session is not None:
                return Subject(
                    id=session.value,
                    session_id="session of " + session.value,
                    workspace_id="axis",
                    name=session.value,
                    signed_in_at=datetime.now(UTC),
                )
    return None


MOST_BOUND = 2 * 1024 * 1024  # bytes, part of which is kept on the disk


class Site:
    """The apps, each in a middleware of its own on one ``StepUp``, and how often their endpoints ran."""

    def __init__(self, database: str, *, frameworks: tuple[str, ...] = FRAMEWORKS, **settings: Any) -> None:
        self.runs: Counter[str] = Counter()
        self.stepup = StepUp(
            secret_key=KEY,
            store=SQLiteStore(database),
            relying_party=RelyingParty(id="localhost", name="Test", origins=[ORIGIN]),
            identify=identify,
            **{"max_bound_body": MOST_BOUND, **settings},
        )
        self.lives: AsyncExitStack | None = None
        self.apps = {name: self._built(name) for name in frameworks}

    def _built(self, name: str) -> StepUpMiddleware:
        module = importlib.import_module(f"tests.frameworks.apps.{name}")
        rules = list(RULES)
        if name == "sanic":  # it accepts a WebSocket before it calls the handler
            rules.append(Rule("*", "/socket", purpose=PURPOSE, details=shown))

        def ran(endpoint: str) -> None:
            self.runs[f"{name}/{endpoint}"] += 1

        return StepUpMiddleware(module.build(ran), stepup=self.stepup, rules=rules)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["path"] == "/-/runs":
            await _answer(send, self.runs)
            return
        name = dict(scope["headers"]).get(b"host", b"").decode("latin-1").partition(".")[0]
        if name == "sanic" and not self.lives:  # on daphne, which has no lifespan, without which Sanic does not run
            self.lives = AsyncExitStack()
            await self.lives.enter_async_context(life(self.apps[name]))
        await self.apps[name](scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as self.lives:
            for app in self.apps.values():
                await self.lives.enter_async_context(life(app))
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


@asynccontextmanager
async def life(app: ASGIApp) -> AsyncIterator[None]:
    """Live an app's own lifespan. An app without one is let be (Django)."""
    asked: asyncio.Queue[Message] = asyncio.Queue()
    said: asyncio.Queue[Message] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    task = asyncio.ensure_future(app(scope, asked.get, said.put))
    for word in ("startup", "shutdown"):
        await asked.put({"type": f"lifespan.{word}"})
        answered = asyncio.create_task(said.get())
        await asyncio.wait([task, answered], return_when=asyncio.FIRST_COMPLETED)
        if answered.done():
            assert answered.result()["type"] == f"lifespan.{word}.complete", answered.result()
        else:
            answered.cancel()
        if word == "startup":
            yield
    await asyncio.wait([task])
    if task.exception() is not None:
        assert "lifespan" in str(task.exception())


async def _answer(send: Send, value: Any) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})
