"""Purging: what is over goes, what must stay stays, and the chains still hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stepup_middleware.core.decisions import Flag, Verdict
from stepup_middleware.core.heads import SignedHead
from stepup_middleware.core.prompts import PROMPT_LIFETIME
from stepup_middleware.core.retention import CLOCKS_DIFFER, LONGEST_LEAP, Purged
from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.records import Records

from .values import (
    MICROSECOND,
    NOW,
    TTL,
    all_records,
    assert_chains_hold,
    enrol,
    event,
    hold,
)

DAY = timedelta(days=1)


async def purge_at(store: HotState, now: datetime, limit: int = 1000) -> Purged:
    """Purge at a moment that a person confirms, with a record of that very moment."""
    await store.records.append([event(at=now, reason="now", retention_years=100)])
    return await store.records.purge(now=now, limit=limit, clock_confirmed=True)


def years_on(moment: datetime, years: int) -> datetime:
    return moment.replace(year=moment.year + years)


def skip_where_rows_go_by_themselves(store: HotState) -> None:
    if not isinstance(store, Records):
        pytest.skip("prompts and tokens are kept apart from the records, and end by themselves")


class PurgeContract:
    """Purging: what is over goes, what must stay stays, and the chains still hold."""

    @pytest.mark.parametrize("years", [1, 10])
    async def test_an_event_is_kept_for_its_calendar_years_to_the_microsecond(
        self, store: HotState, years: int
    ) -> None:
        await store.records.append([event(at=NOW, retention_years=years)])  # A11
        end = years_on(NOW, years)
        assert (await purge_at(store, end - MICROSECOND)).events == 0
        assert (await purge_at(store, end)).events == 1
        await assert_chains_hold(store)

    async def test_an_event_of_29_february_is_kept_until_1_march_where_there_is_no_such_day(
        self, store: HotState
    ) -> None:
        leap = datetime(2028, 2, 29, 8, 30, tzinfo=UTC)
        await store.records.append([event(at=leap, retention_years=1)])
        assert (await purge_at(store, datetime(2029, 3, 1, 8, 30, tzinfo=UTC) - MICROSECOND)).events == 0
        assert (await purge_at(store, datetime(2029, 3, 1, 8, 30, tzinfo=UTC))).events == 1
        four = datetime(2032, 2, 29, 8, 30, tzinfo=UTC)
        await store.records.append([event(at=four, retention_years=4)])
        assert (await purge_at(store, datetime(2036, 2, 29, 8, 30, tzinfo=UTC) - MICROSECOND)).events == 0
        assert (await purge_at(store, datetime(2036, 2, 29, 8, 30, tzinfo=UTC))).events == 1

    async def test_what_stays_after_a_purge_is_a_chain_from_where_it_begins(self, store: HotState) -> None:
        for day in range(10):  # A16
            await store.records.append([event(at=NOW + day * DAY, reason=str(day))])
        last = await store.records.last_seq()
        now = years_on(NOW, 1) + 4 * DAY
        assert (await purge_at(store, now)).events == 5
        records = await all_records(store)
        assert [record.reason for record in records] == ["5", "6", "7", "8", "9", "now"]
        (start,) = await store.records.chain_starts()
        assert (start.link, start.purged_at) == (5, now)
        assert records[0].previous == start.hash
        assert records[0].seq == 6
        assert await store.records.last_seq() == last + 1
        await store.records.append([event()])
        await assert_chains_hold(store)

    async def test_the_heads_of_what_was_purged_go_and_those_of_what_stays_stay(self, store: HotState) -> None:
        for day in range(10):
            await store.records.append([event(at=NOW + day * DAY)])
        (newest,) = await store.records.chain_heads()
        for link in range(1, 11):
            await store.records.add_head(
                SignedHead(chain=newest.chain, link=link, hash=bytes(32), at=NOW, key_id="k", signature=bytes(64))
            )
        assert (await purge_at(store, years_on(NOW, 1) + 4 * DAY)).events == 5
        assert [head.link for head in await store.records.heads(newest.chain)] == [5, 6, 7, 8, 9, 10]

    async def test_a_chain_that_was_purged_to_its_end_goes_on_from_there(self, store: HotState) -> None:
        await store.records.append([event(at=NOW) for _ in range(3)])
        later = years_on(NOW, 2)
        assert (await purge_at(store, later)).events == 3
        seq = await store.records.last_seq()
        await store.records.append([event(at=later)])
        newest = (await all_records(store))[-1]
        assert newest.link == 4
        assert newest.seq == seq + 1
        await assert_chains_hold(store)

    async def test_a_record_from_a_future_clock_goes_with_the_neighbours_it_was_written_among(
        self, store: HotState
    ) -> None:
        ahead = NOW + 11 * 365 * DAY  # A13
        await store.records.append([event(at=NOW), event(at=ahead), event(at=NOW + DAY), event(at=NOW + 2 * DAY)])
        end = years_on(NOW + 2 * DAY, 1)
        assert (await purge_at(store, end - MICROSECOND)).events == 1
        assert (await purge_at(store, end)).events == 3
        await assert_chains_hold(store)

    async def test_a_record_from_a_future_clock_without_neighbours_stays_until_its_own_time(
        self, store: HotState
    ) -> None:
        await store.records.append([event(at=NOW + 400 * DAY)])
        assert (await purge_at(store, years_on(NOW, 1) + DAY)).events == 0
        assert (await purge_at(store, years_on(NOW + 400 * DAY, 1))).events == 1

    async def test_a_purge_is_bounded_and_says_whether_there_is_more(self, store: HotState) -> None:
        await store.records.append([event(at=NOW) for _ in range(25)])
        later = years_on(NOW, 2)
        purged = [await purge_at(store, later, limit=10) for _ in range(3)]
        assert [(one.events, one.more) for one in purged] == [(10, True), (10, True), (5, False)]
        await assert_chains_hold(store)

    @pytest.mark.parametrize(
        "off", [timedelta(days=365 * 11), LONGEST_LEAP + MICROSECOND, -CLOCKS_DIFFER - MICROSECOND]
    )
    async def test_a_clock_that_looks_wrong_purges_nothing_and_is_reported(
        self, store: HotState, off: timedelta
    ) -> None:
        await store.records.append([event(at=NOW, retention_years=1)])  # A12
        await hold(store)
        purged = await store.records.purge(now=NOW + off, limit=100)
        assert (purged.events, purged.prompts, purged.tokens, purged.more) == (0, 0, 0, False)
        assert len(purged.anomalies) == 1
        assert len(await all_records(store)) == 4

    @pytest.mark.parametrize("off", [LONGEST_LEAP, -CLOCKS_DIFFER])
    async def test_a_quiet_month_and_clocks_that_differ_a_little_are_no_anomaly(
        self, store: HotState, off: timedelta
    ) -> None:
        await store.records.append([event(at=NOW)])
        assert not (await store.records.purge(now=NOW + off, limit=100)).anomalies

    async def test_a_log_written_by_the_same_wrong_clock_is_no_witness_for_it(self, store: HotState) -> None:
        wrong = NOW + timedelta(days=365 * 11)  # A12
        await store.records.append([event(at=NOW, retention_years=years) for years in (1, 10)])
        assert not (await store.records.purge(now=NOW, limit=100)).anomalies
        await store.records.append([event(at=wrong)])
        assert len((await store.records.purge(now=wrong, limit=100)).anomalies) == 1
        assert len(await all_records(store)) == 3

    async def test_each_purge_is_the_measure_of_the_next(self, store: HotState) -> None:
        await store.records.append([event(at=NOW)])
        now = NOW
        for _ in range(9):  # more than a year of monthly purges
            now += LONGEST_LEAP
            assert not (await store.records.purge(now=now, limit=100)).anomalies
        assert await all_records(store) == []
        assert len((await store.records.purge(now=now - DAY, limit=100)).anomalies) == 1
        assert len((await store.records.purge(now=now + 365 * DAY, limit=100)).anomalies) == 1
        assert not (await store.records.purge(now=now + 365 * DAY, limit=100, clock_confirmed=True)).anomalies
        assert not (await store.records.purge(now=now + 366 * DAY, limit=100)).anomalies

    async def test_an_hour_after_a_prompt_expired_it_goes_and_its_token_stays_a_month(self, store: HotState) -> None:
        skip_where_rows_go_by_themselves(store)
        held = await hold(store)  # T29
        await store.redeem(held.shown())
        gone = NOW + PROMPT_LIFETIME + timedelta(hours=1)
        assert (await purge_at(store, gone - MICROSECOND)).prompts == 0
        assert await purge_at(store, gone) == Purged(prompts=1)
        assert (await store.redeem(held.shown(now=gone))).decision.verdict is Verdict.REUSED
        over = NOW + timedelta(seconds=1) + TTL + 30 * DAY
        assert (await purge_at(store, over - MICROSECOND)).tokens == 0
        assert (await store.redeem(held.shown(now=over))).decision.verdict is Verdict.REUSED
        assert (await purge_at(store, over)).tokens == 1
        assert (await store.redeem(held.shown(now=over))).decision.flags == (Flag.STATE_LOST,)

    async def test_a_token_minted_after_a_purge_is_not_opened_by_an_older_one_of_its_number(
        self, store: HotState
    ) -> None:
        skip_where_rows_go_by_themselves(store)
        old = await hold(store)
        over = NOW + timedelta(days=31)
        assert (await purge_at(store, over)).tokens == 1
        factor = await enrol(store)
        new = await hold(store, factor=factor, now=over)
        answer = await store.redeem(old.shown(now=over + timedelta(seconds=2)))
        assert answer.decision.flags == (Flag.STATE_LOST,)
        assert (await store.redeem(new.shown())).decision.verdict is Verdict.REDEEMED

    async def test_an_empty_store_has_nothing_to_purge(self, store: HotState) -> None:
        assert await store.records.purge(now=NOW, limit=10) == Purged()
