"""An agent with an access token calls the demo's tools; what matters runs once its person has approved it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.context import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitRequestParams, ElicitResult
from starlette.types import ASGIApp

from demo_app.areas import audit_exports
from demo_app.areas.agents import TOOLS
from demo_app.db import Database

from .conftest import SignedIn
from .support import ORIGIN, Person

REVISIONS = {"2025-11-25": "legacy", "2026-07-28": "2026-07-28"}
ROTATE = ("rotate_webhook_secret", {"webhook": "W-1"})
EXPORT = ("export_audit_log", {"form": "csv"})


async def issued(person: Person, name: str = "Release agent") -> str:
    """Issue an access token on the page, and return it from the configuration that the page shows this once."""
    html = (await person.http.post("/agents", data={"name": name})).text
    (shown,) = re.findall(r"<pre[^>]*><code>(.*?)</code>", html, re.DOTALL)
    server = json.loads(unescape(shown))["mcpServers"]["axis"]
    assert server["url"] == f"{ORIGIN}/mcp"
    return str(server["headers"]["Authorization"]).removeprefix("Bearer ")


async def raised(person: Person, token: str) -> None:
    """Raise a token to write, which the person proves."""
    html = (await person.page("/agents")).text
    (number,) = re.findall(rf'id="token-(T-\d+)"(?:(?!<article).)*{token[:9]}', html, re.DOTALL)
    assert (await person.act("PUT", f"/developers/tokens/{number}/scope/write")).status_code == 200


class Asked:
    """What an agent was asked to open, as it comes."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[ElicitRequestParams] = asyncio.Queue()

    async def elicited(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        self._told.put_nowait(params)
        return ElicitResult(action="accept")

    async def words(self) -> str:
        return (await self._told.get()).message


@asynccontextmanager
async def agent(
    app: ASGIApp, token: str, mode: str = "legacy", asked: Asked | None = None, language: str = "en"
) -> AsyncIterator[Client]:
    transport = httpx2.ASGITransport(app=app, client=("192.0.2.77", 40000))
    headers = {"authorization": f"Bearer {token}", "accept-language": language}
    async with httpx2.AsyncClient(transport=transport, headers=headers, timeout=60) as http:
        server = streamable_http_client(f"{ORIGIN}/mcp", http_client=http)
        async with Client(server, mode=mode, elicitation_callback=asked.elicited if asked else None) as client:
            yield client


def text_of(result: Any) -> str:
    return str(result.content[0].text)


async def approve(person: Person, words: str) -> None:
    """Open the link that an agent showed, type the digits, and prove."""
    (link,) = re.findall(rf"{ORIGIN}(/stepup/approve/[A-Z-]+)", words)
    (digits,) = re.findall(r"digits (\d\d)", words)
    assert (await person.http.post(link, json={"match": digits})).status_code == 200
    options = await person.http.post(f"{link}/webauthn/options", json={})
    done = await person.http.post(f"{link}/webauthn", json=person.passkey.get(options.json(), origin=ORIGIN))
    assert (done.status_code, done.json()) == (200, {"status": "approved"})


async def version_of(person: Person) -> int:
    return int((await person.page("/developers")).text.split("Secret v", 1)[1].split("<", 1)[0])


@pytest.mark.parametrize("revision", REVISIONS)
async def test_the_tools_of_the_page_are_those_of_the_server_and_a_read_only_token_lists(
    revision: str, app: ASGIApp, signed_in: SignedIn
) -> None:
    owner = await signed_in("owner")
    token = await issued(owner)
    html = (await owner.page("/agents")).text
    assert token not in html
    async with agent(app, token, REVISIONS[revision]) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {name for name, _, _ in TOOLS}
        assert all(f'<code translate="no">{name}</code>' in html for name in tools)
        runs = (await client.call_tool("list_payroll_runs", {})).structured_content
        assert runs is not None
        assert [run["id"] for run in runs["result"]] == ["2026-06", "2026-06-B", "2026-07"]
        refused = await client.call_tool(*ROTATE)
        assert refused.is_error
        assert "read-only" in text_of(refused)
    assert await version_of(owner) == 1


@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_rotation_is_told_in_words_approved_by_the_person_and_done_once(
    revision: str, app: ASGIApp, signed_in: SignedIn
) -> None:
    owner = await signed_in("owner", passkey=True)
    token = await issued(owner)
    await raised(owner, token)
    async with agent(app, token, REVISIONS[revision]) as client:
        asked = await client.call_tool(*ROTATE)
        assert asked.is_error
        assert "https://hooks.axis.example/payroll" in text_of(asked)
        waiting = unescape((await owner.page("/stepup/approvals")).text)
        assert f"Release agent · {token[:9]}…" in waiting
        assert "192.0.2.77" in waiting
        assert await version_of(owner) == 1
        await approve(owner, text_of(asked))
        assert await version_of(owner) == 1, "the agent has to call again"
        other = await client.call_tool("rotate_webhook_secret", {"webhook": "W-2"})
        assert other.is_error
        done = await client.call_tool(*ROTATE)
        assert not done.is_error
        assert "whsec_" in text_of(done)
        assert (await client.call_tool(*ROTATE)).is_error
    assert await version_of(owner) == 2
    assert "Proof" in (await owner.page_with("/", "rotated to version 2"))


async def test_what_an_agent_shows_its_person_is_said_in_the_language_that_it_asks_for(
    app: ASGIApp, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await signed_in("owner", passkey=True)
    token = await issued(owner)
    async with agent(app, token, language="de") as client:
        assert "darf nur lesen" in text_of(await client.call_tool(*ROTATE))
        await raised(owner, token)
        unknown = await client.call_tool("rotate_webhook_secret", {"webhook": "W-9"})
        assert "Diesen Webhook gibt es nicht" in text_of(unknown)
        assert "Ziffern" in text_of(await client.call_tool(*ROTATE))
        monkeypatch.setattr(audit_exports, "_FOR_AGENTS", 0)
        assert "zu lang für eine Antwort" in text_of(await client.call_tool(*EXPORT))
    transport = httpx2.ASGITransport(app=app, client=("192.0.2.77", 40000))
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers={"accept-language": "de"}) as http:
        refused = await http.post("/mcp", json={})
    assert (refused.status_code, refused.json()["detail"][:21]) == (401, "Senden Sie ein Zugrif")


async def test_its_person_ends_the_session_of_an_agent_and_its_access_token_is_gone_but_no_other(
    app: ASGIApp, signed_in: SignedIn, database: Database
) -> None:
    owner = await signed_in("owner", passkey=True)
    token, other = await issued(owner), await issued(owner, "Another")
    await raised(owner, token)
    async with agent(app, token) as client:
        words = text_of(await client.call_tool(*ROTATE))
    (link,) = re.findall(rf"{ORIGIN}(/stepup/approve/[A-Z-]+)", words)
    assert (await owner.http.post(f"{link}/end", json={})).status_code == 204
    headers = {"accept": "application/json, text/event-stream"}
    for each, status in ((token, 401), (other, 200)):
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        bearer = {**headers, "authorization": f"Bearer {each}"}
        transport = httpx2.ASGITransport(app=app, client=("192.0.2.77", 40000))
        async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers=bearer) as http:
            assert (await http.post("/mcp", json=call)).status_code == status
    assert (await owner.page("/agents")).status_code == 200  # the person's own session goes on


