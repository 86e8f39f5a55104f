"""Who writes to every table of the log and has one key of it, or two: what the guide's table of keys says, and no more.

By default a small part is tried; ``-m exhaustive`` tries all, and ``python -m tests.attackers --only keys`` prints it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from demo_app.guide_pages import FOLDER
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.errors import StoreError
from stepup_middleware.evidence.report import EvidenceVerdict
from stepup_middleware.log.integrator import Fault
from stepup_middleware.log.records import TREE_STATE, RowMacs
from stepup_middleware.service.secret_box import SecretBox
from stepup_middleware.stores.sealing import FACTOR_COLUMNS, FACTORS, Tampered
from stepup_middleware.testing.contract.values import MACS, ORIGIN, OWNER, enrol, passkey, totp
from tests.log.histories import WITNESS_KEYS

from .alterations import Row, Tables, at_the_end, rebuilt
from .attacked import AttackedPostgres, AttackedSQLite, honest, table_of, total
from .keys import FORMER, HELD, KEY, OF_FORMER, WITH_FORMER, attack, with_keys
from .raw import Raw, RawSQLite
from .state import add
from .test_live import Live
from .test_state import raw

__all__ = ["raw"]

ME = (OWNER.workspace_id, OWNER.id)
# a former key has its own words where it verifies no longer
SEALS = [name for name, held in HELD.items() if held.holds_ring]
WITHOUT = [name for name in HELD if name not in SEALS]
WHOLE = pytest.param(1, id="all", marks=pytest.mark.exhaustive)


def test_the_guide_has_a_line_for_each_key() -> None:
    page = (FOLDER / "evidence.md").read_text(encoding="utf-8")
    part = page[page.index("| And has, of the keys") :].split("\n\n")[0]
    assert [line.split(" | ")[0].removeprefix("| ") for line in part.splitlines()[2:]] == list(HELD)


# A26
@pytest.mark.slow
@pytest.mark.parametrize("every_nth", [pytest.param(1300, id="part"), WHOLE])
async def test_a_key_alone_passes_nothing_that_the_guide_does_not_grant(raw: Raw, every_nth: int) -> None:
    on_file = isinstance(raw, RawSQLite)
    database = AttackedSQLite(raw.path) if isinstance(raw, RawSQLite) else AttackedPostgres(raw.dsn)  # type: ignore[attr-defined]
    base = await honest(database, in_order=True)
    verdict, _ = await database.found(base.trust(base.kept[1:2], WITNESS_KEYS), base.now, proofs=False)
    assert verdict is EvidenceVerdict.VERIFIED
    names = list(HELD) if on_file else ["the log key", "the secret key"]
    tallies = await attack(database, base, names, every_nth=every_nth, first=every_nth // 2)
    assert total(tallies).undetected == [], table_of(tallies)
    assert set(tallies) == set(names)
    # each of them but the witness alone can do what the table grants
    assert {name for name, tally in tallies.items() if tally.granted} >= set(names) - {"a witness's key"}
    assert all(tally.found for tally in tallies.values())


# A26
@pytest.mark.parametrize("name", list(HELD))
async def test_a_record_added_at_the_end_is_found_with_the_secret_key_unless_they_have_it(
    tmp_path: Path, name: str
) -> None:
    database, held = AttackedSQLite(tmp_path / "log.db"), HELD[name]
    base = await honest(database, in_order=True)
    chance = random.Random(3)  # noqa: S311 - what is forged, no secret
    added = rebuilt(at_the_end(base.tables, [base.now], chance), "a record added", "at the end")
    passed = []
    for made in with_keys(added, base, held):
        await database.write(made.tables)
        for with_key in (True, False):
            trust = base.trust(base.kept[1:2], WITNESS_KEYS)
            verdict, _ = await database.found(trust, base.now, with_key=with_key, macs=held.ring, proofs=False)
            passed += [with_key] if verdict is EvidenceVerdict.VERIFIED else []
            # nor without a checkpoint from elsewhere, whatever they have
            alone, _ = await database.found(base.trust(()), base.now, with_key=with_key, macs=held.ring, proofs=False)
            assert alone is not EvidenceVerdict.VERIFIED
    assert (True in passed) is held.holds_ring


async def live_log(raw: Raw, ring: RowMacs) -> Live:
    live = Live(raw)
    live.store = raw.store().use(ring)
    return live


# A26
@pytest.mark.parametrize("name", WITHOUT)
async def test_the_app_that_runs_gives_no_leaf_and_signs_no_tree_without_its_secret_key(raw: Raw, name: str) -> None:
    live = await live_log(raw, HELD[name].ring)
    async with live.store:
        await live.grow()
        row = await live.grow()
        await live.integrate()
        honest_rows = {table: await raw.rows(table) for table in ("audit", "leaves", "tiles", "trees")}
        forged = {
            **row,
            "seq": row["seq"] + 1,
            "id": "f" * 32,
            "mac": OF_FORMER.make_for_record("f" * 32, row["entry"]),
        }
        assert await raw.put("audit", [*honest_rows["audit"], forged])
        await live.grow()
        assert await live.integrate() == 1  # refused
        cut = _without_last(honest_rows)
        for table, rows in cut.items():
            assert await raw.put(table, rows)
        await live.grow()
        step, _ = await live.store.integrate(origin=ORIGIN, seen=live.seen)
        assert step.alarm is Fault.STATE_MAC


# A26
@pytest.mark.parametrize("name", SEALS)
async def test_with_the_secret_key_records_are_added_and_no_tree_that_was_seen_is_another(raw: Raw, name: str) -> None:
    held = HELD[name]
    assert held.macs is not None
    live = await live_log(raw, held.ring)
    async with live.store:
        await live.grow()
        row = await live.grow()
        await live.integrate()
        honest_rows = {table: await raw.rows(table) for table in ("audit", "leaves", "tiles", "trees")}
        for table, rows in _without_last(honest_rows).items():
            if table == "trees":
                values = {column: rows[0][column] for column in ("origin", "size", "root")}
                rows = [{**rows[0], "mac": held.macs.make(TREE_STATE, values)}]
            assert await raw.put(table, rows)
        await live.grow()
        step, _ = await live.store.integrate(origin=ORIGIN, seen=live.seen)
        assert step.alarm is Fault.TREE_SHRANK
        for table, rows in honest_rows.items():
            assert await raw.put(table, rows)
        forged = {
            **row,
            "seq": row["seq"] + 10,
            "id": "f" * 32,
            "mac": held.macs.make_for_record("f" * 32, row["entry"]),
        }
        assert await raw.put("audit", [*honest_rows["audit"], forged])
        assert await live.integrate() == 0  # from now on, as the table says


def _without_last(rows: Tables) -> dict[str, Sequence[Row]]:
    last = max(rows["leaves"], key=lambda leaf: leaf["idx"])
    fewer = {
        "audit": [row for row in rows["audit"] if row["id"] != last["record_id"]],
        "leaves": [leaf for leaf in rows["leaves"] if leaf is not last],
    }
    return {**rebuilt({**rows, **fewer}, "", "").tables}


# A27
async def test_a_row_that_decides_counts_under_a_former_key_while_it_is_of_the_ring_and_no_longer(raw: Raw) -> None:
    async with raw.store().use(WITH_FORMER) as store:
        told: list[Tampered] = []
        store.records.on_tampering(told.append)
        factor = await add(store, OWNER, passkey(sign_count=0))
        (row,) = await raw.rows("factors")
        mine = {**row, "public_key": b"mine"}
        values = [bool(mine[name]) if name == "backup_eligible" else mine[name] for name in FACTOR_COLUMNS]
        assert await raw.put("factors", [{**mine, "mac": FACTORS.sealed(OF_FORMER, values)[-1]}])
        (found,) = await store.records.list_factors(*ME)
        assert found == replace(factor, public_key=b"mine")
        assert told == []
    async with raw.store().use(MACS) as store:
        store.records.on_tampering(told.append)
        assert await store.records.list_factors(*ME) == ()
        assert told == [Tampered("factors", factor.id, *ME)]


# A22
async def test_who_has_only_what_encrypts_secrets_gives_nobody_a_secret_of_their_own(raw: Raw) -> None:
    box = SecretBox(KeyRing([KEY]).derive("totp-secret"))
    async with raw.store().use(MACS) as store:
        told: list[Tampered] = []
        store.records.on_tampering(told.append)
        await enrol(store, factor=totp(encrypted_secret=box.encrypt("JBSWY3DPEHPK3PXP", (*ME, "f")), id="f"))
        (row,) = await raw.rows("factors")
        mine = box.encrypt("GEZDGNBVGY3TQOJQ", (*ME, "f"))
        assert await raw.put("factors", [{**row, "encrypted_secret": mine}])
        assert await store.records.list_factors(*ME) == ()
        assert told == [Tampered("factors", "f", *ME)]
    with pytest.raises(StoreError):
        SecretBox(KeyRing([FORMER]).derive("totp-secret")).decrypt(mine, (*ME, "f"))
