"""A request that is led to a tagged route: the first hop has acted, and what is repeated is what was asked about."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from .site import requester, small_site, until, use_passkey

SENT = {
    "fetch": "async (url) => { window.seen = (await fetch(url, { method: 'POST', body: 'a=1' })).status; }",
    "XMLHttpRequest": """async (url) => {
        const xhr = new XMLHttpRequest(); xhr.onload = () => { window.seen = xhr.status; };
        xhr.open("POST", url); xhr.send("a=1"); }""",
}
# by which status, and as which method it arrives
LED = {"301": "GET", "302": "GET", "303": "GET", "307": "POST", "308": "POST"}


@pytest.mark.parametrize("status", LED)
@pytest.mark.parametrize("way", SENT)
async def test_what_was_asked_about_is_repeated_and_not_the_hop_before(
    browser: Browser, tmp_path: Path, way: str, status: str
) -> None:
    async with small_site(tmp_path, "<h1>Site</h1>") as site, requester(browser, site) as page:
        await page.evaluate(f"(url) => void ({SENT[way]})(url)", f"/leading?by={status}&to=/act")
        await use_passkey(page)
        await until(page, "window.seen !== undefined")
        assert await page.evaluate("window.seen") == 200
        await expect(page.locator("dialog[open]")).to_have_count(0)
    assert [(method, path) for method, path, _, _ in site.ran] == [
        ("POST", f"/leading?by={status}&to=/act"),
        (LED[status], "/act"),
    ]


@pytest.mark.parametrize("status", [status for status, method in LED.items() if method == "GET"])
async def test_a_form_that_is_led_on_acts_once(browser: Browser, tmp_path: Path, status: str) -> None:
    form = (
        f'<form method="post" action="/leading?by={status}&amp;to=/act" data-stepup-purpose="webhook_secret_rotation">'
        '<input name="a" value="1"><button>Go</button></form>'
    )
    async with small_site(tmp_path, form) as site, requester(browser, site) as page:
        await page.get_by_role("button", name="Go").click()
        await use_passkey(page)
        await expect(page.get_by_text("Done.")).to_be_visible()
    assert [(method, path) for method, path, _, _ in site.ran] == [
        ("POST", f"/leading?by={status}&to=/act"),
        (LED[status], "/act"),
    ]