async def test_an_agent_that_opens_links_waits_for_its_person_and_is_given_the_export(
    app: ASGIApp, signed_in: SignedIn, database: Database
) -> None:
    owner = await signed_in("owner", passkey=True)
    asked = Asked()
    async with agent(app, await issued(owner), "2026-07-28", asked) as client:
        calling = asyncio.create_task(client.call_tool(*EXPORT))
        await approve(owner, await asked.words())
        done = await calling
    assert not done.is_error
    rows = list(csv.DictReader(io.StringIO(text_of(done))))
    assert {"ACTION_AUTHORIZED", "FACTOR_ENROLLED"} <= {value for row in rows for value in row.values()}
    (job,) = await database.all("SELECT format, events, finished_at FROM audit_export")
    assert (job["format"], job["events"]) == ("CSV", len(rows))
    assert job["finished_at"] is not None


async def test_the_token_of_somebody_else_approves_nothing_and_only_an_admin_is_asked_for_the_log(
    app: ASGIApp, signed_in: SignedIn
) -> None:
    owner, analyst = await signed_in("owner", passkey=True), await signed_in("analyst", passkey=True)
    tokens = await issued(owner), await issued(analyst)
    async with agent(app, tokens[0]) as theirs, agent(app, tokens[1]) as other:
        asked = text_of(await theirs.call_tool(*EXPORT))
        (link,) = re.findall(rf"{ORIGIN}(/stepup/approve/[A-Z-]+)", asked)
        assert (await analyst.http.post(link, json={"match": asked[-2:]})).status_code == 404
        refused = await other.call_tool(*EXPORT)
        assert refused.is_error
        assert "admins" in text_of(refused)
        await approve(owner, asked)
        assert (await other.call_tool(*EXPORT)).is_error
        assert not (await theirs.call_tool(*EXPORT)).is_error


