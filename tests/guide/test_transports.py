"""Questions over a WebSocket, in GraphQL, in JSON-RPC and in an event stream: the page's app and script in Chromium."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from stepup_middleware import RelyingParty, StepUp, StepUpMiddleware, Subject
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.e2e.conftest import add_factor, browser
from tests.e2e.site import use_code, use_passkey
from tests.machine import free_port

from .harness import Ran, running, serving
from .person import plug_in_passkey

__all__ = ["browser"]  # a fixture

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'"
CALLS = [{"jsonrpc": "2.0", "id": n, "method": "rotate", "params": {"endpoint": f"e{n}"}} for n in (1, 2)]
WAYS = {
    "WebSocket": "new Promise((open) => { const s = new WebSocket('/live'.replace(/^/, location.origin.replace('http', "
    "'ws'))); s.onopen = () => { window.socket = s; open(overSocket(s, 'orders')); }; })",
    "GraphQL": "graphql('mutation Rotate($endpoint: String!) { rotate(endpoint: $endpoint) }', { endpoint: 'orders' })"
    ".then((answer) => answer.data.rotate)",
    "JSON-RPC": f"rpc({json.dumps(CALLS[:1])}).then(([answer]) => answer.result.replace('e1', 'orders'))",
    "event stream": "stream('orders')",
}


@asynccontextmanager
async def page_of(
    browser: Browser, ran: Ran, script: str, folder: Path, *, factor: str = "passkey"
) -> AsyncIterator[Page]:
    """Serve the page's routes with a page of its script, and visit it as somebody who has a factor.

    The secret of an authenticator app is afterwards ``ran.names["secret"]``.
    """
    port = free_port()
    url = f"http://localhost:{port}"
    at = datetime.now(UTC)

    async def identify(scope: Any) -> Subject:
        return Subject(id="ada", session_id="s-1", workspace_id="main", name="Ada Owner", signed_in_at=at)

    stepup = StepUp(
        secret_key=[secrets.token_urlsafe(48)],
        store=SQLiteStore(folder / "transports.db"),
        relying_party=RelyingParty(id="localhost", name="Payday", origins=[url]),
        identify=identify,
        client_address=lambda scope: "192.0.2.1",
    )

    async def home(request: Request) -> Response:
        html = f"<!doctype html><html lang=en><title>Live</title>{stepup.head}<script src=/own.js></script><p>Live</p>"
        return HTMLResponse(html, headers={"content-security-policy": POLICY})

    async def own(request: Request) -> Response:
        return Response(script, media_type="text/javascript")

    routes = [Route("/", home), Route("/own.js", own), *ran.names["routes"]]
    app = StepUpMiddleware(Starlette(routes=routes), stepup=stepup)
    async with serving(app, port, ws="auto"):
        context = await browser.new_context()
        page = await context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        await plug_in_passkey(page)
        await page.goto(f"{url}/stepup/factors")
        ran.names["secret"] = await add_factor(page, factor)
        await page.goto(url)
        yield page
        await context.close()
        assert faults == []


@pytest.mark.block("transports.js")
@pytest.mark.parametrize("way", WAYS)
async def test_a_question_by_another_way_is_proved_and_its_token_goes_back_by_the_same_way(
    browser: Browser, blocks: dict[str, str], tmp_path: Path, way: str
) -> None:
    async with (
        running("transports", tmp_path) as ran,
        page_of(browser, ran, blocks["transports.js"], tmp_path) as page,
    ):
        answer = asyncio.ensure_future(page.evaluate(f"() => {WAYS[way]}"))
        await expect(page.get_by_role("dialog")).to_contain_text("Job" if way == "event stream" else "Endpoint")
        assert ran.names["rotated"] == []
        await use_passkey(page)
        assert await answer == "rotated orders"
        assert len(ran.names["rotated"]) == 1


async def test_each_call_of_a_batch_is_asked_about_and_a_token_serves_its_own_call_once(
    browser: Browser, tmp_path: Path
) -> None:
    async with running("transports", tmp_path) as ran:
        script = (tmp_path / "transports.js").read_text(encoding="utf-8")
        async with page_of(browser, ran, script, tmp_path) as page:
            noting = "window.fetch = (url, init) => { sent.push(init?.body ?? ''); return plain(url, init); }"
            await page.evaluate(f"() => {{ window.sent = []; const plain = window.fetch; {noting} }}")
            answers = asyncio.ensure_future(page.evaluate(f"() => rpc({json.dumps(CALLS)})"))
            for endpoint in ("e1", "e2"):
                dialog = page.locator("dialog[open]").filter(has_text=endpoint)
                await dialog.get_by_role("button", name="Use passkey").click()
            assert [each["result"] for each in await answers] == ["rotated e1", "rotated e2"]
            assert ran.names["rotated"] == ["e1", "e2"]
            bodies = await page.evaluate("sent")
            (proved,) = [body for body in bodies if "stepup_token" in body and "e2" in body]
            token = json.loads(proved)[0]["stepup_token"]
            for call in ({**CALLS[1], "stepup_token": token}, {**CALLS[0], "stepup_token": token}):
                refused = await page.evaluate(f"() => rpc({json.dumps([call])})")
                assert refused[0]["error"]["data"]["code"] == "STEPUP_TOKEN_REUSED"
            assert ran.names["rotated"] == ["e1", "e2"]


@pytest.mark.parametrize("factor", ["passkey", "totp"])
async def test_a_message_that_is_sent_again_with_its_token_is_refused_on_the_same_socket(
    browser: Browser, tmp_path: Path, factor: str
) -> None:
    async with running("transports", tmp_path) as ran:
        script = (tmp_path / "transports.js").read_text(encoding="utf-8")
        async with page_of(browser, ran, script, tmp_path, factor=factor) as page:
            sent: list[str] = []
            page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(str(frame))))
            answer = asyncio.ensure_future(page.evaluate(f"() => {WAYS['WebSocket']}"))
            secret = ran.names["secret"]
            await (use_code(page, secret) if secret else use_passkey(page))
            assert await answer == "rotated orders"
            again = """(frame) => new Promise((told) => {
                socket.addEventListener("message", ({ data }) => told(JSON.parse(data).problem.code));
                socket.send(frame);
            })"""
            (proved,) = [frame for frame in sent if '"token"' in frame]
            assert await page.evaluate(again, proved) == "STEPUP_TOKEN_REUSED"
            assert ran.names["rotated"] == ["orders"]
            cancelled = asyncio.ensure_future(
                page.evaluate("() => overSocket(socket, 'other').catch((error) => error.name)")
            )
            await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
            assert await cancelled == "StepUpCancelled"
            assert ran.names["rotated"] == ["orders"]
