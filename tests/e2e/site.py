"""A small site for the browser tests: pages of a test's own words, tagged routes that tell what reached them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from stepup_middleware import RelyingParty, StepUp, StepUpMiddleware, Subject, requires_step_up
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.guide.harness import serving
from tests.guide.person import plug_in_passkey
from tests.machine import free_port

from .conftest import totp_now

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "
    "img-src 'self' data:; base-uri 'none'"
)


@dataclass
class Site:
    """What a test puts on the site, and what reached its actions: method, path and query, content type, body."""

    url: str
    stepup: StepUp
    pages: dict[str, str] = field(default_factory=dict)  # bodies by name; "" is the start page
    charset: str = "utf-8"
    policy: str = POLICY
    head: str = ""  # beside the library's three tags
    details: list[tuple[str, str]] = field(default_factory=list)
    person: str = "Ada Owner"  # "": nobody is signed in
    actor: str = ""  # on the person's behalf, and what it calls itself
    client: str = ""
    ran: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)  # /slow answers once it is set


def _person(site: Site, signed_in_at: datetime) -> Subject:
    name = site.person
    return Subject(
        id=name.lower(),
        session_id=f"s-{name}",
        workspace_id="main",
        name=name,
        signed_in_at=signed_in_at,
        actor=site.actor,
        client=site.client,
    )


def routes_of(site: Site) -> list[Route | Mount]:
    """Return the routes: pages, and tagged actions that answer in different ways."""
    tag = requires_step_up("webhook_secret_rotation", details=lambda scope: site.details)
    strict = requires_step_up("payroll_ach_transmit")

    async def note(request: Request) -> None:
        query = f"?{request.url.query}" if request.url.query else ""
        kind = request.headers.get("content-type", "")
        path = request.scope["raw_path"].decode("latin-1")
        site.ran.append((request.method, path + query, kind, await request.body()))

    async def page(request: Request) -> Response:
        body = site.pages[request.path_params.get("name", "")]
        scripts = "".join(
            f'<script src="{part}" defer></script>' for part in ("/htmx2.js",) if "htmx2" in request.url.query
        )
        meta = '<meta name="htmx-config" content=\'{"includeIndicatorStyles": false}\'>'
        html = (
            f"<!doctype html><html lang=en><head><title>Site</title>{meta}{site.stepup.head}{site.head}{scripts}</head>"
            f"<body><main>{body}</main></body></html>"
        )
        headers = {"content-type": f"text/html; charset={site.charset}", "content-security-policy": site.policy}
        return Response(html.encode(site.charset), headers=headers)

    async def file(request: Request) -> Response:
        return Response(site.pages[request.path_params["name"]], media_type="text/javascript")

    @tag
    async def act(request: Request) -> Response:
        await note(request)
        return PlainTextResponse("Done.")

    @tag
    async def slow(request: Request) -> Response:
        await note(request)
        await site.hold.wait()
        return PlainTextResponse("Done at last.")

    @tag
    async def data(request: Request) -> Response:
        await note(request)
        return JSONResponse({"done": True}, headers={"X-Answer": "yes"})

    @tag
    async def failing(request: Request) -> Response:
        await note(request)
        return HTMLResponse("<h1>Bad gateway</h1>", status_code=int(request.path_params["status"]))

    @tag
    async def moving(request: Request) -> Response:
        await note(request)
        return RedirectResponse("/page/done", 303)

    @tag
    async def download(request: Request) -> Response:
        await note(request)
        return PlainTextResponse("text", headers={"content-disposition": 'attachment; filename="it.txt"'})

    @strict
    async def transmit(request: Request) -> Response:
        await note(request)
        return PlainTextResponse("Sent.")

    async def plain(request: Request) -> Response:
        await note(request)
        body = await request.body()
        headers = {"X-Answer": "yes", "content-type": request.query_params.get("type", "text/plain")}
        status = int(request.query_params.get("status", "200"))
        return Response(b"" if status == 204 else body or b"plain", status_code=status, headers=headers)

    @tag
    async def stepped(request: Request) -> Response:
        await note(request)
        headers = {"X-Answer": "yes", "content-type": "application/json"}
        return Response(await request.body() or b"plain", headers=headers)

    async def open_to_all(request: Request) -> Response:
        await note(request)
        return PlainTextResponse("It is open.")

    async def leading(request: Request) -> Response:
        await note(request)
        return RedirectResponse(request.query_params["to"], int(request.query_params["by"]))

    async def refused(request: Request) -> Response:
        return PlainTextResponse("no", status_code=401)

    methods = ["GET", "POST", "PUT", "DELETE"]
    return [
        Route("/", page),
        Route("/page/{name}", page, methods=["GET", "POST"]),
        Route("/file/{name}", file),
        Route("/act", act, methods=methods),
        Route("/act/{deep}/{path:path}", act, methods=methods),
        Route("/slow", slow, methods=methods),
        Route("/data", data, methods=methods),
        Route("/stepped", stepped, methods=methods),
        Route("/failing/{status:int}", failing, methods=methods),
        Route("/moving", moving, methods=methods),
        Route("/download", download),
        Route("/transmit", transmit, methods=methods),
        Route("/plain", plain, methods=methods),
        Route("/refused", refused, methods=methods),
        Route("/leading", leading, methods=methods),
        Route("/open", open_to_all, methods=methods),
        Route("/open/{path:path}", open_to_all, methods=methods),
        Mount(
            "/below/it",
            routes=[Route("/act/{deep}", act, methods=methods), Route("/open/{deep}", open_to_all, methods=methods)],
        ),
    ]


@asynccontextmanager
async def small_site(
    folder: Path, body: str = "", *, htmx: bool = False, settings: Mapping[str, Any] | None = None, **pages: str
) -> AsyncIterator[Site]:
    """Serve the site with a start page of ``body``, further ``settings``, and further pages and scripts by name."""
    port = free_port()
    url = f"http://localhost:{port}"
    signed_in_at = datetime.now(UTC)

    async def identify(scope: Any) -> Subject | None:
        return _person(site, signed_in_at) if site.person else None

    stepup = StepUp(
        secret_key=[secrets.token_urlsafe(48)],
        store=SQLiteStore(folder / "stepup.db"),
        relying_party=RelyingParty(id="localhost", name="Payday", origins=[url]),
        identify=identify,
        client_address=lambda scope: "192.0.2.1",  # localhost has two addresses
        bundle_htmx=htmx,
        **(settings or {}),
    )
    site = Site(url=url, stepup=stepup, pages={"": body, **pages})
    async with serving(StepUpMiddleware(Starlette(routes=routes_of(site)), stepup=stepup), port):
        yield site


@asynccontextmanager
async def requester(
    browser: Browser, site: Site, *, totp: bool = False, strict: bool = True, **options: Any
) -> AsyncIterator[Page]:
    """Open the start page as somebody with a passkey, or (``totp``) with no factor yet. No script may fail."""
    faults: list[str] = []
    context = await browser.new_context(**options)
    page = await context.new_page()
    await plug_in_passkey(page)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    await page.goto(f"{site.url}/stepup/factors")
    if not totp:
        await page.get_by_role("button", name="Add passkey").click()
        await expect(page.locator("[data-stepup-factor]")).to_have_count(1)
    await page.goto(site.url)
    yield page
    site.hold.set()
    await context.close()
    assert not strict or faults == []


async def until(page: Page, expression: str) -> None:
    """Wait until an expression is true. (A page under a policy refuses ``wait_for_function`` with a string.)"""
    async with asyncio.timeout(30):
        while not await page.evaluate(expression):  # noqa: ASYNC110 - the page has no event of ours
            await asyncio.sleep(0.02)


async def use_code(page: Page, secret: str) -> None:
    """Answer the modal with the next code of an authenticator app, and see it closed."""
    dialog = page.locator("dialog[open]")
    await dialog.get_by_label("Code from your authenticator app").fill(totp_now(secret, steps=1))
    await dialog.get_by_role("button", name="Authorize").click()
    await expect(dialog).to_have_count(0)


async def use_passkey(page: Page) -> None:
    """Answer the modal with the passkey, and see it closed. On a busy machine, as a person does: try again."""
    dialog = page.locator("dialog[open]")
    await expect(dialog.get_by_role("heading")).to_contain_text("Authorize")
    button = dialog.get_by_role("button", name="Use passkey")
    for seconds in (5, 10, 20):
        await button.click()
        with suppress(AssertionError):
            await expect(button).to_have_count(0, timeout=seconds * 1000)
            return
    raise AssertionError(f"the modal stays open: {await dialog.inner_text()}")
