"""An agent is connected from the demo's page and asks over MCP; its person approves in Chromium with a passkey."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.context import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, ElicitRequestParams, ElicitRequestURLParams, ElicitResult, TextContent
from playwright.async_api import expect

from .conftest import Person

REVISIONS = {"2025-11-25": "legacy", "2026-07-28": "2026-07-28"}
ROTATE = ("rotate_webhook_secret", {"webhook": "W-1"})


async def connected(person: Person) -> dict[str, Any]:
    """Issue an access token on the page, raise it to write, and return the configuration that the page showed."""
    page = person.page
    await person.go("/")
    await page.get_by_role("link", name="Agents").click()
    await page.get_by_label("Name of the agent").fill("Release agent")
    await page.get_by_role("button", name="Issue an access token").click()
    configuration: dict[str, Any] = json.loads(await page.locator("pre").inner_text())
    await page.set_viewport_size({"width": 320, "height": 640})
    assert not await page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    await page.set_viewport_size({"width": 1280, "height": 800})
    await page.get_by_role("link", name="Developers", exact=True).last.click()
    card = page.get_by_role("article", name="Release agent")
    await card.get_by_role("button", name="Raise to write").click()
    await person.dialog.locator('[data-stepup-kind="passkey"]').click()
    await expect(card.get_by_role("button", name="Back to read-only")).to_be_visible()
    server: dict[str, Any] = configuration["mcpServers"]["axis"]
    return server


@pytest.mark.parametrize("opens", ["opens links", "is told in words"])
@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.sweep()
async def test_an_agent_asks_its_person_approves_with_a_passkey_and_the_tool_runs_once(
    person: Person, revision: str, opens: str
) -> None:
    await person.plug_in("internal")
    await person.sign_in()
    await person.enrol("passkey")
    server = await connected(person)
    told: asyncio.Queue[str] = asyncio.Queue()

    async def elicited(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        assert isinstance(params, ElicitRequestURLParams)
        told.put_nowait(params.message)
        return ElicitResult(action="accept")

    # a server without sessions does not know what a client of the older revision can open
    waits = opens == "opens links" and revision == "2026-07-28"
    async with (
        httpx2.AsyncClient(headers=server["headers"], timeout=60) as http,
        Client(
            streamable_http_client(server["url"], http_client=http),
            mode=REVISIONS[revision],
            elicitation_callback=elicited if opens == "opens links" else None,
        ) as agent,
    ):
        assert not (await agent.call_tool("list_payroll_runs", {})).is_error
        if waits:
            calling = asyncio.create_task(agent.call_tool(*ROTATE))
            words = await told.get()
        else:
            words = text_of(await agent.call_tool(*ROTATE))
        await approve(person, words)
        done = await calling if waits else await agent.call_tool(*ROTATE)
        assert not done.is_error, done
        assert "whsec_" in text_of(done)
        other: Any = await agent.session.call_tool(
            *ROTATE, allow_input_required=True
        )  # what was approved ran; nobody is waited for
        assert getattr(other, "is_error", True) or getattr(other, "input_requests", None)
    await person.go("/developers")
    await expect(person.page.locator("#webhook-W-1")).to_contain_text("Secret v2")


def text_of(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


async def approve(person: Person, words: str) -> None:
    (link,) = re.findall(r"http\S+/stepup/approve/[A-Z-]+", words)
    (digits,) = re.findall(r"digits (\d\d)", words)
    page = person.page
    await page.goto(link)
    await expect(page.locator("main")).to_contain_text("Release agent")
    await page.get_by_label("The two digits that the program shows").fill(digits)
    await page.get_by_role("button", name="Continue").click()
    await page.locator('[data-stepup-kind="passkey"]').click()
    await expect(page.get_by_role("status")).to_contain_text("Approved. The program goes on by itself")
