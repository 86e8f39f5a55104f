"""The client: each block of the page works in a real Chromium, under a strict content security policy."""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django_htmx
import httpx2
import pytest
from jinja2 import Environment
from playwright.async_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from stepup_middleware import RelyingParty, StepUp, StepUpMiddleware, Subject, requires_step_up
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.e2e.conftest import browser
from tests.machine import free_port

from .harness import serving
from .person import plug_in_passkey

__all__ = ["browser"]  # a fixture

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

HTMX_2 = Path(django_htmx.__file__).parent / "static" / "django_htmx" / "htmx-2.min.js"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'"
)
BUTTON = '<button id="rotate">Rotate the secret</button><p id="result"></p>'


@dataclass
class Site:
    """A site whose one page is made of a block of the guide, and how often its actions ran."""

    url: str
    stepup: StepUp
    body: str = ""
    files: dict[str, str] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)


@asynccontextmanager
async def served(
    folder: Path, *, body: str = "", files: dict[str, str] | None = None, htmx: bool = True
) -> AsyncIterator[Site]:
    """Serve a page with a body and with scripts and styles in its head."""
    port = free_port()
    url = f"http://localhost:{port}"
    signed_in_at = datetime.now(UTC)

    async def identify(scope: Any) -> Subject:
        return Subject(
            id="owner@axis.example", session_id="s-1", workspace_id="main", name="Owner", signed_in_at=signed_in_at
        )

    stepup = StepUp(
        secret_key=[secrets.token_urlsafe(48)],
        store=SQLiteStore(folder / "stepup.db"),
        relying_party=RelyingParty(id="localhost", name="Payday", origins=[url]),
        identify=identify,
        client_address=lambda scope: "192.0.2.1",  # localhost has two addresses
        bundle_htmx=htmx,
    )
    site = Site(url=url, stepup=stepup, body=body, files=files or {})

    async def page(request: Request) -> Response:
        tags = [
            f'<link rel="stylesheet" href="/files/{name}">' if name.endswith(".css")
            else f'<script type="module" src="/files/{name}"></script>' if not name.startswith("htmx")
            else f'<script src="/files/{name}"></script>'
            for name in site.files
        ]  # fmt: skip
        # htmx 2 would write a style of its own into the page
        meta = '<meta name="htmx-config" content=\'{"includeIndicatorStyles": false}\'>'
        head = "".join((meta, stepup.head, *tags))
        body = f"<main><h1>Payday</h1>{site.body}</main>"
        html = f"<!doctype html><html lang=en><head><title>Payday</title>{head}</head><body>{body}</body></html>"
        return HTMLResponse(html, headers={"content-security-policy": POLICY})

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        return Response(site.files[name], media_type=kind)

    @requires_step_up("webhook_secret_rotation")
    async def rotate(request: Request) -> Response:
        site.ran.append("rotated")
        return PlainTextResponse("Rotated.")

    @requires_step_up("equity_grant_cosign")
    async def cosign(request: Request) -> Response:
        async with request.form() as form:
            document: Any = form["document"]
            site.ran.append(f"{document.filename}: {len(await document.read())} bytes")
        return RedirectResponse("/?signed", 303)

    @requires_step_up("data_export_download")
    async def export(request: Request) -> Response:
        site.ran.append("exported")
        return PlainTextResponse("the export", headers={"content-disposition": 'attachment; filename="export.txt"'})

    routes = [
        Route("/", page),
        Route("/files/{name}", file),
        Route("/webhooks/{webhook}/rotate", rotate, methods=["POST"]),
        Route("/grants/{grant}/cosign", cosign, methods=["POST"]),
        Route("/exports/{year}", export),
    ]
    app = StepUpMiddleware(Starlette(routes=routes), stepup=stepup)
    async with serving(app, port):
        yield site


@asynccontextmanager
async def visiting(browser: Browser, site: Site) -> AsyncIterator[Page]:
    """Open the site as somebody who has enrolled a passkey. No script fails, no policy is violated."""
    faults: list[str] = []
    context = await browser.new_context()
    page = await context.new_page()
    await plug_in_passkey(page)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    await page.goto(f"{site.url}/stepup/factors")
    await page.get_by_role("button", name="Add passkey").click()
    await expect(page.locator("[data-stepup-factor]")).to_have_count(1)
    await page.goto(site.url)
    yield page
    await context.close()
    assert faults == []