async def test_a_log_that_is_too_long_is_refused_before_anybody_is_asked(
    app: ASGIApp, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await signed_in("owner", passkey=True)
    monkeypatch.setattr(audit_exports, "_FOR_AGENTS", 0)
    async with agent(app, await issued(owner)) as client:
        refused = await client.call_tool(*EXPORT)
    assert "too long" in text_of(refused)
    assert "Nothing waits" in (await owner.page("/stepup/approvals")).text


async def test_without_a_token_or_with_one_that_was_revoked_nobody_is_let_in(app: ASGIApp, signed_in: SignedIn) -> None:
    owner = await signed_in("owner")
    token = await issued(owner)
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    accept = {"accept": "application/json, text/event-stream"}

    async def status(**headers: str) -> int:
        return (await owner.http.post("/mcp", json=call, headers={**accept, **headers})).status_code

    assert await status() == 401, "the cookie of a session is no access token"
    assert await status(authorization="Bearer pat_wrong") == 401
    assert await status(authorization=f"Bearer {token}") == 200
    pages = {"authorization": f"Bearer {token}"}
    stranger = Person(app, owner.clock)
    assert (await stranger.http.get("/developers", headers=pages)).status_code == 303, "and an access token no session"
    assert (await owner.http.get("/mcp")).status_code == 405
    assert 'action="/agents/T-4/revoke"' in (await owner.page("/agents")).text
    assert (await owner.http.post("/agents/T-4/revoke")).status_code == 303
    assert await status(authorization=f"Bearer {token}") == 401


async def test_a_token_is_revoked_by_the_person_alone_whose_it_is(
    app: ASGIApp, signed_in: SignedIn, database: Database
) -> None:
    owner, analyst = await signed_in("owner"), await signed_in("analyst")
    await issued(owner)
    assert 'action="/agents/T-4/revoke"' not in (await analyst.page("/agents")).text
    await analyst.http.post("/agents/T-4/revoke")
    assert await database.one("SELECT id FROM access_token WHERE id = 'T-4'") is not None


@pytest.mark.parametrize("name", ["", " \t ", "\u2066"])
async def test_a_token_without_a_name_is_not_issued(name: str, signed_in: SignedIn, database: Database) -> None:
    owner = await signed_in("owner")
    answer = await owner.http.post("/agents", data={"name": name})
    if name.strip():  # what cannot be seen is written out where it is shown
        assert "U+2066" in answer.text
        return
    assert answer.status_code == 303
    assert "Give the agent a name" in (await owner.page("/agents")).text
    assert len(await database.all("SELECT id FROM access_token")) == 3
