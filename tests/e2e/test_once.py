"""What a page asks or computes is asked and computed once, a token is sent once, and odd browsers serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Dialog, expect

from .conftest import add_factor, totp_now
from .site import requester, small_site, use_code, use_passkey
from .test_lost_answers import HTMX_2
from .test_modal import ready

OWN_CONFIRM = """
window.counted = 0;
window.confirms = 0;
const answer = (event) => {
    const ctx = event.detail.ctx;
    if (!event.detail.question && !ctx?.confirm) return;
    event.preventDefault();
    window.confirms += 1;
    const dialog = document.querySelector("#own");
    dialog.showModal();
    dialog.querySelector("button").onclick = () => { dialog.close(); event.detail.issueRequest(true); };
};
document.addEventListener("htmx:confirm", answer);
"""
DIALOG = '<dialog id="own"><button type="button">Really</button></dialog>'
COUNT = """hx-vals='js:{"n": ++window.counted}'"""


@pytest.mark.parametrize("factor", ["passkey", "totp"])
@pytest.mark.parametrize("version", [4, 2])
@pytest.mark.sweep()
async def test_the_apps_own_confirm_is_asked_once_values_are_the_firsts_and_a_token_is_sent_once(
    browser: Browser, tmp_path: Path, version: int, factor: str
) -> None:
    button = f'<button id="go" hx-post="/act" hx-target="#card" hx-confirm="Sure?" {COUNT}>Go</button>'
    body = f'{DIALOG}{button}<p id="card"></p>'
    scripts: dict[str, Any] = {"own.js": OWN_CONFIRM, "htmx2.js": HTMX_2.read_text(encoding="utf-8")}
    async with small_site(tmp_path, body, htmx=version == 4, **scripts) as site:
        site.policy = "script-src 'self' 'unsafe-eval'"  # hx-vals='js:...' is evaluated
        site.head = '<script src="/file/own.js" defer></script>'
        if version == 2:
            site.head = '<script src="/file/htmx2.js" defer></script>' + site.head
        async with requester(browser, site, totp=True) as page:
            await page.goto(f"{site.url}/stepup/factors")
            secret = await add_factor(page, factor)
            await page.goto(site.url)
            tokens: list[str] = []
            page.on("request", lambda request: tokens.append(request.headers.get("stepup-token", "")))
            await page.locator("#go").click()
            await page.get_by_role("button", name="Really").click()
            await (use_code(page, secret) if secret else use_passkey(page))
            await expect(page.locator("#card")).to_have_text("Done.")
            await page.wait_for_timeout(300)
            assert await page.evaluate("[confirms, counted]") == [1, 1]
            sent = [token for token in tokens if token]
            assert len(sent) == len(set(sent)) == 1
            headers = {"accept": "application/json", "origin": site.url, "stepup-token": sent[0]}
            replayed = await page.context.request.post(f"{site.url}/act", headers=headers, form={"n": "1"})
            assert (replayed.status, (await replayed.json())["code"]) == (403, "STEPUP_TOKEN_REUSED")
    assert [body for *_, body in site.ran] == [b"n=1"]


async def test_a_question_of_hx_prompt_is_asked_once(browser: Browser, tmp_path: Path) -> None:
    body = '<button id="go" hx-post="/act" hx-target="#card" hx-prompt="Why?">Go</button><p id="card"></p>'
    scripts: dict[str, Any] = {"htmx2.js": HTMX_2.read_text(encoding="utf-8")}
    async with small_site(tmp_path, body, **scripts) as site:
        site.head = '<script src="/file/htmx2.js" defer></script>'
        async with requester(browser, site) as page:
            asked: list[str] = []

            async def answer(dialog: Dialog) -> None:
                asked.append(dialog.message)
                await dialog.accept("because")

            page.on("dialog", answer)
            await page.locator("#go").click()
            await use_passkey(page)
            await expect(page.locator("#card")).to_have_text("Done.")
    assert asked == ["Why?"]
    assert len(site.ran) == 1


ODD = {
    "credentials that throw on toJSON": "PublicKeyCredential.prototype.toJSON = () => { throw new TypeError('no'); };",
    "no JSON of WebAuthn at all": """
        delete PublicKeyCredential.parseRequestOptionsFromJSON; delete PublicKeyCredential.parseCreationOptionsFromJSON;
        delete PublicKeyCredential.prototype.toJSON;""",
    "an empty user handle, and no transports": """
        const empty = { get: () => new ArrayBuffer(0) };
        Object.defineProperty(AuthenticatorAssertionResponse.prototype, "userHandle", empty);
        delete AuthenticatorAttestationResponse.prototype.getTransports;""",
}


@pytest.mark.parametrize("odd", ODD)
async def test_odd_browsers_and_password_managers_enrol_and_authorize(
    browser: Browser, tmp_path: Path, odd: str
) -> None:
    scripts: dict[str, Any] = {"own.js": GO}
    async with small_site(tmp_path, '<button id="go">Go</button>', **scripts) as site:
        site.head = '<script src="/file/own.js" defer></script>'
        async with requester(browser, site, totp=True) as page:
            await page.add_init_script(ODD[odd])
            await page.goto(f"{site.url}/stepup/factors")
            await page.get_by_role("button", name="Add passkey").click()
            await expect(page.locator("[data-stepup-factor]")).to_have_count(1)
            await page.goto(site.url)
            await page.locator("#go").click()
            await use_passkey(page)
            await expect(page.locator("#go")).to_have_text("200")
    assert len(site.ran) == 1


GO = """
document.querySelector("#go").addEventListener("click", async ({ target }) => {
    target.textContent = (await fetch("/act", { method: "POST" })).status;
});
"""


@pytest.mark.parametrize(("way", "message"), [("{0} {1}", ""), ("\uff11{2}", "Type all digits")])
async def test_a_code_is_typed_as_people_have_it(browser: Browser, tmp_path: Path, way: str, message: str) -> None:
    async with ready(browser, tmp_path) as (site, page, secret):
        await page.locator("#go").click()
        dialog: Any = page.locator("dialog[open]")
        code = totp_now(secret, steps=1)
        wide = "".join(chr(ord(digit) + 0xFEE0) for digit in code)
        await dialog.get_by_label("Code from your authenticator app").fill(way.format(wide[:3], code[3:], code[:2]))
        await page.keyboard.press("Enter")
        if message:
            await expect(dialog.get_by_role("alert")).to_contain_text(message)
            assert site.ran == []
        else:
            await expect(page.locator("#card")).to_have_text("Done.")
