"""The numbers of the security console: all that happened, and little of it read."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from demo_app.accounts import WORKSPACE
from demo_app.event_counters import FAILURES, EventCounters
from stepup_middleware import AuditEvent, AuditFilter, AuditRecord, EventName, RelyingParty, StepUp, Subject
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing import FixedClock
from stepup_middleware.testing.contract.values import MACS

from .support import ORIGIN

HOUR = timedelta(hours=1)


class CountingStore(SQLiteStore):
    """A store that counts the records it hands out."""

    read = 0

    async def audit_after(
        self, workspace_id: str | None, wanted: AuditFilter, *, after: int, limit: int
    ) -> tuple[AuditRecord, ...]:
        found = await super().audit_after(workspace_id, wanted, after=after, limit=limit)
        self.read += len(found)
        return found


async def nobody(_: object) -> Subject | None:
    return None


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CountingStore]:
    async with CountingStore(tmp_path / "stepup.db", timeout=timedelta(seconds=30)).use(MACS) as opened:
        yield opened


@pytest.fixture
def counters(store: CountingStore, clock: FixedClock) -> EventCounters:
    relying_party = RelyingParty(id="localhost", name="AxisSynapse", origins=[ORIGIN])
    stepup = StepUp(secret_key=secrets.token_bytes(48), store=store, relying_party=relying_party, identify=nobody)
    return EventCounters(stepup, WORKSPACE, clock)


def happened(name: EventName, at: datetime, *, workspace: str = WORKSPACE) -> AuditEvent:
    return AuditEvent(at=at, name=name, workspace_id=workspace, subject_id="u", purpose="holds_override")


async def totals(counters: EventCounters) -> dict[str, int]:
    return dict((await counters.day()).totals)


async def test_the_first_console_of_a_process_reads_nothing_that_it_counts(
    store: CountingStore, counters: EventCounters, clock: FixedClock
) -> None:
    now = clock()
    await store.append([happened(EventName.VERIFIED, now - HOUR * (n % 30)) for n in range(3_000)])
    await store.append([happened(EventName.VERIFIED, now, workspace="elsewhere"), happened(EventName.REUSED, now)])
    day = await counters.day()
    assert store.read == 0
    assert day.totals == {"verified": 2_400, "reused": 1}
    assert [sum(counts.values()) for _, counts in day.hours] == [100] * 23 + [101]


async def test_what_happens_then_is_read_once_and_much_of_it_is_counted_again(
    store: CountingStore, counters: EventCounters, clock: FixedClock
) -> None:
    assert await totals(counters) == {}
    await store.append([happened(EventName.VERIFIED, clock())] * 3)
    assert await totals(counters) == {"verified": 3}
    await store.append([happened(EventName.VERIFIED, clock() - 2 * HOUR)])  # of a node whose clock is wrong
    assert await totals(counters) == await totals(counters) == {"verified": 4}
    assert store.read == 1
    for number in (1_000, 1_001, 5_000):
        before = store.read
        await store.append([happened(EventName.ACTION_AUTHORIZED, clock())] * number)
        await totals(counters)
        assert store.read - before <= 1_500
    assert await totals(counters) == {"verified": 4, "authorized": 7_001}
    clock.advance(25 * HOUR)
    assert await totals(counters) == {}


async def test_clusters_are_looked_for_among_the_newest_failures(
    store: CountingStore, counters: EventCounters, clock: FixedClock
) -> None:
    await store.append([happened(EventName.FAILED, clock())] * FAILURES)
    day = await counters.day()
    assert ([each.failures for each in day.clusters], day.unread_failures) == ([FAILURES], False)
    await store.append([happened(EventName.FAILED, clock())])
    day = await counters.day()
    assert ([each.failures for each in day.clusters], day.unread_failures) == ([FAILURES], True)
