"""Enrolment passes, the rights that they give, and recovery codes."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import Any

import pytest

from stepup_middleware.core.attempts import AttemptLimit, TooMany
from stepup_middleware.core.events import EventName
from stepup_middleware.core.factors import EnrolmentBasis
from stepup_middleware.core.recovery import (
    PASS_TRIES,
    PassRefused,
)
from stepup_middleware.stores.base import HotState

from .recovery_values import (
    DIGEST,
    HOUR,
    ISSUED,
    ME,
    TAKEN,
    USED,
    a_hold,
    a_pass,
    a_right,
    begun_by,
    codes_for,
    put,
)
from .values import (
    COSIGNER,
    MICROSECOND,
    NOW,
    OTHER_IP,
    OWNER,
    Opener,
    enrol,
    enrolment,
    event,
    names_of,
    passkey,
    totp,
)


class RecoveryContract:
    """Enrolment passes, recovery codes, holds, resets, and people."""

    # passes

    async def test_a_pass_is_kept_for_a_person_without_factors_in_the_place_of_the_one_before(
        self, store: HotState, open_node: Opener
    ) -> None:
        first, second = a_pass(), a_pass(digest=bytes(32))
        assert await store.records.open_pass(*ME) is None
        assert await store.records.issue_pass(first, event=ISSUED)
        assert await store.records.issue_pass(second, event=ISSUED)
        async with open_node() as other:
            assert await other.records.open_pass(*ME) == second
            assert await other.records.open_pass(OWNER.workspace_id, COSIGNER.id) is None
            assert await other.records.open_pass("w-2", OWNER.id) is None
        assert await names_of(store) == [EventName.ENROLMENT_PASS_ISSUED] * 2
        await enrol(store, COSIGNER)
        assert not await store.records.issue_pass(a_pass(COSIGNER), event=ISSUED)
        assert await store.records.open_pass(OWNER.workspace_id, COSIGNER.id) is None

    async def test_a_pass_is_taken_once_by_whoever_comes_first_on_any_node(
        self, store: HotState, open_node: Opener
    ) -> None:
        await store.records.issue_pass(a_pass(), event=ISSUED)
        async with open_node() as other:
            answers = await asyncio.gather(
                *(node.records.take_pass(DIGEST, right=a_right(), event=TAKEN, now=NOW) for node in (store, other) * 5)
            )
        assert answers.count(None) == 1
        assert set(answers) == {None, PassRefused.SPENT}
        assert await store.records.enrolment_right(*ME) == a_right()
        assert (await names_of(store)).count(EventName.ENROLMENT_PASS_USED) == 1

    async def test_a_pass_opens_nothing_for_another_person_or_workspace(self, store: HotState) -> None:
        issued = a_pass()
        await store.records.issue_pass(issued, event=ISSUED)
        for stranger in (COSIGNER, replace(OWNER, workspace_id="w-2")):
            refused = await store.records.take_pass(DIGEST, right=a_right(stranger), event=TAKEN, now=NOW)
            assert refused is PassRefused.UNKNOWN
            assert await store.records.enrolment_right(stranger.workspace_id, stranger.id) is None
        assert await store.records.open_pass(*ME) == issued

    async def test_a_pass_is_over_when_its_time_is(self, store: HotState) -> None:
        await store.records.issue_pass(a_pass(), event=ISSUED)
        late = await store.records.take_pass(DIGEST, right=a_right(), event=TAKEN, now=NOW + HOUR)
        assert late is PassRefused.EXPIRED
        assert await store.records.enrolment_right(*ME) is None
        in_time = await store.records.take_pass(DIGEST, right=a_right(), event=TAKEN, now=NOW + HOUR - MICROSECOND)
        assert in_time is None

    async def test_wrong_passes_close_the_right_one_for_good_also_when_they_come_at_once(
        self, store: HotState, open_node: Opener
    ) -> None:
        await store.records.issue_pass(a_pass(), event=ISSUED)
        async with open_node() as other:
            wrong = await asyncio.gather(
                *(
                    node.records.take_pass(secrets.token_bytes(32), right=a_right(), event=TAKEN, now=NOW)
                    for node in (store, other) * PASS_TRIES
                )
            )
        assert wrong.count(PassRefused.WRONG) == PASS_TRIES
        assert wrong.count(PassRefused.CLOSED) == PASS_TRIES
        refused = await store.records.take_pass(DIGEST, right=a_right(), event=TAKEN, now=NOW)
        assert refused is PassRefused.CLOSED
        assert await store.records.enrolment_right(*ME) is None
        await store.records.issue_pass(a_pass(), event=ISSUED)
        assert await store.records.take_pass(DIGEST, right=a_right(), event=TAKEN, now=NOW) is None

    async def test_a_pass_opens_nothing_once_the_person_has_a_factor(self, store: HotState) -> None:
        await store.records.issue_pass(a_pass(), event=ISSUED)
        await store.records.add_webauthn_factor(*ME, passkey(), event=event(), begun=begun_by(EnrolmentBasis.SIGN_IN))
        refused = await store.records.take_pass(DIGEST, right=a_right(), event=TAKEN, now=NOW)
        assert refused is PassRefused.UNKNOWN  # it went with the first factor

    # what a factor is added by

    async def test_a_right_adds_one_factor_whichever_kind_comes_first(self, store: HotState, open_node: Opener) -> None:
        await store.records.issue_pass(a_pass(), event=ISSUED)
        await store.records.take_pass(DIGEST, right=a_right(), event=TAKEN, now=NOW)
        key, code = begun_by(EnrolmentBasis.PASS), enrolment(basis=EnrolmentBasis.PASS)
        await store.records.begin_enrolment(code, now=NOW)
        async with open_node() as other:
            added = await asyncio.gather(
                store.records.add_webauthn_factor(*ME, passkey(), event=event(), begun=key),
                other.records.add_webauthn_factor(*ME, passkey(), event=event(), begun=key),
                other.records.add_totp_factor(*ME, totp(), begun=code, event=event()),
            )
        assert added.count(True) == 1
        assert len(await store.records.list_factors(*ME)) == 1
        assert await store.records.enrolment_right(*ME) is None
        assert await store.records.open_pass(*ME) is None

    @pytest.mark.parametrize(
        "off",
        [
            {"session": COSIGNER.session},
            {"ip": OTHER_IP["ip"]},
            {"basis": EnrolmentBasis.RECOVERY},
            {"subject_id": COSIGNER.id},
            {"workspace_id": "w-2"},
        ],
        ids=lambda off: next(iter(off)),
    )
    async def test_a_right_serves_its_own_session_address_and_person_alone(
        self, store: HotState, off: dict[str, Any]
    ) -> None:
        await store.records.issue_pass(a_pass(), event=ISSUED)
        await store.records.take_pass(DIGEST, right=a_right(), event=TAKEN, now=NOW)
        begun = replace(begun_by(EnrolmentBasis.PASS), **off)
        person = (begun.workspace_id, begun.subject_id)
        assert not await store.records.add_webauthn_factor(*person, passkey(), event=event(), begun=begun)
        assert await store.records.list_factors(*person) == ()
        assert await store.records.enrolment_right(*ME) == a_right()

    async def test_a_right_that_is_over_or_was_never_given_adds_nothing(self, store: HotState) -> None:
        begun = begun_by(EnrolmentBasis.PASS)
        assert not await store.records.add_webauthn_factor(*ME, passkey(), event=event(), begun=begun)
        await store.records.issue_pass(a_pass(), event=ISSUED)
        await store.records.take_pass(DIGEST, right=a_right(), event=TAKEN, now=NOW)
        late = event(at=a_right().expires_at)
        assert not await store.records.add_webauthn_factor(*ME, passkey(), event=late, begun=begun)
        assert await store.records.list_factors(*ME) == ()

    async def test_a_further_factor_needs_one_from_before_it_began(self, store: HotState) -> None:
        begun = begun_by(EnrolmentBasis.STEP_UP)
        assert not await store.records.add_webauthn_factor(*ME, passkey(), event=event(), begun=begun)
        later = passkey(created_at=NOW + MICROSECOND)
        await enrol(store, factor=later)
        assert not await store.records.add_webauthn_factor(*ME, passkey(), event=event(), begun=begun)
        await enrol(store, factor=passkey(created_at=NOW))
        assert await store.records.add_webauthn_factor(*ME, passkey(), event=event(), begun=begun)

    # recovery codes

    async def test_a_set_of_codes_takes_the_place_of_the_one_before_and_needs_a_factor(
        self, store: HotState, open_node: Opener
    ) -> None:
        made = event(EventName.RECOVERY_CODES_ISSUED)
        assert not await store.records.put_recovery_codes(codes_for(), event=made)
        assert await store.records.recovery_codes(*ME) is None
        await enrol(store)
        first = await put(store, codes_for())
        second = await put(store, codes_for())
        async with open_node() as other:
            assert await other.records.recovery_codes(*ME) == second
            assert await other.records.recovery_codes(OWNER.workspace_id, COSIGNER.id) is None
            right = a_right(basis=EnrolmentBasis.RECOVERY)
            assert not await other.records.use_recovery_code(
                first.id, 0, right=right, hold=None, bucket="recovery", event=USED
            )
        assert await store.records.enrolment_right(*ME) is None

    async def test_a_code_is_used_once_and_brings_right_and_hold_in_one(
        self, store: HotState, open_node: Opener
    ) -> None:
        await enrol(store)
        codes = await put(store, codes_for())
        right = a_right(basis=EnrolmentBasis.RECOVERY)
        limit = AttemptLimit(failures=1)
        await store.records.reserve_attempt(*ME, "recovery", limit=limit, now=NOW)
        assert isinstance(await store.records.reserve_attempt(*ME, "recovery", limit=limit, now=NOW), TooMany)
        async with open_node() as other:
            used = await asyncio.gather(
                *(
                    node.records.use_recovery_code(
                        codes.id, 7, right=right, hold=a_hold(), bucket="recovery", event=USED
                    )
                    for node in (store, other) * 4
                )
            )
        assert used.count(True) == 1
        kept = await store.records.recovery_codes(*ME)
        assert kept == replace(codes, used=frozenset({7}))
        assert kept.left == 9
        assert await store.records.enrolment_right(*ME) == right
        assert await store.records.hold_of(*ME, now=NOW) == a_hold()
        assert (await names_of(store)).count(EventName.RECOVERY_CODE_USED) == 1
        assert await store.records.reserve_attempt(*ME, "recovery", limit=limit, now=NOW) is None

    async def test_a_code_of_another_person_or_of_no_number_is_not_used(self, store: HotState) -> None:
        await enrol(store)
        codes = await put(store, codes_for())
        for right, number in ((a_right(COSIGNER), 0), (a_right(), 10), (a_right(), -1)):
            assert not await store.records.use_recovery_code(
                codes.id, number, right=right, hold=a_hold(), bucket="recovery", event=USED
            )
        assert await store.records.recovery_codes(*ME) == codes
        assert await store.records.hold_of(*ME, now=NOW) is None

    async def test_a_code_adds_one_factor_beside_those_that_are_there(self, store: HotState) -> None:
        await enrol(store)
        codes = await put(store, codes_for())
        right, begun = a_right(basis=EnrolmentBasis.RECOVERY), begun_by(EnrolmentBasis.RECOVERY)
        await store.records.use_recovery_code(codes.id, 0, right=right, hold=None, bucket="recovery", event=USED)
        assert await store.records.add_webauthn_factor(*ME, passkey(), event=event(), begun=begun)
        assert not await store.records.add_webauthn_factor(*ME, passkey(), event=event(), begun=begun)
        assert len(await store.records.list_factors(*ME)) == 2
