"""Agents: how one is connected over MCP, and the access tokens of the person who connects it."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo_app.axis import Actor, Conflict, actor_of, axis_of, current
from demo_app.db import Database
from demo_app.languages import Text, marked, saying
from demo_app.pages import page, say_and_show
from demo_app.secrets_at_rest import new_token, token_hash

PATH = "/mcp"
TOOLS = (  # what each is called, what it does, and whether a person approves it
    ("list_payroll_runs", marked("List the payroll runs"), False),
    ("rotate_webhook_secret", marked("Rotate the secret of a webhook"), True),
    ("export_audit_log", marked("Export the audit log"), True),
)
_NAME_LENGTH = 60  # characters


async def issue_token(database: Database, name: str, actor: Actor) -> str:
    """Issue a read-only access token of a person, and return it. Raises ``Conflict`` where it has no name."""
    name = " ".join(name.split())[:_NAME_LENGTH]
    if not name:
        raise Conflict(saying("Give the agent a name: you see it where you approve what it asks for."))
    token = new_token("pat")
    async with database.write() as change:
        await change.run(
            "INSERT INTO access_token (id, name, account_id, prefix, token_hash, scope, created_at)"
            " SELECT 'T-' || (1 + coalesce(max(CAST(substr(id, 3) AS INTEGER)), 0)), ?, ?, ?, ?, 'read', ?"
            " FROM access_token",
            name,
            actor.account_id,
            token[:9],
            token_hash(token),
            actor.at.isoformat(),
        )
        await actor.note(change, saying("Access token %(name)s issued.", name=name))
    return token


async def revoke_token(database: Database, token_id: str, actor: Actor) -> Text:
    """Revoke an access token of a person's own. Raises ``Conflict`` where they have no such token."""
    async with database.write() as change:
        row = await change.one(
            "DELETE FROM access_token WHERE id = ? AND account_id = ? RETURNING name", token_id, actor.account_id
        )
        if row is None:
            raise Conflict(saying("There is no such token. Nothing was changed."))
        said = saying("Access token %(name)s revoked.", name=row["name"])
        await actor.note(change, said)
    return said


async def overview(request: Request) -> Response:
    """Show how an agent is connected, and the tokens of the person who asks."""
    await current(request)
    return await _overview(request)


async def _overview(request: Request, issued: str | None = None) -> Response:
    axis, subject = axis_of(request.scope), await current(request)
    url = axis.settings.origin + PATH
    server = {"type": "http", "url": url, "headers": {"Authorization": f"Bearer {issued}"}}
    return await page(
        request,
        "agents.html",
        url=url,
        tools=TOOLS,
        name_length=_NAME_LENGTH,
        tokens=await axis.database.all(
            "SELECT id, name, prefix, scope, created_at FROM access_token WHERE account_id = ? ORDER BY created_at, id",
            subject.id,
        ),
        configuration=json.dumps({"mcpServers": {"axis": server}}, indent=2) if issued else None,
    )


async def issue(request: Request) -> Response:
    """Issue an access token and show it once, on the page that is the answer."""
    actor = await actor_of(request)
    async with request.form() as form:
        name = str(form.get("name", ""))
    try:
        token = await issue_token(axis_of(request.scope).database, name, actor)
    except Conflict as conflict:
        return say_and_show(request, conflict.reason, "/agents")
    return await _overview(request, token)


async def revoke(request: Request) -> Response:
    """Revoke an access token of the person who asks."""
    actor = await actor_of(request)
    try:
        said = await revoke_token(axis_of(request.scope).database, request.path_params["token"], actor)
    except Conflict as conflict:
        said = conflict.reason
    return say_and_show(request, said, "/agents")


routes = [
    Route("/agents", overview),
    Route("/agents", issue, methods=["POST"]),
    Route("/agents/{token}/revoke", revoke, methods=["POST"]),
]
