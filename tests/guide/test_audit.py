"""The audit log's page: what it says of retention and floods is so."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from demo_app.guide_pages import FOLDER
from stepup_middleware import PLATFORM_PURPOSES, EventName
from stepup_middleware.core.prompts import OPEN_PROMPTS_PER_SESSION
from stepup_middleware.core.purposes import Catalogue
from stepup_middleware.core.retention import CLOCKS_DIFFER, LONGEST_LEAP, TOKENS_STAY, later_by_years
from stepup_middleware.service.refusal_throttle import LOGGED_EACH, REFUSED_PRESENTATIONS
from stepup_middleware.service.spool import MOST_SPOOLED

from .harness import Ran

PAGE = (FOLDER / "audit.md").read_text(encoding="utf-8")


def test_the_page_names_every_event() -> None:
    assert {event.value for event in EventName} == set(
        re.findall(
            r"`(A[A-Z_]+|SESSION_[A-Z]+|POLICY_[A-Z]+|FACTORS?_[A-Z_]+|ENROLMENT_[A-Z_]+|RECOVERY_[A-Z_]+|DATABASE_[A-Z]+|LOG_[A-Z]+)`",
            PAGE,
        )
    )


@pytest.mark.slow
async def test_the_page_exports_and_purges(ran: Ran) -> None:
    exported, purged, clock_confirmed = ran.outputs
    assert exported == "0 records\n" * 3
    names = ["audit.csv", "audit.ndjson", "audit.ocsf.ndjson"]
    assert {path.name for path in ran.folder.glob("audit*")} == {*names, *(f"{name}.manifest.json" for name in names)}
    assert purged == clock_confirmed == "purged 0 events, 0 prompts, 0 tokens\n"
    assert ran.names["replays"].events == ()
    assert (ran.names["day"].by_hour, ran.names["day"].last_seq) == ({}, 0)
    assert (
        next(purpose for purpose in ran.names["purposes"] if purpose.id == "payroll_ach_transmit").retention_years == 7
    )


@pytest.mark.parametrize(
    ("years", "end"), [(1, datetime(2029, 3, 1, tzinfo=UTC)), (10, datetime(2038, 3, 1, tzinfo=UTC))]
)
def test_what_the_page_says_of_29_february_is_so(years: int, end: datetime) -> None:
    assert later_by_years(datetime(2028, 2, 29, tzinfo=UTC), years) == end  # A11
    assert f"{end.day} March {end.year}" in PAGE


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    assert f"{LONGEST_LEAP.days} days after the last purge" in PAGE
    assert CLOCKS_DIFFER.total_seconds() == 5 * 60
    assert f"tokens after {TOKENS_STAY.days} days" in PAGE
    assert f"its {OPEN_PROMPTS_PER_SESSION} places" in PAGE
    assert f"up to the {LOGGED_EACH}nd in five minutes" in PAGE
    assert f"After {REFUSED_PRESENTATIONS} refused tokens" in PAGE
    assert f"at least {Catalogue(PLATFORM_PURPOSES).factor_retention_years} years" in PAGE


def test_the_room_of_the_spool_is_that_of_the_page() -> None:
    assert f"room for {MOST_SPOOLED:,} events" in PAGE
