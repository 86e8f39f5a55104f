"""A form with a purpose whose action asks for no proof this time: it has run, and its answer is shown as ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from .site import requester, small_site, until

FORM = (
    '<form method="post" action="/plain?{query}" data-stepup-purpose="webhook_secret_rotation">'
    '<input name="a" value="1"><button>Go</button></form>'
)


async def test_what_is_no_page_and_no_text_is_saved(browser: Browser, tmp_path: Path) -> None:
    body = FORM.format(query="type=application/octet-stream")
    async with small_site(tmp_path, body) as site, requester(browser, site) as page:
        async with page.expect_download() as saved:
            await page.get_by_role("button", name="Go").click()
        file = await saved.value
        assert (await file.path()).read_bytes() == b"a=1"
        await expect(page.get_by_role("button", name="Go")).to_be_enabled()
    assert [(method, body) for method, _, _, body in site.ran] == [("POST", b"a=1")]


async def test_where_there_is_nothing_to_show_the_page_stays(browser: Browser, tmp_path: Path) -> None:
    body = FORM.format(query="status=204")
    async with small_site(tmp_path, body) as site, requester(browser, site) as page:
        await page.get_by_role("button", name="Go").click()
        await until(page, "!document.querySelector('button').hasAttribute('aria-disabled')")
        await expect(page.get_by_role("button", name="Go")).to_be_visible()
    assert [(method, body) for method, _, _, body in site.ran] == [("POST", b"a=1")]


@pytest.mark.parametrize(("kind", "shown"), [("text/plain", "pre"), ("text/html", "body")])
async def test_text_and_pages_are_shown(browser: Browser, tmp_path: Path, kind: str, shown: str) -> None:
    body = FORM.format(query=f"type={kind}")
    async with small_site(tmp_path, body) as site, requester(browser, site) as page:
        await page.get_by_role("button", name="Go").click()
        await expect(page.locator(shown)).to_have_text("a=1")
    assert [method for method, *_ in site.ran] == ["POST"]
