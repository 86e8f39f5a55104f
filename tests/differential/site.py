"""The echo apps behind a server, with real tokens in a real database.

A request names its framework and stack in ``x-echo-app``, and who sends it in ``x-echo-who``; the answer says in
``x-echo-bound`` what the library bound the request by, in ``x-echo-ran`` how many tokens it redeemed, and in
``x-echo-read`` the digest of what the endpoints were handed. None of these headers is part of what is bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from stepup_middleware import RelyingParty, StepUp, Subject
from stepup_middleware.asgi import ASGIApp, Message, Receive, Scope, Send, header
from stepup_middleware.core.decisions import Presentation, Redemption, Verdict
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.frameworks.site import life

from .apps import handed, module_of
from .stack import KEY, ORIGIN, stacks

_noted: ContextVar[list[tuple[str, bool]]] = ContextVar("noted")


class ListeningStore(SQLiteStore):
    """A store that tells what each question was bound to, and whether its token was redeemed."""

    async def ask(self, asked: Any, *, open_limit: int) -> Any:
        """Tell, and ask."""
        _noted.get([]).append((asked.request.digest().hex(), False))
        return await super().ask(asked, open_limit=open_limit)

    async def redeem(self, shown: Presentation) -> Redemption:
        """Redeem, and tell."""
        redemption = await super().redeem(shown)
        _noted.get([]).append((shown.request_digest.hex(), redemption.decision.verdict is Verdict.REDEEMED))
        return redemption


async def identify(scope: Scope) -> Subject | None:
    """Return whom the request names."""
    name = (header(scope, b"x-echo-who") or b"").decode("latin-1")
    if not name:
        return None
    return Subject(id=name, session_id=name, workspace_id="axis", name=name, signed_in_at=datetime.now(UTC))


class Served:
    """All apps in all stacks behind one server."""

    def __init__(self, database: str, frameworks: Sequence[str]) -> None:
        self.stepup = StepUp(
            secret_key=KEY,
            store=ListeningStore(database),
            relying_party=RelyingParty(id="localhost", name="Test", origins=[ORIGIN]),
            identify=identify,
        )
        self.apps: dict[str, ASGIApp] = {}
        for name in frameworks:
            for stack, app in stacks(module_of(name).build(), self.stepup).items():
                self.apps[f"{name}.{stack}"] = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            async with self._running():
                await send({"type": "lifespan.startup.complete"})
                await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        app = self.apps.get((header(scope, b"x-echo-app") or b"").decode("latin-1"))
        if app is None:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b"no such app"})
            return
        noted: list[tuple[str, bool]] = []
        _noted.set(noted)
        readings: list[bytes] = []
        handed.set(readings)

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                ran = [bound for bound, done in noted if done]
                bound = (ran or [each for each, _ in noted] or [""])[-1]
                told = [(b"x-echo-bound", bound.encode()), (b"x-echo-ran", b"%d" % len(ran))]
                told.append((b"x-echo-read", sha256(b"\n\n".join(readings)).hexdigest().encode()))
                message = {**message, "headers": [*message.get("headers", ()), *told]}
            await send(message)

        await app(scope, receive, telling)

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as lives:
            for name, app in self.apps.items():
                if name.endswith(".plain"):
                    await lives.enter_async_context(life(app))
            yield
            await asyncio.sleep(0)
