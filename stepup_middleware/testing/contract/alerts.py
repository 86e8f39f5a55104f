"""Alerts stay in the store, from the transaction that wrote them, until somebody says that they arrived."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from stepup_middleware.core.audit import Alert
from stepup_middleware.core.events import EventName
from stepup_middleware.core.retention import ALERTS_STAY
from stepup_middleware.stores.base import HotState

from .values import MINUTE, NOW, Opener, event, hold

SECOND = timedelta(seconds=1)
LATER = NOW + 2 * MINUTE


async def replayed(store: HotState, times: int = 1) -> None:
    """Redeem a token and present it so often again."""
    held = await hold(store)
    for _ in range(times + 1):
        await store.redeem(held.shown())


async def claimed(store: HotState, minutes: int, limit: int = 10) -> tuple[Alert, ...]:
    """Claim for a minute, so many minutes later."""
    now = NOW + minutes * MINUTE
    return await store.records.claim_alerts(now=now, until=now + MINUTE, limit=limit)


class AlertContract:
    """Alerts stay in the store, from the transaction that wrote them, until somebody says that they arrived."""

    async def test_the_first_replay_of_each_token_is_an_alert_and_no_other_event(self, store: HotState) -> None:
        await replayed(store, times=10)  # A06, D09
        await replayed(store)
        await store.records.append([event(reason='"data":{"count":1,'), event(EventName.BLOCKED)])
        alerts = await claimed(store, 2)
        assert [alert.record.event for alert in alerts] == [EventName.REUSED] * 2
        assert all(alert.record.data["count"] == 1 and alert.record.as_event().is_alert for alert in alerts)
        assert all(alert.had == () for alert in alerts)

    async def test_who_wrote_an_alert_has_a_minute_to_hand_it_over(self, store: HotState) -> None:
        await replayed(store)
        for second in (2, 61):
            now = NOW + second * SECOND
            assert await store.records.claim_alerts(now=now, until=now + MINUTE, limit=10) == ()
        assert len(await store.records.claim_alerts(now=NOW + 62 * SECOND, until=LATER, limit=10)) == 1

    async def test_an_alert_is_held_by_one_node_at_a_time(self, store: HotState, open_node: Opener) -> None:
        for _ in range(3):
            await replayed(store)
        async with open_node() as other:
            mine, theirs = await asyncio.gather(claimed(store, 2), claimed(other, 2))
            assert len({alert.record.seq for alert in mine + theirs}) == len(mine + theirs) == 3
            assert await claimed(other, 2) == ()
            assert len(await claimed(other, 4)) == 3

    async def test_what_each_sink_has_had_is_kept_and_what_all_have_had_is_over(self, store: HotState) -> None:
        await replayed(store)
        (alert,) = await claimed(store, 2)
        await store.records.settle_alert(alert.record.seq, had=["app.mail"], over=False)
        (alert,) = await claimed(store, 4)
        assert alert.had == ("app.mail",)
        await store.records.settle_alert(alert.record.seq, had=["app.mail", "app.pager"], over=True)
        assert await claimed(store, 6) == ()

    async def test_claims_are_bounded_and_the_oldest_come_first(self, store: HotState) -> None:
        for _ in range(3):
            await replayed(store)
        first = await claimed(store, 2, limit=2)
        rest = await claimed(store, 2, limit=2)
        seqs = [alert.record.seq for alert in first + rest]
        assert len(first) == 2
        assert len(rest) == 1
        assert seqs == sorted(seqs)

    async def test_an_alert_that_nobody_takes_goes_after_a_month(self, store: HotState) -> None:
        await replayed(store)
        await store.records.purge(now=NOW + ALERTS_STAY, limit=10)
        assert len(await claimed(store, 2)) == 1
        await store.records.purge(now=NOW + ALERTS_STAY + MINUTE, limit=10)
        assert await claimed(store, 9) == ()
