"""Somebody who writes to the database and has no key: no factor that they write, alter or move counts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware.core.factors import FactorKind
from stepup_middleware.core.grants import GrantRefused
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.log.records import RowMacs
from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.sealing import FACTOR_COLUMNS, MissingKeys, Tampered
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.approval_values import ask_approval, match
from stepup_middleware.testing.contract.tree import integrate
from stepup_middleware.testing.contract.values import COSIGNER, MACS, NOW, OWNER, ask, enrol, grant_for, passkey, totp

from .attackers import Attacker, attacking_postgres, attacking_sqlite

COLUMNS = ("mac", *FACTOR_COLUMNS)
UNCOVERED = ("name", "last_used_at", "backed_up", "transports")  # they decide nothing
ME = (OWNER.workspace_id, OWNER.id)
PATIENT = timedelta(seconds=30)
CHANCE = random.Random(20261128)  # noqa: S311 - values of a test


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[HotState, Attacker]:
    if request.param == "sqlite":
        return SQLiteStore(tmp_path / "db", timeout=PATIENT).use(MACS), attacking_sqlite(tmp_path / "db")
    dsn: str = request.getfixturevalue("postgres_dsn")
    return PostgresStore(dsn, timeout=PATIENT).use(MACS), attacking_postgres(dsn)


def others(value: Any, column: str) -> Sequence[Any]:
    """Return further values for a column."""
    if column == "kind":
        return [kind.value for kind in FactorKind if kind != value]
    if column == "backup_eligible" and value is not None:
        return [not value]
    if isinstance(value, int):
        return [value - 1, value + 1, 0 if value else 7, CHANCE.randrange(2**31)]
    if isinstance(value, bytes):
        bit = CHANCE.randrange(8 * len(value)) if value else 0
        flipped = bytearray(value or b"\0")
        flipped[bit // 8] ^= 1 << bit % 8
        return [bytes(flipped), value[:-1], value + b"\0", CHANCE.randbytes(32)]
    if isinstance(value, str):
        return [f"{value}x", value.upper() if value.upper() != value else value.lower(), f" {value}"]
    return [b"x" * 16 if column in ("credential_id", "public_key", "user_handle", "encrypted_secret") else None]


async def test_a_factor_with_any_value_of_a_column_changed_does_not_count(
    database: tuple[HotState, Attacker],
) -> None:
    store, attacker = database
    tried: dict[str, int] = {}
    async with store:
        told: list[Tampered] = []
        store.records.on_tampering(told.append)
        key, code = await enrol(store, factor=passkey()), await enrol(store, factor=totp())
        assert len(await store.records.list_factors(*ME)) == 2
        for factor in (key, code):
            row = await attacker.read("factors", "id", factor.id)
            for column in COLUMNS:
                for value in others(row[column], column):
                    if value == row[column] or value is None:
                        continue
                    if not await attacker.write("factors", "id", factor.id, {column: value}):
                        continue  # the database itself refuses such a value
                    told.clear()
                    found = await store.records.list_factors(*ME)
                    place = value if column == "id" else factor.id
                    await attacker.write("factors", "id", place, {column: row[column]})
                    assert factor not in found, column
                    assert len(found) == 1, column
                    assert told or column in ("workspace", "subject")  # then it is another's, who is told
                    tried[column] = tried.get(column, 0) + 1
            assert len(await store.records.list_factors(*ME)) == 2
            for column in UNCOVERED:
                if row[column] is not None:
                    assert await attacker.write("factors", "id", factor.id, {column: row[column]})
    assert tried.keys() >= set(COLUMNS)
    assert sum(tried.values()) >= 40


async def test_a_factor_that_was_invented_or_is_anothers_counts_for_nobody(database: tuple[HotState, Attacker]) -> None:
    store, attacker = database
    async with store:
        told: list[Tampered] = []
        store.records.on_tampering(told.append)
        theirs = await enrol(store, COSIGNER, factor=passkey(user_handle=b"h" * 64))
        row = await attacker.read("factors", "id", theirs.id)
        strangers = RowMacs(KeyRing("a key of somebody else, long enough for one 0123456789"))
        macs = (row["mac"], b"\0" * 36, strangers.key_ids[0] + b"\0" * 32, row["mac"][:4], b"")
        for number, mac in enumerate(macs):  # another's passkey in one's own name
            new = {"id": f"invented-{number}", "credential_id": bytes([number]) * 16, "subject": OWNER.id, "mac": mac}
            invented = row | new
            await attacker.insert("factors", invented)
            assert await store.records.list_factors(*ME) == ()
            assert told[-1] == Tampered("factors", f"invented-{number}", *ME)
        assert await store.records.list_factors(COSIGNER.workspace_id, COSIGNER.id) == (theirs,)


async def test_no_proof_of_an_altered_factor_becomes_a_token(database: tuple[HotState, Attacker]) -> None:
    store, attacker = database
    async with store:
        key = await enrol(store, factor=passkey(sign_count=7))
        prompt = await ask(store)
        await attacker.write("factors", "id", key.id, {"sign_count": 3})  # as a cloned key would need it
        proved = grant_for(prompt, key, expected_sign_count=3, sign_count=4)
        assert await store.issue_token(proved) is GrantRefused.FACTOR_GONE
        await attacker.write("factors", "id", key.id, {"sign_count": 7})
        assert not isinstance(
            await store.issue_token(grant_for(prompt, key, expected_sign_count=7, sign_count=8)), GrantRefused
        )
        (kept,) = await store.records.list_factors(*ME)  # its use was written with a new MAC
        assert kept.sign_count == 8  # type: ignore[union-attr]


async def test_what_is_rewritten_is_under_the_first_key_and_what_was_forged_stays_forged(
    database: tuple[HotState, Attacker],
) -> None:
    store, attacker = database
    old, new = (
        "an old key of the installation, long enough 0123456789",
        "a new key of the installation, long enough 987654321",
    )
    async with store.records.use(RowMacs(KeyRing(old))) and store:
        key, code, forged = [await enrol(store, factor=each) for each in (passkey(), totp(), passkey())]
        await attacker.write("factors", "id", forged.id, {"sign_count": 99})
        await store.records.set_policy(OWNER.workspace_id, [("payout", "any")], [], now=NOW)
        await store.records.user_handle(*ME, fresh=b"h" * 64)
    both = RowMacs(KeyRing([new, old]))
    store.records.use(both)
    async with store:
        assert {factor.id for factor in await store.records.list_factors(*ME)} == {key.id, code.id}
        assert await store.records.check_mac_keys() == MissingKeys((), ())
    store.records.use(RowMacs(KeyRing(new)))
    async with store:  # too early: the start refuses
        assert await store.records.check_mac_keys() == MissingKeys(RowMacs(KeyRing(old)).key_ids, ())
    store.records.use(both)
    async with store:
        after: str | None = ""
        while after is not None:
            after = await store.records.reencrypt_secrets(1, after, lambda secret, _: secret + b"!")
    store.records.use(RowMacs(KeyRing(new)))
    async with store:
        # what was forged is still under the old key, which this installation had: it is told by its own row
        await attacker.write("factors", "id", forged.id, {"mac": b"abcd" + b"\0" * 32})
        assert await store.records.check_mac_keys() == MissingKeys((), (b"abcd",))
        assert (await store.records.get_policy(OWNER.workspace_id)).values == {"payout": "any"}
        found = {factor.id: factor for factor in await store.records.list_factors(*ME)}
        assert found.keys() == {key.id, code.id}
        assert found[code.id].encrypted_secret.endswith(b"!")  # type: ignore[union-attr]


async def test_a_key_can_go_in_a_quiet_hour_the_tree_and_the_approvals_of_its_time_still_count(
    database: tuple[HotState, Attacker],
) -> None:
    store, _ = database
    old, new = (
        "an old key of the installation, long enough 0123456789",
        "a new key of the installation, long enough 987654321",
    )
    async with store.records.use(RowMacs(KeyRing(old))) and store:
        await enrol(store, factor=passkey())
        approvals = [await ask_approval(store, replace(OWNER, session_id=f"of {number}")) for number in range(3)]
        seen = await integrate(store)
        assert seen.size
        await store.records.check_mac_keys()
    store.records.use(RowMacs(KeyRing(new)))
    async with store:  # too early: the start refuses, and raises no alarm
        assert await store.records.check_mac_keys() == MissingKeys(RowMacs(KeyRing(old)).key_ids, ())
    store.records.use(RowMacs(KeyRing([new, old])))
    async with store:
        await store.records.check_mac_keys()
        after: str | None = ""
        while after is not None:
            after = await store.records.reencrypt_secrets(1, after, lambda secret, _: secret)
    store.records.use(RowMacs(KeyRing(new)))
    async with store:
        assert await store.records.check_mac_keys() == MissingKeys((), ())
        assert await integrate(store, seen) == seen  # nothing was written since, and nothing is an alarm
        found = await store.records.waiting_approvals(*ME, now=NOW)
        assert {each.prompt.id for each in found} == {each.prompt.id for each in approvals}


async def test_an_approval_that_somebody_changed_is_told_by_the_name_of_its_table(
    database: tuple[HotState, Attacker],
) -> None:
    store, attacker = database
    told: list[Tampered] = []
    store.records.on_tampering(told.append)
    async with store.records.use(MACS) and store:
        await enrol(store, factor=passkey())
        asked_for = await ask_approval(store, OWNER)
        await attacker.write("approvals", "prompt", asked_for.prompt.id, {"tries": 3})
        assert await match(store, asked_for) is None
    assert told == [Tampered("approvals", asked_for.prompt.id, *ME)]
