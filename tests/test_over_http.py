"""Refusals over real HTTP: whatever is wrong with a token, the endpoint does not run."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stepup_middleware import (
    EventName,
    RelyingParty,
    Severity,
    StepUp,
    StepUpMiddleware,
    Subject,
    requires_step_up,
)
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing import FixedClock, VirtualAuthenticator, totp_code

ORIGIN = "http://localhost:8000"
START = datetime(2026, 11, 24, 12, tzinfo=UTC)
ACTION = "/payroll/2026-06/transmit"


@dataclass
class Site:
    """A served app: one action for a phishing-resistant proof, and how often it ran."""

    url: str
    clock: FixedClock
    stepup: StepUp
    http: httpx2.AsyncClient
    runs: list[str] = field(default_factory=list)

    async def enrol_passkey(self) -> VirtualAuthenticator:
        authenticator = VirtualAuthenticator.passkey()
        options = await self.http.post("/stepup/factors/webauthn/options", json={"kind": "passkey"})
        credential = authenticator.create(options.json(), origin=ORIGIN)
        done = await self.http.post("/stepup/factors/webauthn", json={"name": "mine", "credential": credential})
        assert done.status_code == 201
        return authenticator

    async def token(self, authenticator: VirtualAuthenticator, path: str = ACTION) -> str:
        prompt = (await self.http.post(path)).json()["prompt"]["url"]
        options = await self.http.post(f"{prompt}/webauthn/options", json={})
        assertion = authenticator.get(options.json(), origin=ORIGIN)
        token: str = (await self.http.post(f"{prompt}/webauthn", json=assertion)).json()["token"]
        return token

    async def present(self, token: str, *, ip: str = "192.0.2.1", path: str = ACTION) -> httpx2.Response:
        return await self.http.post(path, headers={"StepUp-Token": token, "X-Test-Address": ip})


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    runs: list[str] = []
    clock = FixedClock(START)

    @requires_step_up("payroll_ach_transmit", details=[("Run", "2026-06")])
    async def transmit(request: Request) -> Response:
        runs.append(request.scope["stepup"].prompt_id)
        return JSONResponse({"sent": True})

    async def identify(scope: Any) -> Subject:
        return Subject(id="u1", session_id="s1", workspace_id="w1", name="Someone", signed_in_at=START)

    def address(scope: Any) -> str:
        given = dict(scope["headers"]).get(b"x-test-address", b"192.0.2.1")
        return str(given.decode())

    stepup = StepUp(
        secret_key=[secrets.token_urlsafe(48)],
        store=SQLiteStore(tmp_path / "stepup.db"),
        relying_party=RelyingParty(id="localhost", name="Test", origins=[ORIGIN]),
        identify=identify,
        clock=clock,
        client_address=address,
    )
    app = StepUpMiddleware(
        Starlette(routes=[Route("/payroll/{run}/transmit", transmit, methods=["POST"])]), stepup=stepup
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="none"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn sets a flag and no event
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    async with httpx2.AsyncClient(base_url=url, limits=httpx2.Limits(max_connections=100)) as http:
        yield Site(url=url, clock=clock, stepup=stepup, http=http, runs=runs)
    server.should_exit = True
    await serving


async def test_a_hundred_concurrent_presentations_of_one_token_run_the_action_once(site: Site) -> None:  # T04
    token = await site.token(await site.enrol_passkey())
    answers = await asyncio.gather(*(site.present(token) for _ in range(100)))
    codes = [answer.json().get("code", "ran") for answer in answers]
    assert (codes.count("ran"), codes.count("STEPUP_TOKEN_REUSED")) == (1, 99)
    assert len(site.runs) == 1
    page = await site.stepup.audit.page("w1")
    alerts = [record for record in page.events if record.event is EventName.REUSED]
    assert {record.severity for record in alerts} == {Severity.CRITICAL}
    assert [record.data["count"] for record in alerts] == [10, 1]


async def test_a_token_from_another_address_is_refused_and_dead(site: Site) -> None:  # I11, P13
    token = await site.token(await site.enrol_passkey())
    assert (await site.present(token, ip="198.51.100.7")).json()["code"] == "STEPUP_IP_MISMATCH"
    assert (await site.present(token)).json()["code"] == "STEPUP_REQUIRED"
    assert site.runs == []


async def test_a_token_is_over_at_the_moment_its_life_ends(site: Site) -> None:  # K01
    token = await site.token(await site.enrol_passkey())
    site.clock.advance(60)
    answer = await site.present(token)
    assert (answer.status_code, answer.json()["code"]) == (401, "STEPUP_TOKEN_EXPIRED")
    assert answer.json()["prompt"]["url"].startswith("/stepup/prompts/")
    assert site.runs == []


async def test_a_token_for_one_request_does_not_serve_another_and_still_serves_its_own(site: Site) -> None:  # T18, T19
    token = await site.token(await site.enrol_passkey())
    assert (await site.present(token, path="/payroll/2026-07/transmit")).json()["code"] == "STEPUP_REQUIRED"
    assert (await site.present(token, path=ACTION + "?force=1")).json()["code"] == "STEPUP_REQUIRED"
    assert site.runs == []
    assert (await site.present(token)).status_code == 200
    assert len(site.runs) == 1


async def test_totp_does_not_serve_a_phishing_resistant_purpose(site: Site) -> None:  # F01, F11
    begun = (await site.http.post("/stepup/factors/totp", json={})).json()
    code = totp_code(begun["secret"], site.clock())
    done = await site.http.post(f"/stepup/factors/totp/{begun['id']}/confirm", json={"code": code})
    assert done.status_code == 200
    answer = await site.http.post(ACTION)
    assert (answer.status_code, answer.json()["code"]) == (403, "STEPUP_FACTOR_INSUFFICIENT")
    assert answer.json()["enroll_url"] == "/stepup/factors"
    assert answer.json()["factors"] == ["passkey", "hardware_key"]
    assert site.runs == []


async def test_the_refusal_carries_the_whole_wire_format(site: Site) -> None:  # T01
    await site.enrol_passkey()
    answer = await site.http.post(ACTION)
    body = answer.json()
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == (
        'Bearer error="insufficient_user_authentication", acr_values="phr", max_age="0"'
    )
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["stepup-prompt"] == body["prompt"]["url"]
    assert body["code"] == "STEPUP_REQUIRED"
    assert body["purpose"]["authorize_title"] == "Authorize payroll ACH transmit"
    assert body["details"] == [["Run", "2026-06"]]
    assert body["requirement"] == "phishing_resistant"


async def test_an_enrolment_begun_as_the_first_is_over_once_there_is_a_factor(site: Site) -> None:  # E01
    begun = (await site.http.post("/stepup/factors/totp", json={})).json()
    site.clock.advance(30)
    await site.enrol_passkey()
    code = totp_code(begun["secret"], site.clock())
    answer = await site.http.post(f"/stepup/factors/totp/{begun['id']}/confirm", json={"code": code})
    assert (answer.status_code, answer.json()["code"]) == (400, "STEPUP_VERIFICATION_FAILED")
    listed = (await site.http.get("/stepup/factors")).json()["factors"]
    assert [factor["kind"] for factor in listed] == ["passkey"]


@pytest.mark.parametrize(
    "target",
    [
        f"http://evil.example{ACTION}",
        f"http://evil.example:99{ACTION}",
        f"{ACTION}#fragment",
        "/payroll/2026-06/%74ransmit",
        f"{ACTION}%0A",
        f"//localhost{ACTION}",
        f"/open/..{ACTION}",
    ],
)
async def test_a_request_target_in_any_form_is_asked_about_or_not_found(site: Site, target: str) -> None:  # H13, H02
    await site.enrol_passkey()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(site.url.rpartition(":")[2]))
    writer.write(f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    status = int(answer.split(" ", 2)[1])
    assert status in (400, 401, 404, 405), answer
    assert (status == 401) is ("STEPUP_REQUIRED" in answer)
    assert site.runs == []
