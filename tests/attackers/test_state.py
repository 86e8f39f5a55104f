"""Who can write to every row that decides, and has no key, makes nothing count, and puts nothing back that was taken
away, but what the threat model grants.

By default a part of the alterations is tried; ``-m exhaustive`` tries all.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware.core.attempts import AttemptLimit, TooMany
from stepup_middleware.core.decisions import Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.core.factors import EnrolmentBasis, FactorKind, FactorRequirement, WebAuthnFactor
from stepup_middleware.core.grants import GrantRefused
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.core.moments import iso
from stepup_middleware.core.policy import OTHERS
from stepup_middleware.core.prompts import NoFactor, Prompt
from stepup_middleware.core.recovery import PASS_TRIES, PassRefused
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.errors import StoreError
from stepup_middleware.log.records import RowMacs
from stepup_middleware.service.secret_box import SecretBox
from stepup_middleware.stores.sealing import Tampered
from stepup_middleware.stores.sql.store import SQLStore
from stepup_middleware.testing.contract.recovery_values import TAKEN, USED, a_hold, a_pass, a_reset, a_right, codes_for
from stepup_middleware.testing.contract.tree import integrate
from stepup_middleware.testing.contract.values import (
    COSIGNER,
    MACS,
    NOW,
    OWNER,
    TRANSMIT,
    ask,
    asked,
    enrolment,
    event,
    grant_for,
    passkey,
    shown_for,
)

from .attacked import total
from .older import put_back
from .raw import Raw, RawPostgres, RawSQLite
from .state import add, sweep
from .tables import SEALED

ANY = replace(TRANSMIT, id="a", minimum=FactorRequirement.ANY)
ME = (OWNER.workspace_id, OWNER.id)
MINE = {"workspace_id": OWNER.workspace_id, "subject_id": OWNER.id}
REMOVED = event(EventName.FACTOR_REMOVED)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def raw(request: pytest.FixtureRequest, tmp_path: Path) -> Raw:
    if request.param == "sqlite":
        return RawSQLite(tmp_path / "db")
    return RawPostgres(request.getfixturevalue("postgres_dsn"))


def watched(store: SQLStore) -> list[Tampered]:
    """Return what the store will tell of altered rows."""
    told: list[Tampered] = []
    store.records.on_tampering(told.append)
    return told


# A22
@pytest.mark.parametrize(
    "every_nth", [pytest.param(11, id="part"), pytest.param(1, id="all", marks=pytest.mark.exhaustive)]
)
async def test_nothing_that_is_written_to_a_row_without_a_key_counts(raw: Raw, every_nth: int) -> None:
    tallies = await sweep(raw, every_nth=every_nth)
    assert {kind: tally.undetected for kind, tally in tallies.items() if tally.undetected} == {}
    assert total(tallies).tried * every_nth > 1000
    assert total(tallies).found > total(tallies).tried / 2


# A23
async def test_a_factor_that_was_removed_counts_no_more_when_its_row_is_put_back(raw: Raw) -> None:
    async with raw.store().use(MACS) as store:
        told = watched(store)
        key, spare = [await add(store, OWNER, passkey(sign_count=0)) for _ in range(2)]
        before = await raw.rows("factors")
        removal = replace(REMOVED, factor_id=key.id)
        assert await store.records.remove_factor(*ME, key.id, event=removal, now=NOW)
        assert await raw.put("factors", before)
        assert [factor.id for factor in await store.records.list_factors(*ME)] == [spare.id]
        assert told == [Tampered("factors", key.id, *ME)]
        prompt = await ask(store)
        stolen = replace(prompt, factor_ids=(key.id,))
        assert await store.issue_token(grant_for(stolen, key, sign_count=0)) is GrantRefused.FACTOR_GONE


# A23
async def test_after_a_reset_no_row_of_before_it_counts(raw: Raw) -> None:
    async with raw.store().use(MACS) as store:
        told = watched(store)
        key = await add(store, OWNER, passkey())
        await store.records.put_recovery_codes(codes_for(), event=event(EventName.RECOVERY_CODES_ISSUED))
        before = await raw.rows("factors")
        assert await store.reset_factors(a_reset(), [event(EventName.FACTORS_RESET)], now=NOW)
        assert await raw.put("factors", before)
        assert await store.records.list_factors(*ME) == ()
        assert told == [Tampered("factors", key.id, *ME)]


# A23
async def test_who_takes_away_all_factors_of_a_person_enrols_no_first_one(raw: Raw) -> None:
    async with raw.store().use(MACS) as store:
        told = watched(store)
        lost = await add(store, OWNER, passkey())
        for table in ("factors", "people"):
            assert await raw.put(table, [])
        begun = enrolment(kind=FactorKind.PASSKEY, basis=EnrolmentBasis.SIGN_IN)
        enrolled = event(EventName.FACTOR_ENROLLED, factor_id="new")
        mine = passkey(id="new")
        assert not await store.records.add_webauthn_factor(*ME, mine, event=enrolled, begun=begun)
        assert told == [Tampered("factors", lost.id, *ME)]
        # an admin's pass opens it, and so does a reset
        assert await store.records.issue_pass(a_pass(), event=event(EventName.ENROLMENT_PASS_ISSUED))
        right = a_right()
        assert await store.records.take_pass(a_pass().digest, right=right, event=TAKEN, now=NOW) is None
        by_pass = replace(begun, basis=EnrolmentBasis.PASS)
        assert await store.records.add_webauthn_factor(*ME, mine, event=enrolled, begun=by_pass)
        assert [factor.id for factor in await store.records.list_factors(*ME)] == ["new"]


# A24
@pytest.mark.parametrize("put_back", ["the version before", "nothing", "another workspace's"])
async def test_a_policy_that_was_put_back_reads_as_the_strictest_until_an_admin_saves_one(
    raw: Raw, put_back: str
) -> None:
    change = event(EventName.POLICY_CHANGED)
    async with raw.store().use(MACS) as store:
        told = watched(store)
        await add(store, OWNER, passkey())
        await store.records.set_policy(
            "w-2", [("a", "any"), ("b", "any")], [replace(change, workspace_id="w-2")], now=NOW
        )
        await store.records.set_policy("w-1", [("a", "any")], [change], now=NOW)
        before = await raw.rows("policies")
        await store.records.set_policy("w-1", [("a", "phishing_resistant")], [change], now=NOW)
        other = [{**row, "workspace": "w-1"} for row in before if row["workspace"] == "w-2"]
        rows = {"the version before": before, "nothing": [], "another workspace's": other}[put_back]
        assert await raw.put("policies", rows)
        found = await store.records.get_policy("w-1")
        assert (found.values, found.version) == ({OTHERS: "phishing_resistant"}, 2)
        assert told[-1] == Tampered("policies", "w-1", "w-1", "")
        told.clear()
        answer = await store.ask(asked(purpose=ANY), open_limit=10)
        assert isinstance(answer, (Prompt, NoFactor))
        assert answer.requirement == "phishing_resistant"
        assert told
        saved = await store.records.set_policy("w-1", [("a", "any")], [change], now=NOW)
        assert (saved.values, saved.version) == ({OTHERS: "phishing_resistant", "a": "any"}, 3)
        told.clear()
        assert await store.records.get_policy("w-1") == saved
        assert told == []


# A25
async def test_a_prompt_that_was_proved_brings_no_second_token_when_it_is_put_back(raw: Raw) -> None:
    async with raw.store().use(MACS) as store:
        key = await add(store, OWNER, passkey(sign_count=0))
        prompt = await ask(store)
        before = await raw.rows("prompts")
        proof = event(EventName.VERIFIED, prompt_id=prompt.id)
        first = await store.issue_token(grant_for(prompt, key, sign_count=0, event=proof))
        assert isinstance(first, TokenReference)
        assert await raw.put("prompts", before)
        with pytest.raises(StoreError):
            await store.issue_token(grant_for(prompt, key, sign_count=0, event=proof))
        assert len(await raw.rows("tokens")) == 1
        others = await ask(store)  # and nobody else is kept from theirs
        assert isinstance(await store.issue_token(grant_for(others, key, sign_count=0)), TokenReference)


# A25
async def test_a_token_that_was_redeemed_is_known_for_one_when_it_is_put_back(raw: Raw) -> None:
    async with raw.store().use(MACS) as store:
        key = await add(store, OWNER, passkey(sign_count=0))
        prompt = await ask(store)
        reference = await store.issue_token(grant_for(prompt, key, sign_count=0))
        assert isinstance(reference, TokenReference)
        before = await raw.rows("tokens")
        shown = shown_for(prompt, reference)
        assert (await store.redeem(shown)).decision.verdict is Verdict.REDEEMED
        assert await raw.put("tokens", before)
        again = await store.redeem(replace(shown, attempt=b"b" * 16))
        assert again.decision.verdict is Verdict.REUSED


# A28
@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds", "steps"), [pytest.param(4, 20, id="part"), pytest.param(30, 40, id="all", marks=pytest.mark.exhaustive)]
)
async def test_no_older_copy_of_a_pass_a_right_codes_or_a_reset_counts(raw: Raw, seeds: int, steps: int) -> None:
    tallies = {str(seed): await put_back(raw, seed, steps=steps, lately=3) for seed in range(seeds)}
    assert {seed: tally.undetected for seed, tally in tallies.items() if tally.undetected} == {}
    assert total(tallies).tried > seeds * steps
    assert total(tallies).found > total(tallies).tried / 4


# A28
async def test_a_record_that_somebody_else_put_into_the_log_brings_no_older_copy_back(raw: Raw) -> None:
    async with raw.store().use(MACS) as store:
        first, second = a_pass(), a_pass(digest=bytes(32))
        assert await store.records.issue_pass(first, event=event(EventName.ENROLMENT_PASS_ISSUED))
        older, log = await raw.rows("enrolment_passes"), await raw.rows("audit")
        await store.reset_factors(a_reset(COSIGNER, hold=None), [event(EventName.FACTORS_RESET)], now=NOW)
        assert await raw.put("enrolment_passes", older)
        assert await store.records.open_pass(*ME) is None  # who issued it was reset
        assert await store.records.issue_pass(second, event=event(EventName.ENROLMENT_PASS_ISSUED))
        assert await raw.put("enrolment_passes", older)
        forged = {**log[-1], "id": "f" * len(log[-1]["id"]), "seq": log[-1]["seq"] + 1000}
        assert await raw.put("audit", [*await raw.rows("audit"), forged])
        assert await store.records.open_pass(*ME) is None
        refused = await store.records.take_pass(first.digest, right=a_right(), event=TAKEN, now=NOW)
        assert refused is PassRefused.UNKNOWN


# A28
async def test_what_stands_still_stands_when_the_key_of_its_records_is_gone(raw: Raw) -> None:
    old, new = (secrets.token_bytes(32) for _ in range(2))
    async with raw.store().use(RowMacs(KeyRing([old]))) as store:
        await add(store, OWNER, passkey())
        codes = codes_for()
        await store.records.put_recovery_codes(codes, event=event(EventName.RECOVERY_CODES_ISSUED))
        await integrate(store)
    async with raw.store().use(RowMacs(KeyRing([new, old]))) as store:
        assert await store.records.reencrypt_secrets(100, "", lambda secret, place: secret) is None
    async with raw.store().use(RowMacs(KeyRing([new]))) as store:
        told = watched(store)
        assert await store.records.recovery_codes(*ME) == codes
        assert told == []


# A28
async def test_a_hold_is_as_hard_to_take_away_as_the_record_that_began_it(raw: Raw) -> None:
    async with raw.store().use(MACS) as store:
        await add(store, OWNER, passkey(sign_count=0))
        codes = codes_for()
        await store.records.put_recovery_codes(codes, event=event(EventName.RECOVERY_CODES_ISSUED))
        right = a_right(basis=EnrolmentBasis.RECOVERY)
        used: dict[str, Any] = {"right": right, "hold": a_hold(), "bucket": "recovery", "event": USED}
        assert await store.records.use_recovery_code(codes.id, 0, **used)
        for table in SEALED:
            assert await raw.put(table, [])
        assert await store.records.hold_of(*ME, now=NOW) == a_hold()
        (held,) = [row for row in await raw.rows("audit") if row["held"] is not None]
        assert json.loads(held["body"])["data"]["hold_until"] == iso(a_hold().until)


# A26
async def test_what_the_threat_model_grants_of_rows_is_so(raw: Raw) -> None:
    limit = AttemptLimit(failures=1)
    async with raw.store().use(MACS) as store:
        told = watched(store)
        key = await add(store, OWNER, passkey(sign_count=5))
        # a token that was revoked, put back
        prompt = await ask(store)
        reference = await store.issue_token(grant_for(prompt, key))
        assert isinstance(reference, TokenReference)
        issued = await raw.rows("tokens")
        await store.revoke_session(*ME, OWNER.session, now=NOW)
        assert await raw.put("tokens", issued)
        assert (await store.redeem(shown_for(prompt, reference))).decision.verdict is Verdict.REDEEMED
        # the epoch that ended a token, put back
        prompt = await ask(store)
        reference = await store.issue_token(grant_for(prompt, key, expected_sign_count=6, sign_count=6))
        assert isinstance(reference, TokenReference)
        epoch = await raw.rows("meta")
        await store.revoke_all(event=event(EventName.ALL_REVOKED), now=NOW)
        (ended,) = await raw.rows("meta")
        assert await raw.put("meta", [{**ended, "epoch": epoch[0]["epoch"]}])
        assert (await store.redeem(shown_for(prompt, reference))).decision.verdict is Verdict.REDEEMED
        # a count of signatures, put back: the row is as authentic as it was
        used = await raw.rows("factors")
        prompt = await ask(store)
        proof = grant_for(prompt, key, expected_sign_count=6, sign_count=9)
        assert isinstance(await store.issue_token(proof), TokenReference)
        assert await raw.put("factors", used)
        assert isinstance((await store.records.list_factors(*ME))[0], WebAuthnFactor)
        # counts of failed attempts, taken away
        assert await store.records.reserve_attempt(*ME, "totp", limit=limit, now=NOW) is None
        assert isinstance(await store.records.reserve_attempt(*ME, "totp", limit=limit, now=NOW), TooMany)
        assert await raw.put("attempts", [])
        assert await store.records.reserve_attempt(*ME, "totp", limit=limit, now=NOW) is None
        # wrong passes, too
        new = replace(OWNER, id="u-new")
        assert await store.records.issue_pass(a_pass(new), event=event(EventName.ENROLMENT_PASS_ISSUED))
        issued = await raw.rows("enrolment_passes")
        taking: dict[str, Any] = {"right": a_right(new), "event": TAKEN, "now": NOW}
        for _ in range(PASS_TRIES):
            assert await store.records.take_pass(bytes(32), **taking) is PassRefused.WRONG
        assert await store.records.take_pass(a_pass().digest, **taking) is PassRefused.CLOSED
        assert await raw.put("enrolment_passes", issued)
        assert await store.records.take_pass(a_pass().digest, **taking) is None
        assert told == []


async def test_a_record_that_somebody_put_into_an_open_file_fails_no_write(tmp_path: Path) -> None:
    raw = RawSQLite(tmp_path / "db")
    async with raw.store().use(MACS) as store:
        told = watched(store)
        await store.records.append([event(EventName.BLOCKED)])
        for number in range(3):
            rows = await raw.rows("audit")
            seq = max(row["seq"] for row in rows) + 1
            assert await raw.put("audit", [*rows, {**rows[0], "seq": seq, "id": f"forged-{number}", "token": None}])
            await store.records.append([event(EventName.FAILED)])
            assert told.pop() == Tampered("audit", str(seq), "", "")
        names = [row["event"] for row in await raw.rows("audit")]
        assert names.count("ACCOUNT_STEPUP_FAILED") == 3


def test_a_secret_is_read_in_its_own_row_alone() -> None:
    box = SecretBox([b"k" * 32, b"o" * 32])
    place = ("w", "u", "f")
    for written in (box, SecretBox([b"o" * 32])):
        sealed = written.encrypt("JBSWY3DPEHPK3PXP", place)
        assert box.decrypt(sealed, place) == "JBSWY3DPEHPK3PXP"
        assert SecretBox([b"k" * 32]).decrypt(box.rotate(sealed, place), place) == "JBSWY3DPEHPK3PXP"
        for other in (("v", "u", "f"), ("w", "v", "f"), ("w", "u", "g"), ("w", "uf", "")):
            with pytest.raises(StoreError, match="another row's"):
                box.decrypt(sealed, other)
        for spoilt in (b"", sealed[:-1], b"\2" + sealed[1:], sealed[:13], sealed + b"x"):
            with pytest.raises(StoreError):
                box.decrypt(spoilt, place)
