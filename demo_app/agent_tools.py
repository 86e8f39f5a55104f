"""The MCP server: what an agent may do for the person whose access token it has, and what that person approves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.request_state import RequestStateSecurity
from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from demo_app.accounts import AGENT, Agent, may
from demo_app.areas.agents import PATH
from demo_app.areas.audit_exports import export_for_agent
from demo_app.areas.developers import rotate_secret, webhook_of, webhook_shown
from demo_app.areas.payroll import runs
from demo_app.axis import ADMINS_ONLY, Actor, Axis, axis_of
from demo_app.languages import Texts, marked, money, said_in, texts_of
from stepup_middleware.mcp import answer_step_up, require_step_up_tool

# what a model reads before it calls stays in English, as the names of the tools; what it shows a person does not
_TOOLS = (
    "Works for one person of an AxisSynapse workspace. Where a tool answers that its person has to approve, show them "
    "the link and the digits as they are, and call the tool again with the same arguments."
)

_NO_TOKEN = marked("Send an access token of AxisSynapse: Authorization: Bearer pat_...")
_READ_ONLY = marked("This access token is read-only. Its person can raise it to write under Developers.")
_NO_WEBHOOK = marked("There is no such webhook. The page Developers lists them, as W-1 and W-2.")

Calling = Context[Any, Any]


class AgentServer:
    """An ASGI app that serves the tools to those who have an access token; each call stands for itself."""

    def __init__(self, origin: str, keys: Sequence[bytes]) -> None:
        """Take the origin that is called, and the keys by which one process trusts the state of another, new first."""
        self._server = _tools(keys)
        self._server.streamable_http_app(
            streamable_http_path=PATH,
            stateless_http=True,  # any worker answers any call
            json_response=True,
            transport_security=TransportSecuritySettings(
                allowed_hosts=[urlsplit(origin).netloc], allowed_origins=[origin]
            ),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve calls while the block runs; once for an instance."""
        async with self._server.session_manager.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        agent = await axis_of(scope).accounts.agent(token.strip()) if scheme.lower() == "bearer" else None
        if agent is None:
            refused = JSONResponse(
                {"detail": texts_of(scope)(_NO_TOKEN)},
                status_code=401,
                headers={"www-authenticate": "Bearer"},
            )
            await refused(scope, receive, send)
            return
        scope[AGENT] = agent
        await self._server.session_manager.handle_request(scope, receive, send)


def _tools(keys: Sequence[bytes]) -> MCPServer:
    server = MCPServer(
        "AxisSynapse",
        instructions=_TOOLS,
        middleware=[answer_step_up],
        request_state_security=RequestStateSecurity(keys=keys),
    )
    server.tool()(list_payroll_runs)
    server.tool()(rotate_webhook_secret)
    server.tool()(export_audit_log)
    return server


async def list_payroll_runs(ctx: Calling) -> list[dict[str, str]]:
    """List the payroll runs of the workspace, with what each pays and whether it was transmitted."""
    axis, _, texts = _called(ctx)
    return [
        {
            "id": run["id"],
            "title": run["title"],
            "pay_date": run["pay_date"],
            "state": run["state"],
            "employees": str(run["employees"]),
            "total": money(texts, run["cents"]),
        }
        for run in await runs(axis.database)
    ]


async def rotate_webhook_secret(webhook: str, ctx: Calling) -> str:
    """Give a webhook, such as W-1, a new HMAC secret, and return it. The person approves each call of it."""
    axis, agent, texts = _called(ctx)
    if not may(agent.scope, "write"):
        raise ToolError(texts(_READ_ONLY))
    row = await webhook_of(axis.database, webhook)
    if row is None:
        raise ToolError(texts(_NO_WEBHOOK))
    proof = await require_step_up_tool(ctx, "webhook_secret_rotation", details=webhook_shown(row, texts))
    actor = Actor(account_id=agent.subject.id, at=axis.clock(), proof=proof)
    said, secret = await rotate_secret(axis.database, axis.vault, webhook, actor)
    return f"{said_in(texts, said)}\n{secret}"


async def export_audit_log(form: Literal["csv", "ndjson", "ocsf"], ctx: Calling) -> str:
    """Export the audit log of the workspace, and return the file. The person, an admin, approves each call of it."""
    axis, agent, texts = _called(ctx)
    if not agent.subject.is_admin:
        raise ToolError(texts(ADMINS_ONLY))

    async def proved(details: list[tuple[str, str]]) -> Actor:
        proof = await require_step_up_tool(ctx, "audit_log_export", details=details)
        return Actor(account_id=agent.subject.id, at=axis.clock(), proof=proof)

    try:
        return await export_for_agent(axis, texts, form, proved)
    except OverflowError as error:
        raise ToolError(str(error)) from None


def _called(ctx: Calling) -> tuple[Axis, Agent, Texts]:
    """Return the services of the app, who calls, and the texts of their language."""
    scope = cast(Any, ctx.request_context.request).scope
    return axis_of(scope), scope[AGENT], texts_of(scope)
