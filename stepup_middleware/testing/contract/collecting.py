"""The token that an approval brings: handed out once decided, with a life of its own, to be redeemed once."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from stepup_middleware.core.decisions import Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.stores.base import HotState

from .approval_values import (
    ME,
    SECOND,
    approved,
)
from .values import (
    MICROSECOND,
    NOW,
    OWNER,
    TTL,
    Opener,
    ask,
    names_of,
    row_of,
    shown_for,
    won,
)


class CollectingContract:
    """The token that an approval brings: handed out once decided, with a life of its own, to be redeemed once."""

    async def test_a_token_is_collected_with_a_life_of_its_own_and_is_the_same_each_time(
        self, store: HotState, open_node: Opener
    ) -> None:
        approval, grant, token = await approved(store)
        at = grant.expires_at - SECOND
        async with open_node() as other:
            nodes = (store, other) * 5
            ends = await asyncio.gather(*(node.collect_token(token, ttl=TTL, now=at) for node in nodes))
        assert set(ends) == {at + TTL}
        assert await store.collect_token(token, ttl=TTL, now=at + TTL - MICROSECOND) == at + TTL
        last = at + TTL - MICROSECOND
        wrong = TokenReference(token.id, secrets.token_bytes(16))
        assert await store.collect_token(wrong, ttl=TTL, now=at) is None
        answers = await asyncio.gather(*(store.redeem(shown_for(approval.prompt, token, now=last)) for _ in range(5)))
        assert won(list(answers)) == 1
        assert row_of(answers[0]).issued_at == at
        assert await store.collect_token(token, ttl=TTL, now=last) is None
        assert (await names_of(store)).count(EventName.ACTION_AUTHORIZED) == 1

    async def test_what_nobody_presented_is_no_replay_once_it_has_run_and_what_somebody_presents_is(
        self, store: HotState, open_node: Opener
    ) -> None:
        approval, grant, token = await approved(store)
        now = grant.expires_at - SECOND
        async with open_node() as other:
            nodes = (store, other) * 10
            await asyncio.gather(*(node.collect_token(token, ttl=TTL, now=now) for node in nodes))
            answers = await asyncio.gather(
                *(node.redeem(shown_for(approval.prompt, token, now=now, held=True)) for node in nodes)
            )
            verdicts = [answer.decision.verdict for answer in answers]
            assert (verdicts.count(Verdict.REDEEMED), verdicts.count(Verdict.SPENT)) == (1, len(nodes) - 1)
            names = await names_of(store)
            assert names.count(EventName.ACTION_AUTHORIZED) == 1
            assert not {EventName.REUSED, EventName.BLOCKED} & set(names)
            replay = await other.redeem(shown_for(approval.prompt, token, now=now))
        assert replay.decision.verdict is Verdict.REUSED
        assert row_of(replay).replays.count == 1
        assert (await names_of(store)).count(EventName.REUSED) == 1

    @pytest.mark.parametrize("end", ["too late", "cancelled", "signed out", "all ended", "its life over", "unknown"])
    async def test_a_token_that_is_over_is_not_collected(self, store: HotState, end: str) -> None:
        approval, grant, token = await approved(store)
        now = NOW + 2 * SECOND
        match end:
            case "too late":
                now = grant.expires_at
            case "cancelled":
                assert await store.cancel_prompt(approval.prompt.id, event=None, now=now)
            case "signed out":
                await store.revoke_session(*ME, OWNER.session, now=now)
            case "all ended":
                await store.revoke_all(event=None, now=now)
            case "its life over":
                assert await store.collect_token(token, ttl=TTL, now=now) == now + TTL
                now += TTL
            case _:
                token = TokenReference(token.id + 1, token.nonce)
        assert await store.collect_token(token, ttl=TTL, now=now) is None

    async def test_a_token_that_was_collected_ends_with_its_session(self, store: HotState) -> None:
        approval, grant, token = await approved(store)
        at = grant.expires_at - MICROSECOND
        assert await store.collect_token(token, ttl=TTL, now=at) == at + TTL
        await ask(store, now=grant.expires_at)  # who keeps tokens by when they were to be collected forgets this one
        await store.revoke_session(*ME, OWNER.session, now=grant.expires_at)
        answer = await store.redeem(shown_for(approval.prompt, token, now=grant.expires_at))
        assert answer.decision.verdict is Verdict.REQUIRED
