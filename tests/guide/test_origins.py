"""Bearer tokens and other origins: the examples hold, and the table of who gets in is what Chromium does."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright, expect

from demo_app.guide_pages import FOLDER
from tests import cross_origin
from tests.e2e.conftest import CHROMIUM_ARGUMENTS, browser, chromium_path
from tests.e2e.origins import origins
from tests.e2e.test_other_origins import open_page

from .harness import Ran

__all__ = ["browser"]  # a fixture


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.asyncio(loop_scope="session")
async def test_nobody_unlisted_gets_in_and_the_table_of_the_guide_is_what_chromium_does(
    tmp_path: Path,
) -> None:
    async with async_playwright() as playwright:
        path = chromium_path(windowed=True)
        windowed = await playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        cells = await cross_origin.matrix(windowed, tmp_path)
    assert cross_origin.table(cells) in (FOLDER / "origins.md").read_text(encoding="utf-8")
    let_in = {name for (name, *_), outcome in cells.items() if outcome == "asked, and can answer"}
    assert let_in == {"own", "sibling", "apart"}


@pytest.mark.e2e
@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.block("configure.js", "factors.js")
async def test_the_examples_configure_and_mount(blocks: dict[str, str], browser: Browser, tmp_path: Path) -> None:
    async with origins(tmp_path) as site:
        page = await open_page(browser, site, "sibling", bearer=True)
        configure = blocks["configure.js"].replace("https://api.example.com", site.api)
        await page.evaluate("() => { window.freshAccessToken = async () => 'ada'; }")
        await page.evaluate(f"async () => {{ {configure} {blocks['factors.js']} window.unmount = unmount; }}")
        await expect(page.get_by_role("button", name="Add passkey")).to_be_visible()
        await page.evaluate("() => unmount()")
        await expect(page.get_by_role("button", name="Add passkey")).to_have_count(0)
        await page.context.close()


async def test_the_subject_of_a_token_is_the_sessions(ran: Ran) -> None:
    claims = {"sub": "ada", "sid": "s-1", "jti": "t-1", "org": "main", "name": "Ada", "auth_time": 1_790_000_000}
    assert ran.names["subject_of"](claims).session_id == "s-1"
    assert ran.names["related"].origins == (
        "https://example.com",
        "https://example.co.uk",
        "https://payday.example",
    )
