"""Nodes behind a balancer are one: a tool is called on one, approved on the second, and runs on the third, once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.server.request_state import RequestStateSecurity
from mcp.shared.exceptions import MCPError

from stepup_middleware import EventName, StepUpMiddleware
from stepup_middleware.core.approvals import APPROVAL_LIFETIME
from stepup_middleware.stores.postgres import PostgresStore
from tests.client.serving import served
from tests.http.test_approval_nodes import approve
from tests.patience import PATIENT
from tests.support import ORIGIN, Browser, House

from .agents import PURPOSES, REVISIONS, Payday, mcp_server, running
from .test_tools import text_of


class Balancer(httpx2.AsyncHTTPTransport):
    """Sends requests to nodes in turn, or to one; each has the ``Host`` under which all are known."""

    def __init__(self, ports: list[int]) -> None:
        super().__init__()
        self._turns = cycle(ports)
        self._ports = ports
        self.only: int | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        port = next(self._turns) if self.only is None else self._ports[self.only]
        request.url = request.url.copy_with(port=port)
        return await super().handle_async_request(request)

    async def aclose(self) -> None:
        """Stay open: several agents share it."""


@dataclass
class Site:
    """Three nodes, and the person at the second of them."""

    houses: list[House]
    balancer: Balancer
    payday: Payday
    ada: Browser
    ran: list[tuple[str, Any]] = field(default_factory=list)

    async def told(self) -> dict[str, object]:
        """Return what the program shows of what waits: the link and the digits."""
        approval = await self.payday.waiting()
        code = self.houses[0].stepup._parts.approvals.code_of(approval)
        return {"approval": {"url": f"{ORIGIN}/stepup/approve/{code}", "match": approval.match}}

    async def approve(self) -> None:
        await approve(self.ada, await self.told())


@pytest.fixture
def one_key() -> bool:
    """Whether the nodes share the key of the protocol's state, as the guide says."""
    return True


@pytest.fixture
async def site(tmp_path: Path, postgres_dsn: str, one_key: bool) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        ran: list[tuple[str, Any]] = []
        key = secrets.token_bytes(32)
        houses: list[House] = []
        urls: list[str] = []
        for _ in range(3):
            house = House(tmp_path, store=PostgresStore(postgres_dsn, timeout=PATIENT), purposes=PURPOSES)
            if houses:
                house.sessions = houses[0].sessions
            houses.append(house)
            await stack.enter_async_context(house.stepup)
            server = mcp_server(ran, request_state_security=RequestStateSecurity(keys=[key]) if one_key else None)
            app = StepUpMiddleware(server.streamable_http_app(stateless_http=True), stepup=house.stepup)
            await stack.enter_async_context(running(server))
            urls.append(await stack.enter_async_context(served(app)))
        ada = Browser(houses[0], houses[0].sign_in("ada"))
        await ada.enrol("passkey")
        balancer = Balancer([int(url.rpartition(":")[2]) for url in urls])
        payday = Payday(houses[0], urls[0], ran, balancer)
        yield Site(houses, balancer, payday, replace(ada, house=houses[1]), ran)


# N21
@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_tool_is_called_on_one_node_approved_on_the_second_and_runs_once_on_the_third(
    site: Site, revision: str
) -> None:
    async with site.payday.agent(REVISIONS[revision], opens=False) as agent:
        site.balancer.only = 0
        assert "type the digits" in text_of(await agent.call_tool("rotate", {"subscription": 7}))
        await site.approve()
        site.balancer.only = 2
        assert text_of(await agent.call_tool("rotate", {"subscription": 7})) == "rotated 7"
        for site.balancer.only in range(3):
            assert (await agent.call_tool("rotate", {"subscription": 7})).is_error
    assert site.ran == [("rotate", (7, ""))]
    assert len(await site.houses[0].events(EventName.ACTION_AUTHORIZED)) == 1
    assert await site.houses[0].events(EventName.REUSED) == []


async def test_a_client_that_opens_the_link_calls_again_by_itself_wherever_it_lands(site: Site) -> None:
    async with site.payday.agent("2026-07-28") as agent:
        calling = asyncio.create_task(agent.call_tool("rotate", {"subscription": 7}))
        await site.approve()
        assert text_of(await calling) == "rotated 7"
    assert site.ran == [("rotate", (7, ""))]


@pytest.mark.parametrize("one_key", [False])
async def test_without_a_key_that_they_share_the_call_on_another_node_is_refused_and_nothing_runs(site: Site) -> None:
    async with site.payday.agent("2026-07-28") as agent:
        with pytest.raises(MCPError, match="Invalid or expired requestState"):
            await agent.call_tool("rotate", {"subscription": 7})
    assert site.ran == []


# N21
@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_hundred_calls_at_once_on_three_nodes_run_what_was_approved_once(site: Site, revision: str) -> None:
    async with site.payday.agent(REVISIONS[revision], opens=False) as agent:
        await agent.call_tool("rotate", {"subscription": 7})
        await site.approve()
        results = await asyncio.gather(*(agent.call_tool("rotate", {"subscription": 7}) for _ in range(100)))
    assert sum(not each.is_error for each in results) == 1
    assert site.ran == [("rotate", (7, ""))]
    assert len(await site.houses[0].events(EventName.ACTION_AUTHORIZED)) == 1
    assert await site.houses[0].events(EventName.REUSED) == []  # nobody presented anything twice


# N21
@pytest.mark.parametrize("revision", REVISIONS)
async def test_denied_expired_other_arguments_and_another_session_run_nothing_on_any_node(
    site: Site, revision: str
) -> None:
    mode = REVISIONS[revision]
    async with site.payday.agent(mode, opens=False) as agent:
        await agent.call_tool("rotate", {"subscription": 7})
        link = str((await site.told())["approval"]["url"]).removeprefix(ORIGIN)  # type: ignore[index]
        assert (await site.ada.post(f"{link}/deny", json={})).status_code in {200, 204}
        for site.balancer.only in range(3):
            denied = await agent.call_tool("rotate", {"subscription": 7})
            assert denied.is_error
            assert "type the digits" not in text_of(denied)
        await agent.call_tool("export", {"kind": "csv"})
        await site.approve()
        async with site.payday.agent(mode, opens=False) as another:
            for site.balancer.only in range(3):
                assert (await agent.call_tool("export", {"kind": "json"})).is_error
                assert (await another.call_tool("export", {"kind": "csv"})).is_error
        for house in site.houses:
            house.clock.advance(APPROVAL_LIFETIME)
        for site.balancer.only in range(3):
            assert (await agent.call_tool("export", {"kind": "csv"})).is_error
    assert site.ran == []
