"""Who writes to the log of an app that runs, and who has the app's keys as well: what verifying finds."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware.core.canonical import canonical_json
from stepup_middleware.core.events import EventName
from stepup_middleware.core.moments import to_micros
from stepup_middleware.evidence.report import EvidenceVerdict
from stepup_middleware.evidence.trust import Trust
from stepup_middleware.log.checkpoints import Checkpoint
from stepup_middleware.log.integrator import SeenTree
from stepup_middleware.log.keys import sign_checkpoint
from stepup_middleware.log.records import TREE_STATE, entry_of
from stepup_middleware.log.stored import StoredCheckpoint
from stepup_middleware.testing.contract.values import MACS, NOW, ORIGIN, event

from .alterations import Alteration, Row, Tables, other_values, rewritten
from .attacked import LOG_KEYS, Attacked, AttackedPostgres, AttackedSQLite, Base, honest
from .grants import NUMBERS
from .raw import Raw, RawPostgres, RawSQLite

VERIFIED, FAILED = EvidenceVerdict.VERIFIED, EvidenceVerdict.FAILED
LATER = NOW + timedelta(minutes=5)
WHOLE = pytest.param(1, id="all", marks=pytest.mark.exhaustive)
GRANTED = ("seq", "refused", "high")  # of NUMBERS


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def raw(request: pytest.FixtureRequest, tmp_path: Path) -> Raw:
    if request.param == "sqlite":
        return RawSQLite(tmp_path / "db")
    return RawPostgres(request.getfixturevalue("postgres_dsn"))


def same(raw: Raw) -> Attacked:
    """Return the same database for verifying."""
    return AttackedSQLite(raw.path) if isinstance(raw, RawSQLite) else AttackedPostgres(raw.dsn)  # type: ignore[attr-defined]


class Live:
    """An app's log that grows: a few records with their leaves, and what is done to it afterwards."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.store = raw.store().use(MACS)
        self.seen = SeenTree()

    async def grow(self, **fields: Any) -> Row:
        """Write a record, and return its row: it waits for its leaf."""
        await self.store.append([event(EventName.BLOCKED, **fields)])
        return max(await self.raw.rows("audit"), key=lambda row: row["seq"])

    async def integrate(self) -> int:
        """Give records their leaves. Returns how many were refused."""
        step, self.seen = await self.store.integrate(origin=ORIGIN, seen=self.seen)
        assert step.alarm is None
        return len(step.refused)

    async def verdict(self) -> EvidenceVerdict:
        """Verify with a checkpoint of the tree as the app has it now, of which the database has its copy."""
        checkpoint = Checkpoint(ORIGIN, self.seen.size, self.seen.root)
        note = str(sign_checkpoint(checkpoint, LOG_KEYS, int(NOW.timestamp())))
        await self.store.add_checkpoint(StoredCheckpoint(log=1, size=self.seen.size, note=note))
        trust = Trust(log_keys=[key.verifier for key in LOG_KEYS], checkpoints=[checkpoint], rp_id="example.com")
        verdict, _ = await same(self.raw).found(trust, LATER)
        return verdict

    async def put(self, old: Row, new: Row | None) -> bool:
        """Replace a row of the log, or take it away."""
        rows = [row for row in await self.raw.rows("audit") if row["id"] != old["id"]]
        return await self.raw.put("audit", [*rows, *([] if new is None else [new])])


# A22
async def test_a_record_that_waits_for_its_leaf_is_altered_by_nobody_and_one_that_has_it_neither(raw: Raw) -> None:
    chance = random.Random(22)  # noqa: S311 - which values are tried, no secret
    live, tried = Live(raw), 0
    async with live.store:
        await live.grow(reason="first")
        await live.integrate()
        assert await live.verdict() is VERIFIED
        columns = [*(await raw.rows("audit"))[0]]
        for column in columns if isinstance(raw, RawSQLite) else columns[1::3]:
            for waits in (True, False):
                row = await live.grow(reason="next")
                others = [each[column] for each in await raw.rows("audit")]
                if not waits:
                    assert await live.integrate() == 0
                for new in other_values(row[column], others, chance):
                    if new == row[column] or (row[column] is None and column != "refused"):
                        continue
                    if not await live.put(row, {**row, column: new}):
                        continue
                    refused = 0
                    if waits and column not in GRANTED:
                        refused = await live.integrate()
                        waits = waits and not refused
                    found = await live.verdict()
                    if column not in GRANTED:
                        assert refused or found is not VERIFIED, (column, new)
                        tried += 1
                    await live.put({**row, "id": new if column == "id" else row["id"]}, row)
                    if refused:
                        break
                await live.integrate()
                await forget_refused(raw)
        assert tried >= (40 if isinstance(raw, RawSQLite) else 10)
        assert "seq" in NUMBERS


