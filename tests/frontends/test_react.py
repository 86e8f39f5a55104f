"""A React app with axios: its own origin and a bearer token, or the API's origin and cookies."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from stepup_middleware import RelyingParty, StepUp, StepUpMiddleware, requires_step_up
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.e2e.conftest import add_factor, totp_now
from tests.e2e.origins import identify
from tests.e2e.site import use_passkey
from tests.guide.harness import serving
from tests.guide.person import plug_in_passkey
from tests.machine import free_port

from .conftest import Built


@dataclass
class Served:
    page: str
    api: str
    ran: list[str] = field(default_factory=list)


@asynccontextmanager
async def served(built: Built, folder: Path, *, bearer: bool) -> AsyncIterator[Served]:
    """Serve the API and the app, at one origin or at two."""
    page = f"http://localhost:{free_port()}" if bearer else built.api
    site = Served(page=page, api=built.api)

    @requires_step_up("webhook_secret_rotation")
    async def rotate(request: Request) -> Response:
        site.ran.append((await request.json())["reason"])
        return JSONResponse({"rotated": request.path_params["webhook"]})

    async def sign_in(request: Request) -> Response:
        response = RedirectResponse("/", 303)
        response.set_cookie("who", "ada", httponly=True, samesite="lax")
        return response

    cors = Middleware(
        CORSMiddleware,
        allow_origins=[page],
        allow_methods=["*"],
        allow_headers=["Authorization", "Content-Type", "StepUp-Token"],
        expose_headers=["StepUp-Prompt", "StepUp-Method", "StepUp-Error"],
    )
    stepup = StepUp(
        secret_key=[secrets.token_urlsafe(48)],
        store=SQLiteStore(folder / "stepup.db"),
        relying_party=RelyingParty(id="localhost", name="Payday", origins=sorted({page, built.api})),
        identify=identify,
        client_address=lambda scope: "192.0.2.1",
    )
    files = [] if bearer else [Mount("/", StaticFiles(directory=built.cookies, html=True))]
    routes = [Route("/webhooks/{webhook}/rotate", rotate, methods=["POST"]), Route("/sign-in", sign_in), *files]
    api = StepUpMiddleware(Starlette(routes=routes, middleware=[cors] if bearer else []), stepup=stepup)
    async with AsyncExitStack() as running:
        await running.enter_async_context(serving(api, int(built.api.rpartition(":")[2])))
        if bearer:
            app = Starlette(routes=[Mount("/", StaticFiles(directory=built.bearer, html=True))])
            await running.enter_async_context(serving(app, int(page.rpartition(":")[2])))
        yield site


@pytest.mark.parametrize("kind", ["passkey", "totp"])
@pytest.mark.parametrize("bearer", [True, False], ids=["bearer, another origin", "cookies, same origin"])
async def test_axios_in_react_steps_up_and_is_refused_a_replay(
    built: Built, browser: Browser, tmp_path: Path, bearer: bool, kind: str
) -> None:
    async with served(built, tmp_path, bearer=bearer) as site:
        context = await browser.new_context()
        page = await context.new_page()
        await plug_in_passkey(page)
        await page.goto(site.page if bearer else f"{site.api}/sign-in")
        secret = await add_factor(page, kind)
        sent: list[tuple[str, dict[str, str]]] = []
        page.on("request", lambda request: sent.append((request.url, request.headers)))
        await page.get_by_role("button", name="Rotate").click()
        await expect(page.locator("#asking")).to_have_text("webhook_secret_rotation")  # the hook tells the app
        if kind == "passkey":
            await use_passkey(page)
        else:
            dialog = page.locator("dialog[open]")
            await dialog.get_by_label("Code from your authenticator app").fill(totp_now(secret, steps=1))
            await dialog.get_by_role("button", name="Authorize").click()
        await expect(page.locator("#said")).to_have_text("Rotated orders.")
        await expect(page.locator("#asking")).to_have_text("nothing")
        assert site.ran == ["leaked"]
        assert await page.title() == "Payday"  # no interceptor signed anybody out
        (token,) = [headers["stepup-token"] for _, headers in sent if "stepup-token" in headers]
        status = await page.evaluate(
            """([url, token]) => window.fetch(url, { method: "POST", body: '{"reason": "leaked"}', headers: {
                "StepUp-Token": token, "Content-Type": "application/json", "Authorization": "Bearer ada" } })
                .then((answer) => answer.status)""",
            [f"{site.api}/webhooks/orders/rotate", token],
        )
        assert (status, site.ran) == (403, ["leaked"])
        await context.close()


async def test_a_cancelled_question_is_no_401_to_the_app(built: Built, browser: Browser, tmp_path: Path) -> None:
    async with served(built, tmp_path, bearer=True) as site:
        context = await browser.new_context()
        page = await context.new_page()
        await plug_in_passkey(page)
        await page.goto(site.page)
        await add_factor(page, "passkey")
        await page.get_by_role("button", name="Rotate").click()
        await page.locator("dialog[open]").get_by_role("button", name="Cancel").click()
        await expect(page.locator("#said")).to_have_text("Request aborted")
        assert (await page.title(), site.ran) == ("Payday", [])
        await context.close()


async def test_the_package_has_its_module_its_types_and_nothing_else(built: Built) -> None:
    assert {"index.js", "react.js", "stepup.d.ts", "react.d.ts", "stepup.css", "package.json"} <= set(built.packed)
    assert all(name.startswith("src/") or "/" not in name for name in built.packed)


async def test_a_server_renders_a_component_with_the_hook(built: Built) -> None:
    assert built.rendered == "<p>null</p>"
