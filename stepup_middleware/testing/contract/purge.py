"""Purging: what is over goes, what must stay stays, and the tree stays whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stepup_middleware.core.decisions import Flag, Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.core.prompts import PROMPT_LIFETIME
from stepup_middleware.core.retention import CLOCKS_DIFFER, LONGEST_LEAP, Purged
from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.records import Records

from .tree import assert_tree_holds, integrate
from .values import (
    MICROSECOND,
    MINUTE,
    NOW,
    TTL,
    all_records,
    enrol,
    event,
    hold,
    passkey,
)

DAY = timedelta(days=1)
LONG_AGO = datetime(2013, 5, 7, 12, 0, tzinfo=UTC)


async def purge_at(store: HotState, now: datetime, limit: int = 1000) -> Purged:
    """Purge at a moment that a person confirmed, with all records in the tree and one of that very moment."""
    await store.records.append([event(at=now, reason="now", retention_years=100)])
    await integrate(store)
    return await store.records.purge(now=now, limit=limit, clock_confirmed=True)


async def purge_whole(store: HotState, now: datetime) -> int:
    """Purge until there is no more, and return how many records went."""
    events = 0
    while (purged := await purge_at(store, now, limit=7)).more:
        events += purged.events
    return events + purged.events


def years_on(moment: datetime, years: int) -> datetime:
    return moment.replace(year=moment.year + years)


def skip_where_rows_go_by_themselves(store: HotState) -> None:
    if not isinstance(store, Records):
        pytest.skip("prompts and tokens are kept apart from the records, and end by themselves")


class PurgeContract:
    """Purging: what is over goes, what must stay stays, and the tree stays whole.

    A database may believe no clock that runs ahead of its own, so what is purged here was written long ago.
    """

    @pytest.mark.parametrize("years", [1, 10])
    async def test_a_record_is_kept_for_its_calendar_years_through_their_last_day(
        self, store: HotState, years: int
    ) -> None:
        await store.records.append([event(at=LONG_AGO, retention_years=years)])  # A11
        last = years_on(LONG_AGO, years).replace(hour=23, minute=59)
        assert (await purge_at(store, last)).events == 0
        assert (await purge_at(store, last + MINUTE)).events == 1
        await assert_tree_holds(store)

    async def test_a_record_of_29_february_is_kept_through_1_march_where_there_is_no_such_day(
        self, store: HotState
    ) -> None:
        leap = datetime(2016, 2, 29, 8, 30, tzinfo=UTC)
        await store.records.append([event(at=leap, retention_years=1)])
        assert (await purge_at(store, datetime(2017, 3, 1, 23, 59, tzinfo=UTC))).events == 0
        assert (await purge_at(store, datetime(2017, 3, 2, tzinfo=UTC))).events == 1
        await store.records.append([event(at=leap, retention_years=4)])
        assert (await purge_at(store, datetime(2020, 2, 29, 23, 59, tzinfo=UTC))).events == 0
        assert (await purge_at(store, datetime(2020, 3, 1, tzinfo=UTC))).events == 1

    async def test_what_goes_leaves_its_leaf_and_the_log_goes_on(self, store: HotState) -> None:
        for day in range(10):  # A16
            await store.records.append([event(at=LONG_AGO + day * DAY, reason=str(day))])
        last = await store.records.last_seq()
        assert (await purge_at(store, years_on(LONG_AGO, 1) + 5 * DAY)).events == 5
        records = await all_records(store)
        assert [record.reason for record in records] == ["5", "6", "7", "8", "9", "now"]
        assert [record.index for record in records] == [5, 6, 7, 8, 9, 10]
        assert len(await store.records.leaves(first=0, limit=100)) == 11
        assert await store.records.last_seq() == last + 1
        await store.records.append([event()])
        await integrate(store)
        await assert_tree_holds(store)

    async def test_a_record_without_a_leaf_stays(self, store: HotState) -> None:
        await store.records.append([event(at=LONG_AGO)])
        purged = await store.records.purge(now=years_on(LONG_AGO, 2), limit=10, clock_confirmed=True)
        assert purged.events == 0
        assert (await purge_at(store, years_on(LONG_AGO, 2))).events == 1

    async def test_no_record_holds_up_another(self, store: HotState) -> None:
        ahead = LONG_AGO + 11 * 365 * DAY  # A13: by a clock that stood ahead
        await store.records.append(
            [event(at=LONG_AGO), event(at=ahead), event(at=LONG_AGO, retention_years=10), event(at=LONG_AGO + DAY)]
        )
        assert await purge_whole(store, years_on(LONG_AGO, 1) + 2 * DAY) == 2
        assert [record.at for record in (await all_records(store))[:2]] == [ahead, LONG_AGO]

    async def test_a_purge_is_bounded_and_says_whether_there_is_more(self, store: HotState) -> None:
        await store.records.append([event(at=LONG_AGO) for _ in range(25)])
        later = years_on(LONG_AGO, 2)
        purged = [await purge_at(store, later, limit=10) for _ in range(3)]
        assert [(one.events, one.more) for one in purged] == [(10, True), (10, True), (5, False)]
        await assert_tree_holds(store)

    async def test_an_enrolment_stays_as_long_as_its_factor_or_a_proof_by_it(self, store: HotState) -> None:
        factors = [passkey(created_at=LONG_AGO) for _ in range(20)]
        for factor in factors:
            told = event(EventName.FACTOR_ENROLLED, at=LONG_AGO, factor_id=factor.id)
            assert await store.records.add_webauthn_factor("w-1", "u-owner", factor, event=told)
        proof = event(EventName.VERIFIED, at=LONG_AGO, factor_id=factors[0].id, retention_years=3)
        await store.records.append([proof])

        async def enrolled() -> set[str]:
            records = await all_records(store)
            return {record.factor_id for record in records if record.event is EventName.FACTOR_ENROLLED}

        assert await purge_whole(store, years_on(LONG_AGO, 2)) == 0
        for factor in factors[:10]:
            removed = event(EventName.FACTOR_REMOVED, at=LONG_AGO, factor_id=factor.id, retention_years=100)
            await store.records.remove_factor("w-1", "u-owner", factor.id, event=removed, now=NOW)
        assert await purge_whole(store, years_on(LONG_AGO, 2)) == 9
        assert await enrolled() == {factor.id for factor in (factors[0], *factors[10:])}
        later = years_on(LONG_AGO, 4)  # the proof goes, and then the enrolment
        assert await purge_whole(store, later) + await purge_whole(store, later) == 2
        assert await enrolled() == {factor.id for factor in factors[10:]}

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
        await store.records.append([event(at=LONG_AGO)])
        await integrate(store)
        now = LONG_AGO
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