async def forget_refused(raw: Raw) -> None:
    """Put away what was refused, so that the next alteration is judged by itself."""
    leaves = {leaf["record_id"] for leaf in await raw.rows("leaves")}
    kept = [{**row, "refused": None} for row in await raw.rows("audit") if row["id"] in leaves]
    assert await raw.put("audit", kept)


# A22
async def test_a_record_that_the_app_did_not_write_gets_no_leaf(raw: Raw) -> None:
    live = Live(raw)
    async with live.store:
        row = await live.grow()
        await live.integrate()
        twin = {**row, "seq": row["seq"] + 1, "id": "f" * len(row["id"]), "token": None}
        assert await raw.put("audit", [*await raw.rows("audit"), twin])
        await live.grow()  # whose number is taken, which keeps it from nothing
        assert await live.integrate() == 1
        assert live.seen.size == 2
        assert await live.verdict() is FAILED


# A22
async def test_of_what_is_taken_away_only_what_had_no_leaf_is_not_missed(raw: Raw) -> None:
    live = Live(raw)
    async with live.store:
        row = await live.grow()
        await live.integrate()
        assert await live.put(await live.grow(), None)  # younger than the last leaf
        assert await live.integrate() == 0
        assert await live.verdict() is VERIFIED
        assert await live.put(row, None)
        assert await live.verdict() is FAILED


# A22
async def test_a_record_is_not_backdated_by_who_has_no_key(raw: Raw) -> None:
    live = Live(raw)
    async with live.store:
        await live.grow()
        await live.integrate()
        for waits in (True, False):
            row = await live.grow()
            if not waits:
                await live.integrate()
            body = json.loads(row["body"])
            earlier = NOW - timedelta(days=400)
            body["at"] = "2025-10-20T12:00:00Z"
            text = canonical_json(body)
            entry = entry_of(text, at=earlier, retention_years=body["retention_years"]).text
            assert await live.put(row, {**row, "body": text, "entry": entry, "at": to_micros(earlier)})
            assert await live.integrate() == (1 if waits else 0)
            assert await live.verdict() is FAILED
            assert await live.put(row, row)
            await live.integrate()
            await forget_refused(raw)


def with_keys(alteration: Alteration, base: Base) -> Tables:
    """Return altered tables with every MAC and signature made anew, by somebody who has all keys of the app."""
    tables = {**base.tables, **alteration.tables}
    audit = [{**row, "mac": MACS.make_for_record(row["id"], row["entry"])} for row in tables["audit"]]
    state = {name: tables["trees"][0][name] for name in ("origin", "size", "root")}
    trees = [{**tables["trees"][0], "mac": MACS.make(TREE_STATE, state)}]
    checkpoint = Checkpoint(ORIGIN, state["size"], state["root"])
    note = str(sign_checkpoint(checkpoint, LOG_KEYS, int(base.now.timestamp())))
    return {**tables, "audit": audit, "trees": trees, "checkpoints": [{"log": 1, "size": state["size"], "note": note}]}


# A22
@pytest.mark.parametrize(
    "every_nth", [pytest.param(41, id="part"), pytest.param(1, id="all", marks=pytest.mark.exhaustive)]
)
async def test_what_a_witness_cosigned_is_altered_removed_and_backdated_by_nobody_with_all_keys(
    tmp_path: Path, every_nth: int
) -> None:
    database = AttackedSQLite(tmp_path / "log.db")
    base = await honest(database)
    tried = set()
    for alteration in [*rewritten(base.tables)][::every_nth]:
        await database.write(with_keys(alteration, base))
        verdict, _ = await database.found(base.trust(), base.now)
        assert verdict is FAILED, alteration.what
        verdict, _ = await database.found(base.trust(kept=()), base.now)
        assert verdict is not VERIFIED, alteration.what
        tried.add(alteration.kind)
    assert tried >= {"a record rewritten, with all hashes", "a record backdated, with all hashes"}


# A26
async def test_who_has_the_keys_of_the_app_adds_records_from_now_on(raw: Raw) -> None:
    live, thief = Live(raw), Live(raw)
    async with live.store, thief.store:
        await live.grow()
        await live.integrate()
        await thief.grow(reason="never happened")
        assert await live.integrate() == 0
        assert live.seen.size == 2
        assert await live.verdict() is VERIFIED
