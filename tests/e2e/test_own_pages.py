"""The library's own pages when a session ends or an answer gets lost: what they say is true, and they lead on."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Browser, Page, Route, expect

from stepup_middleware import Subject

from .site import requester, small_site

SETTINGS = {"sign_in_url": "/page/sign-in"}
FORM = '<h1>Site</h1><form method="post" action="/act"><input name="a" value="1"><button>Go</button></form>'
EDGES = "(element) => [element.getBoundingClientRect().top, element.getBoundingClientRect().bottom]"
LOST = "It may have been done. Look before you try again: reload the page and see whether it is."


async def way_back(page: Page) -> str:
    """Return where the link to the sign-in leads back to."""
    link = page.get_by_role("link", name="Sign in", exact=True)
    address = urlsplit(await link.get_attribute("href") or "")
    assert address.path == "/page/sign-in"
    return parse_qs(address.query)["next"][0]


async def test_a_session_that_ended_on_the_page_of_factors_leads_to_the_sign_in_and_back(
    browser: Browser, tmp_path: Path
) -> None:
    async with small_site(tmp_path, FORM, settings=SETTINGS) as site, requester(browser, site) as page:
        await page.goto(f"{site.url}/stepup/factors?next=%2Fpage%2Fa")
        site.person = ""
        await page.get_by_role("button", name="Add hardware key").click()
        await expect(page.locator("[data-stepup-page-error]")).to_contain_text("Sign in")
        assert await way_back(page) == "/stepup/factors?next=%2Fpage%2Fa"


@pytest.mark.parametrize("javascript", [True, False])
async def test_a_session_that_ended_on_the_page_of_a_form_leads_back_to_the_form(
    browser: Browser, tmp_path: Path, javascript: bool
) -> None:
    async with (
        small_site(tmp_path, FORM, settings=SETTINGS, form=FORM) as site,
        requester(browser, site, totp=not javascript, java_script_enabled=javascript) as page,
    ):
        await page.goto(f"{site.url}/page/form?week=3")
        if javascript:
            await page.get_by_role("button", name="Go").click()
            await expect(page.get_by_role("button", name="Use passkey")).to_be_visible()
            site.person = ""
            await page.get_by_role("button", name="Use passkey").click()
        else:
            site.person = ""
            await page.get_by_role("button", name="Go").click()
        await expect(page.get_by_role("link", name="Sign in", exact=True)).to_be_visible()
        assert await way_back(page) == "/page/form?week=3"
        assert site.ran == []


async def test_a_first_factor_of_which_the_answer_got_lost_is_not_said_to_be_nothing(
    browser: Browser, tmp_path: Path
) -> None:
    async def lose(route: Route) -> None:
        await route.fetch()  # the server has it
        await route.abort("connectionreset")

    async def fail(route: Route) -> None:
        await route.fulfill(status=502, headers={"content-type": "text/html"}, body="<h1>Bad gateway</h1>")

    async with small_site(tmp_path, FORM) as site, requester(browser, site, totp=True) as page:
        for number, handler in enumerate((lose, fail)):
            site.person = f"Person {number}"
            await page.goto(f"{site.url}/stepup/factors")
            await page.route("**/stepup/factors/webauthn", handler)
            await page.get_by_role("button", name="Add passkey").click()
            await expect(page.locator("[data-stepup-page-error]")).to_have_text(LOST)
            await page.unroute_all()
        site.person = "Person 0"
        await page.reload()
        await expect(page.locator("[data-stepup-factor]")).to_have_count(1)


async def test_what_never_left_is_said_to_have_done_nothing(browser: Browser, tmp_path: Path) -> None:
    async with small_site(tmp_path, FORM) as site, requester(browser, site, totp=True) as page:
        await page.goto(f"{site.url}/stepup/factors")
        await page.context.set_offline(True)
        await page.get_by_role("button", name="Add passkey").click()
        await expect(page.locator("[data-stepup-page-error]")).to_contain_text("so nothing has happened")


async def test_a_list_that_cannot_be_read_again_after_a_change_is_not_said_to_be_nothing(
    browser: Browser, tmp_path: Path
) -> None:
    async with small_site(tmp_path, FORM) as site, requester(browser, site) as page:
        await page.goto(f"{site.url}/stepup/factors")
        await page.route("**/stepup/factors", lambda route: route.abort("connectionreset"))
        await page.get_by_role("button", name="Rename").click()
        await page.get_by_label("New name").fill("Laptop")
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("[data-stepup-page-error]")).to_have_text(LOST)
        ada = Subject(id=site.person.lower(), session_id="s", workspace_id="main", name=site.person)
        assert [factor.name for factor in await site.stepup.factors.list(ada)] == ["Laptop"]


async def test_the_window_of_an_authenticator_app_shows_title_and_error_on_a_phone_held_sideways(
    browser: Browser, tmp_path: Path
) -> None:
    async with (
        small_site(tmp_path, FORM) as site,
        requester(browser, site, totp=True, viewport={"width": 640, "height": 360}) as page,
    ):
        await page.goto(f"{site.url}/stepup/factors")
        await page.get_by_role("button", name="Add authenticator app").click()
        await page.get_by_label("Code from the app").fill("000000")
        await page.keyboard.press("Enter")
        error = page.locator("[data-stepup-totp-error]")
        await expect(error).not_to_be_empty()
        title, said, typed = [
            await page.locator(each).evaluate(EDGES)
            for each in ("#stepup-totp-title", "[data-stepup-totp-error]", "#stepup-confirm-code")
        ]
        assert title[0] >= 0 and title[1] <= said[0] and said[1] <= typed[0] and typed[1] <= 360
