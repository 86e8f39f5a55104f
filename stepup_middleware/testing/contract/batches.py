"""One proof of several prompts: spent once, and a token for each prompt that is still open."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from stepup_middleware.core.batches import MOST_PROMPTS
from stepup_middleware.core.decisions import Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.core.factors import TOTPFactor, WebAuthnFactor
from stepup_middleware.core.grants import GrantRefused, TokenGrant
from stepup_middleware.core.prompts import Prompt, PromptState
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.base import HotState

from .values import NOW, OWNER, ROTATE, Opener, ask, enrol, event, grant_for, names_of, passkey, shown_for, totp


async def asked(store: HotState, count: int) -> list[Prompt]:
    """Return so many open prompts of one purpose."""
    return [await ask(store, purpose=ROTATE, details=(("Hook", str(number)),)) for number in range(count)]


def grants_for(prompts: Sequence[Prompt], factor: WebAuthnFactor | TOTPFactor, **fields: object) -> list[TokenGrant]:
    """Return the grants of one proof of these prompts, at the time of the last."""
    at = grant_for(prompts[-1], factor)
    times = {"issued_at": at.issued_at, "expires_at": at.expires_at}
    return [grant_for(prompt, factor, **{**times, **fields}) for prompt in prompts]


def tokens_of(answers: Sequence[TokenReference | GrantRefused]) -> list[TokenReference]:
    """Return those answers that are tokens."""
    return [answer for answer in answers if isinstance(answer, TokenReference)]


class BatchContract:
    """One proof of several prompts: spent once, and a token for each prompt that is still open."""

    @pytest.mark.parametrize("kind", ["passkey", "totp"])
    async def test_one_proof_brings_each_of_its_prompts_a_token_of_its_own(self, store: HotState, kind: str) -> None:
        factor = await enrol(store, factor=passkey(sign_count=5) if kind == "passkey" else totp(last_step=5))
        prompts = await asked(store, MOST_PROMPTS)
        grants = grants_for(prompts, factor)
        answers = await store.issue_tokens(grants)
        assert [answer.nonce for answer in tokens_of(answers)] == [grant.nonce for grant in grants]
        assert len(set(answers)) == MOST_PROMPTS
        (used,) = await store.records.list_factors(OWNER.workspace_id, OWNER.id)
        assert (used.last_step if isinstance(used, TOTPFactor) else used.sign_count) == 6
        assert (await names_of(store)).count(EventName.VERIFIED) == MOST_PROMPTS
        for number, (prompt, token) in enumerate(zip(prompts, tokens_of(answers), strict=True)):
            other = prompts[number - 1]  # for whose request the token is not
            wrong = await store.redeem(shown_for(other, token))
            assert wrong.decision.verdict is Verdict.REQUIRED
            answer = await store.redeem(shown_for(prompt, token))
            assert answer.decision.verdict is Verdict.REDEEMED
            assert answer.row is not None
            assert answer.row.prompt_id == prompt.id
        again = await store.redeem(shown_for(prompts[7], tokens_of(answers)[7]))
        assert again.decision.verdict is Verdict.REUSED

    async def test_a_prompt_that_is_not_open_falls_out_and_the_others_have_their_tokens(self, store: HotState) -> None:
        factor = await enrol(store)
        prompts = await asked(store, 4)
        await store.cancel_prompt(prompts[0].id, event=event(EventName.FAILED), now=NOW)
        unknown = replace(prompts[2], id="unknown")
        before = (await names_of(store)).count(EventName.VERIFIED)
        answers = await store.issue_tokens(grants_for([*prompts[:2], unknown, prompts[3]], factor))
        closed = GrantRefused.PROMPT_CLOSED
        assert [answer is closed for answer in answers] == [True, False, True, False]
        assert len(tokens_of(answers)) == 2
        assert (await names_of(store)).count(EventName.VERIFIED) == before + 2

    async def test_where_no_prompt_is_open_nothing_is_spent(self, store: HotState) -> None:
        factor = await enrol(store)
        prompts = await asked(store, 2)
        for prompt in prompts:
            await store.cancel_prompt(prompt.id, event=event(EventName.FAILED), now=NOW)
        assert await store.issue_tokens(grants_for(prompts, factor)) == [GrantRefused.PROMPT_CLOSED] * 2
        assert await store.records.list_factors(OWNER.workspace_id, OWNER.id) == (factor,)

    async def test_a_proof_that_is_spent_brings_no_token_and_leaves_every_prompt_open(self, store: HotState) -> None:
        key = await enrol(store, factor=passkey(sign_count=5))
        code = await enrol(store, factor=totp(last_step=100))
        prompts = await asked(store, 3)
        moved = grants_for(prompts, key, expected_sign_count=4)
        assert await store.issue_tokens(moved) == [GrantRefused.SIGN_COUNT_MOVED] * 3
        spent = grants_for(prompts, code, time_step=100)
        assert await store.issue_tokens(spent) == [GrantRefused.STEP_SPENT] * 3
        for prompt in prompts:
            stored = await store.get_prompt(prompt.id, now=NOW)
            assert stored is not None
            assert stored.state is PromptState.OPEN
        assert EventName.VERIFIED not in await names_of(store)
        assert len(tokens_of(await store.issue_tokens(grants_for(prompts, code, time_step=101)))) == 3

    async def test_a_factor_enrolled_after_one_of_the_prompts_does_not_serve_that_one(self, store: HotState) -> None:
        await enrol(store)
        early = await asked(store, 1)
        later = await enrol(store)
        answers = await store.issue_tokens(grants_for([*early, *await asked(store, 1)], later))
        assert answers[0] is GrantRefused.FACTOR_GONE
        assert isinstance(answers[1], TokenReference)

    async def test_prompts_that_several_proofs_have_in_common_bring_one_token_each(
        self, store: HotState, open_node: Opener
    ) -> None:
        factor = await enrol(store, factor=passkey(sign_count=0))
        prompts = await asked(store, 9)
        shares = [prompts[at : at + 5] for at in range(5)] + [[prompt] for prompt in prompts[::4]] + [prompts[::-1]]
        async with open_node() as other:
            answers = await asyncio.gather(
                *(
                    node.issue_tokens(grants_for(share, factor, sign_count=0, expected_sign_count=0))
                    for share in shares
                    for node in (store, other)
                )
            )
        proved = [
            prompt.id
            for share, answer in zip([share for share in shares for _ in range(2)], answers, strict=True)
            for prompt, token in zip(share, answer, strict=True)
            if isinstance(token, TokenReference)
        ]
        assert sorted(proved) == sorted(prompt.id for prompt in prompts)
        assert (await names_of(store)).count(EventName.VERIFIED) == len(prompts)

    async def test_one_code_serves_one_of_two_answers_to_several_prompts(
        self, store: HotState, open_node: Opener
    ) -> None:
        code = await enrol(store, factor=totp(last_step=100))
        prompts = await asked(store, 10)
        async with open_node() as other:
            one, another = await asyncio.gather(
                store.issue_tokens(grants_for(prompts[:5], code, time_step=101)),
                other.issue_tokens(grants_for(prompts[5:], code, time_step=101)),
            )
        assert sorted([len(tokens_of(one)), len(tokens_of(another))]) == [0, 5]
        assert {*one, *another} >= {GrantRefused.STEP_SPENT}

    async def test_an_event_that_cannot_be_written_leaves_no_token_of_the_proof(self, store: HotState) -> None:
        factor = await enrol(store)
        prompts = await asked(store, 3)
        grants = grants_for(prompts, factor)
        grants[1] = replace(grants[1], event=event(EventName.VERIFIED, reason="\ud800"))
        before = await store.records.last_seq()
        with pytest.raises(StoreError):
            await store.issue_tokens(grants)
        assert await store.records.last_seq() == before
        assert await store.records.list_factors(OWNER.workspace_id, OWNER.id) == (factor,)
        assert len(tokens_of(await store.issue_tokens(grants_for(prompts, factor)))) == 3
