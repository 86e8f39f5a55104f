"""Replays of a spent token: each new presenter is logged, and a flood is counted."""

from __future__ import annotations

import asyncio

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.events import EventName
from stepup_middleware.core.replays import MOST_REMEMBERED
from stepup_middleware.core.topics import Topic
from stepup_middleware.stores.base import HotState

from .values import (
    COSIGNER,
    IP,
    MINUTE,
    NOW,
    OTHER_IP,
    OTHER_SESSION,
    OTHER_WORKSPACE,
    OWNER,
    STRANGER,
    Opener,
    all_records,
    hold,
    row_of,
)


class ReplayContract:
    """Replays of a spent token: each new presenter is logged, and a flood is counted."""

    async def test_a_flood_with_a_spent_token_leaves_an_event_per_power_of_ten(self, store: HotState) -> None:
        held = await hold(store)  # D09
        await store.redeem(held.shown())
        before = await store.records.last_seq()
        await asyncio.gather(*(store.redeem(held.shown()) for _ in range(1000)))
        assert await store.records.last_seq() == before + 4
        assert row_of(await store.redeem(held.shown())).replays.count == 1001

    async def test_a_new_presenter_of_a_spent_token_is_told_at_once_whoever_came_before(self, store: HotState) -> None:
        held = await hold(store)
        await store.redeem(held.shown())
        presenters: list[dict[str, str]] = [
            {},
            {},
            OTHER_IP,
            STRANGER,
            OTHER_IP,
            {**STRANGER, **OTHER_IP},
            OTHER_SESSION,
        ]
        for off in presenters:
            await store.redeem(held.shown(**off))
        told = [r for r in await all_records(store) if r.event is EventName.REUSED]
        assert [record.data["count"] for record in told] == [1, 3, 4, 6, 7]
        assert all(record.data["new_presenter"] and record.as_event().is_alert for record in told)
        alerts = await store.records.claim_deliveries(
            [Topic.ALERT], now=NOW + 2 * MINUTE, until=NOW + 3 * MINUTE, limit=10
        )
        assert [alert.record.seq for alert in alerts] == [record.seq for record in told]

    async def test_presenters_at_once_on_two_nodes_are_each_told_once(self, open_node: Opener) -> None:
        async with open_node() as one, open_node() as other:
            held = await hold(one)
            await one.redeem(held.shown())
            addresses = [f"203.0.113.{number}" for number in range(6)]
            await asyncio.gather(*(node.redeem(held.shown(ip=ip)) for ip in addresses * 5 for node in (one, other)))
            told = [r for r in await all_records(one) if r.event is EventName.REUSED and r.data["new_presenter"]]
            assert sorted(record.ip for record in told) == addresses
            assert row_of(await one.redeem(held.shown())).replays.count == 61

    async def test_a_flood_from_many_addresses_is_told_of_sixteen_and_then_counted(self, store: HotState) -> None:
        held = await hold(store)
        await store.redeem(held.shown())
        for number in range(40):
            await store.redeem(held.shown(ip=f"203.0.113.{number}"))
        told = [record.data["count"] for record in await all_records(store) if record.event is EventName.REUSED]
        assert told == list(range(1, MOST_REMEMBERED + 1))
        for _ in range(60):
            await store.redeem(held.shown(ip="192.0.2.99"))
        assert [r.data["count"] for r in await all_records(store) if r.event is EventName.REUSED] == [*told, 100]

    async def test_a_replay_from_another_workspace_is_the_owners_alert_and_tells_the_other_nothing_of_them(
        self,
        store: HotState,
    ) -> None:
        held = await hold(store)
        await store.redeem(held.shown())
        await store.redeem(
            held.shown(**OTHER_WORKSPACE, **OTHER_IP, **STRANGER, **OTHER_SESSION, subject_name="Mallory")
        )
        owners = (await store.records.audit_page(OWNER.workspace_id, AuditFilter(), before=None, limit=1)).events[0]
        assert (owners.event, owners.prompt_id, owners.subject_id) == (EventName.REUSED, held.prompt.id, OWNER.id)
        assert owners.as_event().is_alert
        assert not [word for word in (OTHER_IP["ip"], COSIGNER.id, COSIGNER.session, "Mallory") if word in owners.body]
        (theirs,) = (await store.records.audit_page("w-2", AuditFilter(), before=None, limit=9)).events
        assert (theirs.event, theirs.reason, theirs.ip) == (EventName.BLOCKED, "redeemed_before", OTHER_IP["ip"])
        assert not [
            word for word in (held.prompt.id, held.factor.id, OWNER.id, OWNER.session, IP) if word in theirs.body
        ]
