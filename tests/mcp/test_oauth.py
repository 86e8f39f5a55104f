"""Beside the SDK's own OAuth: the person and the client are those of the token that the SDK has verified."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from pydantic import AnyHttpUrl

from stepup_middleware import EventName, StepUpMiddleware, Subject
from stepup_middleware.mcp import requires_step_up
from tests.client.serving import served
from tests.support import Browser, house_in

from .agents import PURPOSES, Payday, running


class Verifier(TokenVerifier):
    """Knows two tokens of one person, issued to two clients."""

    async def verify_token(self, token: str) -> AccessToken | None:
        if token not in ("first", "second"):
            return None
        return AccessToken(token=token, client_id=f"client-{token}", scopes=[], subject="ada")


async def test_the_person_and_the_client_are_those_of_the_verified_token(tmp_path: Path) -> None:
    async def identify(scope: Any) -> Subject | None:
        user = scope.get("user")
        if user is not None:
            token = user.access_token
            return Subject(
                id=token.subject,
                name="Ada",
                workspace_id="axis",
                session_id="s-ada",
                actor="agent",
                client=token.client_id,
            )
        return await house.identify(scope)

    auth = AuthSettings(
        issuer_url=AnyHttpUrl("https://issuer.example"),
        resource_server_url=AnyHttpUrl("https://example.com/mcp"),
        validate_token_resource=False,
    )
    server = MCPServer("payday", auth=auth, token_verifier=Verifier())
    ran = []

    @server.tool()
    @requires_step_up("webhook_secret_rotation")
    async def rotate(subscription: int) -> str:
        ran.append(subscription)
        return "rotated"

    async with house_in(tmp_path, purposes=PURPOSES, identify=identify) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        app = StepUpMiddleware(server.streamable_http_app(), stepup=house.stepup)
        async with running(server), served(app) as url:
            site = Payday(house, url, [])

            @asynccontextmanager
            async def agent(token: str) -> Any:
                async with httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=60) as http:
                    transport = streamable_http_client(f"{url}/mcp", http_client=http)
                    async with Client(transport, mode="legacy") as client:
                        yield client

            async with agent("first") as first, agent("second") as second:
                assert (await first.call_tool("rotate", {"subscription": 7})).is_error
                approval = await site.waiting()
                assert (approval.prompt.subject_id, approval.prompt.client) == ("ada", "client-first")
                await site.approve(approval)
                assert (await second.call_tool("rotate", {"subscription": 7})).is_error  # of another client
                assert not (await first.call_tool("rotate", {"subscription": 7})).is_error
        (event,) = await house.events(EventName.ACTION_AUTHORIZED)
        assert event.client == "client-first"
    assert ran == [7]
