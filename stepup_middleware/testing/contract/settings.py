"""Policies, factors and enrolments."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from stepup_middleware.core.events import EventName
from stepup_middleware.core.factors import FactorKind, FactorRequirement, TOTPFactor
from stepup_middleware.core.policy import StoredPolicy
from stepup_middleware.core.recovery import PeopleFilter, Person
from stepup_middleware.core.subject import Subject
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.records import NewFactor

from .values import (
    COSIGNER,
    MICROSECOND,
    MINUTE,
    NOW,
    OWNER,
    Opener,
    all_records,
    assert_records_hold,
    enrol,
    enrolment,
    event,
    last_record,
    names_of,
    passkey,
    totp,
)

ME = (OWNER.workspace_id, OWNER.id)
REMOVED = event(EventName.FACTOR_REMOVED)


class FactorAndPolicyContract:
    """Policies, factors and enrolments."""

    async def test_a_workspace_without_a_policy_has_version_zero(self, store: HotState) -> None:
        assert await store.records.get_policy("w-1") == StoredPolicy()

    async def test_a_policy_is_saved_whole_under_the_next_version_with_its_events(
        self, store: HotState, open_node: Opener
    ) -> None:
        first = await store.records.set_policy(
            "w-1", [("a", "any"), ("b", "phishing_resistant")], [event(), event()], now=NOW
        )
        second = await store.records.set_policy("w-1", [("a", "phishing_resistant")], [event()], now=NOW)
        assert first == StoredPolicy(version=1, values={"a": "any", "b": "phishing_resistant"})
        assert second == StoredPolicy(version=2, values={"a": "phishing_resistant", "b": "phishing_resistant"})
        async with open_node() as other:
            assert await other.records.get_policy("w-1") == second
            assert await other.records.get_policy("w-2") == StoredPolicy()
        assert await names_of(store) == [EventName.POLICY_CHANGED] * 3

    async def test_policies_saved_at_once_each_have_a_version(self, store: HotState, open_node: Opener) -> None:
        async with open_node() as other:
            saved = await asyncio.gather(
                *(
                    node.records.set_policy("w-1", [("a", "any")], [event()], now=NOW)
                    for node in (store, other)
                    for _ in range(5)
                )
            )
        assert sorted(policy.version for policy in saved) == list(range(1, 11))

    async def test_factors_are_read_back_as_they_were_added_oldest_first(
        self, store: HotState, open_node: Opener
    ) -> None:
        key = passkey(created_at=NOW + MINUTE, transports=(), backed_up=False)
        hardware = passkey(kind=FactorKind.HARDWARE_KEY, created_at=NOW + 2 * MINUTE, backup_eligible=False)
        code = totp(created_at=NOW)
        for factor in (key, hardware, code):
            await enrol(store, factor=factor)
        async with open_node() as other:
            assert await other.records.list_factors(*ME) == (code, key, hardware)
        assert await store.records.list_factors(OWNER.workspace_id, COSIGNER.id) == ()
        assert await store.records.list_factors("w-2", OWNER.id) == ()

    async def test_a_credential_id_is_registered_once_by_whomever(self, store: HotState) -> None:
        key = passkey()
        await enrol(store, factor=key)
        before = await store.records.last_seq()
        for subject in (OWNER, COSIGNER):
            twin = replace(key, id=f"twin-{subject.id}")
            assert not await store.records.add_webauthn_factor(subject.workspace_id, subject.id, twin, event=event())
        assert await store.records.last_seq() == before
        assert await store.records.list_factors(*ME) == (key,)

    async def test_a_credential_id_offered_at_once_is_registered_once(self, store: HotState, open_node: Opener) -> None:
        key = passkey()
        twins = [replace(key, id=str(number)) for number in range(10)]
        async with open_node() as other:
            nodes = (store, other) * 5
            added = await asyncio.gather(
                *(
                    node.records.add_webauthn_factor(*ME, twin, event=event())
                    for node, twin in zip(nodes, twins, strict=True)
                )
            )
        assert added.count(True) == 1
        assert len(await all_records(store)) == 1

    async def test_only_its_owner_renames_or_removes_a_factor(self, store: HotState) -> None:
        key = await enrol(store)
        for stranger in ((OWNER.workspace_id, COSIGNER.id), ("w-2", OWNER.id)):
            assert not await store.records.rename_factor(*stranger, key.id, "Mine")
            assert not await store.records.remove_factor(*stranger, key.id, event=REMOVED, now=NOW)
        assert await store.records.rename_factor(*ME, key.id, "Desk")
        assert (await store.records.list_factors(*ME))[0].name == "Desk"
        assert await store.records.remove_factor(*ME, key.id, event=REMOVED, now=NOW)
        assert not await store.records.remove_factor(*ME, key.id, event=REMOVED, now=NOW)
        assert await store.records.list_factors(*ME) == ()
        assert (await names_of(store)).count(EventName.FACTOR_REMOVED) == 1

    async def test_spare_factors_removed_at_once_leave_one_that_is_strong(
        self, store: HotState, open_node: Opener
    ) -> None:  # E06
        keys = [await enrol(store, factor=passkey(created_at=NOW + MINUTE * number)) for number in range(3)]
        await enrol(store, factor=totp())
        async with open_node() as other:
            gone = await asyncio.gather(
                *(
                    node.records.remove_factor(*ME, key.id, event=REMOVED, now=NOW, only_spare=True)
                    for node, key in zip((store, other, store), keys, strict=True)
                )
            )
        assert gone.count(True) == 2
        assert sorted(factor.kind for factor in await store.records.list_factors(*ME)) == [
            FactorKind.PASSKEY,
            FactorKind.TOTP,
        ]

    async def test_of_factors_begun_as_the_first_one_becomes_it(
        self, store: HotState, open_node: Opener
    ) -> None:  # E01
        begun, key = enrolment(kind=FactorKind.TOTP), enrolment(kind=FactorKind.PASSKEY)
        await store.records.begin_enrolment(begun, now=NOW)
        async with open_node() as other:
            added = await asyncio.gather(
                store.records.add_webauthn_factor(*ME, passkey(), event=event(), begun=key),
                other.records.add_webauthn_factor(*ME, passkey(), event=event(), begun=key),
                store.records.add_totp_factor(*ME, totp(), begun=begun, event=event()),
            )
        assert added.count(True) == 1
        assert len(await store.records.list_factors(*ME)) == 1
        assert len(await all_records(store)) == 1
        assert await store.records.add_webauthn_factor(*ME, passkey(), event=event())

    async def test_the_user_handle_is_made_once_per_person_and_workspace(
        self, store: HotState, open_node: Opener
    ) -> None:
        async with open_node() as other:
            handles = await asyncio.gather(
                *(node.records.user_handle(*ME, fresh=bytes([n]) * 64) for n, node in enumerate((store, other) * 5))
            )
        assert len(set(handles)) == 1
        assert await store.records.user_handle(*ME, fresh=b"z" * 64) == handles[0]
        assert await store.records.user_handle("w-2", OWNER.id, fresh=b"z" * 64) == b"z" * 64

    async def test_a_user_handle_outlives_a_spent_time_step(self, store: HotState) -> None:
        await store.records.advance_time_step(*ME, 7)
        assert await store.records.user_handle(*ME, fresh=b"h" * 64) == b"h" * 64
        assert await store.records.last_time_step(*ME) == 7

    async def test_an_enrolment_is_taken_once_by_the_session_that_began_it(self, store: HotState) -> None:
        begun = enrolment(kind=FactorKind.PASSKEY, challenge=bytes(32))
        await store.records.begin_enrolment(begun, now=NOW)
        key = (*ME, OWNER.session, FactorKind.PASSKEY)
        other = Subject(id=OWNER.id, session_id="other", workspace_id=OWNER.workspace_id, name="")
        assert await store.records.pop_enrolment(*ME, other.session, FactorKind.PASSKEY, id=None, now=NOW) is None
        assert await store.records.pop_enrolment(*ME, OWNER.session, FactorKind.TOTP, id=None, now=NOW) is None
        assert await store.records.pop_enrolment(*key, id="another", now=NOW) is None
        taken = await asyncio.gather(*(store.records.pop_enrolment(*key, id=None, now=NOW) for _ in range(5)))
        assert [one for one in taken if one] == [begun]

    async def test_an_enrolment_may_be_looked_at_and_ends_with_its_time(self, store: HotState) -> None:
        begun = enrolment(encrypted_secret=b"secret")
        await store.records.begin_enrolment(begun, now=NOW)
        key = (*ME, OWNER.session, FactorKind.TOTP)
        for _ in range(2):
            assert await store.records.get_enrolment(*key, id=begun.id, now=NOW) == begun
        assert await store.records.get_enrolment(*key, id="another", now=NOW) is None
        last = begun.expires_at - MICROSECOND
        assert await store.records.get_enrolment(*key, id=begun.id, now=last) == begun
        assert await store.records.get_enrolment(*key, id=begun.id, now=begun.expires_at) is None
        assert await store.records.pop_enrolment(*key, id=begun.id, now=begun.expires_at) is None

    async def test_a_new_enrolment_takes_the_place_of_the_one_before(self, store: HotState) -> None:
        first, second = enrolment(encrypted_secret=b"1"), enrolment(encrypted_secret=b"2")
        await store.records.begin_enrolment(first, now=NOW)
        await store.records.begin_enrolment(second, now=NOW)
        key = (*ME, OWNER.session, FactorKind.TOTP)
        assert await store.records.get_enrolment(*key, id=first.id, now=NOW) is None
        assert not await store.records.add_totp_factor(*ME, totp(), begun=first, event=event())
        assert await store.records.add_totp_factor(*ME, totp(), begun=second, event=event())

    async def test_confirming_spends_the_enrolment_and_the_time_step_together(self, store: HotState) -> None:
        begun = enrolment(encrypted_secret=b"secret")
        await store.records.begin_enrolment(begun, now=NOW)
        tries = await asyncio.gather(
            *(store.records.add_totp_factor(*ME, totp(last_step=50), begun=begun, event=event()) for _ in range(5))
        )
        assert tries.count(True) == 1
        (code,) = await store.records.list_factors(*ME)
        assert isinstance(code, TOTPFactor)
        assert code.last_step == 50
        assert not await store.records.advance_time_step(*ME, 50)

    async def test_a_code_that_was_spent_before_confirms_nothing_and_leaves_the_enrolment(
        self, store: HotState
    ) -> None:
        await store.records.advance_time_step(*ME, 50)
        begun = enrolment(encrypted_secret=b"secret")
        await store.records.begin_enrolment(begun, now=NOW)
        assert not await store.records.add_totp_factor(*ME, totp(last_step=50), begun=begun, event=event())
        assert await store.records.list_factors(*ME) == ()
        assert await store.records.last_seq() == 0
        assert await store.records.add_totp_factor(*ME, totp(last_step=51), begun=begun, event=event())

    async def test_factors_of_many_people_are_imported_together_or_none_of_them(self, store: HotState) -> None:
        key = passkey(backup_eligible=None, backed_up=None, user_handle=b"")
        keys = [replace(key, id=f"k-{number}", credential_id=number.to_bytes(16, "big")) for number in range(1200)]
        made = event(EventName.FACTOR_ENROLLED, data={"imported": True, "untold": True})
        new = [NewFactor(OWNER.workspace_id, f"p-{number}", one, made) for number, one in enumerate(keys)]
        new.append(NewFactor(*ME, totp(last_step=0, id="code"), made))
        assert await store.records.import_factors(new, dry_run=True) == ()
        assert await store.records.list_factors(OWNER.workspace_id, "p-7") == ()
        assert await store.records.import_factors(new) == ()
        assert await store.records.list_factors(OWNER.workspace_id, "p-1199") == (keys[1199],)
        (code,) = await store.records.list_factors(*ME)
        assert (code.id, code.kind) == ("code", FactorKind.TOTP)
        assert await store.records.last_seq() == 1201
        assert await store.records.get_person(OWNER.workspace_id, "p-7") == Person(subject_id="p-7")
        lacking = PeopleFilter(lacking=FactorRequirement.PHISHING_RESISTANT, enrolled=True)
        assert await store.records.count_people(OWNER.workspace_id, lacking) == 1
        more = [
            NewFactor("w-2", "other", replace(keys[5], id="new"), made),
            NewFactor("w-2", "other", replace(key, id="unseen", credential_id=b"unseen"), made),
            NewFactor("w-2", "other", replace(keys[700], id="newer"), made),
        ]
        assert await store.records.import_factors(more) == (0, 2)
        assert await store.records.list_factors("w-2", "other") == ()
        assert await store.records.last_seq() == 1201

    async def test_factors_are_imported_to_people_as_they_were_seen_or_to_nobody(self, store: HotState) -> None:
        made = event(EventName.FACTOR_ENROLLED, data={"imported": True, "untold": True})
        new = [NewFactor(*each, totp(last_step=0, id="".join(each)), made) for each in (ME, ("w-2", "other"))]
        seen = await enrol(store)
        unseen: list[dict[tuple[str, str], set[str]]] = [{ME: set()}, {ME: {"another"}, ("w-2", "other"): set()}]
        for had in unseen:
            with pytest.raises(StoreError, match="run it again"):
                await store.records.import_factors(new, had=had)
        assert await store.records.list_factors(*ME) == (seen,)
        assert await store.records.list_factors("w-2", "other") == ()
        assert await store.records.import_factors(new, had={ME: {seen.id}, ("w-2", "other"): set()}) == ()
        assert len(await store.records.list_factors(*ME)) == 2

    async def test_removing_a_totp_factor_does_not_free_its_time_steps(self, store: HotState) -> None:
        code = await enrol(store, factor=totp(last_step=50))
        await store.records.remove_factor(*ME, code.id, event=REMOVED, now=NOW)
        assert await store.records.last_time_step(*ME) == 50
        assert not await store.records.advance_time_step(*ME, 50)

    async def test_secrets_are_rewritten_in_bounded_steps_until_the_end(self, store: HotState) -> None:
        for number in range(5):
            await enrol(store, factor=totp(last_step=number + 1, encrypted_secret=b"old%d" % number))
        await enrol(store)
        seen: list[bytes] = []

        def rewrite(secret: bytes, place: tuple[str, str, str]) -> bytes:
            assert place[:2] == ME
            seen.append(secret)
            return secret.replace(b"old", b"new")

        after: str | None = ""
        steps = 0
        while after is not None:
            after = await store.records.reencrypt_secrets(2, after, rewrite)
            steps += 1
        assert 3 <= steps <= 4  # whether a step is of secrets, or of rows that have none as well
        assert sorted(seen) == [b"old%d" % number for number in range(5)]
        factors = await store.records.list_factors(*ME)
        secrets = sorted(factor.encrypted_secret for factor in factors if isinstance(factor, TOTPFactor))
        assert secrets == [b"new%d" % number for number in range(5)]

    async def test_a_rewrite_that_fails_changes_no_secret(self, store: HotState) -> None:
        for number in range(3):
            await enrol(store, factor=totp(last_step=number + 1, encrypted_secret=b"old"))
        calls = iter([b"new"])
        with pytest.raises(StoreError):
            await store.records.reencrypt_secrets(3, "", lambda *_: next(calls))
        factors = await store.records.list_factors(*ME)
        assert {factor.encrypted_secret for factor in factors if isinstance(factor, TOTPFactor)} == {b"old"}
        assert (await last_record(store)).event is EventName.FACTOR_ENROLLED
        await assert_records_hold(store)
