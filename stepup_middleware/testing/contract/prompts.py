"""Prompts: asked by policy and factors of the moment, bounded per session, proved or cancelled once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from stepup_middleware.core.attempts import TooMany
from stepup_middleware.core.challenge import PendingChallenge
from stepup_middleware.core.decisions import Flag, Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.core.factors import FactorKind, FactorRequirement
from stepup_middleware.core.grants import GrantRefused
from stepup_middleware.core.prompts import PROMPT_LIFETIME, NoFactor, Prompt, PromptState
from stepup_middleware.core.subject import Subject
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.base import HotState

from .values import (
    COSIGNER,
    MICROSECOND,
    MINUTE,
    NOW,
    OWNER,
    ROTATE,
    TRANSMIT,
    TTL,
    Opener,
    all_records,
    ask,
    asked,
    enrol,
    event,
    grant_for,
    hold,
    hold_many,
    last_record,
    names_of,
    passkey,
    totp,
)

CANCELLED = event(EventName.FAILED, reason="cancelled")


def pending(nonce: bytes = bytes(32), expires_at: timedelta = MINUTE) -> PendingChallenge:
    return PendingChallenge(nonce=nonce, factor_ids=("a", "b"), expires_at=NOW + expires_at)


class PromptContract:
    """Prompts: asked by policy and factors of the moment, bounded per session, proved or cancelled once."""

    async def test_a_prompt_is_read_back_as_it_was_asked_by_every_node(
        self, store: HotState, open_node: Opener
    ) -> None:
        await enrol(store)
        prompt = await ask(store, locale="de")
        async with open_node() as other:
            stored = await other.get_prompt(prompt.id, now=NOW)
        assert stored is not None
        assert stored.prompt == prompt
        assert stored.state is PromptState.OPEN

    async def test_a_prompt_names_the_factors_that_met_the_requirement_when_it_was_asked(self, store: HotState) -> None:
        key, code = await enrol(store), await enrol(store, factor=totp())
        strict, loose = await ask(store, purpose=TRANSMIT), await ask(store, purpose=ROTATE)
        assert strict.factor_ids == (key.id,)
        assert set(loose.factor_ids) == {key.id, code.id}
        assert loose.factor_kinds == (FactorKind.PASSKEY, FactorKind.TOTP)

    async def test_who_has_no_factor_that_meets_the_requirement_gets_no_prompt_and_an_event(
        self, store: HotState
    ) -> None:
        await enrol(store, factor=totp())
        answer = await store.ask(asked(), open_limit=5)
        needed = FactorRequirement.PHISHING_RESISTANT
        assert answer == NoFactor(requirement=needed, policy_version=0, has_weaker=True)
        nobody = await store.ask(asked(COSIGNER), open_limit=5)
        assert nobody == NoFactor(requirement=needed, policy_version=0)
        record = await last_record(store)
        assert (record.event, record.reason) == (EventName.BLOCKED, "no_factor")

    async def test_the_policy_of_the_moment_decides_and_a_prompt_keeps_the_version_it_was_asked_under(
        self,
        store: HotState,
    ) -> None:
        await enrol(store)
        before = await ask(store, purpose=ROTATE)
        await store.records.set_policy(OWNER.workspace_id, [(ROTATE.id, "phishing_resistant")], [event()], now=NOW)
        after = await ask(store, purpose=ROTATE)
        assert (before.requirement, before.policy_version) == (FactorRequirement.ANY, 0)
        assert (after.requirement, after.policy_version) == (FactorRequirement.PHISHING_RESISTANT, 1)
        stored = await store.get_prompt(before.id, now=NOW)
        assert stored is not None
        assert stored.prompt == before

    async def test_what_else_is_to_be_told_is_written_with_the_prompt(self, store: HotState) -> None:
        await enrol(store)
        also = event(EventName.BLOCKED, reason="malformed")
        await ask(store, extra_events=(also,))
        assert (await names_of(store))[-2:] == [EventName.BLOCKED, EventName.CHALLENGE_REQUESTED]

    async def test_a_prompt_lives_up_to_its_last_microsecond(self, store: HotState) -> None:
        await enrol(store)
        prompt = await ask(store)
        end = NOW + PROMPT_LIFETIME
        assert await store.get_prompt(prompt.id, now=end - MICROSECOND) is not None
        assert await store.get_prompt(prompt.id, now=end) is None
        assert not await store.set_challenge(prompt.id, pending(), now=end)
        assert await store.get_prompt("unknown", now=NOW) is None

    async def test_a_session_has_only_so_many_open_prompts_and_one_event_a_minute_tells_of_more(
        self, store: HotState
    ) -> None:
        await enrol(store)  # D01, D02
        await enrol(store, COSIGNER)
        for _ in range(3):
            assert isinstance(await store.ask(asked(), open_limit=3), Prompt)
        before = await store.records.last_seq()
        for second in range(10):
            refused = await store.ask(asked(now=NOW + timedelta(seconds=second)), open_limit=3)
            assert refused == TooMany(retry_after=PROMPT_LIFETIME - timedelta(seconds=second))
        assert await store.records.last_seq() == before + 1
        record = await last_record(store)
        assert (record.event, record.reason) == (EventName.BLOCKED, "rate_limited")
        await store.ask(asked(now=NOW + MINUTE), open_limit=3)
        assert await store.records.last_seq() == before + 2
        assert (await last_record(store)).data == {"also_refused_before": 9}
        assert isinstance(await store.ask(asked(COSIGNER), open_limit=3), Prompt)
        other_session = Subject(id=OWNER.id, session_id="s-2", workspace_id=OWNER.workspace_id, name=OWNER.name)
        assert isinstance(await store.ask(asked(other_session), open_limit=3), Prompt)

    async def test_redeemed_and_expired_prompts_make_room(self, store: HotState) -> None:
        held = await hold(store)
        assert isinstance(await store.ask(asked(), open_limit=1), TooMany)
        await store.redeem(held.shown())
        assert isinstance(await store.ask(asked(), open_limit=1), Prompt)
        assert isinstance(await store.ask(asked(), open_limit=1), TooMany)
        assert isinstance(await store.ask(asked(now=NOW + PROMPT_LIFETIME), open_limit=1), Prompt)

    async def test_proofs_that_nobody_redeems_take_places_until_their_tokens_end(self, store: HotState) -> None:
        held = await hold_many(store, 3)  # Z06
        ends = held[0].prompt.created_at + timedelta(seconds=1) + TTL
        assert await store.ask(asked(), open_limit=3) == TooMany(retry_after=ends - NOW)
        await store.redeem(held[0].shown(ip="198.51.100.9"))  # revoked
        prompt = await store.ask(asked(), open_limit=3)
        assert isinstance(prompt, Prompt)
        assert isinstance(await store.ask(asked(), open_limit=3), TooMany)
        assert await store.cancel_prompt(held[1].prompt.id, event=CANCELLED, now=NOW)
        assert isinstance(await store.ask(asked(), open_limit=3), TooMany)  # a cancelled prompt still counts
        assert isinstance(await store.ask(asked(now=ends - MICROSECOND), open_limit=3), TooMany)
        assert isinstance(await store.ask(asked(now=ends), open_limit=3), Prompt)

    async def test_who_asks_and_cancels_in_turn_is_a_flood_too(self, store: HotState) -> None:
        await enrol(store)  # D01, D02
        for _ in range(3):
            prompt = await store.ask(asked(), open_limit=3)
            assert isinstance(prompt, Prompt)
            assert await store.cancel_prompt(prompt.id, event=CANCELLED, now=NOW)
        before = await store.records.last_seq()
        for _ in range(20):
            assert await store.ask(asked(), open_limit=3) == TooMany(retry_after=PROMPT_LIFETIME)
        assert await store.records.last_seq() == before + 1

    async def test_requests_refused_for_want_of_a_factor_take_places_for_five_minutes(self, store: HotState) -> None:
        for second in range(3):  # D02
            answer = await store.ask(asked(now=NOW + timedelta(seconds=second)), open_limit=3)
            assert isinstance(answer, NoFactor)
        for _ in range(20):
            refused = await store.ask(asked(now=NOW + MINUTE), open_limit=3)
            assert refused == TooMany(retry_after=PROMPT_LIFETIME - MINUTE)
        records = await all_records(store)
        assert [record.reason for record in records] == ["no_factor"] * 3 + ["rate_limited"]
        assert isinstance(await store.ask(asked(now=NOW + PROMPT_LIFETIME), open_limit=3), NoFactor)
        other_session = Subject(id=OWNER.id, session_id="s-2", workspace_id=OWNER.workspace_id, name=OWNER.name)
        assert isinstance(await store.ask(asked(other_session), open_limit=3), NoFactor)

    async def test_asking_at_once_does_not_pass_the_limit(self, store: HotState) -> None:
        await enrol(store)
        answers = await asyncio.gather(*(store.ask(asked(), open_limit=4) for _ in range(20)))
        assert sum(isinstance(answer, Prompt) for answer in answers) == 4

    async def test_a_challenge_is_taken_once_whoever_asks_and_however_many(
        self, store: HotState, open_node: Opener
    ) -> None:
        await enrol(store)  # WebAuthn L3 §13.4.3
        prompt = await ask(store)
        assert await store.pop_challenge(prompt.id, now=NOW) is None
        assert await store.set_challenge(prompt.id, pending(), now=NOW)
        async with open_node() as other:
            nodes = (store, other) * 10
            taken = await asyncio.gather(*(node.pop_challenge(prompt.id, now=NOW) for node in nodes))
        assert [challenge for challenge in taken if challenge] == [pending()]

    async def test_a_new_challenge_replaces_the_one_before(self, store: HotState) -> None:
        await enrol(store)
        prompt = await ask(store)
        await store.set_challenge(prompt.id, pending(b"1" * 32), now=NOW)
        await store.set_challenge(prompt.id, pending(b"2" * 32), now=NOW)
        taken = await store.pop_challenge(prompt.id, now=NOW)
        assert taken is not None
        assert taken.nonce == b"2" * 32
        assert await store.pop_challenge(prompt.id, now=NOW) is None

    async def test_an_expired_challenge_is_taken_and_gone(self, store: HotState) -> None:
        await enrol(store)
        prompt = await ask(store)
        await store.set_challenge(prompt.id, pending(expires_at=timedelta(seconds=1)), now=NOW)
        late = NOW + timedelta(seconds=2)
        assert await store.pop_challenge(prompt.id, now=late) is not None
        assert await store.pop_challenge(prompt.id, now=late) is None

    async def test_a_prompt_that_is_not_open_has_no_challenge(self, store: HotState) -> None:
        factor = await enrol(store)
        proved, cancelled = await ask(store), await ask(store)
        for prompt in (proved, cancelled):
            await store.set_challenge(prompt.id, pending(), now=NOW)
        await store.issue_token(grant_for(proved, factor))
        await store.cancel_prompt(cancelled.id, event=CANCELLED, now=NOW)
        for prompt in (proved, cancelled):
            assert await store.pop_challenge(prompt.id, now=NOW) is None
            assert not await store.set_challenge(prompt.id, pending(), now=NOW)

    async def test_cancelling_ends_an_open_prompt_once(self, store: HotState) -> None:
        await enrol(store)
        prompt = await ask(store)
        assert await store.cancel_prompt(prompt.id, event=CANCELLED, now=NOW)
        before = await store.records.last_seq()
        assert not await store.cancel_prompt(prompt.id, event=CANCELLED, now=NOW)
        assert not await store.cancel_prompt("unknown", event=CANCELLED, now=NOW)
        assert await store.records.last_seq() == before
        stored = await store.get_prompt(prompt.id, now=NOW)
        assert stored is not None
        assert stored.state is PromptState.CANCELLED

    async def test_cancelling_an_expired_prompt_changes_nothing(self, store: HotState) -> None:
        await enrol(store)
        prompt = await ask(store)
        assert not await store.cancel_prompt(prompt.id, event=CANCELLED, now=NOW + PROMPT_LIFETIME)

    async def test_cancelling_a_proved_prompt_revokes_its_token(self, store: HotState) -> None:
        held = await hold(store)  # T39
        assert await store.cancel_prompt(held.prompt.id, event=CANCELLED, now=NOW)
        answer = await store.redeem(held.shown())
        assert (answer.decision.verdict, answer.decision.flags) == (Verdict.REQUIRED, (Flag.REVOKED,))

    async def test_cancelling_never_touches_a_redeemed_token(self, store: HotState) -> None:
        held = await hold(store)  # T38
        await store.redeem(held.shown())
        before = await store.records.last_seq()
        assert not await store.cancel_prompt(held.prompt.id, event=CANCELLED, now=NOW)
        assert await store.records.last_seq() == before
        assert (await store.redeem(held.shown())).decision.verdict is Verdict.REUSED

    async def test_cancelling_and_redeeming_at_once_have_one_outcome(self, store: HotState) -> None:
        for number in range(10):
            held = await hold(store, factor=await enrol(store, factor=passkey(sign_count=number)))
            cancelled, answer = await asyncio.gather(
                store.cancel_prompt(held.prompt.id, event=CANCELLED, now=NOW), store.redeem(held.shown())
            )
            assert cancelled is not (answer.decision.verdict is Verdict.REDEEMED)

    async def test_signing_out_ends_the_prompts_and_tokens_of_that_session_alone(self, store: HotState) -> None:
        mine = await hold(store)  # ASVS 7.4.1
        opened = await ask(store)
        spent = await hold(store, factor=await enrol(store))
        await store.redeem(spent.shown())
        theirs = await hold(store, COSIGNER)
        by_actor = await hold(store, replace(OWNER, actor="Booker"))
        elsewhere = await hold(store, replace(OWNER, session_id="s-other", actor="Booker"))
        await store.revoke_session(OWNER.workspace_id, OWNER.id, OWNER.session, now=NOW)
        assert (await store.redeem(by_actor.shown())).decision.flags == (Flag.REVOKED,)
        assert (await store.redeem(elsewhere.shown())).decision.verdict is Verdict.REDEEMED
        assert (await store.redeem(mine.shown())).decision.flags == (Flag.REVOKED,)
        assert await store.issue_token(grant_for(opened, mine.factor)) is GrantRefused.PROMPT_CLOSED
        assert (await store.redeem(spent.shown())).decision.verdict is Verdict.REUSED
        assert (await store.redeem(theirs.shown())).decision.verdict is Verdict.REDEEMED

    async def test_revoking_all_ends_everything_outstanding_on_every_node(
        self, store: HotState, open_node: Opener
    ) -> None:
        async with open_node() as other:  # Y06
            held = await hold(store)
            spent = await hold(store, factor=await enrol(store))
            await other.redeem(spent.shown())
            prompt = await ask(store)
            await other.revoke_all(event=event(reason="revoke_all"), now=NOW)
            answer = await store.redeem(held.shown())
            assert (answer.decision.verdict, answer.decision.flags) == (Verdict.REQUIRED, (Flag.REVOKED,))
            assert (await store.redeem(spent.shown())).decision.verdict is Verdict.REUSED
            assert await store.get_prompt(prompt.id, now=NOW) is None
            assert not await store.set_challenge(prompt.id, pending(), now=NOW)
            assert await store.issue_token(grant_for(prompt, held.factor)) is GrantRefused.PROMPT_CLOSED
            assert "revoke_all" in {record.reason for record in await all_records(store)}
            fresh = await hold(store, factor=await enrol(store))
            assert (await other.redeem(fresh.shown())).decision.verdict is Verdict.REDEEMED

    @pytest.mark.parametrize("subject", [OWNER, COSIGNER])
    async def test_a_prompt_id_is_used_once(self, store: HotState, subject: Subject) -> None:
        await enrol(store)
        await enrol(store, COSIGNER)
        prompt = await ask(store)
        before = await store.records.last_seq()
        with pytest.raises(StoreError):
            await store.ask(asked(subject, prompt_id=prompt.id), open_limit=9)
        assert await store.records.last_seq() == before
        stored = await store.get_prompt(prompt.id, now=NOW)
        assert stored is not None
        assert stored.prompt == prompt
