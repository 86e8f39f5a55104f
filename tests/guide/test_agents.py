"""Agents: the page's server asks a real client of the SDK, whose call it runs once its person has approved it."""

from __future__ import annotations

import re

import pytest
from mcp import Client

import stepup_middleware.mcp as tools
from demo_app.guide_pages import FOLDER
from stepup_middleware.mcp.tools import URL_ELICITATION_REQUIRED, WAIT_SECONDS

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


def test_the_figures_and_names_of_the_page_are_those_of_the_code() -> None:
    assert f"error {URL_ELICITATION_REQUIRED}" in TEXT
    assert f"up to {WAIT_SECONDS} seconds" in TEXT
    assert {"answer_step_up", "require_step_up_tool", "requires_step_up"} <= set(re.findall(r"\w+", TEXT)) & set(
        tools.__all__
    )
