"""The threat model says of each case what the tests and the code say of it."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from pathlib import Path

import pytest

from demo_app.guide_pages import FOLDER
from stepup_middleware.core.attempts import AttemptLimit
from stepup_middleware.core.events import EventName, Severity
from stepup_middleware.core.prompts import OPEN_PROMPTS_PER_SESSION
from stepup_middleware.service.ceremony_parts import WEBAUTHN_LIMIT
from stepup_middleware.service.enrolment import FRESH_SIGN_IN
from tests import catalogue
from tests.attackers.grants import LOG_RULES, RULES
from tests.attackers.tables import SEALED
from tests.support import TRANSMIT, Browser, House, code_of, house_in

TEXT = (FOLDER / "threats.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| ([A-Z][0-9]{2}) \|(.*)$", TEXT, re.MULTILINE))


@pytest.mark.slow
def test_each_case_of_the_page_is_a_case_of_the_catalogue_and_each_exempt_one_is_on_it() -> None:
    listed = {case.id: case for case in catalogue.listed()}
    assert set(ROWS) <= set(listed)
    assert {case.id for case in listed.values() if case.exempt} <= set(ROWS)
    for id_ in ROWS:
        assert listed[id_].exempt or catalogue.tests_by_case()[id_]


def test_each_section_that_the_page_names_is_in_the_catalogue_and_all_of_it_is_named_by_tests() -> None:
    (paragraph,) = re.findall(r"^The sections of the catalogue .*?\n\n", TEXT, re.MULTILINE | re.DOTALL)
    named = re.findall(r"\b[A-Z]\b", paragraph)
    assert len(named) == len(set(named)) == 18
    tests = catalogue.tests_by_case()
    cases = [case for case in catalogue.listed() if case.section in named]
    assert {case.section for case in cases} == set(named)
    assert [case.id for case in cases if not case.exempt and case.id not in tests] == []


def test_the_commands_of_the_page_are_there() -> None:
    commands = re.findall(r"`python -m (tests\.[a-z_]+)[ `]", TEXT)
    assert len(commands) == 6
    for name in commands:
        assert importlib.util.find_spec(name) is not None


def test_what_who_writes_the_database_can_do_is_said_in_the_words_of_the_tests() -> None:
    evidence = (FOLDER / "evidence.md").read_text(encoding="utf-8")
    for text, begins, rules in (
        (TEXT, "What somebody who can write every row, and has no key, can still do:", RULES),
        (evidence, "Of what somebody who writes the tables and has no key may do,", LOG_RULES),
    ):
        part = text[text.index(begins) :]
        listed = part[part.index("\n- ") :].split("\n\n")[0]
        assert tuple(line.removeprefix("- ") for line in listed.strip().splitlines()) == rules


def test_each_cell_of_who_can_do_what_has_a_test_that_is_there() -> None:
    part = (FOLDER / "evidence.md").read_text(encoding="utf-8").split("## Who can do what, undetected")[1]
    claims, tests, *_ = (
        [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
        for table in re.findall(r"(?:^\|.*\n)+", part, re.MULTILINE)
    )
    assert [row[0] for row in tests] == [row[0] for row in claims if any(row[1:]) and "the person" not in row[1]]
    for row in tests:
        assert len(row) == len(claims[0])
        for cell in row[1:]:
            file, _, name = cell.strip("`").partition("::")
            source = FOLDER.parents[1].joinpath(file).read_text(encoding="utf-8")
            assert re.search(rf"^(?:async )?def {name}\(", source, re.MULTILINE), cell


def test_the_rows_that_the_page_names_are_those_that_have_a_mac() -> None:
    words = {
        "factors": "factors", "people": "user handles", "policies": "policies", "prompts": "prompts",
        "tokens": "tokens", "enrolments": "enrolments that have begun", "enrolment_passes": "passes",
        "enrolment_rights": "rights",
        "recovery_codes": "recovery codes", "reset_requests": "resets that wait",
        "known_people": "names of people", "approvals": "approvals",
    }  # fmt: skip
    (listed,) = re.findall(r"^Each row that decides .*?\n\n", TEXT, re.MULTILINE | re.DOTALL)
    assert words.keys() == SEALED.keys() - {"mac_keys"}
    for word in words.values():
        assert word in " ".join(listed.split())


def test_the_figures_of_the_page_are_those_of_the_code() -> None:
    assert f"ask for {OPEN_PROMPTS_PER_SESSION} prompts" in TEXT
    assert (AttemptLimit().failures, AttemptLimit().disable_at, AttemptLimit().longest.total_seconds()) == (
        5,
        100,
        3600,
    )
    assert WEBAUTHN_LIMIT.disable_at is None
    assert FRESH_SIGN_IN.total_seconds() == 600
    assert EventName.BLOCKED.severity is Severity.WARNING
    assert [name for name in EventName if name.severity is Severity.CRITICAL] == [
        EventName.REUSED,
        EventName.DATABASE_ALTERED,
    ]


# C03
async def test_a_token_is_bound_to_the_session_and_not_to_the_time_of_its_sign_in(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        await _signs_in_again(house, ada, new_id=False)
        assert (await ada.post(TRANSMIT, token=token)).status_code == 200
        token = await ada.token("POST", TRANSMIT, "passkey")
        again = await _signs_in_again(house, ada, new_id=True)
        assert code_of(await again.post(TRANSMIT, token=token)) == "STEPUP_REQUIRED"


async def _signs_in_again(house: House, ada: Browser, *, new_id: bool) -> Browser:
    if new_id:
        return ada.signed_in_again()
    assert ada.subject is not None
    house.clock.advance(1)
    house.sessions[ada.subject.session_id] = replace(ada.subject, signed_in_at=house.clock())
    return ada


@pytest.mark.parametrize("spoilt", ["", ".", "x" * 72, "x" * 71, "=" * 72])
async def test_the_log_has_one_reason_for_a_token_that_is_none_of_ours(tmp_path: Path, spoilt: str) -> None:
    async with house_in(tmp_path) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        await ada.post(TRANSMIT, token=spoilt)
        assert (await house.events(EventName.BLOCKED))[-1].reason == "malformed_token"
