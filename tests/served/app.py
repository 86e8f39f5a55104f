"""The app that the processes serve. Its settings come from the environment; whoever says who they are is signed in."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from stepup_middleware import (
    AuditEvent,
    RelyingParty,
    StepUp,
    StepUpMiddleware,
    Subject,
    requires_step_up,
)
from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore
from stepup_middleware.stores.sqlite import SQLiteStore

from .standing import tell_when_asked

ORIGIN = "http://localhost:8000"
POLL_SECONDS = 0.02


def make() -> StepUpMiddleware:
    """Build the app: ``SERVED_FOLDER`` has what it writes, ``SERVED_KEYS`` its keys, by commas.

    Its store is SQLite in the folder, or PostgreSQL at ``SERVED_DATABASE`` with Redis at ``SERVED_HOT`` before it.
    Who has the secret ``SERVED_HEALTH`` is told its health, and a signal where its tasks stand.
    """
    folder = Path(os.environ["SERVED_FOLDER"])
    if "SERVED_HEALTH" in os.environ:
        tell_when_asked(folder)

    async def identify(scope: Any) -> Subject | None:
        name = dict(scope["headers"]).get(b"x-user", b"").decode()
        signed_in_at = datetime.now(UTC) - timedelta(minutes=1)
        return (
            Subject(id=name, session_id=name, workspace_id="w", name=name, signed_in_at=signed_in_at) if name else None
        )

    @requires_step_up("webhook_secret_rotation")
    async def act(request: Request) -> Response:
        note(folder / "runs", request.scope["stepup"].prompt_id)
        note(folder / f"runs-{os.getpid()}", request.scope["stepup"].prompt_id)
        return PlainTextResponse("ran")

    @requires_step_up("webhook_secret_rotation")
    async def slow(request: Request) -> Response:
        note(folder / "runs", request.scope["stepup"].prompt_id)
        note(folder / "entered", "yes")
        await there(folder / "go")
        return PlainTextResponse("ran")

    async def open_page(request: Request) -> Response:
        return PlainTextResponse("open")

    async def on_event(event: AuditEvent) -> None:
        note(folder / "events", event.name.value)

    stepup = StepUp(
        secret_key=os.environ["SERVED_KEYS"].split(","),
        store=_store(folder),
        relying_party=RelyingParty(id="localhost", name="Served", origins=[ORIGIN]),
        identify=identify,
        on_event=[on_event],
        spool=os.environ.get("SERVED_SPOOL"),
        health=os.environ.get("SERVED_HEALTH", False),
    )
    routes = [
        Route("/act", act, methods=["POST"]),
        Route("/slow", slow, methods=["POST"]),
        Route("/open", open_page),
    ]
    return StepUpMiddleware(Starlette(routes=routes), stepup=stepup)


def _store(folder: Path) -> HotState:
    database, hot = os.environ.get("SERVED_DATABASE"), os.environ.get("SERVED_HOT")
    if database is None:
        return SQLiteStore(folder / "stepup.db")
    behind = PostgresStore(database)
    return behind if hot is None else RedisHotStore(hot, behind=behind)


def note(file: Path, line: str) -> None:
    """Add a line to a file at once: what a process wrote before it died counts."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, line.encode() + b"\n")
    os.close(descriptor)


async def there(file: Path) -> None:
    """Return once a file is there."""
    while not exists(file):  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(POLL_SECONDS)


def exists(file: Path) -> bool:
    return file.exists()


def lines_of(file: Path) -> list[str]:
    """Return what was noted."""
    return file.read_text().splitlines() if file.exists() else []
