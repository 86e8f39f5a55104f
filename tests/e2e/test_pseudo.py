"""Every page and state in a language that nobody speaks: no text is left in English, and none is cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.pseudo import left, pseudo, run


@pytest.mark.parametrize("text", ["Cancel", "as <strong>%(name)s</strong>", "100 %% of %(number)s"])
async def test_a_text_keeps_its_values_and_markup_and_grows(text: str) -> None:
    other = pseudo(text)
    assert other != text
    assert len(other) >= 1.4 * len(text) - 12
    values = {"name": "Ada", "number": 3}
    assert left([other % values]) == []
    assert left([f"{other % values} more"]) != []


async def test_no_text_is_left_in_english_and_none_is_cut_off(browser: Browser, tmp_path: Path) -> None:
    assert await run(browser, tmp_path) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("language", ["en", "ja", "ar"])
async def test_axe_finds_nothing_on_any_page_and_state_of_the_demo(
    browser: Browser, tmp_path: Path, language: str
) -> None:
    assert await run(browser, tmp_path, language) == []