async def authorize(page: Page, title: str) -> None:
    """Answer the modal with the passkey."""
    dialog = page.locator("dialog[open]")
    await expect(dialog).to_contain_text(title)
    await dialog.get_by_role("button", name="Use passkey").click()
    await expect(dialog).to_have_count(0)


@pytest.mark.block("head")
async def test_the_head_has_three_tags_that_are_served(blocks: dict[str, str], tmp_path: Path) -> None:
    async with served(tmp_path) as site, httpx2.AsyncClient(base_url=site.url) as http:
        environment = Environment(autoescape=True)
        environment.globals["stepup_head"] = site.stepup.head_for  # as the page says
        head = environment.from_string(blocks["head"]).render(request={"root_path": ""})
        urls = [part.split('"')[0] for mark in ('href="', 'src="') for part in head.split(mark)[1:]]
        assert [url.rsplit(".", 1)[1] for url in urls] == ["css", "js", "js"]
        for url in urls:
            answer = await http.get(url)
            assert answer.status_code == 200
            assert "immutable" in answer.headers["cache-control"]
    async with served(tmp_path, htmx=False) as site:
        assert "htmx" not in site.stepup.head
        assert site.stepup.head.count("<script") == 1


@pytest.mark.block("package", "package.js", "Security.js")
async def test_the_package_exports_what_the_page_imports(blocks: dict[str, str], tmp_path: Path) -> None:
    static = Path(__file__).parents[2] / "static"
    module = (static / "index.js").read_text().replace("stepupFetch as fetch", "fetch")
    exported = set(re.findall(r"\w+", re.findall(r"export \{ ([^}]+) \}", module)[0]))
    imported = set(re.findall(r"\w+", re.findall(r"import \{ ([^}]+) \}", blocks["package.js"])[0]))
    assert imported <= exported
    types = (static / "stepup.d.ts").read_text()
    assert exported == set(re.findall(r"^export (?:function|class) (\w+)", types, re.MULTILINE))
    assert "asking" in (static / "react.d.ts").read_text() and blocks["package"].startswith("npm install")
    program = tmp_path / "Security.mjs"
    program.write_text(blocks["Security.js"])
    node = shutil.which("node")
    assert node is None or subprocess.run([node, "--check", str(program)], check=False).returncode == 0  # noqa: ASYNC221


@pytest.mark.parametrize("version", [4, 2])
@pytest.mark.block("htmx")
async def test_htmx_steps_up_and_the_target_gets_the_answer(
    browser: Browser, blocks: dict[str, str], tmp_path: Path, version: int
) -> None:
    files = {"htmx-2.min.js": HTMX_2.read_text(encoding="utf-8")} if version == 2 else {}
    async with served(tmp_path, body=blocks["htmx"], files=files, htmx=version == 4) as site:
        async with visiting(browser, site) as page:
            assert (await page.evaluate("htmx.version"))[0] == str(version)
            await page.get_by_role("button").click()
            await expect(page.locator("dialog[open]")).to_be_visible()
            await page.keyboard.press("Escape")
            await expect(page.locator("#result")).to_be_empty()
            await page.get_by_role("button").click()
            await authorize(page, "Authorize webhook secret rotation")
            await expect(page.locator("#result")).to_have_text("Rotated.")
        assert site.ran == ["rotated"]


@pytest.mark.block("fetch.js", "spa.js")
@pytest.mark.parametrize(
    ("name", "cancelled"), [("fetch.js", "not done: 401"), ("spa.js", "Cancelled, nothing was changed.")]
)
async def test_a_script_gets_the_final_answer_or_hears_of_the_cancelling(
    browser: Browser, blocks: dict[str, str], tmp_path: Path, name: str, cancelled: str
) -> None:
    async with served(tmp_path, body=BUTTON, files={name: blocks[name]}, htmx=False) as site:
        async with visiting(browser, site) as page:
            await page.get_by_role("button").click()
            await page.locator("dialog[open]").get_by_role("button", name="Cancel").click()
            await expect(page.locator("#result")).to_have_text(cancelled)
            await page.get_by_role("button").click()
            await authorize(page, "Authorize webhook secret rotation")
            await expect(page.locator("#result")).to_have_text("Rotated.")
        assert site.ran == ["rotated"]


