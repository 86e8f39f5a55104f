"""The wire format: what the page shows is what a running app answers, and the client of the page works."""

from __future__ import annotations

import json
import re
import secrets
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from demo_app.guide_pages import FOLDER
from stepup_middleware import RelyingParty, RequireStepUp, StepUp, StepUpMiddleware, Subject
from stepup_middleware.core.refusals import RefusalCode
from stepup_middleware.core.tokens import TOKEN_LENGTH
from stepup_middleware.request.bound import LONGEST_FIELDS, LONGEST_PATH
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing import totp_code
from stepup_middleware.web.call import BODY_LIMIT
from stepup_middleware.web.routes import library_router

from .harness import Ran
from .person import ORIGIN, Person

ROTATE = "/webhooks/orders/rotate"


def message(block: str) -> tuple[str, dict[str, str], Any]:
    """Return the first line, the headers and the JSON body of an HTTP message."""
    head, _, body = block.partition("\n\n")
    first, *lines = head.strip().splitlines()
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return first, headers, json.loads(body) if body.strip() else None


def shape(value: Any, *, inside: str = "") -> Any:
    """Return a JSON value with everything masked that differs from one prompt to the next."""
    if isinstance(value, dict):
        return {key: shape(each, inside=f"{inside}.{key}") for key, each in value.items()}
    if inside in (".prompt.id", ".prompt.url", ".token", ".id"):
        return re.sub(r"[A-Za-z0-9_-]{16,}", "…", value)
    if inside in (".prompt.expires_at", ".expires_at", ".created_at"):
        assert value.endswith("Z") and datetime.fromisoformat(value).tzinfo is not None
        return "a time"
    return value


def assert_answered_as_shown(answer: httpx2.Response, block: str) -> None:
    first, headers, body = message(block)
    status = HTTPStatus(answer.status_code)
    assert first == f"HTTP/1.1 {status.value} {status.phrase}"
    for name, value in headers.items():
        shown = value.rpartition("/")[0] if name == "stepup-prompt" else value
        assert answer.headers[name].startswith(shown) if name == "stepup-prompt" else answer.headers[name] == shown
    assert shape(answer.json()) == shape(body)


@pytest.mark.block("refused", "proof", "proved", "repeated", "reused")
async def test_the_exchange_is_as_the_page_shows_it(ran: Ran, blocks: dict[str, str]) -> None:
    person = Person(ran.main.app)
    await person.enrol_totp()
    refused = await person.http.post(ROTATE)
    assert_answered_as_shown(refused, blocks["refused"])
    line, headers, body = message(blocks["proof"])
    path = line.split()[1].replace(message(blocks["refused"])[2]["prompt"]["id"], refused.json()["prompt"]["id"])
    proved = await person.http.post(path, headers=headers, json={key: person.code() for key in body})
    assert_answered_as_shown(proved, blocks["proved"])
    token = message(blocks["proved"])[2]["token"]
    assert len(token) == len(proved.json()["token"]) == TOKEN_LENGTH
    line, headers, _ = message(blocks["repeated"])
    assert headers["stepup-token"] == token
    method, path, _ = line.split()
    given = {"stepup-token": proved.json()["token"]}
    assert (await person.http.request(method, path, headers=given)).status_code == 200
    assert_answered_as_shown(await person.http.request(method, path, headers=given), blocks["reused"])


