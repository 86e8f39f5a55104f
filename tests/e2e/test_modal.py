"""What the modal does: Enter alone authorizes nothing, nothing jumps, what happens is said. ``tests.states`` looks."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, Route, expect

from tests.states import DETAILS

from .conftest import confirm_app, totp_now
from .site import Site, requester, small_site, use_passkey

BODY = (
    '<h1>Site</h1><button id="go" hx-post="/act" hx-target="#card">Go</button><div id="card"></div>'
    + "<p>text</p>" * 60
)


@asynccontextmanager
async def ready(browser: Browser, folder: Path, **options: Any) -> AsyncIterator[tuple[Site, Page, str]]:
    """Have somebody with a passkey and an authenticator app in front of a long page with one action."""
    async with small_site(folder, BODY, htmx=True) as site, requester(browser, site, **options) as page:
        await page.goto(f"{site.url}/stepup/factors")
        await page.get_by_role("button", name="Add authenticator app").click()
        await page.locator("dialog[open]").get_by_role("button", name="Use passkey").click()
        secret = await confirm_app(page, factors=2)
        await page.goto(site.url)
        yield site, page, secret


async def test_three_enters_on_an_action_authorize_nothing(browser: Browser, tmp_path: Path) -> None:
    async with ready(browser, tmp_path) as (site, page, _):
        await page.locator("#go").focus()
        for _ in range(3):
            await page.keyboard.press("Enter")
            await page.wait_for_timeout(600)
        await expect(page.locator("dialog[open]").get_by_role("heading")).to_be_focused()
    assert site.ran == []


async def test_the_page_behind_stands_still_and_nothing_in_the_modal_jumps(browser: Browser, tmp_path: Path) -> None:
    async with ready(browser, tmp_path, viewport={"width": 800, "height": 500}) as (_, page, _):
        await page.evaluate("window.scrollTo(0, 120)")
        width = await page.evaluate("document.querySelector('#card').clientWidth")
        await page.evaluate("document.querySelector('#go').click()")
        dialog = page.locator("dialog[open]")
        await expect(dialog).to_be_visible()
        await page.wait_for_timeout(300)
        assert await page.evaluate("document.querySelector('#card').clientWidth") == width
        held: list[Route] = []

        async def hold(route: Route) -> None:
            held.append(route)

        await page.route("**/webauthn/options", hold)
        await page.evaluate(
            """() => { window.shifts = []; new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts.push(entry.value);
            }).observe({ type: "layout-shift" }); }"""  # within half a second of a click only Cancel makes room
        )
        await page.mouse.move(400, 250)
        for _ in range(5):
            await page.mouse.wheel(0, 400)
        await page.mouse.move(10, 10)
        await page.mouse.wheel(0, 400)
        await page.wait_for_timeout(200)
        assert await page.evaluate("window.scrollY") == 120
        await expect(dialog.get_by_role("button", name="Use another method")).to_be_hidden()
        before = await dialog.bounding_box()
        await dialog.get_by_role("button", name="Use passkey").click()
        await expect(dialog.get_by_role("status")).to_contain_text("Waiting for your passkey")
        await expect(dialog.get_by_role("button", name="Use another method")).to_be_visible()
        assert await dialog.bounding_box() == before
        await dialog.get_by_role("button", name="Use another method").click()
        await expect(dialog.get_by_label("Code from your authenticator app")).to_be_focused()
        assert await dialog.bounding_box() == before
        assert await page.evaluate("window.shifts") == []


async def test_another_method_serves_while_a_key_is_waited_for(browser: Browser, tmp_path: Path) -> None:
    async with ready(browser, tmp_path) as (site, page, secret):
        # an authenticator that never answers
        await page.evaluate(
            """() => { navigator.credentials.get = ({ signal }) => new Promise((_, reject) =>
                signal.addEventListener("abort", () => reject(new DOMException("", "AbortError")))); }"""
        )
        await page.locator("#go").click()
        dialog = page.locator("dialog[open]")
        await dialog.get_by_role("button", name="Use passkey").click()
        await expect(dialog.get_by_role("status")).to_contain_text("Waiting for your passkey")
        await dialog.get_by_label("Code from your authenticator app").fill(totp_now(secret, steps=1))
        await page.keyboard.press("Enter")
        await expect(dialog).to_have_count(0)
        await expect(page.locator("#card")).to_have_text("Done.")
    assert len(site.ran) == 1


async def test_a_pause_of_codes_pauses_codes_alone(browser: Browser, tmp_path: Path) -> None:
    async with ready(browser, tmp_path) as (site, page, _):
        await page.locator("#go").click()
        dialog = page.locator("dialog[open]")
        code = dialog.get_by_label("Code from your authenticator app")
        for _ in range(6):
            await code.fill("000000")
            async with page.expect_response("**/totp"):
                await page.keyboard.press("Enter")
            await expect(dialog.get_by_role("alert")).not_to_be_empty()
        await expect(dialog.get_by_role("alert")).to_contain_text(re.compile("Wait (1 minute|5. seconds)"))
        await expect(dialog.get_by_role("status")).to_contain_text("Another method works meanwhile")
        await expect(dialog.get_by_role("button", name="Authorize")).to_have_attribute("aria-disabled", "true")
        await use_passkey(page)
        await expect(page.locator("#card")).to_have_text("Done.")
    assert len(site.ran) == 1


async def test_it_says_who_authorizes_and_stops_when_another_account_is_signed_in(
    browser: Browser, tmp_path: Path
) -> None:
    async with ready(browser, tmp_path) as (site, page, _):
        await page.locator("#go").click()
        dialog = page.locator("dialog[open]")
        await expect(dialog).to_contain_text("as Ada Owner")
        site.person = "Bob Other"
        await dialog.get_by_role("button", name="Use passkey").click()
        await expect(page.locator("dialog[open]")).not_to_contain_text("as Ada Owner")
        await expect(page.locator("dialog[open]")).to_contain_text("factor")  # Bob has none: said, and nothing ran
        assert site.ran == []


async def test_a_prompt_of_another_account_is_never_taken_for_a_renewed_one(browser: Browser, tmp_path: Path) -> None:
    async with ready(browser, tmp_path) as (site, page, _):
        site.person = "Bob Other"
        await page.goto(f"{site.url}/stepup/factors")
        await page.get_by_role("button", name="Add passkey").click()
        await expect(page.locator("[data-stepup-factor]")).to_have_count(1)
        site.person = "Ada Owner"
        await page.goto(site.url)
        await page.locator("#go").click()
        await expect(page.locator("dialog[open]")).to_contain_text("as Ada Owner")
        site.person = "Bob Other"  # signed in to in another tab
        await page.locator("dialog[open]").get_by_role("button", name="Use passkey").click()
        await expect(page.locator("dialog[open]")).to_contain_text("Another account is signed in now")
        assert site.ran == []


async def test_long_values_scroll_in_their_box_and_open(browser: Browser, tmp_path: Path) -> None:
    async with ready(browser, tmp_path) as (site, page, _):
        site.details = DETAILS["long"]
        await page.locator("#go").click()
        dialog = page.locator("dialog[open]")
        value = dialog.locator(".stepup-long").first
        closed = await value.evaluate("(element) => [element.clientHeight, element.scrollHeight]")
        assert closed[0] < closed[1] and closed[0] < 200
        await dialog.get_by_role("button", name="Show all").first.click()
        opened = await value.evaluate("(element) => [element.clientHeight, element.scrollHeight]")
        assert opened[0] == opened[1] == closed[1]
        await expect(dialog.get_by_role("button", name="Show all").first).to_have_attribute("aria-expanded", "true")
        assert "employee 044" in await value.inner_text()


async def test_a_cancel_and_the_work_afterwards_are_announced(browser: Browser, tmp_path: Path) -> None:
    async with ready(browser, tmp_path) as (site, page, _):
        announced = page.locator(".stepup-announcer")
        await page.locator("#go").click()
        await page.locator("dialog[open]").get_by_role("button", name="Cancel").click()
        await expect(announced).to_have_text("Cancelled. Nothing has happened.")
        await page.evaluate(
            """() => {
                const button = Object.assign(document.createElement("button"), { id: "slow", textContent: "Slow" });
                button.addEventListener("click", () => fetch("/slow", { method: "POST" }));
                document.body.prepend(button);
            }"""
        )
        await page.locator("#slow").click()
        await use_passkey(page)
        await expect(page.locator("#slow")).to_have_attribute("aria-busy", "true")
        await expect(page.locator("#slow")).to_have_class("stepup-working")
        await expect(announced).to_have_text("Authorized. Working on it…")
        site.hold.set()
        await expect(page.locator("#slow")).not_to_have_attribute("aria-busy", "true")


async def test_a_changed_detail_is_marked_and_said(browser: Browser, tmp_path: Path) -> None:
    async with ready(browser, tmp_path) as (site, page, _):
        site.details = [("Run", "2026-06"), ("Total", "USD 1.00")]
        await page.locator("#go").click()
        await expect(page.locator("dialog[open]")).to_contain_text("USD 1.00")
        site.details = [("Run", "2026-06"), ("Total", "USD 1,000.00")]
        await page.locator("dialog[open]").get_by_role("button", name="Use passkey").click()
        await expect(page.locator("dialog[open]")).to_contain_text("USD 1,000.00")
        await expect(page.locator("dialog[open]").locator(".stepup-note")).to_contain_text("has changed")
        marked = page.locator("dialog[open] .stepup-changed")
        await expect(marked).to_have_count(1)
        await expect(marked).to_contain_text("Total")
        assert site.ran == []
        await use_passkey(page)
        await expect(page.locator("#card")).to_have_text("Done.")
