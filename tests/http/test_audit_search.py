"""Searching the log by what no index has: exact, page by page, and never more of the log at once than it says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from stepup_middleware import (
    AuditEvent,
    AuditFilter,
    AuditRecord,
    AuditSearch,
    EventName,
    FactorKind,
    Outcome,
    Severity,
)
from stepup_middleware.service.audit_search import MOST_LOOKED_AT
from tests.support import House

NAMES = (EventName.CHALLENGE_REQUESTED, EventName.VERIFIED, EventName.FAILED, EventName.REUSED)
KINDS = (None, FactorKind.TOTP, FactorKind.PASSKEY)


def events(house: House, count: int) -> list[AuditEvent]:
    """Make events of several kinds, some of them of another workspace."""
    return [
        AuditEvent(
            at=house.clock() + timedelta(seconds=n),
            name=NAMES[n % 4],
            workspace_id="elsewhere" if n % 7 == 0 else "axis",
            subject_id=f"u{n % 5}",
            prompt_id=f"{n // 4:012x}{(n // 4) ** 3 % 65_521:032x}",
            factor_kind=KINDS[n % 3],
        )
        for n in range(count)
    ]


async def all_pages(house: House, wanted: AuditSearch) -> list[AuditRecord]:
    """Return what a search finds, page by page."""
    found: list[AuditRecord] = []
    before: int | None = None
    while True:
        page = await house.stepup.audit.search("axis", wanted, before=before, limit=7)
        found += page.events
        before = page.next
        if before is None:
            return found


@pytest.mark.parametrize("number", [-(10**30), -1, 2**63 - 1, 2**63, 10**30])
async def test_a_number_that_no_record_can_have_is_a_cursor_or_an_alert_of_nothing(house: House, number: int) -> None:
    await house.store.records.append(events(house, 8))
    audit, admin = house.stepup.audit, house.sign_in("root", is_admin=True)
    for page in (
        await audit.page("axis", before=number),
        await audit.search("axis", AuditSearch(), before=number),
    ):
        assert len(page.events) == (0 if number < 0 else 6)
    assert not await house.stepup.alerts.acknowledge(admin, number)


async def test_a_search_finds_what_a_plain_read_would_and_counts_it(house: House) -> None:
    await house.store.records.append(events(house, 800))
    log = [record for record in await house.events() if record.workspace_id == "axis"][::-1]
    part = log[40].prompt_id[-8:]
    searches = [
        AuditSearch(),
        AuditSearch(severity=Severity.CRITICAL),
        AuditSearch(severity=Severity.INFO, factor=FactorKind.TOTP),
        AuditSearch(factor=FactorKind.HARDWARE_KEY),
        AuditSearch(prompt_part=part.upper()),
        AuditSearch(filter=AuditFilter(subject="u3"), severity=Severity.WARNING, factor=FactorKind.PASSKEY),
    ]
    sizes = []
    for wanted in searches:
        person = wanted.filter.subject
        expected = [each for each in log if wanted.admits(each) and person in (None, each.subject_id)]
        # by their ids: a record may get its leaf between the two readings
        assert [each.id for each in await all_pages(house, wanted)] == [each.id for each in expected], wanted
        totals = await house.stepup.audit.totals("axis", wanted)
        assert (totals.events, totals.complete) == (len(expected), True)
        assert totals.step_ups == len({each.prompt_id for each in expected})
        assert totals.people == len({each.subject_id for each in expected})
        assert sum(totals.by_outcome.values()) == len(expected)
        sizes.append(len(expected))
    assert sizes[3] == 0
    assert 0 < sizes[4] <= 4 < sizes[5] < sizes[2] < sizes[0]
    assert (await house.stepup.audit.totals("axis", AuditSearch(severity=Severity.CRITICAL))).by_outcome.keys() == {
        Outcome.DENIED
    }


async def test_a_search_for_what_is_critical_finds_every_event_that_is(house: House) -> None:
    critical = [name for name in EventName if name.severity is Severity.CRITICAL]
    assert len(critical) > 1
    await house.store.records.append(
        [AuditEvent(at=house.clock(), name=name, workspace_id="axis", subject_id="u1") for name in EventName]
    )
    found = await all_pages(house, AuditSearch(severity=Severity.CRITICAL))
    assert sorted(each.event for each in found) == sorted(critical)


async def test_what_is_rare_in_a_long_log_is_looked_for_a_part_at_a_time(house: House) -> None:
    log = events(house, 2 * MOST_LOOKED_AT)
    rare = replace(log[1], prompt_id="f" * 44)
    await house.store.records.append([rare, *log])
    wanted = AuditSearch(prompt_part="ffffffff")
    page = await house.stepup.audit.search("axis", wanted)
    assert page.events == ()
    assert page.next is not None
    assert not (await house.stepup.audit.totals("axis", wanted)).complete
    assert [each.prompt_id for each in await all_pages(house, wanted)] == [rare.prompt_id]
