"""The audit log: complete, in order, sealed, filtered, followed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.events import AuditEvent, EventName, Outcome
from stepup_middleware.log.records import read_body
from stepup_middleware.stores.base import HotState

from .values import (
    DETAILS,
    MINUTE,
    NOW,
    REQUEST,
    Opener,
    all_records,
    assert_records_hold,
    event,
    hold,
    names_of,
)

EVERYTHING = AuditFilter()


async def seqs(store: HotState, wanted: AuditFilter, workspace: str | None = None, limit: int = 1000) -> list[int]:
    page = await store.records.audit_page(workspace, wanted, before=None, limit=limit)
    return [record.seq for record in page.events]


MIXED = [
    event(EventName.VERIFIED, purpose="a", subject_id="x", prompt_id="p1", at=NOW),
    event(EventName.FAILED, purpose="a", subject_id="y", prompt_id="p2", at=NOW + MINUTE),
    event(EventName.FAILED, purpose="b", subject_id="x", at=NOW + 2 * MINUTE, workspace_id="w-2"),
    event(EventName.REUSED, purpose="b", subject_id="y", prompt_id="p1", at=NOW + 3 * MINUTE),
    event(EventName.BLOCKED, purpose="c", subject_id="x", at=NOW + 4 * MINUTE, outcome=Outcome.FAILURE),
]


class LogContract:
    """The audit log: complete, in order, sealed, filtered, followed."""

    async def test_a_record_says_all_that_the_event_said(self, store: HotState) -> None:
        told = event(
            EventName.VERIFIED,
            subject_name="Ö\r\n\x1b[31m",  # A08
            session="5e55",
            ip="192.0.2.1",
            user_agent="Mozilla \u202e",
            purpose="payroll_ach_transmit",
            prompt_id="p-1",
            request=REQUEST,
            details=DETAILS,
            flags=("one", "two"),
            outcome=Outcome.FAILURE,
            data={"deep": {"list": [1, True, None]}},
        )
        await store.records.append([told])
        (record,) = await all_records(store)
        for field in ("at", "workspace_id", "subject_id", "subject_name", "session", "ip", "user_agent", "purpose"):
            assert getattr(record, field) == getattr(told, field)
        assert (record.request, record.details, record.flags) == (told.request, told.details, told.flags)
        assert (record.outcome, record.data) == (told.outcome, told.data)
        assert read_body(record.body) == told.body()

    async def test_events_appended_together_are_written_together_in_their_order(self, store: HotState) -> None:
        await store.records.append([event(reason=str(number)) for number in range(700)])
        records = await all_records(store)
        assert [record.reason for record in records] == [str(number) for number in range(700)]
        assert [record.seq for record in records] == list(range(1, 701))
        assert await store.records.last_seq() == 700
        await assert_records_hold(store)

    async def test_an_empty_log_reads_as_empty(self, store: HotState) -> None:
        assert await store.records.last_seq() == 0
        page = await store.records.audit_page(None, EVERYTHING, before=None, limit=10)
        assert (page.events, page.next) == ((), None)
        assert await seqs(store, AuditFilter(since=NOW, until=NOW + MINUTE)) == []

    async def test_nodes_write_side_by_side_and_every_record_is_as_it_was_sealed(
        self, store: HotState, open_node: Opener
    ) -> None:
        async with open_node() as other:
            for round_ in range(5):
                for node in (store, other):
                    await node.records.append(
                        [event(retention_years=years, reason=str(round_)) for years in (1, 10, 1)]
                    )
            await asyncio.gather(*(node.records.append([event()]) for node in (store, other) for _ in range(20)))
        assert len(await all_records(store)) == 70
        await assert_records_hold(store)

    async def test_pages_lead_from_the_newest_to_the_oldest_without_gap_or_repeat(self, store: HotState) -> None:
        await store.records.append([event() for _ in range(25)])
        seen: list[int] = []
        before: int | None = None
        while True:
            page = await store.records.audit_page(None, EVERYTHING, before=before, limit=10)
            seen += [record.seq for record in page.events]
            await store.records.append([event()])  # what comes meanwhile belongs to no later page
            before = page.next
            if before is None:
                break
        assert seen == list(range(25, 0, -1))

    async def test_a_last_page_that_is_full_has_no_next(self, store: HotState) -> None:
        await store.records.append([event() for _ in range(10)])
        assert (await store.records.audit_page(None, EVERYTHING, before=None, limit=10)).next is None
        assert (await store.records.audit_page(None, EVERYTHING, before=None, limit=9)).next == 2
        assert [record.seq for record in await store.records.audit_after(None, EVERYTHING, after=8, limit=10)] == [
            9,
            10,
        ]

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            (AuditFilter(), [5, 4, 3, 2, 1]),
            (AuditFilter(event=EventName.FAILED), [3, 2]),
            (AuditFilter(purpose="b"), [4, 3]),
            (AuditFilter(subject="x"), [5, 3, 1]),
            (AuditFilter(outcome=Outcome.FAILURE), [5, 3, 2]),
            (AuditFilter(outcome=Outcome.DENIED), [4]),
            (AuditFilter(prompt="p1"), [4, 1]),
            (AuditFilter(prompt=""), [5, 3]),
            (AuditFilter(since=NOW + MINUTE), [5, 4, 3, 2]),
            (AuditFilter(until=NOW + MINUTE), [1]),
            (AuditFilter(since=NOW + MINUTE, until=NOW + 3 * MINUTE), [3, 2]),
            (AuditFilter(since=NOW + 5 * MINUTE), []),
            (AuditFilter(until=NOW), []),
            (AuditFilter(subject="x", event=EventName.FAILED), [3]),
            (AuditFilter(subject="x", purpose="a", outcome=Outcome.SUCCESS, prompt="p1", until=NOW + MINUTE), [1]),
            (AuditFilter(purpose="unknown"), []),
        ],
    )
    @pytest.mark.parametrize("workspace", [None, "w-1", "w-2", "w-3"])
    async def test_every_filter_that_is_set_must_match(
        self, store: HotState, wanted: AuditFilter, expected: list[int], workspace: str | None
    ) -> None:
        await store.records.append(MIXED)
        there = {"w-1": {1, 2, 4, 5}, "w-2": {3}, "w-3": set[int](), None: {1, 2, 3, 4, 5}}[workspace]
        matching = [seq for seq in expected if seq in there]
        assert await seqs(store, wanted, workspace) == matching
        assert await seqs(store, wanted, workspace, limit=1) == matching[:1]
        upward = await store.records.audit_after(workspace, wanted, after=0, limit=10)
        assert [record.seq for record in upward] == matching[::-1]
        beyond = await store.records.audit_after(workspace, wanted, after=3, limit=10)
        assert [record.seq for record in beyond] == [seq for seq in matching[::-1] if seq > 3]

    async def test_the_log_is_ordered_by_sequence_and_a_time_range_finds_all_when_clocks_went_back(
        self, store: HotState
    ) -> None:
        minutes = [10, 3, 12, 11, 40, 5, 41, 13, 39, 42]  # A19
        for minute in minutes:
            await store.records.append([event(at=NOW + minute * MINUTE, reason=str(minute))])
        assert [record.reason for record in await all_records(store)] == [str(minute) for minute in minutes]
        for low in range(0, 45):
            for high in range(low, 45):
                wanted = AuditFilter(since=NOW + low * MINUTE, until=NOW + high * MINUTE)
                expected = [seq for seq, minute in enumerate(minutes, 1) if low <= minute < high]
                if low % 5 == 0 or high % 7 == 0:
                    assert await seqs(store, wanted) == expected[::-1], (low, high)

    async def test_an_event_handed_over_is_written_without_a_wait_and_by_close_at_the_latest(
        self, open_node: Opener
    ) -> None:
        async with open_node() as store:
            store.records.append_soon(event(EventName.ACTION_COMPLETED, reason="first"))
            await store.records.wait_for_audit(0, seconds=5)
            assert [record.reason for record in await all_records(store)] == ["first"]
            for number in range(100):
                store.records.append_soon(event(EventName.ACTION_COMPLETED, reason=str(number)))
        async with open_node() as store:
            assert len(await all_records(store)) == 101
            await assert_records_hold(store)

    async def test_an_event_that_cannot_be_written_takes_no_other_with_it(self, store: HotState) -> None:
        store.records.append_soon(event(reason="before"))
        store.records.append_soon(event(reason="\ud800"))
        store.records.append_soon(event(reason="after"))
        await store.records.append([event(reason="waited for")])
        async with asyncio.timeout(10):
            while (seq := await store.records.last_seq()) < 3:
                await store.records.wait_for_audit(seq, seconds=1)
        assert {record.reason for record in await all_records(store)} == {"before", "after", "waited for"}
        await assert_records_hold(store)

    async def test_subscribers_hear_everything_this_process_wrote_in_the_order_of_the_log(
        self, store: HotState
    ) -> None:
        heard: list[tuple[int, AuditEvent]] = []

        def hear(written: Sequence[tuple[int, AuditEvent]]) -> None:
            heard.extend(written)

        store.records.subscribe(hear)
        held = await hold(store)
        await asyncio.gather(*(store.redeem(held.shown()) for _ in range(5)))
        store.records.append_soon(event(EventName.ACTION_COMPLETED))
        last = await store.records.last_seq()
        await store.records.wait_for_audit(last, seconds=5)
        await store.records.append([event(EventName.POLICY_CHANGED)])
        records = await all_records(store)
        assert [(seq, told.body()) for seq, told in heard] == [
            (record.seq, read_body(record.body)) for record in records
        ]

    async def test_a_subscriber_hears_nothing_that_was_rolled_back(self, store: HotState) -> None:
        heard: list[int] = []
        store.records.subscribe(lambda written: heard.extend(seq for seq, _ in written))
        results = await asyncio.gather(
            store.records.append([event(), event(reason="\ud800")]),
            store.records.append([event()]),
            return_exceptions=True,
        )
        assert isinstance(results[0], Exception)
        assert heard == [1]
        assert await names_of(store) == [EventName.POLICY_CHANGED]

    async def test_waiting_ends_with_a_record_of_this_node_or_another(self, store: HotState, open_node: Opener) -> None:
        loop = asyncio.get_running_loop()
        async with open_node() as other:
            for number, writer in enumerate((store, other)):
                waiting = asyncio.create_task(store.records.wait_for_audit(number, seconds=20))
                await asyncio.sleep(0)
                began = loop.time()
                await writer.records.append([event()])
                await waiting
                assert loop.time() - began < 5
        await store.records.wait_for_audit(1, seconds=20)  # it is there already

    async def test_waiting_in_vain_ends_with_its_time(self, store: HotState) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await store.records.wait_for_audit(0, seconds=0.05)
        assert 0.04 < loop.time() - began < 5
