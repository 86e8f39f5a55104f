"""An MCP server behind the middleware, and real clients of the SDK that call its tools for a person."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.client.context import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ElicitRequestParams, ElicitResult

from stepup_middleware import PLATFORM_PURPOSES, StepUpMiddleware, approvable
from stepup_middleware.asgi import ASGIApp, Receive, Scope, Send
from stepup_middleware.core.approvals import Approval, ApprovalEnd, ApprovalState, Decider, EndReason
from stepup_middleware.mcp import answer_step_up, require_step_up_tool, requires_step_up
from stepup_middleware.testing.contract.approval_values import DENIED, WRONG, approving
from tests.client.serving import served
from tests.support import ELSEWHERE, Browser, House, house_in

PURPOSES = approvable(PLATFORM_PURPOSES, "webhook_secret_rotation", "audit_log_export")
REVISIONS = {"2025-11-25": "legacy", "2026-07-28": "2026-07-28"}
PHONE = Decider(session="s-phone", ip=ELSEWHERE, user_agent="Phone")


class Lasting:
    """A tool that is at work until it may end."""

    def __init__(self) -> None:
        self.began, self.may_end = threading.Event(), threading.Event()


LASTING = Lasting()


def mcp_server(ran: list[tuple[str, Any]], **settings: Any) -> MCPServer:
    """Return a server with a free tool and some that are tagged, which note that they ran."""
    server = MCPServer("payday", middleware=[answer_step_up], **settings)

    @server.tool()
    async def list_runs() -> str:
        ran.append(("list_runs", None))
        return "2026-06"

    @server.tool()
    @requires_step_up("webhook_secret_rotation")
    async def rotate(subscription: int, note: str = "") -> str:
        """Rotate the secret of a subscription."""
        ran.append(("rotate", (subscription, note)))
        return f"rotated {subscription}"

    @server.tool()
    @requires_step_up("audit_log_export", details=lambda arguments: [("Format", str(arguments["kind"]))])
    def export(kind: str, ctx: Context[Any, Any]) -> str:
        ran.append(("export", kind))
        return f"exported {kind} for {ctx.request_id is not None}"

    @server.tool()
    async def inside(subscription: int, ctx: Context[Any, Any]) -> str:
        await require_step_up_tool(ctx, "webhook_secret_rotation")
        ran.append(("inside", subscription))
        return "ran inside"

    @server.tool()
    @requires_step_up("webhook_secret_rotation")
    async def forget(subscription: int, ctx: Context[Any, Any] | None = None) -> str:
        ran.append(("forget", subscription))
        return f"forgot {subscription}"

    @server.tool()
    async def twice(ctx: Context[Any, Any]) -> str:
        await require_step_up_tool(ctx, "webhook_secret_rotation")
        ran.append(("twice", None))
        await require_step_up_tool(ctx, "audit_log_export")
        return "never"

    @server.tool()
    @requires_step_up("webhook_secret_rotation")
    async def breaks() -> str:
        raise ValueError("the tool's own")

    @server.tool()
    @requires_step_up("webhook_secret_rotation")
    def lasting() -> str:
        LASTING.began.set()
        LASTING.may_end.wait(30)
        ran.append(("lasting", None))
        return "lasted"

    @server.tool()
    @requires_step_up("payroll_ach_transmit")
    async def transmit(run: str) -> str:
        ran.append(("transmit", run))
        return "sent"

    return server


class Payday:
    """The server as it is reached, the person, and what ran."""

    def __init__(
        self, house: House, url: str, ran: list[tuple[str, Any]], transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self.house, self.url, self.ran, self._transport = house, url, ran, transport
        self.asked: list[ElicitRequestParams] = []
        self.told: list[Any] = []
        self._news = asyncio.Event()

    @asynccontextmanager
    async def agent(self, mode: str, *, opens: bool = True, session: str = "") -> AsyncIterator[Client]:
        """Connect an agent that acts in a session of the person."""
        session = session or self.house.sign_in("ada").session_id

        async def elicited(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
            self.asked.append(params)
            return ElicitResult(action="accept")

        async def heard(message: Any) -> None:
            self.told.append(message)
            self._news.set()

        cookie = {"cookie": f"session={session}"}
        async with httpx2.AsyncClient(headers=cookie, timeout=60, transport=self._transport) as http:
            transport = streamable_http_client(f"{self.url}/mcp", http_client=http)
            callback = elicited if opens else None
            async with Client(transport, mode=mode, elicitation_callback=callback, message_handler=heard) as client:
                yield client

    async def heard(self, words: str) -> None:
        """Return once an agent was told something with these words in it."""
        while words not in str(self.told):
            self._news.clear()
            await self._news.wait()

    async def waiting(self) -> Approval:
        """Return what waits for the person, once something does."""
        async with asyncio.timeout(30):
            while not (
                found := await self.house.store.records.waiting_approvals("axis", "ada", now=self.house.clock())
            ):
                await self.house.store.records.wait_for_audit(await self.house.store.records.last_seq(), seconds=1)
        return found[0]

    async def approve(self, approval: Approval) -> None:
        """Type the digits and pass a ceremony, on the phone."""
        records = self.house.store.records
        await records.match_approval(
            approval.prompt.id, approval.match, decider=PHONE, wrong=WRONG, denied=DENIED, now=self.house.clock()
        )
        (factor,) = await records.list_factors("axis", "ada")
        grant = approving(approval, factor, PHONE)
        await self.house.store.issue_token(grant)
        self.changed(approval)

    async def deny(self, approval: Approval) -> None:
        end = ApprovalEnd(state=ApprovalState.DENIED, reason=EndReason.DENIED, at=self.house.clock(), decider=PHONE)
        assert await self.house.store.records.end_approval(approval.prompt.id, end, event=None)
        self.changed(approval)

    def changed(self, approval: Approval) -> None:
        self.house.stepup._parts.approvals.watch.changed(approval)


@asynccontextmanager
async def payday(folder: Path, *, stateless: bool = False) -> AsyncIterator[Payday]:
    """Serve the tools; the person has a passkey."""
    ran: list[tuple[str, Any]] = []
    server = mcp_server(ran)
    inner = server.streamable_http_app(stateless_http=stateless)
    async with house_in(folder, purposes=PURPOSES) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        app = StepUpMiddleware(inner, stepup=house.stepup)
        async with running(server), served(app) as url:
            yield Payday(house, url, ran)


class Moving(Payday):
    """A server whose clients come from the address that is set."""

    ip = "127.0.0.1"

    def behind(self, app: ASGIApp) -> ASGIApp:
        """Return the app as a network reaches it."""

        async def reached(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "client": (self.ip, 50_000)} if scope["type"] == "http" else scope, receive, send)

        return reached


@asynccontextmanager
async def moving(folder: Path, **settings: Any) -> AsyncIterator[Moving]:
    """Serve the tools to agents of a provider, whose addresses change; the person has a passkey."""
    ran: list[tuple[str, Any]] = []
    server = mcp_server(ran)
    inner = server.streamable_http_app(stateless_http=True)
    async with house_in(folder, purposes=PURPOSES, **settings) as house:
        await Browser(house, house.sign_in("ada")).enrol("passkey")
        site = Moving(house, "", ran)
        async with running(server), served(site.behind(StepUpMiddleware(inner, stepup=house.stepup))) as site.url:
            yield site


@asynccontextmanager
async def running(server: MCPServer) -> AsyncIterator[None]:
    """Run what serves the sessions, in one task from its beginning to its end."""
    started, over = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        async with server.session_manager.run():
            started.set()
            await over.wait()

    task = asyncio.create_task(run())
    await started.wait()
    try:
        yield
    finally:
        over.set()
        await task
