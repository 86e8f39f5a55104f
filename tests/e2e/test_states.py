"""Every state of the modal, in each language, size and appearance: what matters is in view, and axe finds nothing."""

from __future__ import annotations

import itertools
from pathlib import Path

from playwright.async_api import Browser

from stepup_middleware.languages import library_languages
from tests.states import STATES, Case, every, look, pairwise

LANGUAGES = library_languages().tags


async def test_the_rows_of_the_suite_have_each_pair() -> None:
    rows = pairwise(LANGUAGES)
    for first, second in itertools.combinations(range(5), 2):
        wanted = {(case[first], case[second]) for case in every(LANGUAGES)}
        assert {(case[first], case[second]) for case in rows} == wanted
    assert len(rows) < len(every(LANGUAGES)) / 20


async def test_title_focus_and_error_are_in_view_in_each_language_size_and_appearance(
    browser: Browser, tmp_path: Path
) -> None:
    assert await look(browser, tmp_path, pairwise(LANGUAGES)) == []


async def test_axe_finds_nothing_in_any_state_in_three_languages_one_from_right_to_left(
    browser: Browser, tmp_path: Path
) -> None:
    appearances = itertools.cycle((((1280, 800), "light"), ((360, 640), "dark"), ((360, 640), "light")))
    cases = [
        Case(state, size, language, colours, "long")  # type: ignore[arg-type]
        for (language, state), (size, colours) in zip(
            itertools.product(("en", "ja", "ar"), STATES), appearances, strict=False
        )
    ]
    assert await look(browser, tmp_path, cases, axe=True) == []
