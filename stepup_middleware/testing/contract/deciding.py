"""What becomes of approvals: decided once, by whoever comes first, on whatever node."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from stepup_middleware.core.approvals import (
    APPROVAL_LIFETIME,
    ApprovalEnd,
    ApprovalState,
    EndReason,
)
from stepup_middleware.core.decisions import Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.core.grants import GrantRefused
from stepup_middleware.core.prompts import PromptState
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.stores.base import HotState

from .approval_values import (
    ASKED,
    BACK,
    DENIED,
    LAPTOP,
    ME,
    NO,
    PHONE,
    SECOND,
    approval_for,
    approved,
    approving,
    ask_approval,
    match,
    state_of,
)
from .recovery_values import a_reset
from .values import (
    COSIGNER,
    MICROSECOND,
    MINUTE,
    NOW,
    OWNER,
    Opener,
    ask,
    enrol,
    event,
    grant_for,
    names_of,
    passkey,
    shown_for,
)


class DecidingContract:
    """What becomes of approvals: decided once, by whoever comes first, on whatever node."""

    async def test_a_passed_ceremony_of_the_session_that_typed_the_digits_approves_it_and_its_token_waits(
        self, store: HotState, open_node: Opener
    ) -> None:
        approval, grant, token = await approved(store)
        stored = await store.get_prompt(approval.prompt.id, now=NOW)
        assert stored is not None
        assert stored.state is PromptState.PROVED
        async with open_node() as other:
            assert await other.records.get_approval(approval.prompt.id) == replace(
                approval,
                state=ApprovalState.APPROVED,
                matched=PHONE.session,
                decided_at=grant.issued_at,
                decider=PHONE,
                token=token,
            )
            assert await other.records.waiting_approvals(*ME, now=NOW) == ()
        refused = await store.redeem(shown_for(approval.prompt, token))
        assert refused.decision.verdict is Verdict.REQUIRED  # nobody was given it
        names = await names_of(store)
        assert names.count(EventName.VERIFIED) == 1

    async def test_what_a_person_decided_of_late_is_found_the_newest_first(
        self, store: HotState, open_node: Opener
    ) -> None:
        factor = await enrol(store)
        approval, other = await ask_approval(store), await ask_approval(store, replace(OWNER, session_id="s-another"))
        back = await ask_approval(store, replace(OWNER, session_id="s-third"))
        await match(store, approval)
        assert isinstance(await store.issue_token(approving(approval, factor)), TokenReference)
        later = replace(NO, at=NOW + MINUTE)
        assert await store.records.end_approval(other.prompt.id, later, event=None)
        assert await store.records.end_approval(back.prompt.id, BACK, event=None)  # nobody decided that
        async with open_node() as node:
            records = node.records
            found = await records.decided_approvals(*ME, after=NOW - MINUTE)
            assert [each.prompt.id for each in found] == [other.prompt.id, approval.prompt.id]
            assert [each.prompt.id for each in await records.decided_approvals(*ME, after=NOW)][:1] == [other.prompt.id]
            assert await records.decided_approvals(*ME, after=NOW + MINUTE) == ()
            assert await records.decided_approvals(OWNER.workspace_id, COSIGNER.id, after=NOW - MINUTE) == ()

    @pytest.mark.parametrize("fault", ["no digits", "another session", "denied", "cancelled", "expired", "no approval"])
    async def test_nothing_else_approves_it(self, store: HotState, fault: str) -> None:
        factor = await enrol(store)
        approval = await ask_approval(store)
        grant = approving(approval, factor)
        if fault != "no digits":
            await match(store, approval, decider=LAPTOP if fault == "another session" else PHONE)
        if fault in ("denied", "cancelled"):
            end = NO if fault == "denied" else BACK
            assert await store.records.end_approval(approval.prompt.id, end, event=None)
        if fault == "expired":
            grant = replace(grant, issued_at=NOW + APPROVAL_LIFETIME, expires_at=NOW + 2 * APPROVAL_LIFETIME)
        if fault == "no approval":
            prompt = await ask(store)
            grant = grant_for(prompt, factor, decider=PHONE)
        assert await store.issue_token(grant) is GrantRefused.PROMPT_CLOSED
        assert EventName.VERIFIED not in await names_of(store)
        if fault in ("no digits", "another session"):
            await match(store, approval)
            assert isinstance(await store.issue_token(grant), TokenReference)  # the prompt stayed open

    async def test_a_prompt_that_its_own_session_proved_is_decided_and_cannot_be_denied(
        self, store: HotState, open_node: Opener
    ) -> None:
        factor = await enrol(store)
        approval = await ask_approval(store)
        await match(store, approval)
        assert isinstance(await store.issue_token(grant_for(approval.prompt, factor)), TokenReference)
        async with open_node() as other:
            kept = await other.records.get_approval(approval.prompt.id)
            ended = replace(approval, state=ApprovalState.CANCELLED, reason=EndReason.PROVED, matched="")
            assert kept == replace(ended, decided_at=NOW + SECOND)
            assert await other.records.waiting_approvals(*ME, now=NOW) == ()
            assert not await other.records.end_approval(approval.prompt.id, NO, event=DENIED)
            assert await match(other, approval) is None
            assert await other.issue_token(approving(approval, factor)) is GrantRefused.PROMPT_CLOSED
            assert await other.records.get_approval(approval.prompt.id) == kept
        names = await names_of(store)
        assert (names.count(EventName.VERIFIED), names.count(EventName.APPROVAL_DENIED)) == (1, 0)

    @pytest.mark.parametrize("end", [NO, BACK], ids=["denied", "taken back"])
    async def test_what_was_denied_or_taken_back_is_proved_by_nobody(self, store: HotState, end: ApprovalEnd) -> None:
        factor = await enrol(store)
        approval, other = await ask_approval(store), await ask(store)
        assert await store.records.end_approval(approval.prompt.id, end, event=None)
        assert await store.issue_token(grant_for(approval.prompt, factor)) is GrantRefused.PROMPT_CLOSED
        assert EventName.VERIFIED not in await names_of(store)
        several = await store.issue_tokens([grant_for(approval.prompt, factor), grant_for(other, factor)])
        assert several[0] is GrantRefused.PROMPT_CLOSED
        assert isinstance(several[1], TokenReference)
        assert await state_of(store, approval) is end.state

    async def test_it_is_decided_once_whoever_proves_where_it_was_asked_and_denies_and_approves_at_once(
        self, store: HotState, open_node: Opener
    ) -> None:
        factor = await enrol(store, factor=passkey(sign_count=0))
        approvals = [await ask_approval(store, replace(OWNER, session_id=f"s-{number}")) for number in range(6)]
        async with open_node() as other:
            for approval in approvals:
                await match(store, approval)
                mine = store.issue_token(grant_for(approval.prompt, factor, sign_count=0))
                theirs = [node.issue_token(approving(approval, factor, sign_count=0)) for node in (store, other)]
                ends = [other.records.end_approval(approval.prompt.id, NO, event=DENIED) for _ in range(2)]
                answers = await asyncio.gather(mine, *theirs, *ends)
                proved, *approved = (isinstance(answer, TokenReference) for answer in answers[:3])
                assert [proved, *approved, *answers[3:]].count(True) == 1
                kept = await store.records.get_approval(approval.prompt.id)
                assert kept is not None
                end: tuple[ApprovalState, EndReason | None] = (ApprovalState.DENIED, EndReason.DENIED)
                if proved or any(approved):
                    end = (ApprovalState.CANCELLED, EndReason.PROVED) if proved else (ApprovalState.APPROVED, None)
                assert (kept.state, kept.reason, kept.token is not None) == (*end, any(approved))

    async def test_an_end_is_kept_with_its_event_and_there_is_one(self, store: HotState) -> None:
        await enrol(store)
        approval = await ask_approval(store)
        assert await store.records.end_approval(approval.prompt.id, NO, event=DENIED)
        assert not await store.records.end_approval(approval.prompt.id, BACK, event=DENIED)
        assert not await store.records.end_approval("unknown\0\ud800", BACK, event=DENIED)
        kept = await store.records.get_approval(approval.prompt.id)
        assert kept == replace(
            approval, state=ApprovalState.DENIED, reason=EndReason.DENIED, decided_at=NOW, decider=PHONE
        )
        assert (await names_of(store)).count(EventName.APPROVAL_DENIED) == 1

    async def test_nothing_waits_any_more_after_a_sign_out_a_reset_and_an_end_of_all(self, store: HotState) -> None:
        await enrol(store)
        another = replace(OWNER, session_id="s-another")
        mine, others = await ask_approval(store), await ask_approval(store, another)
        await store.revoke_session(*ME, OWNER.session, now=NOW)
        assert [await state_of(store, each) for each in (mine, others)] == [
            ApprovalState.CANCELLED,
            ApprovalState.WAITING,
        ]
        assert await store.reset_factors(a_reset(hold=None), [event()], now=NOW)
        assert await state_of(store, others) is ApprovalState.CANCELLED
        await enrol(store)
        last = await ask_approval(store)
        await store.revoke_all(event=None, now=NOW)
        assert await state_of(store, last) is None
        assert await store.records.waiting_approvals(*ME, now=NOW) == ()
        assert await store.records.approvals_by_code(last.code) == ()

    async def test_it_waits_until_its_time_is_over(self, store: HotState) -> None:
        await enrol(store)
        approval = await ask_approval(store)
        end = approval.prompt.expires_at
        assert len(await store.records.waiting_approvals(*ME, now=end - MICROSECOND)) == 1
        assert await store.records.waiting_approvals(*ME, now=end) == ()
        assert not await store.records.end_approval(approval.prompt.id, replace(NO, at=end), event=None)
        assert await store.records.ask_approval(approval_for(await ask(store, now=end)), event=ASKED, now=end) is None
