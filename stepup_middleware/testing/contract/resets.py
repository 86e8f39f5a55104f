"""Holds, resets, and the people that the library has met."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.decisions import Flag, Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.core.factors import EnrolmentBasis, FactorKind, FactorRequirement
from stepup_middleware.core.grants import GrantRefused
from stepup_middleware.core.prompts import NoFactor, Prompt, PromptState
from stepup_middleware.core.recovery import PassRefused
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.stores.base import HotState

from .recovery_values import (
    ANALYST,
    HOUR,
    ISSUED,
    ME,
    RESET,
    STRONG,
    TAKEN,
    USED,
    a_hold,
    a_pass,
    a_request,
    a_reset,
    a_right,
    begun_by,
    codes_for,
    proof_by,
    put,
)
from .values import (
    COSIGNER,
    MICROSECOND,
    MINUTE,
    NOW,
    OWNER,
    ROTATE,
    Opener,
    ask,
    asked,
    assert_records_hold,
    enrol,
    event,
    grant_for,
    hold,
    names_of,
    passkey,
    shown_for,
    totp,
)


class ResetContract:
    """Holds, resets, and the people that the library has met."""

    # holds

    async def test_a_hold_closes_strong_purposes_until_it_is_over_and_no_other_ones(self, store: HotState) -> None:
        await enrol(store)
        assert await store.reset_factors(a_reset(), [RESET], now=NOW)
        await enrol(store)
        answer = await store.ask(asked(purpose=STRONG), open_limit=9)
        assert isinstance(answer, NoFactor)
        assert answer.held_until == NOW + 24 * HOUR
        assert isinstance(await store.ask(asked(purpose=ROTATE), open_limit=9), Prompt)
        for now, held in ((NOW + 24 * HOUR - MICROSECOND, True), (NOW + 24 * HOUR, False)):
            answer = await store.ask(asked(purpose=STRONG, now=now), open_limit=99)
            assert isinstance(answer, NoFactor if held else Prompt)
            assert (await store.records.hold_of(*ME, now=now) is not None) is held
        assert isinstance(await store.ask(asked(COSIGNER, STRONG), open_limit=9), NoFactor)

    async def test_a_hold_is_never_shortened_by_a_later_one(self, store: HotState) -> None:
        await store.reset_factors(a_reset(hold=a_hold(until=48 * HOUR)), [RESET], now=NOW)
        await store.reset_factors(a_reset(hold=a_hold(until=HOUR)), [RESET], now=NOW)
        await store.reset_factors(a_reset(hold=None), [RESET], now=NOW)
        assert await store.records.hold_of(*ME, now=NOW) == a_hold(until=48 * HOUR)
        await store.reset_factors(a_reset(hold=a_hold(until=72 * HOUR)), [RESET], now=NOW)
        assert await store.records.hold_of(*ME, now=NOW) == a_hold(until=72 * HOUR)

    async def test_a_token_from_before_a_hold_authorizes_no_strong_purpose_under_it(self, store: HotState) -> None:
        held, light = await hold(store, purpose=STRONG), await hold(store, purpose=ROTATE)
        codes = await put(store, codes_for())
        right = a_right(basis=EnrolmentBasis.RECOVERY)
        await store.records.use_recovery_code(codes.id, 0, right=right, hold=a_hold(), bucket="recovery", event=USED)
        answer = await store.redeem(held.shown(minimum=FactorRequirement.PHISHING_RESISTANT))
        assert answer.decision.verdict is Verdict.FACTOR_INSUFFICIENT
        assert answer.decision.flags == (Flag.ON_HOLD,)
        again = await store.redeem(held.shown(minimum=FactorRequirement.ANY))
        assert again.decision.verdict is Verdict.REQUIRED  # it was revoked
        assert (await store.redeem(light.shown())).decision.verdict is Verdict.REDEEMED

    # resets

    async def test_a_reset_takes_everything_that_proves_and_ends_what_is_open(
        self, store: HotState, open_node: Opener
    ) -> None:
        key = await enrol(store)
        await enrol(store, factor=totp())
        bystander = await hold(store, COSIGNER)
        codes = await put(store, codes_for())
        token = await store.issue_token(grant_for(await ask(store), key))
        assert isinstance(token, TokenReference)
        waiting = await ask(store)
        begun = begun_by(EnrolmentBasis.STEP_UP)
        await store.records.begin_enrolment(begun, now=NOW)
        await store.records.request_reset(a_request(), event=event(EventName.FACTORS_RESET_REQUESTED))
        new = a_pass()
        async with open_node() as other:
            assert await other.reset_factors(a_reset(new_pass=new), [RESET, ISSUED], now=NOW)
        assert await store.records.list_factors(*ME) == ()
        assert await store.records.recovery_codes(*ME) is None
        assert await store.records.open_pass(*ME) == new
        assert await store.records.reset_requests(OWNER.workspace_id, now=NOW) == ()
        assert await store.records.hold_of(*ME, now=NOW) == a_hold()
        kept = await store.get_prompt(waiting.id, now=NOW)
        assert kept is None or kept.state is PromptState.CANCELLED
        assert isinstance(await store.issue_token(grant_for(waiting, key, expected_sign_count=6)), GrantRefused)
        key_of_enrolment = (*ME, OWNER.session, FactorKind.PASSKEY)
        assert await store.records.pop_enrolment(*key_of_enrolment, id=None, now=NOW) is None
        assert not await store.records.add_webauthn_factor(*ME, passkey(), event=event(), begun=begun)
        assert not await store.records.use_recovery_code(
            codes.id, 0, right=a_right(), hold=None, bucket="recovery", event=USED
        )
        assert (await names_of(store))[-2:] == [EventName.FACTORS_RESET, EventName.ENROLMENT_PASS_ISSUED]
        assert (await store.redeem(bystander.shown())).decision.verdict is Verdict.REDEEMED
        await assert_records_hold(store)

    async def test_a_token_of_before_a_reset_authorizes_nothing(self, store: HotState) -> None:
        held = await hold(store, purpose=ROTATE)
        await store.reset_factors(a_reset(hold=None), [RESET], now=NOW)
        again = replace(held.factor, id="another")
        await enrol(store, factor=again)
        answer = await store.redeem(held.shown())
        assert answer.decision.verdict in (Verdict.REQUIRED, Verdict.FACTOR_INSUFFICIENT)

    async def test_a_reset_while_the_person_proves_leaves_them_no_token(
        self, store: HotState, open_node: Opener
    ) -> None:
        for _ in range(5):
            key = await enrol(store)
            prompt = await ask(store, purpose=ROTATE)
            async with open_node() as other:
                granted, _ = await asyncio.gather(
                    store.issue_token(grant_for(prompt, key)),
                    other.reset_factors(a_reset(hold=None), [RESET], now=NOW),
                )
            if isinstance(granted, TokenReference):
                answer = await store.redeem(shown_for(prompt, granted))
                assert answer.decision.verdict in (Verdict.REQUIRED, Verdict.FACTOR_INSUFFICIENT)

    async def test_a_reset_while_a_factor_is_added_leaves_none_of_before(
        self, store: HotState, open_node: Opener
    ) -> None:
        for basis in (EnrolmentBasis.STEP_UP, EnrolmentBasis.STEP_UP, EnrolmentBasis.STEP_UP):
            await enrol(store)
            begun = begun_by(basis)
            async with open_node() as other:
                await asyncio.gather(
                    store.records.add_webauthn_factor(*ME, passkey(), event=event(), begun=begun),
                    other.reset_factors(a_reset(hold=None), [RESET], now=NOW),
                )
            assert await store.records.list_factors(*ME) == ()

    # two admins

    async def test_a_reset_waits_for_another_admin_until_it_is_over(self, store: HotState, open_node: Opener) -> None:
        requested = event(EventName.FACTORS_RESET_REQUESTED)
        first = a_request(COSIGNER, requested_at=NOW - MINUTE)
        await store.records.request_reset(a_request(), event=requested)
        second = a_request()
        await store.records.request_reset(second, event=requested)
        await store.records.request_reset(first, event=requested)
        async with open_node() as other:
            assert await other.records.reset_requests(OWNER.workspace_id, now=NOW) == (first, second)
            assert await other.records.reset_requests("w-2", now=NOW) == ()
        assert await store.records.reset_requests(OWNER.workspace_id, now=NOW + 24 * HOUR) == ()
        refused = await store.reset_factors(a_reset(request=second), [RESET], now=NOW + 24 * HOUR)
        assert not refused
        assert await store.records.drop_reset_request(first, event=event())
        assert not await store.records.drop_reset_request(first, event=event())

    async def test_of_two_admins_who_confirm_at_once_one_resets(self, store: HotState, open_node: Opener) -> None:
        key = await enrol(store)
        request = a_request()
        await store.records.request_reset(request, event=event(EventName.FACTORS_RESET_REQUESTED))
        assert not await store.reset_factors(a_reset(request=replace(request, reason="another")), [RESET], now=NOW)
        assert await store.records.list_factors(*ME) == (key,)
        async with open_node() as other:
            done = await asyncio.gather(
                *(node.reset_factors(a_reset(request=request), [RESET], now=NOW) for node in (store, other) * 3)
            )
        assert done.count(True) == 1
        assert (await names_of(store)).count(EventName.FACTORS_RESET) == 1

    async def test_an_admin_whose_factor_is_gone_meanwhile_does_nothing_by_its_proof(self, store: HotState) -> None:
        key = await enrol(store, COSIGNER)
        by = proof_by(COSIGNER, key)
        asked_for = event(EventName.FACTORS_RESET_REQUESTED)
        await store.reset_factors(a_reset(COSIGNER, hold=None), [RESET], now=NOW)
        await enrol(store, COSIGNER, passkey(id="new", credential_id=b"new"))
        mine = await enrol(store)
        before = await store.records.last_seq()
        assert not await store.records.request_reset(a_request(), event=asked_for, proof=by)
        assert not await store.reset_factors(a_reset(proof=by), [RESET], now=NOW)
        assert not await store.records.issue_pass(a_pass(ANALYST), event=ISSUED, proof=by)
        assert await store.records.list_factors(*ME) == (mine,)
        assert await store.records.reset_requests(OWNER.workspace_id, now=NOW) == ()
        assert await store.records.open_pass(ANALYST.workspace_id, ANALYST.id) is None
        assert await store.records.last_seq() == before

    async def test_a_reset_takes_back_what_the_person_did_as_an_admin_and_nobody_has_used(
        self, store: HotState
    ) -> None:
        new, used = a_pass(ANALYST), a_pass(OWNER, id="used", digest=bytes(32))
        for each in (new, used):
            assert await store.records.issue_pass(each, event=ISSUED)
        assert await store.records.take_pass(used.digest, right=a_right(), event=TAKEN, now=NOW) is None
        assert await store.records.request_reset(a_request(), event=event(EventName.FACTORS_RESET_REQUESTED))
        await store.reset_factors(a_reset(COSIGNER), [replace(RESET, data={"operator": "root@host"})], now=NOW)
        assert await store.records.reset_requests(OWNER.workspace_id, now=NOW) == ()
        right = a_right(ANALYST)
        assert await store.records.take_pass(new.digest, right=right, event=TAKEN, now=NOW) is PassRefused.UNKNOWN
        assert await store.records.enrolment_right(*ME) is not None
        page = await store.records.audit_page(OWNER.workspace_id, AuditFilter(), before=None, limit=3)
        requested, issued, reset = sorted(page.events, key=lambda record: record.seq)
        assert (requested.event, issued.event, reset.event) == (
            EventName.FACTORS_RESET_REQUESTED, EventName.ENROLMENT_PASS_ISSUED, EventName.FACTORS_RESET,
        )  # fmt: skip
        for record, whose in ((requested, OWNER.id), (issued, ANALYST.id)):
            assert (record.data["withdrawn"], record.data.get("person", record.subject_id)) == (True, whose)
        assert issued.topics == ()

    async def test_of_two_admins_who_reset_each_other_at_once_one_is_reset(
        self, store: HotState, open_node: Opener
    ) -> None:
        for _ in range(5):
            mine, theirs = [await enrol(store, each) for each in (OWNER, COSIGNER)]
            async with open_node() as other:
                done = await asyncio.gather(
                    store.reset_factors(a_reset(COSIGNER, hold=None, proof=proof_by(OWNER, mine)), [RESET], now=NOW),
                    other.reset_factors(a_reset(hold=None, proof=proof_by(COSIGNER, theirs)), [RESET], now=NOW),
                )
            left = [await store.records.list_factors(each.workspace_id, each.id) for each in (OWNER, COSIGNER)]
            assert sorted(done) == [False, True]
            assert [bool(factors) for factors in left] == [done[0], done[1]]

    async def test_a_reset_that_is_asked_for_while_its_admin_is_reset_waits_for_nobody(
        self, store: HotState, open_node: Opener
    ) -> None:
        for _ in range(5):
            by = proof_by(COSIGNER, await enrol(store, COSIGNER))
            requested = event(EventName.FACTORS_RESET_REQUESTED)
            async with open_node() as other:
                await asyncio.gather(
                    store.records.request_reset(a_request(), event=requested, proof=by),
                    other.reset_factors(a_reset(COSIGNER, hold=None), [RESET], now=NOW),
                )
            assert await store.records.reset_requests(OWNER.workspace_id, now=NOW) == ()
