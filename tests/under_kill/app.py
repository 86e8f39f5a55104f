"""The app of a node, and how it is served."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from stepup_middleware import (
    PLATFORM_PURPOSES,
    RelyingParty,
    StepUp,
    StepUpMiddleware,
    Subject,
    approvable,
    requires_step_up,
)
from stepup_middleware.asgi import Scope
from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore
from tests.patience import PATIENT
from tests.served.app import ORIGIN, note

PURPOSE = "webhook_secret_rotation"
WORKING_SECONDS = 0.01  # of the action, so that a kill may come while it runs


@dataclass(frozen=True, slots=True)
class Settings:
    """The addresses of the database and of the hot store ("" for none), the file that notes what ran, and the key."""

    database: str
    hot: str
    runs: str
    key: str

    def store(self) -> HotState:
        """Return the store of a node: PostgreSQL, with Redis before it where there is one."""
        behind = PostgresStore(self.database, timeout=PATIENT)
        return RedisHotStore(self.hot, behind=behind, timeout=PATIENT) if self.hot else behind


def serve(settings: Settings, port: int) -> None:
    """Serve the app of a node, until it is killed."""
    uvicorn.run(made(settings), port=port, log_level="critical", ws="none")


def made(settings: Settings) -> StepUpMiddleware:
    """Build the app of a node; whoever says who they are is signed in, in the session that they name."""
    runs = Path(settings.runs)

    async def identify(scope: Scope) -> Subject | None:
        lines = dict(scope["headers"])
        name, session = (lines.get(line, b"").decode() for line in (b"x-user", b"x-session"))
        return (
            Subject(
                id=name,
                session_id=session or name,
                workspace_id="w",
                name=name,
                signed_in_at=datetime.now(UTC) - timedelta(minutes=1),
            )
            if name
            else None
        )

    def details(scope: Scope) -> list[tuple[str, str]]:
        return [("Number", scope["path_params"]["number"])]

    @requires_step_up(PURPOSE, details=details)
    async def act(request: Request) -> Response:
        proof: Any = request.scope["stepup"]
        note(runs, f"{request.path_params['number']} {proof.prompt_id}")
        await asyncio.sleep(WORKING_SECONDS)
        return PlainTextResponse("ran")

    stepup = StepUp(
        secret_key=settings.key,
        store=settings.store(),
        relying_party=RelyingParty(id="localhost", name="Nodes", origins=[ORIGIN]),
        identify=identify,
        purposes=approvable(PLATFORM_PURPOSES, PURPOSE),
        store_timeout=PATIENT,
    )
    return StepUpMiddleware(Starlette(routes=[Route("/act/{number}", act, methods=["POST"])]), stepup=stepup)