@pytest.mark.block("form")
async def test_a_form_is_submitted_by_the_browser_after_the_proof(
    browser: Browser, blocks: dict[str, str], tmp_path: Path
) -> None:
    async with served(tmp_path, body=blocks["form"]) as site, visiting(browser, site) as page:
        await page.get_by_role("button").click()
        await authorize(page, "Authorize webhook secret rotation")
        await page.wait_for_url("**/webhooks/orders/rotate")
        await expect(page.locator("body")).to_have_text("Rotated.")
        assert site.ran == ["rotated"]
        assert [cookie for cookie in await page.context.cookies() if "stepup" in cookie.get("name", "")] == []


@pytest.mark.block("form")
async def test_without_the_attribute_a_page_asks_and_repeats_the_form(
    browser: Browser, blocks: dict[str, str], tmp_path: Path
) -> None:
    bare = blocks["form"].replace(' data-stepup-purpose="webhook_secret_rotation"', "")
    async with served(tmp_path, body=bare) as site, visiting(browser, site) as page:
        await page.get_by_role("button").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Authorize webhook secret rotation")
        await page.get_by_role("button", name="Use passkey").click()
        await expect(page.locator("body")).to_have_text("Rotated.")
        assert site.ran == ["rotated"]


@pytest.mark.block("upload")
async def test_a_file_is_chosen_once_and_arrives_whole(
    browser: Browser, blocks: dict[str, str], tmp_path: Path
) -> None:
    async with served(tmp_path, body=blocks["upload"]) as site, visiting(browser, site) as page:
        document: Any = {"name": "grant.pdf", "mimeType": "application/pdf", "buffer": b"%PDF" + b"x" * 9996}
        await page.get_by_label("Signed document").set_input_files(document)
        await page.get_by_role("button", name="Cosign").click()
        await authorize(page, "Authorize equity grant cosign")
        await page.wait_for_url("**/?signed")
        assert site.ran == ["grant.pdf: 10000 bytes"]


@pytest.mark.block("link")
async def test_a_link_downloads_after_the_proof(browser: Browser, blocks: dict[str, str], tmp_path: Path) -> None:
    async with served(tmp_path, body=blocks["link"]) as site, visiting(browser, site) as page:
        async with page.expect_download() as download:
            await page.get_by_role("link").click()
            await authorize(page, "Authorize data-export download")
        assert (await (await download.value).path()).read_text() == "the export"


@pytest.mark.block("closed.js")
async def test_a_button_tells_beforehand_what_it_needs(
    browser: Browser, blocks: dict[str, str], tmp_path: Path
) -> None:
    body = '<button data-stepup-purpose="payroll_ach_transmit">Transmit</button>'
    async with served(tmp_path, body=body, files={"closed.js": blocks["closed.js"]}) as site:
        stranger = await browser.new_page()
        await stranger.goto(site.url)
        await expect(stranger.locator("main")).to_contain_text("Enrol a factor for this first.")
        await stranger.close()
        async with visiting(browser, site) as page:
            async with page.expect_response("**/stepup/purposes"):
                await page.reload()
            await expect(page.locator("main")).not_to_contain_text("Enrol a factor")


@pytest.mark.block("events.js", "looks.css")
async def test_the_page_hears_of_the_modal_and_gives_it_its_colour(
    browser: Browser, blocks: dict[str, str], tmp_path: Path
) -> None:
    form = '<form method="post" action="/webhooks/orders/rotate" data-stepup-purpose="webhook_secret_rotation">'
    body = f"{form}<button>Go</button></form>"
    async with served(tmp_path, body=body, files=blocks) as site, visiting(browser, site) as page:
        await page.get_by_role("button").click()
        await expect(page.locator("body")).to_have_attribute("data-asking", "webhook_secret_rotation")
        await expect(page.get_by_role("button", name="Use passkey")).to_have_css("background-color", "rgb(20, 104, 58)")
        await page.keyboard.press("Escape")
        await expect(page.locator("body")).to_have_attribute("data-answered", "cancelled")


async def test_an_abort_signal_of_the_page_closes_the_modal(browser: Browser, tmp_path: Path) -> None:
    async with served(tmp_path, htmx=False) as site, visiting(browser, site) as page:
        await page.evaluate(
            """() => {
                window.mine = new AbortController();
                window.stepup.fetch("/webhooks/orders/rotate", { method: "POST", signal: window.mine.signal })
                    .catch((error) => { document.querySelector("h1").textContent = error.name; });
            }"""
        )
        await expect(page.locator("dialog[open]")).to_be_visible()
        await page.evaluate("window.mine.abort()")
        await expect(page.locator("dialog[open]")).to_have_count(0)
        await expect(page.get_by_role("heading", level=1)).to_have_text("AbortError")
        assert site.ran == []
