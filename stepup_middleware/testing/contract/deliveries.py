"""Alerts and notices stay in the store, from the transaction that wrote them, until somebody says that they arrived."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from stepup_middleware.core.audit import Delivery
from stepup_middleware.core.events import EventName
from stepup_middleware.core.retention import DELIVERIES_STAY
from stepup_middleware.core.topics import Topic
from stepup_middleware.stores.base import HotState

from .values import MINUTE, NOW, OWNER, Opener, event, hold, passkey

SECOND = timedelta(seconds=1)
LATER = NOW + 2 * MINUTE
TOPICS = tuple(Topic)


async def replayed(store: HotState, times: int = 1) -> None:
    """Redeem a token and present it so often again."""
    held = await hold(store)
    for _ in range(times + 1):
        await store.redeem(held.shown())


async def noted(store: HotState, number: int = 1) -> None:
    """Write events that people are told of."""
    await store.records.append([event(EventName.FACTOR_ENROLLED, data={"name": str(i)}) for i in range(number)])


async def written(store: HotState, topic: Topic, number: int = 1) -> None:
    """Write so many events of a topic, and none of the other that matters here."""
    for _ in range(number):
        await (replayed(store) if topic is Topic.ALERT else noted(store))


async def claimed(store: HotState, minutes: int, limit: int = 10, *topics: Topic) -> tuple[Delivery, ...]:
    """Claim for a minute, so many minutes later."""
    now = NOW + minutes * MINUTE
    return await store.records.claim_deliveries(topics or TOPICS, now=now, until=now + MINUTE, limit=limit)


class DeliveryContract:
    """Alerts and notices stay in the store, from the transaction that wrote them, until somebody says they arrived."""

    async def test_the_first_replay_of_each_token_is_an_alert_and_no_other_event(self, store: HotState) -> None:
        await replayed(store, times=10)  # A06, D09
        await replayed(store)
        await store.records.append([event(reason='"data":{"count":1,'), event(EventName.BLOCKED)])
        alerts = await claimed(store, 2, 10, Topic.ALERT)
        assert [alert.record.event for alert in alerts] == [EventName.REUSED] * 2
        assert all(alert.record.data["count"] == 1 and alert.record.as_event().is_alert for alert in alerts)
        assert all(alert.had == () and alert.topic is Topic.ALERT for alert in alerts)

    @pytest.mark.parametrize("topic", TOPICS)
    async def test_what_nobody_has_settled_after_a_minute_is_counted_up_to_a_limit(
        self, store: HotState, topic: Topic
    ) -> None:
        await written(store, topic, 3)

        async def late(seconds: int, limit: int = 10) -> int:
            backlog = await store.records.backlog(now=NOW + seconds * SECOND, limit=limit)
            return backlog.undelivered.get(topic, 0)

        assert [await late(30), await late(300)] == [0, 3]
        backlog = await store.records.backlog(now=NOW + 300 * SECOND, limit=2)
        assert sum(backlog.undelivered.values()) == 2
        for delivery in await claimed(store, 2, 10, topic):
            await store.records.settle_delivery(delivery.record.seq, topic, had=["a"], over=True)
        assert await late(300) == 0

    async def test_a_factor_that_is_added_is_a_notice_from_the_same_transaction(self, store: HotState) -> None:
        added = event(EventName.FACTOR_ENROLLED, data={"name": "Laptop"})
        factor = passkey()
        assert await store.records.add_webauthn_factor(OWNER.workspace_id, OWNER.id, factor, event=added)
        assert not await store.records.add_webauthn_factor(OWNER.workspace_id, OWNER.id, factor, event=added)
        (notice,) = await claimed(store, 2)
        assert (notice.topic, notice.record.event, notice.record.data) == (Topic.NOTICE, added.name, added.data)

    async def test_an_event_of_which_nobody_is_to_be_told_is_no_notice(self, store: HotState) -> None:
        await store.records.append([event(EventName.FACTOR_REMOVED, data={"untold": True})])
        assert await claimed(store, 2) == ()

    async def test_only_the_topics_that_somebody_asks_for_are_claimed(self, store: HotState) -> None:
        await replayed(store)
        assert await claimed(store, 2, 10) != ()
        await noted(store)
        assert {each.topic for each in await claimed(store, 4, 10, Topic.NOTICE)} == {Topic.NOTICE}
        assert await store.records.claim_deliveries((), now=LATER, until=LATER + MINUTE, limit=10) == ()

    @pytest.mark.parametrize("topic", TOPICS)
    async def test_who_wrote_it_has_a_minute_to_hand_it_over(self, store: HotState, topic: Topic) -> None:
        await written(store, topic)
        for second in (2, 59):
            now = NOW + second * SECOND
            assert await store.records.claim_deliveries([topic], now=now, until=now + MINUTE, limit=10) == ()
        now = NOW + 62 * SECOND
        assert len(await store.records.claim_deliveries([topic], now=now, until=LATER, limit=10)) == 1

    @pytest.mark.parametrize("topic", TOPICS)
    async def test_it_is_held_by_one_node_at_a_time(self, store: HotState, open_node: Opener, topic: Topic) -> None:
        await written(store, topic, 3)
        async with open_node() as other:
            mine, theirs = await asyncio.gather(claimed(store, 2, 10, topic), claimed(other, 2, 10, topic))
            assert len({each.record.seq for each in mine + theirs}) == len(mine + theirs) == 3
            assert await claimed(other, 2, 10, topic) == ()
            assert len(await claimed(other, 4, 10, topic)) == 3

    @pytest.mark.parametrize("topic", TOPICS)
    async def test_what_each_sink_has_had_is_kept_and_what_all_have_had_is_over(
        self, store: HotState, topic: Topic
    ) -> None:
        await written(store, topic)
        (each,) = await claimed(store, 2, 10, topic)
        await store.records.settle_delivery(each.record.seq, topic, had=["app.mail"], over=False)
        (each,) = await claimed(store, 4, 10, topic)
        assert each.had == ("app.mail",)
        await store.records.settle_delivery(each.record.seq, topic, had=["app.mail", "app.pager"], over=True)
        assert await claimed(store, 6, 10, topic) == ()

    async def test_claims_are_bounded_and_the_oldest_come_first(self, store: HotState) -> None:
        await noted(store, 3)
        first = await claimed(store, 2, limit=2)
        rest = await claimed(store, 2, limit=2)
        seqs = [each.record.seq for each in first + rest]
        assert len(first) == 2
        assert len(rest) == 1
        assert seqs == sorted(seqs)

    async def test_what_no_sink_ever_takes_keeps_nothing_else_waiting(self, store: HotState) -> None:
        await noted(store, 5)
        assert len(await claimed(store, 2, limit=5)) == 5
        await noted(store)
        newest = await store.records.last_seq()
        assert newest in [each.record.seq for each in await claimed(store, 4, limit=2)]

    @pytest.mark.parametrize("topic", TOPICS)
    async def test_what_nobody_takes_goes_in_time_by_a_purge(self, store: HotState, topic: Topic) -> None:
        await written(store, topic)
        await store.records.purge(now=NOW + DELIVERIES_STAY[topic] - MINUTE, limit=10)
        assert len(await claimed(store, 2, 10, topic)) == 1
        await store.records.purge(now=NOW + DELIVERIES_STAY[topic] + MINUTE, limit=10)
        assert await claimed(store, 9, 10, topic) == ()

    @pytest.mark.parametrize("topic", TOPICS)
    async def test_what_is_too_old_is_not_handed_over_any_more(self, store: HotState, topic: Topic) -> None:
        await written(store, topic)
        late = NOW + DELIVERIES_STAY[topic] + MINUTE
        assert await store.records.claim_deliveries([topic], now=late, until=late + MINUTE, limit=10) == ()
        assert await claimed(store, 9, 10, topic) == ()
