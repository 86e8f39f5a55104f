"""Agents: the page's server asks a real client of the SDK, whose call it runs once its person has approved it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mcp import Client

import stepup_middleware.mcp as tools
from demo_app.guide_pages import FOLDER
from stepup_middleware.core.approvals import APPROVAL_LIFETIME, COLLECT_WITHIN
from stepup_middleware.mcp.tools import URL_ELICITATION_REQUIRED, WAIT_SECONDS
from tests.mcp.agents import REVISIONS, moving

from .harness import Ran

TEXT = (FOLDER / "agents.md").read_text(encoding="utf-8")


@pytest.mark.block("install")
async def test_the_tools_of_the_page_are_listed_and_a_tagged_one_is_refused_without_a_request(
    ran: Ran, blocks: dict[str, str]
) -> None:
    server = ran.names["server"]
    async with Client(server) as client:
        listed = {tool.name: set(tool.input_schema["properties"]) for tool in (await client.list_tools()).tools}
        assert listed == {
            "list_payroll_runs": set(),
            "rotate_webhook_secret": {"subscription"},
            "export_audit_log": {"kind"},
        }
        refused = await client.call_tool("rotate_webhook_secret", {"subscription": 7})
        assert refused.is_error
        assert "Over stdio there is none" in str(refused.content[0])
    assert "'stepup-middleware[mcp]'" in blocks["install"]


async def test_a_hosted_agent_is_bound_to_the_address_that_stands_for_its_provider(ran: Ran, tmp_path: Path) -> None:
    """The page's look-up keeps the calls of a provider together, and nobody else's with them."""
    address_of = ran.names["address_of"]
    found = [address_of({"client": (each, 1)}) for each in ("203.0.113.9", "203.0.114.9", "2001:db8:7:1::9")]
    assert found == ["203.0.113.0", "203.0.114.9", "2001:db8:7::"]
    async with moving(tmp_path, client_address=address_of) as site, site.agent("legacy", opens=False) as agent:
        site.ip = "203.0.113.9"
        await agent.call_tool("rotate", {"subscription": 7})
        approval = await site.waiting()
        assert approval.prompt.ip == "203.0.113.0"
        await site.approve(approval)
        site.ip = "203.0.114.9"
        assert (await agent.call_tool("rotate", {"subscription": 7})).is_error
        assert site.ran == []
        site.ip = "203.0.113.77"
        assert not (await agent.call_tool("rotate", {"subscription": 7})).is_error
        assert site.ran == [("rotate", (7, ""))]


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("decided", ["nothing", "approved", "denied"])
async def test_what_the_page_says_of_a_call_from_another_address_is_what_happens(
    tmp_path: Path, decided: str, revision: str
) -> None:
    async with moving(tmp_path) as site, site.agent(REVISIONS[revision], opens=False) as agent:

        async def call(ip: str) -> str:
            site.ip = ip
            return str((await agent.call_tool("rotate", {"subscription": 7})).content[0])

        assert "type the digits" in await call("198.51.100.1")
        first = await site.waiting()
        if decided == "nothing":
            assert "Another request of this session waits" in await call("198.51.100.2")
            assert (await site.waiting()) == first
            site.house.clock.advance(APPROVAL_LIFETIME)
            assert "type the digits" in await call("198.51.100.2")
        else:
            await (site.approve(first) if decided == "approved" else site.deny(first))
            assert "type the digits" in await call("198.51.100.2")
            assert (await site.waiting()).prompt.ip == "198.51.100.2"
        assert site.ran == []
        if decided == "approved":
            assert "rotated 7" in await call("198.51.100.1")
        assert len(site.ran) == (decided == "approved")
    assert str(APPROVAL_LIFETIME) == "0:10:00"
    assert str(COLLECT_WITHIN) == "0:05:00"
    assert "after ten minutes" in TEXT
    assert "within five minutes" in TEXT


def test_the_figures_and_names_of_the_page_are_those_of_the_code() -> None:
    assert f"error {URL_ELICITATION_REQUIRED}" in TEXT
    assert f"up to {WAIT_SECONDS} seconds" in TEXT
    assert {"answer_step_up", "require_step_up_tool", "requires_step_up"} <= set(re.findall(r"\w+", TEXT)) & set(
        tools.__all__
    )
