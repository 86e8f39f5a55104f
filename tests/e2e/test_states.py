"""Every state of the modal, in each language, size and appearance: what matters is in view, and axe finds nothing."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from playwright.async_api import Browser

from stepup_middleware.languages import library_languages
from tests.modal_states import STATES
from tests.states import COLOURS, DETAILS, SIZES, Case, alone, every, look, pairwise, together

LANGUAGES = library_languages().tags
STATE_AND_LANGUAGE = (0, 2)  # of a case: each with each of these is for CI, which looks at all pairs
AXE = list(itertools.product(("en", "ja", "ar"), STATES))


@pytest.mark.parametrize("apart", [None, STATE_AND_LANGUAGE])
async def test_the_rows_have_each_pair(apart: tuple[int, int] | None) -> None:
    rows = pairwise(LANGUAGES, apart=apart)
    for first, second in itertools.combinations(range(5), 2):
        wanted = {(case[first], case[second]) for case in every(LANGUAGES)}
        found = {(case[first], case[second]) for case in rows}
        assert found == wanted or (first, second) == apart
        assert {case[first] for case in rows} == {case[first] for case in every(LANGUAGES)}
    assert len(rows) < len(every(LANGUAGES)) / (30 if apart is None else 60)


async def test_the_whole_has_each_case_and_reaches_each_state_at_each_size() -> None:
    cases = every(LANGUAGES)
    groups = together(cases)
    assert sorted(case for group in groups for case in group) == sorted(cases)
    assert {(group[0].state, group[0].size) for group in groups} == set(itertools.product(STATES, SIZES))
    assert all(len({(case.state, case.language, case.details) for case in group}) == 1 for group in groups)
    assert len(groups) * 20 < len(cases)


async def test_title_focus_and_error_are_in_view_in_each_state_and_at_each_size(
    browser: Browser, tmp_path: Path
) -> None:
    cases = [
        Case(state, SIZES[n % len(SIZES)], LANGUAGES[n % len(LANGUAGES)], COLOURS[n % 3], list(DETAILS)[n % 2])
        for n, state in enumerate(STATES)
    ]
    for place in range(5):
        assert {case[place] for case in cases} == {case[place] for case in every(LANGUAGES)}
    assert await look(browser, tmp_path, alone(cases)) == []


@pytest.mark.slow
async def test_title_focus_and_error_are_in_view_in_each_state_language_size_and_appearance(
    browser: Browser, tmp_path: Path
) -> None:
    assert await look(browser, tmp_path, alone(pairwise(LANGUAGES, apart=STATE_AND_LANGUAGE))) == []


@pytest.mark.slow
async def test_what_is_in_view_stays_in_view_when_the_window_is_turned_or_enlarged(
    browser: Browser, tmp_path: Path
) -> None:
    states = ("opened", "wrong_code", "wrong_key", "expired", "wrong_digits", "approving_by_a_wrong_code")
    cases = [
        case for case in every(["en"]) if case.state in states and (case.colours, case.details) == ("light", "long")
    ]
    assert await look(browser, tmp_path, together(cases)) == []


@pytest.mark.exhaustive
async def test_title_focus_and_error_are_in_view_wherever_two_of_state_language_size_and_appearance_meet(
    browser: Browser, tmp_path: Path
) -> None:
    assert await look(browser, tmp_path, alone(pairwise(LANGUAGES))) == []


def axe_cases(*, some: bool = False) -> list[Case]:
    """Return each state in each of three languages; ``some``: each state in one of them."""
    appearances = itertools.cycle((((1280, 800), "light"), ((360, 640), "dark"), ((360, 640), "light")))
    cases = [
        Case(state, size, language, colours, "long")  # type: ignore[arg-type]
        for (language, state), (size, colours) in zip(AXE, appearances, strict=False)
    ]
    return [case for place, case in enumerate(cases) if not some or place // len(STATES) == place % len(STATES) % 3]


@pytest.mark.slow
async def test_axe_finds_nothing_in_any_state_in_one_of_three_languages_one_from_right_to_left(
    browser: Browser, tmp_path: Path
) -> None:
    cases = axe_cases(some=True)
    assert {case.state for case in cases} == set(STATES)
    assert {case.language for case in cases} == {"en", "ja", "ar"}
    assert await look(browser, tmp_path, alone(cases), axe=True) == []


@pytest.mark.exhaustive
async def test_axe_finds_nothing_in_any_state_in_three_languages(browser: Browser, tmp_path: Path) -> None:
    assert await look(browser, tmp_path, alone(axe_cases()), axe=True) == []