def test_the_client_of_the_page_steps_up_with_a_code(ran: Ran) -> None:
    at = datetime.now(UTC)

    async def identify(scope: Any) -> Subject | None:
        found = await ran.names["identify"](scope)
        return None if found is None else Subject(
            id=found.id, session_id=found.session_id, workspace_id=found.workspace_id, name=found.name, signed_in_at=at
        )  # fmt: skip

    stepup = StepUp(
        secret_key=[secrets.token_urlsafe(48)],
        store=SQLiteStore(ran.folder / "api.db"),
        relying_party=RelyingParty(id="localhost", name="Payday", origins=[ORIGIN]),
        identify=identify,
        client_address=lambda scope: "192.0.2.1",
    )
    app = StepUpMiddleware(ran.main.app.app.app, stepup=stepup)
    shown: list[str] = []
    with TestClient(app, base_url=ORIGIN, headers={"authorization": "Bearer t-4711"}) as http:
        begun = http.post("/stepup/factors/totp", json={}).json()
        now = datetime.now(UTC)
        confirm = f"/stepup/factors/totp/{begun['id']}/confirm"
        assert http.post(confirm, json={"code": totp_code(begun["secret"], now)}).status_code == 200

        def ask(text: str) -> str:
            shown.append(text)
            return totp_code(begun["secret"], datetime.fromtimestamp(now.timestamp() + 30, UTC))

        answer = ran.names["with_step_up"](http, "POST", ROTATE, ask)
        assert answer.text.startswith("Rotated.")
        assert shown[0].splitlines()[0] == "Authorize webhook secret rotation"
        assert shown[0].splitlines()[-1] == "Webhook: orders"
        stranger = http.post(ROTATE, headers={"authorization": "Bearer other"})
        assert stranger.json()["code"] == "STEPUP_NOT_SIGNED_IN"


@pytest.mark.block("factor")
async def test_a_factor_is_told_as_the_page_shows_it(ran: Ran, blocks: dict[str, str]) -> None:
    person = Person(ran.main.app)
    await person.enrol_totp()
    told = (await person.http.get("/stepup/factors")).json()
    assert list(told) == ["factors", "held_until"]
    assert shape(told["factors"][0]) == shape(json.loads(blocks["factor"]))


def rows(heading: str) -> list[list[str]]:
    """Return the rows of the table under a heading."""
    text = (FOLDER / "api.md").read_text(encoding="utf-8")
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_table_of_codes_has_every_code_with_its_status() -> None:
    table = {code: int(status) for code, status, _ in rows("Answers of a tagged route")}
    assert table == {code.value: code.status for code in RefusalCode}


def test_the_table_of_calls_has_every_route_of_the_library() -> None:
    shown = {re.sub(r"\{\w+\}", "{}", call) for call, _ in rows("Calls of the library")}
    served = {
        f"{method} {re.sub(r'{[^}]+}', '{}', getattr(route, 'path', ''))}"
        for route in library_router("/stepup").routes
        for method in getattr(route, "methods", None) or ()
        if method != "HEAD" and "static" not in getattr(route, "path", "")
    }
    assert shown == served
    assert BODY_LIMIT == 64 * 1024


@pytest.mark.block("bound")
async def test_the_log_has_the_request_as_the_page_shows_it(ran: Ran, blocks: dict[str, str]) -> None:
    shown = json.loads(blocks["bound"])
    person = Person(ran.main.app)
    await person.enrol_passkey()
    asked = await person.ask(shown["@method"], shown["@path"] + shown["@query"], data={"amount": "1"})
    records = await ran.main.stepup.audit.of_prompt("main", asked.json()["prompt"]["id"])
    assert [record.as_event().as_dict()["request"] for record in records] == [shown]
    evidence = (FOLDER / "evidence.md").read_text(encoding="utf-8")
    assert [name for name in shown if f"`{name}`" not in evidence] == []


FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("status", "code", "request_"),
    [
        (414, "STEPUP_TARGET_TOO_LONG", {"params": {"x": "x" * LONGEST_PATH}}),
        (431, "STEPUP_HEADERS_TOO_LONG", {"headers": {"x-original-url": "x" * (LONGEST_FIELDS + 1)}}),
        (400, "STEPUP_BAD_REQUEST", {"content": b"abc", "headers": {**FORM, "content-length": "2"}}),
    ],
)
async def test_what_cannot_be_bound_is_refused_with_a_token_and_without_and_spends_none(
    ran: Ran, status: int, code: str, request_: dict[str, Any]
) -> None:
    person = Person(ran.main.app)
    await person.enrol_passkey()
    token = await person.prove(await person.ask("POST", ROTATE))
    for given in ({}, {"stepup-token": token}):
        headers = {**request_.get("headers", {}), **given}
        answer = await person.http.post(ROTATE, **{**request_, "headers": headers})
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert "stepup-prompt" not in answer.headers
    assert (await person.http.post(ROTATE, headers={"stepup-token": token})).status_code == 200
    text = (FOLDER / "api.md").read_text(encoding="utf-8")
    assert f"{LONGEST_PATH:,} characters" in text
    assert f"{LONGEST_FIELDS:,} characters" in text


LINK = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
FROM = [
    ("POST", {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}, "STEPUP_CROSS_ORIGIN", False),
    ("POST", {"origin": "http://other.localhost:8000", "sec-fetch-site": "same-site"}, "STEPUP_CROSS_ORIGIN", False),
    ("POST", LINK, "STEPUP_CROSS_ORIGIN", False),
    ("GET", LINK, "STEPUP_REQUIRED", True),
    ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
     "STEPUP_CROSS_ORIGIN", False),
    ("GET", {**LINK, "sec-fetch-dest": "iframe"}, "STEPUP_CROSS_ORIGIN", False),
    ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}, "STEPUP_CROSS_ORIGIN", False),
    ("GET", {"sec-fetch-site": "same-origin", "sec-fetch-dest": "image"}, "STEPUP_REQUIRED", False),
    ("GET", {"sec-fetch-site": "same-origin", "sec-purpose": "prefetch"}, "STEPUP_REQUIRED", False),
    ("POST", {}, "STEPUP_REQUIRED", True),
    ("GET", {}, "STEPUP_REQUIRED", True),
]  # fmt: skip


@pytest.mark.parametrize(("method", "headers", "code", "asks"), FROM)
async def test_where_a_request_comes_from_decides_as_the_table_says(
    ran: Ran, method: str, headers: dict[str, str], code: str, asks: bool
) -> None:
    async def nothing(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it ran")

    guarded = StepUpMiddleware(RequireStepUp(nothing, "webhook_secret_rotation"), stepup=ran.main.stepup)
    person = Person(ran.main.app)
    await person.enrol_passkey()
    person = person.in_front_of(guarded)
    del person.http.headers["origin"], person.http.headers["sec-fetch-site"]
    answer = await person.http.request(method, "/x", headers=headers)
    assert (answer.headers["stepup-error"], "stepup-prompt" in answer.headers) == (code, asks)


async def test_a_call_from_another_site_is_refused_and_one_of_no_browser_is_not(ran: Ran) -> None:
    person = Person(ran.main.app)
    elsewhere = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    refused = await person.http.post("/stepup/factors/totp", json={}, headers=elsewhere)
    assert (refused.status_code, refused.json()["code"]) == (403, "STEPUP_CROSS_ORIGIN")
    del person.http.headers["origin"], person.http.headers["sec-fetch-site"]
    assert (await person.http.post("/stepup/factors/totp", json={})).status_code == 201


async def test_the_answer_has_the_form_that_the_client_reads(ran: Ran) -> None:
    person = Person(ran.main.app)
    await person.enrol_passkey()
    for headers, kind in (
        ({}, "application/problem+json"),
        ({"hx-request": "true"}, "text/html; charset=utf-8"),
        ({"sec-fetch-mode": "navigate"}, "text/html; charset=utf-8"),
    ):
        answer = await person.ask("POST", ROTATE, headers=headers)
        assert answer.headers["content-type"] == kind
        assert answer.headers["www-authenticate"].startswith("Bearer error=")
    two = [("stepup-token", "a"), ("stepup-token", "b")]
    assert (await person.ask("POST", ROTATE, headers=two)).json()["code"] == "STEPUP_REQUIRED"
