"""Counting the log by hour, event and outcome: what a plain read of the records would count, and nobody reads them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from random import Random

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.events import AuditEvent, EventName, Outcome
from stepup_middleware.stores.base import HotState

from .values import MICROSECOND, MINUTE, NOW, Opener, all_records, event

EVENTS = (EventName.VERIFIED, EventName.FAILED, EventName.ACTION_AUTHORIZED, EventName.REUSED)
HOUR = timedelta(hours=1)


def log_of(count: int, chance: Random) -> list[AuditEvent]:
    """Make events of two workspaces and several days by chance; clocks go back now and then, by hours."""
    return [
        event(
            chance.choices(EVENTS, (50, 5, 44, 1))[0],
            outcome=chance.choice((None, None, Outcome.CANCELLED)),
            at=NOW + 11 * MINUTE * number - (chance.randrange(9) * HOUR if chance.random() < 0.1 else timedelta(0)),
            workspace_id=chance.choices(("w-1", "w-2"), (8, 2))[0],
        )
        for number in range(count)
    ]


def counted(
    records: list[AuditRecord], workspace: str, since: datetime, until: datetime | None
) -> Counter[tuple[datetime, EventName, Outcome]]:
    """Count as a plain read would."""
    return Counter(
        (record.at.replace(minute=0, second=0, microsecond=0), record.event, record.outcome)
        for record in records
        if record.workspace_id == workspace and record.at >= since and (until is None or record.at < until)
    )


class CountContract:
    """Counting the log by hour, event and outcome: as a plain read of the records would, and nobody reads them."""

    async def test_counts_are_those_of_a_plain_read(self, store: HotState) -> None:
        chance, count = Random(11), 400
        await store.records.append(log_of(count, chance))
        records = await all_records(store)
        found = 0
        for number in range(100):
            since = NOW + 11 * MINUTE * chance.randrange(-50, count + 10)
            until = chance.choice((None, since + MINUTE * chance.randrange(5_000)))
            workspace = chance.choice(("w-1", "w-1", "w-2"))
            counts = await store.records.count_events(workspace, since=since, until=until)
            assert counts.by_hour == counted(records, workspace, since, until), (number, workspace, since, until)
            assert counts.last_seq == count
            found += sum(counts.by_hour.values())
        assert found > 1_000

    async def test_a_count_begins_at_its_first_moment_and_ends_before_its_last(self, store: HotState) -> None:
        noon = (NOW, EventName.POLICY_CHANGED, Outcome.SUCCESS)
        await store.records.append(
            [event(at=at) for at in (NOW - MICROSECOND, NOW, NOW + HOUR - MICROSECOND, NOW + HOUR)]
        )
        assert (await store.records.count_events("w-1", since=NOW, until=NOW + HOUR)).by_hour == {noon: 2}
        assert (await store.records.count_events("w-1", since=NOW, until=NOW)).by_hour == {}
        assert sum((await store.records.count_events("w-1", since=NOW - MICROSECOND)).by_hour.values()) == 4
        elsewhere = timezone(timedelta(hours=5, minutes=30))
        there = await store.records.count_events(
            "w-1", since=NOW.astimezone(elsewhere), until=(NOW + HOUR).astimezone(elsewhere)
        )
        assert there.by_hour == {noon: 2}
        assert all(hour.tzinfo is UTC for hour, _, _ in there.by_hour)

    async def test_nothing_is_counted_where_there_is_nothing(self, store: HotState) -> None:
        empty = await store.records.count_events("w-1", since=NOW)
        assert (empty.by_hour, empty.last_seq) == ({}, 0)
        await store.records.append([event()])
        for workspace in ("w-2", "", "w-1\0"):
            assert (await store.records.count_events(workspace, since=NOW)).by_hour == {}
        assert (await store.records.count_events("w-1", since=NOW + MINUTE)).by_hour == {}

    async def test_reading_on_from_a_count_meets_what_it_did_not_count(
        self, store: HotState, open_node: Opener
    ) -> None:
        failed = (NOW, EventName.FAILED, Outcome.FAILURE)
        await store.records.append([event(EventName.FAILED)] * 3)
        counts = await store.records.count_events("w-1", since=NOW)
        assert counts.by_hour == {failed: 3}
        async with open_node() as other:
            await other.records.append([event(EventName.VERIFIED, at=NOW - HOUR)])
        beyond = await store.records.audit_after("w-1", AuditFilter(), after=counts.last_seq, limit=10)
        assert [record.event for record in beyond] == [EventName.VERIFIED]
        since_before = await store.records.count_events("w-1", since=NOW - HOUR)
        assert since_before.by_hour == {failed: 3, (NOW - HOUR, EventName.VERIFIED, Outcome.SUCCESS): 1}
