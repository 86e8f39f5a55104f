"""What is said when an answer gets lost: before a token has left, and after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import django_htmx
import pytest
from playwright.async_api import Browser, Page, Route, expect

from .site import Site, requester, small_site, use_passkey

HTMX_2 = Path(django_htmx.__file__).parent / "static" / "django_htmx" / "htmx-2.min.js"
UNKNOWN = "It may have been done. Look before you try again"
NOTHING = "The server could not be reached, so nothing has happened. Check your connection and try again."
SCRIPT = """
const say = (text) => (document.querySelector("#said").textContent = text);
document.querySelector("#go").addEventListener("click", (event) => {
    const { how, url } = event.target.dataset;
    if (how === "fetch") {
        fetch(url, { method: "POST" }).then((answer) => say(answer.status), (error) => say(error.name));
    }
    if (how === "stepup.fetch") {
        stepup.fetch(url, { method: "POST" }).then((answer) => say(answer.status), (error) => say(error.message));
    }
    if (how === "xhr") {
        const xhr = new XMLHttpRequest();
        xhr.open("POST", url);
        xhr.onload = () => say(xhr.status);
        xhr.onerror = () => say("error");
        xhr.send();
    }
});
"""
LANGUAGE = "en-US"  # which Chromium adds where a route cannot see it; it is bound
TAG = 'data-stepup-purpose="webhook_secret_rotation"'
WAYS = {
    "fetch": '<button id="go" data-how="fetch" data-url="{url}">Go</button>',
    "stepup.fetch": '<button id="go" data-how="stepup.fetch" data-url="{url}">Go</button>',
    "xhr": '<button id="go" data-how="xhr" data-url="{url}">Go</button>',
    "htmx 4": f'<button id="go" hx-post="{{url}}" hx-target="#card" {TAG}>Go</button>',
    "htmx 2": f'<button id="go" hx-post="{{url}}" hx-target="#card" {TAG}>Go</button>',
    "form": f'<form method="post" action="{{url}}"><button id="go" {TAG}>Go</button></form>',
}


@asynccontextmanager
async def card(browser: Browser, folder: Path, way: str, url: str = "/act") -> AsyncIterator[tuple[Site, Page]]:
    """Serve a card with one button that acts in a way."""
    body = f'<div id="card"><p>As it was</p></div>{WAYS[way].format(url=url)}<p id="said"></p>'
    scripts = {"own.js": SCRIPT, "htmx2.js": HTMX_2.read_text(encoding="utf-8")}
    async with small_site(folder, body, htmx=way == "htmx 4", settings=None, **scripts) as site:
        if way == "htmx 2":
            site.head = '<script src="/file/htmx2.js" defer></script>'
        elif way in ("fetch", "stepup.fetch", "xhr"):
            site.head = '<script src="/file/own.js" defer></script>'
        async with requester(browser, site, strict=False, locale=LANGUAGE) as page:
            yield site, page


async def lose(page: Page, url: str) -> None:
    """Let a request with a proof reach the server, and lose its answer."""

    async def handle(route: Route) -> None:
        headers = await route.request.all_headers()
        if "stepup-token" not in headers and "stepup" not in headers.get("cookie", ""):
            return await route.continue_()
        await route.fetch(max_redirects=0, headers={**headers, "accept-language": LANGUAGE})
        await route.abort("connectionreset")

    await page.route(f"**{url}", handle)


@pytest.mark.parametrize("way", WAYS)
async def test_a_lost_answer_after_the_token_left_is_said_to_be_unknown(
    browser: Browser, tmp_path: Path, way: str
) -> None:
    async with card(browser, tmp_path, way) as (site, page):
        await lose(page, "/act")
        await page.locator("#go").click()
        await use_passkey(page)
        if way == "form":  # the browser's own page says that the connection was lost
            async with asyncio.timeout(30):
                while not page.url.startswith("chrome-error:"):
                    await page.wait_for_timeout(50)
            await page.wait_for_timeout(500)  # its page has to stand before one can leave it
            await page.go_back()
        dialog = page.locator("dialog[open]")
        await expect(dialog).to_contain_text(UNKNOWN)
        await expect(page.locator("#card")).to_have_text("As it was")
        assert len(site.ran) == 1
        await page.unroute("**/act")
        await dialog.get_by_role("button", name="Reload the page").click()
        await expect(dialog).to_have_count(0)
        await page.wait_for_load_state()
        assert len(site.ran) == 1  # looking again does nothing


@pytest.mark.parametrize("status", [500, 502])
@pytest.mark.parametrize("way", [way for way in WAYS if way != "form"])
@pytest.mark.sweep()
async def test_a_failure_after_the_token_left_is_unknown_and_nothing_of_its_page_is_swapped_in(
    browser: Browser, tmp_path: Path, way: str, status: int
) -> None:
    async with card(browser, tmp_path, way, f"/failing/{status}") as (site, page):
        await page.locator("#go").click()
        await use_passkey(page)
        await expect(page.locator("dialog[open]")).to_contain_text(UNKNOWN)
        await expect(page.locator("#card")).to_have_text("As it was")
        if not way.startswith("htmx"):
            await expect(page.locator("#said")).to_have_text(str(status))
        assert len(site.ran) == 1


async def test_a_proxys_page_in_the_place_of_a_forms_answer_is_unknown_to_who_comes_back(
    browser: Browser, tmp_path: Path
) -> None:
    async with card(browser, tmp_path, "form", "/failing/502") as (site, page):
        await page.locator("#go").click()
        await use_passkey(page)
        await expect(page.get_by_role("heading", name="Bad gateway")).to_be_visible()
        await page.go_back()
        await expect(page.locator("dialog[open]")).to_contain_text(UNKNOWN)
        assert len(site.ran) == 1


async def test_coming_back_from_an_answer_says_nothing(browser: Browser, tmp_path: Path) -> None:
    async with card(browser, tmp_path, "form", "/moving") as (site, page):
        site.pages["done"] = "<h1>It is done</h1>"
        await page.locator("#go").click()
        await use_passkey(page)
        await expect(page.get_by_role("heading", name="It is done")).to_be_visible()
        await page.wait_for_load_state()  # its scripts have run
        await page.go_back()
        await expect(page.locator("#go")).to_be_visible()
        await page.wait_for_timeout(300)
        await expect(page.locator("dialog[open]")).to_have_count(0)
        assert len(site.ran) == 1


@pytest.mark.parametrize("way", ["htmx 4", "htmx 2", "form", "stepup.fetch"])
async def test_offline_before_anything_was_sent_the_same_sentence_is_said(
    browser: Browser, tmp_path: Path, way: str
) -> None:
    async with card(browser, tmp_path, way) as (site, page):
        await page.context.set_offline(True)
        await page.locator("#go").click()
        place = page.locator("#said") if way == "stepup.fetch" else page.locator("dialog[open] p")
        await expect(place.first).to_have_text(NOTHING)
        await page.context.set_offline(False)
    assert site.ran == []


@pytest.mark.parametrize("way", WAYS)
async def test_offline_while_the_modal_is_open_it_says_so_and_the_person_goes_on_afterwards(
    browser: Browser, tmp_path: Path, way: str
) -> None:
    async with card(browser, tmp_path, way) as (site, page):
        await page.locator("#go").click()
        dialog = page.locator("dialog[open]")
        await expect(dialog).to_be_visible()
        await page.context.set_offline(True)
        await dialog.get_by_role("button", name="Use passkey").click()
        await expect(dialog.get_by_role("alert")).to_contain_text(NOTHING)
        assert site.ran == []
        await page.context.set_offline(False)
        await use_passkey(page)
        async with asyncio.timeout(10):
            while not site.ran:
                await page.wait_for_timeout(50)


@pytest.mark.parametrize("way", ["htmx 4", "htmx 2"])
async def test_an_answer_whose_place_is_gone_is_told(browser: Browser, tmp_path: Path, way: str) -> None:
    async with card(browser, tmp_path, way) as (site, page):
        await page.locator("#go").click()
        await expect(page.locator("dialog[open]")).to_be_visible()
        await page.evaluate(
            """() => { const again = document.querySelector("#card").cloneNode(true);
                document.querySelector("#card").replaceWith(again); document.querySelector("#go").remove(); }"""
        )
        await use_passkey(page)
        await expect(page.locator("dialog[open]")).to_contain_text("Reload the page to see what was done")
        assert len(site.ran) == 1
