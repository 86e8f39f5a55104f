"""A page of another origin than its API: with a bearer token, with cookies, with factors mounted in it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.guide.person import plug_in_passkey

from .conftest import add_app, totp_now
from .origins import Origins, origins
from .site import use_passkey

CONFIGURE = """([api]) => stepup.configure({ api, headers: () => ({ Authorization: "Bearer ada" }) })"""
FETCH = """([api, init]) => fetch(`${api}/act`, init).then(async (answer) => [answer.status, await answer.text()],
    (error) => [0, String(error)])"""
XHR = """([api, init]) => new Promise((resolve) => {
    const xhr = new XMLHttpRequest();
    xhr.open(init.method, `${api}/act`);
    xhr.withCredentials = init.credentials === "include";
    for (const name in init.headers ?? {}) xhr.setRequestHeader(name, init.headers[name]);
    xhr.onloadend = () => resolve([xhr.status, xhr.responseText]);
    xhr.send(init.body);
})"""


async def open_page(browser: Browser, site: Origins, name: str, *, bearer: bool) -> Page:
    context = await browser.new_context()
    page = await context.new_page()
    await plug_in_passkey(page)
    if not bearer:
        await page.goto(f"{site.api}/enter/ada")
    await page.goto(site.pages[name])
    return page


async def mount(page: Page, site: Origins, *, bearer: bool) -> None:
    if bearer:
        await page.evaluate(CONFIGURE, [site.api])
    else:
        await page.evaluate("([api]) => stepup.configure({ api })", [site.api])
    await page.evaluate("() => stepup.mountFactors(document.querySelector('#factors')).then(() => undefined)")


@pytest.mark.parametrize("transport", ["fetch", "xhr"])
@pytest.mark.parametrize("bearer", [True, False], ids=["bearer", "cookie"])
@pytest.mark.parametrize("place", ["sibling", "own"])
@pytest.mark.sweep(2)
async def test_a_page_enrols_and_steps_up_against_an_api_and_is_refused_a_replay(
    browser: Browser, tmp_path: Path, place: str, bearer: bool, transport: str
) -> None:
    async with origins(tmp_path) as site:
        page = await open_page(browser, site, place, bearer=bearer)
        await mount(page, site, bearer=bearer)
        await page.get_by_role("button", name="Add passkey").click()
        await expect(page.locator("[data-stepup-factor]")).to_have_count(1)
        headers = {"Authorization": "Bearer ada"} if bearer else {}
        init: dict[str, Any] = {"method": "POST", "body": "hello", "headers": headers}
        if not bearer:
            init["credentials"] = "include"
        sent: list[dict[str, str]] = []
        page.on("request", lambda request: sent.append(request.headers) if "/act" in request.url else None)
        asked = asyncio.ensure_future(page.evaluate(FETCH if transport == "fetch" else XHR, [site.api, init]))
        await use_passkey(page)
        assert await asked == [200, '{"done":"hello"}']
        assert site.ran == ["POST"]
        token = next(each["stepup-token"] for each in sent if "stepup-token" in each)
        again = {**init, "headers": {**headers, "StepUp-Token": token}}
        status, text = await page.evaluate(FETCH, [site.api, again])
        assert (status, "STEPUP_TOKEN_REUSED" in text, site.ran) == (403, True, ["POST"])
        await page.context.close()


async def test_an_authenticator_app_is_added_in_the_apps_own_page_and_serves(browser: Browser, tmp_path: Path) -> None:
    async with origins(tmp_path) as site:
        page = await open_page(browser, site, "apart", bearer=True)
        await mount(page, site, bearer=True)
        secret = await add_app(page)
        await page.get_by_role("button", name="Rename").click()
        await page.get_by_label("New name").fill("Phone")
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator(".stepup-item-name")).to_have_text("Phone")
        init = {"method": "DELETE", "headers": {"Authorization": "Bearer ada"}}
        asked = asyncio.ensure_future(page.evaluate(FETCH, [site.api, init]))
        dialog = page.locator("dialog[open]")
        await dialog.get_by_label("Code from your authenticator app").fill(totp_now(secret, steps=1))
        await dialog.get_by_role("button", name="Authorize").click()
        assert (await asked)[0] == 200
        assert site.ran == ["DELETE"]
        await page.context.close()


async def test_an_api_that_nobody_named_is_left_alone(browser: Browser, tmp_path: Path) -> None:
    async with origins(tmp_path) as site:
        page = await open_page(browser, site, "sibling", bearer=True)
        init = {"method": "POST", "headers": {"Authorization": "Bearer ada"}}
        status, text = await page.evaluate(FETCH, [site.api, init])
        assert (status, "STEPUP_REQUIRED" in text or "STEPUP_FACTOR_INSUFFICIENT" in text) in ((401, True), (403, True))
        await expect(page.locator("dialog[open]")).to_have_count(0)
        with pytest.raises(Exception, match="TypeError"):
            await page.evaluate(
                "([api]) => stepup.mountFactors(document.body, { url: `${api}/stepup/factors` })", [site.api]
            )
        await page.context.close()


UNREADABLE = "The server gave an answer that this page does not understand. Reload the page and try again."


# Q08
async def test_what_the_librarys_calls_carry_follows_no_redirect(browser: Browser, tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def thief(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append((await reader.readuntil(b"\r\n\r\n")).lower())
        allow = b"".join(b"access-control-allow-%s: *\r\n" % name for name in (b"origin", b"headers", b"methods"))
        writer.write(b"HTTP/1.1 200 OK\r\n" + allow + b"content-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with origins(tmp_path) as site, await asyncio.start_server(thief, "127.0.0.1", 0) as server:
        elsewhere = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        page = await open_page(browser, site, "own", bearer=True)
        await page.route("**/stepup/factors", lambda route: route.fulfill(status=307, headers={"location": elsewhere}))
        mounting = "([to]) => stepup.mountFactors(document.body).then(String, (error) => error.message)"
        await page.evaluate("() => stepup.configure({ headers: { 'X-Key': 'secret' } })")
        assert await page.evaluate(mounting, [site.api]) == UNREADABLE
        assert heard == []
        await page.evaluate("([to]) => fetch(to, { headers: { 'X-Key': 'secret' } })", [elsewhere])
        assert any(b"x-key: secret" in each for each in heard)  # who would have heard it
        await page.context.close()


@pytest.mark.parametrize(
    "settings",
    [
        "{ signIn: '/x', nonsense: 1 }",
        "{ signIn: 'javascript:x' }",
        "{ api: 'ftp://x' }",
        "{ headers: { 'a b': '1' } }",
    ],
)
async def test_a_setting_that_is_none_is_said_at_once(browser: Browser, tmp_path: Path, settings: str) -> None:
    async with origins(tmp_path) as site:
        page = await open_page(browser, site, "own", bearer=True)
        with pytest.raises(Exception, match="TypeError"):
            await page.evaluate(f"() => stepup.configure({settings})")
        await page.context.close()


async def test_a_page_elsewhere_speaks_the_persons_language_and_leads_to_its_own_sign_in(
    browser: Browser, tmp_path: Path
) -> None:
    async with origins(tmp_path) as site:
        context = await browser.new_context(locale="de-DE")
        page = await context.new_page()
        await plug_in_passkey(page)
        await page.goto(site.pages["sibling"])
        await mount(page, site, bearer=True)
        await page.get_by_role("button", name="Passkey hinzufügen").click()
        await expect(page.get_by_text("ist hinzugefügt")).to_be_visible()  # a sentence of the script that was loaded
        init = {"method": "POST", "headers": {"Authorization": "Bearer ada"}}
        asked = asyncio.ensure_future(page.evaluate(FETCH, [site.api, init]))
        dialog = page.locator("dialog[open]")
        await expect(dialog).to_be_visible()
        await page.evaluate("() => stepup.configure({ headers: { Authorization: 'Bearer ' }, signIn: '/in?way=sso' })")
        use = dialog.get_by_role("button", name="Passkey verwenden")
        await use.click()
        link = dialog.get_by_role("alert").get_by_role("link", name="Anmelden")
        await expect(link).to_have_attribute("href", f"{site.pages['sibling']}/in?way=sso&next=%2F")
        await page.evaluate("() => stepup.configure({ texts: { 'Sign in': 'Zum Empfang' } })")
        await use.click()
        await expect(dialog.get_by_role("alert").get_by_role("link", name="Zum Empfang")).to_be_visible()
        await page.keyboard.press("Escape")
        assert (await asked)[0] == 401
        assert site.ran == []
        await context.close()
