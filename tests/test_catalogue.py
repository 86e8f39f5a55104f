"""The catalogue of attacks and faults: each case of a finished section is named by a test."""

from __future__ import annotations

import os

import pytest

from tests import catalogue

FINISHED = "TPOWRCHIFEDKYASXBNQGLJUMZV"
OWN = "BNQGLJUMZV"  # sections of this project, which are in no other list
OWN_CASES = (  # in sections that another list has, too
    *(f"A{number}" for number in range(20, 31)),
    *(f"C{number}" for number in range(30, 41)),
    *(f"E{number}" for number in range(12, 28)),
)


def test_each_case_of_a_finished_section_is_named_by_a_test() -> None:
    tests = catalogue.tests_by_case()
    assert [
        case.id for case in catalogue.listed() if case.section in FINISHED and not case.exempt and case.id not in tests
    ] == []


def test_a_case_that_cannot_arise_says_why_and_claims_no_test() -> None:
    tests = catalogue.tests_by_case()
    exempt = [case for case in catalogue.listed() if case.exempt]
    assert exempt
    for case in exempt:
        assert len(case.exempt) > 20
        assert case.id not in tests


def test_each_case_has_a_title_of_its_own() -> None:
    titles = [case.title for case in catalogue.listed()]
    assert len(titles) == len(set(titles))


def test_no_case_is_listed_twice() -> None:
    ids = [case.id for case in catalogue.listed()]
    assert len(ids) == len(set(ids))


def test_the_list_has_the_cases_of_the_catalogue() -> None:
    ids = catalogue.published()
    if ids is None:
        pytest.skip(f"{catalogue.SHARED.name} is not beside this checkout")
    listed = [case.id for case in catalogue.listed() if case.section not in OWN]
    assert [id_ for id_ in listed if id_ not in OWN_CASES] == ids


def test_a_case_counts_as_named_only_by_a_comment_of_a_test() -> None:
    source = os.linesep.join(
        [
            "# T01",
            "",
            "# T02",
            "# T03",
            '@mark("T05")  # T04',
            "async def test_it() -> None:",
            '    text = "# T06"',
            "    pass  # T07, T08",
            "",
            "def helper() -> None:",
            "    pass  # T09",
        ]
    )
    assert sorted(catalogue.named_in(source)) == [(id_, "test_it") for id_ in ("T02", "T03", "T04", "T07", "T08")]
