"""Redemption: one winner, every refusal of the table, and what is left behind."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from datetime import timedelta

import pytest

from stepup_middleware.core.decisions import CLOCK_SKEW, Flag, TokenState, Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.core.factors import FactorRequirement
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.stores.base import HotState

from .values import (
    IP,
    MICROSECOND,
    NOW,
    OTHER_IP,
    OTHER_SESSION,
    OTHER_WORKSPACE,
    OWNER,
    ROTATE,
    STRANGER,
    TTL,
    Opener,
    all_records,
    assert_records_hold,
    enrol,
    event,
    hold,
    hold_many,
    last_record,
    names_of,
    row_of,
    totp,
    won,
)

OTHER_PURPOSE = {"purpose": ROTATE.id}
OTHER_REQUEST = {"request_digest": bytes(32)}
OTHER_DETAILS = {"details_digest": bytes(32)}
LATE = {"now": NOW + timedelta(hours=1)}


class RedemptionContract:
    """Redemption: one winner, every refusal of the table, and what is left behind."""

    async def test_an_honest_presentation_redeems_and_the_row_says_by_whom(self, store: HotState) -> None:
        held = await hold(store)
        shown = held.shown()
        answer = await store.redeem(shown)
        row = row_of(answer)
        assert answer.decision.verdict is Verdict.REDEEMED
        assert answer.decision.flags == ()
        assert (row.state, row.attempt, row.redeemed_at) == (TokenState.REDEEMED, shown.attempt, shown.now)
        assert (row.redeemed_ip, row.redeemed_user_agent) == (shown.ip, shown.user_agent)
        assert (row.prompt_id, row.factor_id, row.purpose) == (held.prompt.id, held.factor.id, held.prompt.purpose)

    async def test_the_event_of_a_redemption_is_durable_when_the_answer_comes(
        self, store: HotState, open_node: Opener
    ) -> None:
        held = await hold(store)  # T02
        await store.redeem(held.shown())
        async with open_node() as other:
            record = await last_record(other)
        assert record.event is EventName.ACTION_AUTHORIZED
        assert record.prompt_id == held.prompt.id
        assert record.factor_id == held.factor.id
        assert record.requirement is held.prompt.requirement
        assert record.request == held.prompt.request

    async def test_a_second_presentation_is_known_for_a_replay(self, store: HotState) -> None:
        held = await hold(store)  # T03, T33, T34
        await store.redeem(held.shown())
        again = await store.redeem(held.shown())
        assert again.decision.verdict is Verdict.REUSED
        assert row_of(again).replays.count == 1
        record = await last_record(store)
        assert record.event is EventName.REUSED
        assert record.data["count"] == 1
        assert record.data["likely_retry"] is True
        assert record.data["redeemed"]["ip"] == IP

    async def test_the_same_attempt_recognises_its_own_success_and_writes_no_second_event(
        self, store: HotState
    ) -> None:
        held = await hold(store)  # S04
        shown = held.shown()
        await store.redeem(shown)
        before = await store.records.last_seq()
        again = await store.redeem(shown)
        assert again.decision.verdict is Verdict.REDEEMED
        assert row_of(again).attempt == shown.attempt
        assert await store.records.last_seq() == before

    @pytest.mark.parametrize(
        ("off", "verdict", "flag", "state"),
        [
            (STRANGER, Verdict.REQUIRED, Flag.WRONG_SUBJECT, TokenState.REVOKED),  # T14
            (OTHER_SESSION, Verdict.REQUIRED, Flag.WRONG_SESSION, TokenState.REVOKED),
            (OTHER_WORKSPACE, Verdict.REQUIRED, Flag.WRONG_WORKSPACE, TokenState.REVOKED),  # T17
            (OTHER_IP, Verdict.IP_MISMATCH, Flag.WRONG_IP, TokenState.REVOKED),
            (LATE, Verdict.EXPIRED, Flag.EXPIRED, TokenState.ISSUED),
            (OTHER_PURPOSE, Verdict.REQUIRED, Flag.WRONG_PURPOSE, TokenState.ISSUED),  # T16
            (OTHER_REQUEST, Verdict.REQUIRED, Flag.WRONG_REQUEST, TokenState.ISSUED),  # T18, T19, T21
            (OTHER_DETAILS, Verdict.REQUIRED, Flag.WRONG_DETAILS, TokenState.ISSUED),
        ],
    )
    async def test_each_row_of_the_table_refuses_and_leaves_the_token_as_it_says(
        self, store: HotState, off: dict[str, object], verdict: Verdict, flag: Flag, state: TokenState
    ) -> None:
        held = await hold(store)
        answer = await store.redeem(held.shown(**off))
        assert answer.decision.verdict is verdict
        assert answer.decision.flags == (flag,)
        record = await last_record(store)
        assert (record.event, record.reason) == (EventName.BLOCKED, flag.value)
        honest = await store.redeem(held.shown())
        if state is TokenState.ISSUED:
            assert honest.decision.verdict is Verdict.REDEEMED
        else:
            assert honest.decision.verdict is Verdict.REQUIRED
            assert honest.decision.flags == (Flag.REVOKED,)

    @pytest.mark.parametrize("off", [{}, LATE, OTHER_IP, STRANGER, OTHER_SESSION, OTHER_PURPOSE, OTHER_REQUEST])
    async def test_a_redeemed_token_is_reused_whatever_else_is_wrong(
        self, store: HotState, off: dict[str, object]
    ) -> None:
        held = await hold(store)  # P01, P02, P03, P04
        await store.redeem(held.shown())
        again = await store.redeem(held.shown(**off))
        assert again.decision.verdict is Verdict.REUSED
        assert again.decision.flags[0] is Flag.REDEEMED_BEFORE
        assert len(again.decision.flags) == 1 + len(off)
        assert row_of(again).state is TokenState.REDEEMED
        assert (await last_record(store)).flags == tuple(flag.value for flag in again.decision.flags)

    @pytest.mark.parametrize(
        ("off", "verdict"),
        [
            ({**OTHER_SESSION, **OTHER_IP, **LATE}, Verdict.REQUIRED),  # P06
            ({**OTHER_IP, **LATE}, Verdict.IP_MISMATCH),  # P07
            ({**OTHER_IP, **OTHER_PURPOSE}, Verdict.IP_MISMATCH),  # P08
            ({**LATE, **OTHER_PURPOSE}, Verdict.EXPIRED),  # P09
        ],
    )
    async def test_of_several_faults_the_first_of_the_table_answers_and_all_are_logged(
        self, store: HotState, off: dict[str, object], verdict: Verdict
    ) -> None:
        held = await hold(store)
        answer = await store.redeem(held.shown(**off))
        assert answer.decision.verdict is verdict
        assert len(answer.decision.flags) == len(off)
        assert (await last_record(store)).flags == tuple(flag.value for flag in answer.decision.flags)

    async def test_the_wrong_purpose_answers_before_a_factor_that_is_too_weak(self, store: HotState) -> None:
        factor = await enrol(store, factor=totp())  # P11
        held = await hold(store, purpose=ROTATE, factor=factor)
        strict = FactorRequirement.PHISHING_RESISTANT
        answer = await store.redeem(held.shown(minimum=strict, purpose="payroll_ach_transmit"))
        assert answer.decision.verdict is Verdict.REQUIRED
        assert answer.decision.flags == (Flag.WRONG_PURPOSE, Flag.FACTOR_WEAK)

    async def test_a_factor_below_the_minimum_of_this_moment_ends_the_token(self, store: HotState) -> None:
        factor = await enrol(store, factor=totp())
        held = await hold(store, purpose=ROTATE, factor=factor)
        answer = await store.redeem(held.shown(minimum=FactorRequirement.PHISHING_RESISTANT))
        assert answer.decision.verdict is Verdict.FACTOR_INSUFFICIENT
        assert (await store.redeem(held.shown())).decision.flags == (Flag.REVOKED,)

    async def test_a_removed_factor_takes_its_unredeemed_tokens_with_it(self, store: HotState) -> None:
        held = await hold(store)  # T31
        removed = event(EventName.FACTOR_REMOVED)
        assert await store.records.remove_factor(OWNER.workspace_id, OWNER.id, held.factor.id, event=removed, now=NOW)
        answer = await store.redeem(held.shown())
        assert answer.decision.verdict is Verdict.FACTOR_INSUFFICIENT
        assert answer.decision.flags == (Flag.FACTOR_GONE,)
        assert (await store.redeem(held.shown())).decision.flags == (Flag.REVOKED, Flag.FACTOR_GONE)

    async def test_a_token_revoked_for_its_ip_brings_no_critical_alert_from_the_right_one(
        self, store: HotState
    ) -> None:
        held = await hold(store)  # P13
        await store.redeem(held.shown(**OTHER_IP))
        answer = await store.redeem(held.shown())
        assert answer.decision.verdict is Verdict.REQUIRED
        assert EventName.REUSED not in await names_of(store)

    async def test_a_right_and_a_wrong_ip_at_once_never_run_twice(self, store: HotState) -> None:
        for held in await hold_many(store, 20):  # P14
            shown = [held.shown(), held.shown(**OTHER_IP)]
            secrets.SystemRandom().shuffle(shown)
            answers = await asyncio.gather(*map(store.redeem, shown))
            assert won(answers) <= 1
            last = await store.redeem(held.shown())
            assert last.decision.verdict in (Verdict.REUSED, Verdict.REQUIRED)

    @pytest.mark.parametrize("id_", [4711, 2**63 - 1, 2**63, 2**64 - 1])
    async def test_a_reference_without_a_row_is_state_lost_never_reused(self, store: HotState, id_: int) -> None:
        held = await hold(store)  # T29
        answer = await store.redeem(held.shown(reference=TokenReference(id_, bytes(16))))
        assert answer.decision.verdict is Verdict.REQUIRED
        assert answer.decision.flags == (Flag.STATE_LOST,)
        assert (await last_record(store)).prompt_id == ""

    async def test_a_row_with_another_nonce_is_no_row(self, store: HotState) -> None:
        held = await hold(store)
        answer = await store.redeem(held.shown(reference=replace(held.reference, nonce=bytes(16))))
        assert answer.decision.flags == (Flag.STATE_LOST,)
        assert won([await store.redeem(held.shown())]) == 1

    async def test_a_token_lives_up_to_its_last_microsecond_and_not_at_its_end(self, store: HotState) -> None:
        first, second = await hold_many(store, 2)  # K01, K02
        end = first.prompt.created_at + timedelta(seconds=1) + TTL
        assert (await store.redeem(first.shown(now=end))).decision.verdict is Verdict.EXPIRED
        assert (await store.redeem(second.shown(now=end - MICROSECOND))).decision.verdict is Verdict.REDEEMED

    async def test_a_ttl_that_was_shortened_meanwhile_ends_a_token_sooner(self, store: HotState) -> None:
        held = await hold(store)  # K07
        issued_at = held.prompt.created_at + timedelta(seconds=1)
        short = timedelta(seconds=10)
        at_end = await store.redeem(held.shown(ttl=short, now=issued_at + short))
        assert at_end.decision.verdict is Verdict.EXPIRED
        before = await store.redeem(held.shown(ttl=short, now=issued_at + short - MICROSECOND))
        assert before.decision.verdict is Verdict.REDEEMED

    async def test_a_ttl_that_was_lengthened_meanwhile_makes_no_token_live_longer(self, store: HotState) -> None:
        held = await hold(store)  # K07
        end = held.prompt.created_at + timedelta(seconds=1) + TTL
        late = await store.redeem(held.shown(ttl=10 * TTL, now=end))
        assert late.decision.verdict is Verdict.EXPIRED
        assert (
            await store.redeem(held.shown(ttl=10 * TTL, now=end - MICROSECOND))
        ).decision.verdict is Verdict.REDEEMED

    async def test_a_clock_that_is_a_little_behind_redeems_and_one_far_behind_does_not(self, store: HotState) -> None:
        first, second = await hold_many(store, 2)  # K03, K04
        issued_at = first.prompt.created_at + timedelta(seconds=1)
        far = await store.redeem(first.shown(now=issued_at - CLOCK_SKEW - MICROSECOND))
        assert far.decision.flags == (Flag.EXPIRED,)
        near = await store.redeem(second.shown(now=issued_at - CLOCK_SKEW))
        assert near.decision.verdict is Verdict.REDEEMED

    async def test_fifty_at_once_with_one_token_run_once(self, store: HotState) -> None:
        held = await hold(store)  # T04, PSD2 RTS 4(1)
        answers = await asyncio.gather(*(store.redeem(held.shown()) for _ in range(50)))
        assert won(answers) == 1
        assert sum(answer.decision.verdict is Verdict.REUSED for answer in answers) == 49
        records = await all_records(store)
        assert [record.event for record in records].count(EventName.ACTION_AUTHORIZED) == 1
        counts = [record.data["count"] for record in records if record.event is EventName.REUSED]
        assert counts == [1, 10]
        await assert_records_hold(store)

    async def test_a_hundred_tokens_of_one_person_at_once_all_run(self, store: HotState) -> None:
        held = await hold_many(store, 100)  # D08
        answers = await asyncio.gather(*(store.redeem(one.shown()) for one in held))
        assert won(answers) == 100
        authorized = {r.prompt_id for r in await all_records(store) if r.event is EventName.ACTION_AUTHORIZED}
        assert authorized == {one.prompt.id for one in held}
        await assert_records_hold(store)

    async def test_two_nodes_share_each_token(self, open_node: Opener) -> None:
        async with open_node() as one, open_node() as other:  # T06, T33
            held = await hold_many(one, 30)
            answers = await asyncio.gather(*(node.redeem(token.shown()) for token in held for node in (one, other)))
            assert won(answers) == 30
            await assert_records_hold(one)

    async def test_a_cancelled_wait_leaves_a_token_redeemed_and_says_so_or_untouched(self, store: HotState) -> None:
        held = await hold_many(store, 30)  # X03, X04
        tasks = [asyncio.create_task(store.redeem(one.shown())) for one in held]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in held:
            answer = await store.redeem(one.shown())
            records = await all_records(store)
            mine = [record for record in records if record.prompt_id == one.prompt.id]
            aborted = [r for r in mine if r.event is EventName.ACTION_COMPLETED and r.data == {"outcome": "aborted"}]
            if answer.decision.verdict is Verdict.REUSED:
                assert [r.event for r in mine].count(EventName.ACTION_AUTHORIZED) == 1
            else:
                assert answer.decision.verdict is Verdict.REDEEMED
                assert not aborted
        await assert_records_hold(store)
