"""Approvals: asked for within bounds, matched by their digits, and told of."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace

from stepup_middleware.core.approvals import (
    APPROVAL_LIFETIME,
    ASKED_PER_PERSON,
    ASKED_WITHIN,
    MATCH_TRIES,
    WAITING_PER_PERSON,
    ApprovalNews,
    ApprovalRefused,
    ApprovalState,
    EndReason,
)
from stepup_middleware.core.events import EventName
from stepup_middleware.core.retention import PROMPTS_STAY
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.stores.base import HotState

from .approval_values import (
    ASKED,
    BACK,
    LAPTOP,
    ME,
    NO,
    PHONE,
    approval_for,
    approving,
    ask_approval,
    match,
)
from .batches import grants_for, tokens_of
from .values import (
    COSIGNER,
    MICROSECOND,
    NOW,
    OWNER,
    Opener,
    ask,
    assert_records_hold,
    enrol,
    names_of,
)


class ApprovalContract:
    """Approvals: asked for within bounds, matched by their digits, and told of."""

    # asking

    async def test_an_approval_is_kept_as_it_was_asked_for_and_found_by_prompt_person_and_code(
        self, store: HotState, open_node: Opener
    ) -> None:
        await enrol(store)
        approval = await ask_approval(store)
        async with open_node() as other:
            records = other.records
            assert await records.get_approval(approval.prompt.id) == approval
            assert await records.approvals_by_code(approval.code) == (approval,)
            assert await records.waiting_approvals(*ME, now=NOW) == (approval,)
            assert await records.waiting_approvals(OWNER.workspace_id, COSIGNER.id, now=NOW) == ()
            assert await records.waiting_approvals("w-2", OWNER.id, now=NOW) == ()
            assert await records.approvals_by_code(secrets.token_bytes(32)) == ()
            assert await records.get_approval("unknown\0\ud800") is None
        assert (await names_of(store)).count(EventName.APPROVAL_REQUESTED) == 1
        await assert_records_hold(store)

    async def test_one_waits_for_each_purpose_and_session_whoever_asks_at_once(
        self, store: HotState, open_node: Opener
    ) -> None:
        await enrol(store)
        new = [approval_for(await ask(store, lifetime=APPROVAL_LIFETIME)) for _ in range(6)]
        async with open_node() as other:
            nodes = (store, other) * 3
            answers = await asyncio.gather(
                *(node.records.ask_approval(each, event=ASKED, now=NOW) for node, each in zip(nodes, new, strict=True))
            )
        assert sorted(map(str, answers)) == ["None", *["approval_waits"] * 5]
        assert (await names_of(store)).count(EventName.APPROVAL_REQUESTED) == 1
        elsewhere = replace(OWNER, session_id="s-another")
        await ask_approval(store, elsewhere)
        assert len(await store.records.waiting_approvals(*ME, now=NOW)) == 2

    async def test_a_person_is_asked_for_so_many_at_once_and_so_many_in_a_while(self, store: HotState) -> None:
        await enrol(store)
        sessions = [replace(OWNER, session_id=f"s-{number}") for number in range(WAITING_PER_PERSON + 1)]
        for session in sessions[:-1]:
            await ask_approval(store, session)
        more = approval_for(await ask(store, sessions[-1]))
        refused = await store.records.ask_approval(more, event=ASKED, now=NOW)
        assert refused is ApprovalRefused.TOO_MANY
        await enrol(store, COSIGNER)
        await ask_approval(store, COSIGNER)  # nobody else is asked less for it
        for number in range(ASKED_PER_PERSON - WAITING_PER_PERSON):
            first = (await store.records.waiting_approvals(*ME, now=NOW))[0]
            assert await store.records.end_approval(first.prompt.id, NO, event=None)
            await ask_approval(store, replace(OWNER, session_id=f"s-further-{number}"))
        for waiting in await store.records.waiting_approvals(*ME, now=NOW):
            assert await store.records.end_approval(waiting.prompt.id, BACK, event=None)
        assert await store.records.ask_approval(more, event=ASKED, now=NOW) is ApprovalRefused.TOO_MANY
        later = approval_for(await ask(store, now=NOW + ASKED_WITHIN))
        assert await store.records.ask_approval(later, event=ASKED, now=NOW + ASKED_WITHIN) is None

    # digits

    async def test_right_digits_tie_it_to_the_session_that_typed_them_and_wrong_ones_untie_it(
        self, store: HotState
    ) -> None:
        await enrol(store)
        approval = await ask_approval(store)
        assert await match(store, approval) == replace(approval, matched=PHONE.session)
        assert await match(store, approval, decider=LAPTOP) == replace(approval, matched=LAPTOP.session)
        after = await match(store, approval, "41")
        assert after == replace(approval, tries=1)
        assert await store.records.get_approval(approval.prompt.id) == after
        assert (await names_of(store)).count(EventName.FAILED) == 1

    async def test_the_last_wrong_digits_deny_it_whoever_tries_at_once(
        self, store: HotState, open_node: Opener
    ) -> None:
        await enrol(store)
        approval = await ask_approval(store)
        async with open_node() as other:
            tries = [(node, f"{number}7") for number in range(5) for node in (store, other)]
            await asyncio.gather(*(match(node, approval, digits) for node, digits in tries))
        kept = await store.records.get_approval(approval.prompt.id)
        assert kept is not None
        assert (kept.state, kept.reason, kept.tries) == (ApprovalState.DENIED, EndReason.WRONG_DIGITS, MATCH_TRIES)
        assert kept.decider == PHONE
        names = await names_of(store)
        assert (names.count(EventName.FAILED), names.count(EventName.APPROVAL_DENIED)) == (MATCH_TRIES - 1, 1)
        assert await match(store, approval) is None

    # being told

    async def test_each_change_is_told_once_after_those_before_on_every_node(
        self, store: HotState, open_node: Opener
    ) -> None:
        factor = await enrol(store)
        async with open_node() as other:
            records = other.records
            first = (await records.approval_news(after=None, limit=0)).mark
            assert await records.approval_news(after=first, limit=9) == ApprovalNews(first)
            approval = await ask_approval(store)
            told = [await records.approval_news(after=first, limit=9)]
            for step in ("match", "approve"):
                if step == "match":
                    await match(store, approval)
                else:
                    assert isinstance(await store.issue_token(approving(approval, factor)), TokenReference)
                told.append(await records.approval_news(after=told[-1].mark, limit=9))
            for news in told:
                (change,) = news.changes
                assert (change.prompt_id, change.workspace_id, change.subject_id) == (approval.prompt.id, *ME)
            denied = await ask_approval(store)
            assert await store.records.end_approval(denied.prompt.id, NO, event=None)
            all_ = await records.approval_news(after=first, limit=9)
            assert [change.prompt_id for change in all_.changes] == [approval.prompt.id, denied.prompt.id]
            numbers = [*(news.changes[0].number for news in told), all_.changes[1].number]
            assert numbers == sorted({*numbers})
            assert {all_.mark.epoch, *(news.mark.epoch for news in told)} == {first.epoch}
            one = await records.approval_news(after=first, limit=1)
            rest = await records.approval_news(after=one.mark, limit=1)
            assert one.changes + rest.changes == all_.changes
            for mark in (all_.mark, rest.mark):
                assert not (await records.approval_news(after=mark, limit=9)).changes
            assert await records.approval_news(after=None, limit=9) == ApprovalNews(all_.mark)

    async def test_each_of_several_that_one_proof_ends_is_told_of(self, store: HotState) -> None:
        factor = await enrol(store)
        asked = [await ask_approval(store, replace(OWNER, session_id=f"s-{number}")) for number in range(3)]
        mark = (await store.records.approval_news(after=None, limit=0)).mark
        answers = await store.issue_tokens(grants_for([approval.prompt for approval in asked], factor))
        assert len(tokens_of(answers)) == 3
        told: list[str] = []
        while changes := (news := await store.records.approval_news(after=mark, limit=1)).changes:
            told += [change.prompt_id for change in changes]
            mark = news.mark
        assert sorted(told) == sorted(approval.prompt.id for approval in asked)

    async def test_the_end_of_all_is_news_on_every_node_and_what_comes_after_it_too(
        self, store: HotState, open_node: Opener
    ) -> None:
        await enrol(store)
        async with open_node() as other:
            await ask_approval(store)
            before = (await other.records.approval_news(after=None, limit=0)).mark
            await store.revoke_all(event=None, now=NOW)
            after = await other.records.approval_news(after=before, limit=9)
            assert after.mark.epoch != before.epoch
            assert after.changes == ()
            assert await other.records.approval_news(after=after.mark, limit=9) == after
            later = await ask_approval(store)
            (change,) = (await other.records.approval_news(after=after.mark, limit=9)).changes
            assert change.prompt_id == later.prompt.id

    async def test_a_purge_takes_approvals_with_their_prompts(self, store: HotState) -> None:
        await enrol(store)
        approval = await ask_approval(store)
        over = approval.prompt.expires_at + PROMPTS_STAY
        await store.records.purge(now=over - MICROSECOND, limit=100)
        assert await store.records.get_approval(approval.prompt.id) == approval
        before = await store.records.approval_news(after=None, limit=0)
        await store.records.purge(now=over, limit=100)
        assert await store.records.get_approval(approval.prompt.id) is None
        assert await store.records.approval_news(after=None, limit=0) == before
