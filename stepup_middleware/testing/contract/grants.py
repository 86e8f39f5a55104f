"""From a passed ceremony to a token: all of it or nothing, and one proof brings one token."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from stepup_middleware.core.attempts import AttemptLimit, TooMany
from stepup_middleware.core.events import EventName
from stepup_middleware.core.factors import FactorKind, TOTPFactor, WebAuthnFactor
from stepup_middleware.core.grants import GrantRefused
from stepup_middleware.core.prompts import PROMPT_LIFETIME, PromptState
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.base import HotState

from .values import (
    COSIGNER,
    NOW,
    OWNER,
    ROTATE,
    Opener,
    ask,
    enrol,
    event,
    grant_for,
    last_record,
    names_of,
    passkey,
    totp,
)

LIMIT = AttemptLimit()


async def stored_factor(store: HotState, factor_id: str) -> WebAuthnFactor | TOTPFactor:
    factors = await store.records.list_factors(OWNER.workspace_id, OWNER.id)
    return next(factor for factor in factors if factor.id == factor_id)


class GrantContract:
    """From a passed ceremony to a token: all of it or nothing, and one proof brings one token."""

    async def test_a_grant_proves_the_prompt_advances_the_count_and_tells_the_log(self, store: HotState) -> None:
        factor = await enrol(store)
        prompt = await ask(store)
        grant = grant_for(prompt, factor, backed_up=False)
        reference = await store.issue_token(grant)
        assert isinstance(reference, TokenReference)
        assert reference.nonce == grant.nonce
        stored = await store.get_prompt(prompt.id, now=NOW)
        assert stored is not None
        assert stored.state is PromptState.PROVED
        used = await stored_factor(store, factor.id)
        assert isinstance(used, WebAuthnFactor)
        assert (used.sign_count, used.backed_up, used.last_used_at) == (6, False, grant.issued_at)
        assert (await last_record(store)).event is EventName.VERIFIED

    async def test_one_prompt_brings_one_token_however_many_prove_it_at_once(
        self, store: HotState, open_node: Opener
    ) -> None:
        factor = await enrol(store, factor=passkey(sign_count=0))  # ASVS 2.3.4
        prompt = await ask(store)
        async with open_node() as other:
            nodes = (store, other) * 10
            answers = await asyncio.gather(*(n.issue_token(grant_for(prompt, factor, sign_count=0)) for n in nodes))
        assert sum(isinstance(answer, TokenReference) for answer in answers) == 1
        assert answers.count(GrantRefused.PROMPT_CLOSED) == 19
        assert (await names_of(store)).count(EventName.VERIFIED) == 1

    @pytest.mark.parametrize("end", ["expired", "cancelled", "unknown"])
    async def test_a_prompt_that_is_not_open_brings_no_token(self, store: HotState, end: str) -> None:
        factor = await enrol(store)
        prompt = await ask(store)
        grant = grant_for(prompt, factor)
        if end == "expired":
            grant = replace(grant, issued_at=NOW + PROMPT_LIFETIME, expires_at=NOW + PROMPT_LIFETIME * 2)
        elif end == "cancelled":
            await store.cancel_prompt(prompt.id, event=event(EventName.FAILED), now=NOW)
        else:
            grant = replace(grant, prompt=replace(prompt, id="unknown"))
        before = await store.records.last_seq()
        assert await store.issue_token(grant) is GrantRefused.PROMPT_CLOSED
        assert await store.records.last_seq() == before
        assert await stored_factor(store, factor.id) == factor

    async def test_a_factor_that_was_removed_or_is_somebody_elses_brings_no_token(self, store: HotState) -> None:
        mine, theirs = await enrol(store), await enrol(store, COSIGNER)
        prompt = await ask(store)
        assert await store.issue_token(grant_for(prompt, theirs)) is GrantRefused.FACTOR_GONE
        wrong_kind = grant_for(prompt, mine, factor_kind=FactorKind.HARDWARE_KEY)
        assert await store.issue_token(wrong_kind) is GrantRefused.FACTOR_GONE
        gone = event(EventName.FACTOR_REMOVED)
        await store.records.remove_factor(OWNER.workspace_id, OWNER.id, mine.id, event=gone, now=NOW)
        assert await store.issue_token(grant_for(prompt, mine)) is GrantRefused.FACTOR_GONE

    async def test_a_factor_enrolled_while_the_prompt_is_open_does_not_serve_it(self, store: HotState) -> None:
        await enrol(store)
        prompt = await ask(store)
        later = await enrol(store)
        assert await store.issue_token(grant_for(prompt, later)) is GrantRefused.FACTOR_GONE

    async def test_a_sign_count_that_moved_meanwhile_refuses_and_leaves_the_prompt_open(self, store: HotState) -> None:
        factor = await enrol(store)
        first, second = await ask(store), await ask(store)
        answers = await asyncio.gather(*(store.issue_token(grant_for(prompt, factor)) for prompt in (first, second)))
        assert sum(isinstance(answer, TokenReference) for answer in answers) == 1
        assert GrantRefused.SIGN_COUNT_MOVED in answers
        loser = (first, second)[answers.index(GrantRefused.SIGN_COUNT_MOVED)]
        again = grant_for(loser, factor, expected_sign_count=6, sign_count=7)
        assert isinstance(await store.issue_token(again), TokenReference)

    async def test_a_one_time_password_brings_one_token_over_all_prompts_and_nodes(
        self, store: HotState, open_node: Opener
    ) -> None:
        code = totp()  # O02, O03, O06
        await enrol(store, factor=code)
        prompts = [await ask(store, purpose=ROTATE) for _ in range(25)]
        async with open_node() as other:
            answers = await asyncio.gather(
                *(node.issue_token(grant_for(prompt, code)) for prompt in prompts for node in (store, other))
            )
        tokens = [answer for answer in answers if isinstance(answer, TokenReference)]
        assert len(tokens) == 1
        assert answers.count(GrantRefused.STEP_SPENT) >= 48
        (after,) = await store.records.list_factors(OWNER.workspace_id, OWNER.id)
        assert isinstance(after, TOTPFactor)
        assert after.last_step == code.last_step + 1

    @pytest.mark.parametrize(("step", "accepted"), [(99, False), (100, False), (101, True)])
    async def test_only_a_later_time_step_than_the_last_is_accepted(
        self, store: HotState, step: int, accepted: bool
    ) -> None:
        code = await enrol(store, factor=totp(last_step=100))  # O04
        prompt = await ask(store, purpose=ROTATE)
        answer = await store.issue_token(grant_for(prompt, code, time_step=step))
        assert isinstance(answer, TokenReference) is accepted
        stored = await store.get_prompt(prompt.id, now=NOW)
        assert stored is not None
        assert (stored.state is PromptState.OPEN) is not accepted

    async def test_a_code_spent_at_the_apps_own_sign_in_is_spent_here_too(self, store: HotState) -> None:
        code = await enrol(store, factor=totp(last_step=100))  # O09
        assert await store.records.advance_time_step(OWNER.workspace_id, OWNER.id, 101)
        assert not await store.records.advance_time_step(OWNER.workspace_id, OWNER.id, 101)
        prompt = await ask(store, purpose=ROTATE)
        assert await store.issue_token(grant_for(prompt, code, time_step=101)) is GrantRefused.STEP_SPENT
        assert await store.records.advance_time_step(COSIGNER.workspace_id, COSIGNER.id, 101)

    async def test_each_totp_factor_of_a_person_has_its_own_steps(self, store: HotState) -> None:
        first = await enrol(store, factor=totp(last_step=100))
        second = await enrol(store, factor=totp(last_step=101))
        prompts = [await ask(store, purpose=ROTATE) for _ in range(3)]
        assert isinstance(await store.issue_token(grant_for(prompts[0], first, time_step=101)), TokenReference)
        assert await store.issue_token(grant_for(prompts[1], first, time_step=101)) is GrantRefused.STEP_SPENT
        assert await store.issue_token(grant_for(prompts[1], second, time_step=101)) is GrantRefused.STEP_SPENT
        assert isinstance(await store.issue_token(grant_for(prompts[1], second, time_step=102)), TokenReference)
        factors = await store.records.list_factors(OWNER.workspace_id, OWNER.id)
        assert {each.id: each.last_step for each in factors if isinstance(each, TOTPFactor)} == {
            first.id: 101,
            second.id: 102,
        }
        assert await store.records.last_time_step(OWNER.workspace_id, OWNER.id) == 0
        assert not await store.records.advance_time_step(OWNER.workspace_id, OWNER.id, 102)
        assert await store.records.advance_time_step(OWNER.workspace_id, OWNER.id, 103)
        assert await store.issue_token(grant_for(prompts[2], first, time_step=103)) is GrantRefused.STEP_SPENT

    async def test_a_sign_in_and_a_step_up_at_once_spend_a_step_once(self, store: HotState, open_node: Opener) -> None:
        code = await enrol(store, factor=totp(last_step=100))
        async with open_node() as other:
            for step in range(101, 111):
                prompt = await ask(store, purpose=ROTATE)
                token, signed_in = await asyncio.gather(
                    store.issue_token(grant_for(prompt, code, time_step=step)),
                    other.records.advance_time_step(OWNER.workspace_id, OWNER.id, step),
                )
                assert isinstance(token, TokenReference) is not signed_in

    async def test_what_cannot_be_written_whole_is_not_written_at_all(self, store: HotState) -> None:
        factor = await enrol(store)  # A03
        prompt = await ask(store)
        unwritable = event(EventName.VERIFIED, reason="\ud800")
        before = await store.records.last_seq()
        with pytest.raises(StoreError):
            await store.issue_token(grant_for(prompt, factor, event=unwritable))
        stored = await store.get_prompt(prompt.id, now=NOW)
        assert stored is not None
        assert stored.state is PromptState.OPEN
        assert await stored_factor(store, factor.id) == factor
        assert await store.records.last_seq() == before
        assert isinstance(await store.issue_token(grant_for(prompt, factor)), TokenReference)

    async def test_one_bad_operation_harms_none_that_came_with_it(self, store: HotState) -> None:
        factor = await enrol(store, factor=passkey(sign_count=0))
        prompts = [await ask(store) for _ in range(10)]
        bad = event(EventName.VERIFIED, reason="\ud800")
        grants = [grant_for(prompt, factor, sign_count=0) for prompt in prompts]
        grants[4] = replace(grants[4], event=bad)
        answers = await asyncio.gather(*map(store.issue_token, grants), return_exceptions=True)
        assert isinstance(answers[4], StoreError)
        assert sum(isinstance(answer, TokenReference) for answer in answers) == 9

    # O19
    async def test_attempts_are_counted_before_they_are_judged_and_shared_by_all_prompts_and_nodes(
        self, store: HotState, open_node: Opener
    ) -> None:
        async with open_node() as other:  # NIST SP 800-63B-4 §3.2.2
            nodes = (store, other) * 10
            answers = await asyncio.gather(
                *(n.records.reserve_attempt(OWNER.workspace_id, OWNER.id, "totp", limit=LIMIT, now=NOW) for n in nodes)
            )
        assert answers.count(None) == 5
        assert answers.count(TooMany(retry_after=LIMIT.pause)) == 15

    async def test_the_pause_doubles_with_each_further_failure_up_to_the_longest(self, store: HotState) -> None:
        async def reserve(now: timedelta) -> TooMany | None:
            return await store.records.reserve_attempt(OWNER.workspace_id, OWNER.id, "totp", limit=LIMIT, now=NOW + now)

        at = timedelta()
        for _ in range(4):
            assert await reserve(at) is None
        for pause in (1, 2, 4, 8, 16, 32, 60, 60):
            assert await reserve(at) is None
            minutes = timedelta(minutes=pause)
            assert await reserve(at) == TooMany(retry_after=minutes)
            assert await reserve(at + minutes - timedelta(microseconds=1)) is not None
            at += minutes

    async def test_a_bucket_closed_for_good_stays_so_until_the_factor_is_enrolled_anew(self, store: HotState) -> None:
        short = AttemptLimit(failures=2, pause=timedelta(seconds=1), disable_at=3)
        at = NOW
        for _ in range(3):
            assert (
                await store.records.reserve_attempt(OWNER.workspace_id, OWNER.id, "totp", limit=short, now=at) is None
            )
            at += timedelta(hours=1)
        years = NOW + timedelta(days=4000)
        refused = await store.records.reserve_attempt(OWNER.workspace_id, OWNER.id, "totp", limit=short, now=years)
        assert refused == TooMany(retry_after=short.longest)
        assert (
            await store.records.reserve_attempt(OWNER.workspace_id, OWNER.id, "webauthn", limit=short, now=at) is None
        )
        assert (
            await store.records.reserve_attempt(COSIGNER.workspace_id, COSIGNER.id, "totp", limit=short, now=at) is None
        )
        await enrol(store, factor=totp())
        assert await store.records.reserve_attempt(OWNER.workspace_id, OWNER.id, "totp", limit=short, now=at) is None

    async def test_success_clears_its_bucket(self, store: HotState) -> None:
        code = await enrol(store, factor=totp())
        for _ in range(5):
            await store.records.reserve_attempt(OWNER.workspace_id, OWNER.id, "totp", limit=LIMIT, now=NOW)
        assert (
            await store.records.reserve_attempt(OWNER.workspace_id, OWNER.id, "totp", limit=LIMIT, now=NOW) is not None
        )
        await store.issue_token(grant_for(await ask(store, purpose=ROTATE), code))
        assert await store.records.reserve_attempt(OWNER.workspace_id, OWNER.id, "totp", limit=LIMIT, now=NOW) is None

    async def test_a_refused_grant_clears_no_bucket(self, store: HotState) -> None:
        code = await enrol(store, factor=totp(last_step=100))
        for _ in range(5):
            await store.records.reserve_attempt(OWNER.workspace_id, OWNER.id, "totp", limit=LIMIT, now=NOW)
        prompt = await ask(store, purpose=ROTATE)
        assert await store.issue_token(grant_for(prompt, code, time_step=100)) is GrantRefused.STEP_SPENT
        assert (
            await store.records.reserve_attempt(OWNER.workspace_id, OWNER.id, "totp", limit=LIMIT, now=NOW) is not None
        )
