"""An Angular app: its HttpClient with upload events, beside Zone.js, which counts what is pending."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.conftest import add_factor
from tests.e2e.site import use_code, use_passkey
from tests.guide.person import plug_in_passkey

from .conftest import Built
from .test_react import served


@pytest.mark.parametrize("kind", ["passkey", "totp"])
async def test_angular_steps_up_hears_one_request_and_has_nothing_pending_afterwards(
    angular: Built, browser: Browser, tmp_path: Path, kind: str
) -> None:
    async with served(angular, tmp_path, bearer=False) as site:
        context = await browser.new_context()
        page = await context.new_page()
        await plug_in_passkey(page)
        await page.goto(f"{site.api}/sign-in")
        await page.goto(f"{site.api}/stepup/factors")
        secret = await add_factor(page, kind)
        await page.goto(site.api)
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.headers.get("stepup-token", "")))
        await page.get_by_role("button", name="Rotate").click()
        await (use_code(page, secret) if kind == "totp" else use_passkey(page))
        # sent, upload progress, headers, download progress, response: HttpEventType, each once
        await expect(page.locator("#said")).to_have_text("Rotated orders: 0,1,2,3,4.")
        await expect(page.locator("#stable")).to_have_text("Nothing is pending.")
        assert (site.ran, await page.title()) == (["leaked"], "Payday")
        (token,) = filter(None, sent)
        headers = {"stepup-token": token, "origin": site.api, "content-type": "application/json"}
        url = f"{site.api}/webhooks/orders/rotate"
        assert (await context.request.post(url, headers=headers, data='{"reason":"leaked"}')).status == 403
        assert site.ran == ["leaked"]
        await context.close()
