"""Rotating the secret key: the new one first, then everything under it, then the old one goes."""

from __future__ import annotations

import secrets
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from stepup_middleware import (
    ConfigurationError,
    RelyingParty,
    StepUp,
    StepUpMiddleware,
    StoreError,
    Subject,
    requires_step_up,
)
from stepup_middleware.cli import main
from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.events import EventName
from stepup_middleware.stores.sqlite import SQLiteLog, SQLiteStore
from stepup_middleware.testing import FixedClock, totp_code

OLD, NEW = secrets.token_urlsafe(48), secrets.token_urlsafe(48)
START = datetime(2026, 11, 24, 12, tzinfo=UTC)
ACTION = "/rotate"


def app_with(keys: list[str], database: Path, clock: FixedClock) -> StepUpMiddleware:
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route

    @requires_step_up("webhook_secret_rotation")
    async def rotate(request: Request) -> Response:
        return PlainTextResponse("ran")

    async def identify(scope: Any) -> Subject:
        return Subject(id="u", session_id="s", workspace_id="w", name="U", signed_in_at=START)

    stepup = StepUp(
        secret_key=keys,
        store=SQLiteStore(database),
        relying_party=RelyingParty(id="localhost", name="Test", origins=["http://localhost"]),
        identify=identify,
        clock=clock,
    )
    return StepUpMiddleware(Starlette(routes=[Route(ACTION, rotate, methods=["POST"])]), stepup=stepup)


def client(app: StepUpMiddleware) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app, client=("192.0.2.1", 1))
    return httpx2.AsyncClient(transport=transport, base_url="http://localhost")


async def proved(app: StepUpMiddleware, secret: str, clock: FixedClock) -> httpx2.Response:
    async with client(app) as http:
        prompt = (await http.post(ACTION)).json()["prompt"]["url"]
        return await http.post(f"{prompt}/totp", json={"code": totp_code(secret, clock())})


async def enrolled(app: StepUpMiddleware, clock: FixedClock) -> str:
    async with app.stepup, client(app) as http:
        new = (await http.post("/stepup/factors/totp", json={})).json()
        code = totp_code(new["secret"], clock())
        done = await http.post(f"/stepup/factors/totp/{new['id']}/confirm", json={"code": code})
        assert done.status_code == 200
        secret: str = new["secret"]
        return secret


async def test_a_secret_outlives_the_key_that_it_was_encrypted_under(tmp_path: Path) -> None:  # O26
    database, clock = tmp_path / "stepup.db", FixedClock(START)
    secret = await enrolled(app_with([OLD], database, clock), clock)
    for keys in ([NEW, OLD], [NEW]):
        clock.advance(60)
        app = app_with(keys, database, clock)
        async with app.stepup:
            assert (await proved(app, secret, clock)).status_code == 200
            await app.stepup.reencrypt_secrets()


async def test_a_key_taken_away_too_early_refuses_and_loses_nothing(tmp_path: Path) -> None:
    database, clock = tmp_path / "stepup.db", FixedClock(START)
    secret = await enrolled(app_with([OLD], database, clock), clock)
    clock.advance(60)
    early = app_with([NEW], database, clock)
    with pytest.raises(ConfigurationError, match="put the old key back as a later one, run `stepup reencrypt`"):
        await early.stepup.start()
    with pytest.raises(StoreError):  # nothing stays open
        await early.stepup._parts.store.records.last_seq()
    back = app_with([NEW, OLD], database, clock)
    async with back.stepup:
        assert (await proved(back, secret, clock)).status_code == 200


def test_the_command_line_reencrypts_the_secrets_of_an_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import asyncio
    from types import ModuleType

    database, clock = tmp_path / "stepup.db", FixedClock(START)
    secret = asyncio.run(enrolled(app_with([OLD], database, clock), clock))
    module = ModuleType("rotating_app")
    module.app = app_with([NEW, OLD], database, clock)  # type: ignore[attr-defined]  # made for this test
    monkeypatch.setitem(sys.modules, "rotating_app", module)
    assert main(["reencrypt", "rotating_app:app"]) == 0
    assert "first key" in capsys.readouterr().out

    async def accepted() -> int:
        app = app_with([NEW], database, clock)
        async with app.stepup:
            return (await proved(app, secret, clock)).status_code

    clock.advance(60)
    assert asyncio.run(accepted()) == 200


# A27
async def test_a_row_under_a_key_that_was_never_ours_stops_no_start_and_is_an_alarm(tmp_path: Path) -> None:
    database, clock = tmp_path / "stepup.db", FixedClock(START)
    secret = await enrolled(app_with([OLD], database, clock), clock)
    with closing(sqlite3.connect(database)) as connection, connection:
        copied = "INSERT INTO factors SELECT 'forged', workspace, subject, kind, name, created_at, last_used_at, NULL, "
        rest = "public_key, algorithm, sign_count, backup_eligible, backed_up, transports, aaguid, user_handle, "
        connection.execute(
            f"{copied}{rest}encrypted_secret, last_step, x'{b'abcd'.hex()}{bytes(32).hex()}' FROM factors"
        )
    clock.advance(60)
    app = app_with([OLD], database, clock)
    async with app.stepup:
        assert (await proved(app, secret, clock)).status_code == 200
    async with SQLiteLog(database) as log:
        found = await log.audit_after(None, AuditFilter(event=EventName.DATABASE_ALTERED), after=0, limit=9)
    assert sorted(record.reason for record in found) == ["factors", "mac_key"]
    assert found[0].data["mac_key"] == b"abcd".hex()
    with pytest.raises(ConfigurationError, match="secret_key lacks a key"):  # and another key for ours stops it as ever
        await app_with([NEW], database, clock).stepup.start()
