"""Pages that take no bare string for markup or a script (Trusted Types): all works under the policy ``stepup``."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from .site import POLICY, requester, small_site, use_passkey

ENFORCED = f"{POLICY}; require-trusted-types-for 'script'; trusted-types stepup"
BODY = """
<h1>Site</h1><button id="go">Go</button>
<a id="link" href="/download" data-stepup-purpose="webhook_secret_rotation">Download</a>
<div id="factors"></div><div id="out"></div><script src="/file/app" defer></script>
"""
APP = """
const out = document.querySelector("#out");
document.querySelector("#go").addEventListener("click", async () => {
  const answer = await stepup.fetch("/act", { method: "POST", headers: { Accept: "text/html", "HX-Request": "true" } });
  out.textContent = await answer.text();
});
"""
STRING = """() => {
  try { document.querySelector("#out").innerHTML = "<b>x</b>"; } catch (error) { return error.name; }
  return "taken";
}"""


async def test_the_modal_opens_and_authorizes(browser: Browser, tmp_path: Path) -> None:
    async with small_site(tmp_path, BODY, app=APP) as site, requester(browser, site) as page:
        site.policy = ENFORCED
        await page.goto(site.url)
        await page.locator("#go").click()
        await use_passkey(page)
        await expect(page.locator("#out")).to_have_text("Done.")
        async with page.expect_download() as download:
            await page.locator("#link").click()
            await use_passkey(page)
        assert (await download.value).suggested_filename == "it.txt"
        assert [method for method, *_ in site.ran] == ["POST", "GET"]


async def test_factors_are_mounted_and_several_requests_are_one_question(browser: Browser, tmp_path: Path) -> None:
    async with small_site(tmp_path, BODY, app=APP) as site, requester(browser, site) as page:
        site.policy = ENFORCED
        await page.goto(site.url)
        await page.evaluate("() => stepup.mountFactors(document.querySelector('#factors')).then(() => {})")
        await page.get_by_role("button", name="Add authenticator app").click()
        await use_passkey(page)
        await expect(page.locator("[data-stepup-qr] svg")).to_be_visible()
        await page.locator("[data-stepup-totp-dialog] [data-stepup-close]").click()
        await page.evaluate(
            """() => { stepup.configure({ batch: true });
                for (const each of [1, 2]) stepup.fetch(`/act/${each}/x`, { method: "POST" }); }"""
        )
        await expect(page.locator("dialog[open] [data-stepup-item]")).to_have_count(2)
        await use_passkey(page)
        await expect(page.locator("dialog[open]")).to_have_count(0)


async def test_a_page_that_is_so_strict_refuses_a_string(browser: Browser, tmp_path: Path) -> None:
    async with small_site(tmp_path, BODY, app=APP) as site, requester(browser, site, strict=False) as page:
        for policy, found in ((POLICY, "taken"), (ENFORCED, "TypeError")):
            site.policy = policy
            await page.goto(site.url)
            assert await page.evaluate(STRING) == found


@pytest.mark.parametrize("path", ["factors", "people"])
async def test_the_librarys_own_pages_are_so_strict_themselves(browser: Browser, tmp_path: Path, path: str) -> None:
    async with small_site(tmp_path, BODY, app=APP) as site, requester(browser, site) as page:
        answer = await page.goto(f"{site.url}/stepup/{path}")
        assert answer is not None
        policy = answer.headers["content-security-policy"]
        assert "require-trusted-types-for 'script'; trusted-types stepup 'allow-duplicates'" in policy
