"""The step from record to leaf, on a real SQLite file: nothing lost, nothing twice, and nothing over a changed tree."""

from __future__ import annotations

import hashlib
import random
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepup_middleware.core.keys import KeyRing
from stepup_middleware.log.integrator import Fault, PendingRecord, SeenTree, Step, TreeState, take_step
from stepup_middleware.log.records import RECORD, RowMacs, entry_of, read_entry
from stepup_middleware.log.tiles import TileId, prove_inclusion, read_root
from tests.log.support import naive_path, naive_root

ORIGIN = "log.example.com/stepup"
MACS = RowMacs(KeyRing(["a-k3y-0nly-f0r-the-tests-of-the-log-7c1d9e5b2a"]))
STRANGER = RowMacs(KeyRing(["an0ther-k3y-that-is-not-the-app's-4b8a6c0d1f"]))
START = datetime(2026, 11, 28, tzinfo=UTC)
SCHEMA = """
CREATE TABLE records (
    seq INTEGER PRIMARY KEY, id TEXT UNIQUE, prompt TEXT, body TEXT, entry TEXT, mac BLOB,
    leaf INTEGER UNIQUE, refused TEXT
);
CREATE TABLE tiles (level INTEGER, number INTEGER, hashes BLOB, PRIMARY KEY (level, number));
CREATE TABLE tree (one INTEGER PRIMARY KEY CHECK (one = 1), origin TEXT, size INTEGER, root BLOB, mac BLOB);
"""


class Database:
    """A log's tables in a SQLite file. Nothing is committed before ``commit``."""

    def __init__(self, path: Path | str = ":memory:") -> None:
        self.sql = sqlite3.connect(path)
        self.sql.executescript(SCHEMA)

    def add(self, seq: int, *, prompt: str = "", macs: RowMacs = MACS, body: str | None = None) -> str:
        id_, text = f"record-{seq}", body or f'{{"n":{seq},"salt":"{seq:032x}"}}'
        entry = entry_of(text, at=START, retention_years=1).text
        mac = macs.make(RECORD, {"id": id_, "entry": entry})
        row = (seq, id_, prompt, text, entry, mac)
        self.sql.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, NULL, NULL)", row)
        self.sql.commit()
        return id_

    def leaves(self) -> list[bytes]:
        """Return the leaf hashes by index, and see that the indexes are dense."""
        rows = self.sql.execute("SELECT leaf, entry FROM records WHERE leaf IS NOT NULL ORDER BY leaf").fetchall()
        assert [leaf for leaf, _ in rows] == list(range(len(rows)))
        return [read_entry(entry).leaf_hash for _, entry in rows]

    async def read_tree_state(self) -> TreeState | None:
        row = self.sql.execute("SELECT origin, size, root, mac FROM tree").fetchone()
        return None if row is None else TreeState(origin=row[0], size=row[1], root=row[2], mac=row[3])

    async def leaf_ahead(self) -> tuple[int, int] | None:
        size = "SELECT coalesce((SELECT size FROM tree), 0)"
        row = self.sql.execute(f"SELECT leaf FROM records WHERE leaf >= ({size}) OR leaf < 0 LIMIT 1").fetchone()  # noqa: S608
        return None if row is None else (1, row[0])

    async def pending_records(self, limit: int) -> Sequence[PendingRecord]:
        rows = self.sql.execute(
            "SELECT seq, id, body, entry, mac FROM records WHERE leaf IS NULL AND refused IS NULL ORDER BY seq LIMIT ?",
            (limit,),
        )
        return [PendingRecord(seq=seq, id=id_, body=body, entry=entry, mac=mac) for seq, id_, body, entry, mac in rows]

    async def read_tiles(self, tiles: Collection[TileId]) -> Mapping[TileId, bytes]:
        found = {}
        for tile in tiles:
            row = self.sql.execute("SELECT hashes FROM tiles WHERE level = ? AND number = ?", tile).fetchone()
            if row is not None:
                found[tile] = row[0]
        return found

    async def write_step(self, step: Step) -> None:
        for id_, fault in step.refused.items():
            self.sql.execute("UPDATE records SET refused = ? WHERE id = ?", (fault.name, id_))
        for id_, index in step.indexes.items():
            done = self.sql.execute("UPDATE records SET leaf = ? WHERE id = ? AND leaf IS NULL", (index, id_))
            assert done.rowcount == 1
        for (level, number), hashes in step.tiles.items():
            self.sql.execute("INSERT OR REPLACE INTO tiles VALUES (?, ?, ?)", (level, number, hashes))
        if step.state is not None:
            row = (step.state.origin, step.state.size, step.state.root, step.state.mac)
            self.sql.execute("INSERT OR REPLACE INTO tree VALUES (1, ?, ?, ?, ?)", row)

    async def step(
        self, seen: SeenTree | None = None, *, limit: int = 100, commit: bool = True
    ) -> tuple[Step, SeenTree]:
        step, now = await take_step(self, origin=ORIGIN, seen=seen or SeenTree(), macs=MACS, limit=limit)
        (self.sql.commit if commit else self.sql.rollback)()
        return step, now

    async def caught_up(self) -> SeenTree:
        step, seen = await self.step()
        while step.indexes or step.refused:
            step, seen = await self.step(seen)
        assert step.alarm is None
        return seen


@pytest.fixture
def database() -> Iterator[Database]:
    kept = Database()
    yield kept
    kept.sql.close()


@given(st.randoms(use_true_random=False), st.integers(1, 700))
@settings(max_examples=12, deadline=None)
async def test_every_record_gets_one_leaf_whatever_order_it_commits_in_and_wherever_a_step_dies(
    chance: random.Random, count: int
) -> None:
    """Serial numbers are handed out in order and commit in another; a step may end before its commit."""
    database = Database()
    waiting = list(range(1, count + 1))
    prompts: dict[str, list[int]] = {}
    seen = SeenTree()
    while waiting:
        for _ in range(chance.randint(1, 40)):
            if waiting:
                seq = waiting.pop(chance.randrange(min(5, len(waiting))))
                prompt = f"prompt-{chance.randrange(50)}"
                if prompts.setdefault(prompt, [0])[-1] < seq:  # one prompt's records come one after the other
                    prompts[prompt].append(seq)
                    database.add(seq, prompt=prompt)
                else:
                    database.add(seq)
        dies = chance.random() < 0.3
        step, now = await database.step(seen, limit=chance.choice((1, 7, 64)), commit=not dies)
        assert step.alarm is None
        seen = seen if dies else now
    seen = await database.caught_up()
    hashes = database.leaves()
    assert len(hashes) == count == seen.size
    assert seen.root == naive_root(hashes) == await read_root(database, count)
    index = chance.randrange(count)
    assert await prove_inclusion(database, index, count) == naive_path(index, hashes)
    for prompt, order in prompts.items():
        rows = database.sql.execute("SELECT seq FROM records WHERE prompt = ? ORDER BY leaf", (prompt,)).fetchall()
        assert [seq for (seq,) in rows] == order[1:]
    database.sql.close()


async def test_a_record_of_a_stranger_gets_no_leaf_and_holds_up_nobody(database: Database) -> None:
    forged = [database.add(seq, macs=STRANGER) for seq in range(1, 30)]
    database.add(100)
    seen = SeenTree()
    refused: dict[str, Fault] = {}
    for _ in range(9):
        step, seen = await database.step(seen, limit=4)
        refused |= step.refused
    assert refused == dict.fromkeys(forged, Fault.RECORD_MAC)
    assert seen.size == 1
    assert (await database.step(seen))[0].is_empty  # each is told once


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("UPDATE records SET body = replace(body, 'n', 'm') WHERE seq = 3", Fault.RECORD_ENTRY),
        ("UPDATE records SET entry = replace(entry, '2027', '2026') WHERE seq = 3", Fault.RECORD_MAC),
        ("UPDATE records SET entry = '' WHERE seq = 3", Fault.RECORD_MAC),
        ("UPDATE records SET id = 'record-9' WHERE seq = 3", Fault.RECORD_MAC),
        ("UPDATE records SET mac = (SELECT mac FROM records WHERE seq = 2) WHERE seq = 3", Fault.RECORD_MAC),
        (
            "UPDATE records SET (body, entry, mac) = (SELECT body, entry, mac FROM records WHERE seq = 2) "
            "WHERE seq = 3",
            Fault.RECORD_MAC,
        ),
    ],
)
async def test_a_record_that_was_altered_before_its_leaf_is_refused(
    database: Database, change: str, fault: Fault
) -> None:
    for seq in (1, 2, 3, 4):
        database.add(seq)
    database.sql.execute(change)
    step, seen = await database.step()
    assert list(step.refused.values()) == [fault]
    assert seen.size == 3


CHANGES: dict[str, tuple[Callable[[sqlite3.Connection], object], set[Fault]]] = {
    "a smaller size": (lambda sql: sql.execute("UPDATE tree SET size = size - 1"), {Fault.STATE_MAC}),
    "a size of nothing": (lambda sql: sql.execute("UPDATE tree SET size = 0, root = x''"), {Fault.STATE_MAC}),
    "another root": (lambda sql: sql.execute("UPDATE tree SET root = zeroblob(32)"), {Fault.STATE_MAC}),
    "another origin": (lambda sql: sql.execute("UPDATE tree SET origin = 'other.example'"), {Fault.STATE_MAC}),
    "no state": (lambda sql: sql.execute("DELETE FROM tree"), {Fault.TREE_MISSING}),
    "no tiles": (lambda sql: sql.execute("DELETE FROM tiles"), {Fault.STATE_TILES}),
    "another hash at the edge": (
        lambda sql: sql.execute("UPDATE tiles SET hashes = zeroblob(length(hashes)) WHERE level = 0 AND number = 2"),
        {Fault.STATE_TILES},
    ),
    "a level that was exchanged": (
        lambda sql: sql.execute("UPDATE tiles SET hashes = zeroblob(64) WHERE level = 1"),
        {Fault.STATE_TILES},
    ),
    "a tile cut short": (
        lambda sql: sql.execute("UPDATE tiles SET hashes = substr(hashes, 1, 31) WHERE number = 2"),
        {Fault.STATE_TILES},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_nothing_is_added_to_a_tree_that_was_changed(database: Database, change: str) -> None:
    for seq in range(1, 601):
        database.add(seq)
    seen = await database.caught_up()
    assert seen.size == 600
    database.add(601)
    alter, faults = CHANGES[change]
    alter(database.sql)
    database.sql.commit()
    before = list(database.sql.iterdump())
    step, after = await database.step(seen)
    assert step.alarm in faults
    assert step.is_empty
    assert after == seen
    assert list(database.sql.iterdump()) == before


async def test_an_older_copy_and_another_history_are_alarms_also_where_every_mac_holds(tmp_path: Path) -> None:
    database, copy, other = Database(), sqlite3.connect(tmp_path / "copy"), Database()
    for seq in range(1, 301):
        database.add(seq)
        other.add(seq, body=f"another {seq}")
    await database.caught_up()
    database.sql.backup(copy)
    for seq in range(301, 400):
        database.add(seq)
        other.add(seq)
    seen = await database.caught_up()
    copy.backup(database.sql)
    assert (await database.step(seen))[0].alarm is Fault.TREE_SHRANK
    for seq in range(301, 401):  # it has grown past what was seen, with other records
        database.add(seq, body=f"after the restore {seq}")
    await database.caught_up()
    assert (await database.step(seen))[0].alarm is Fault.TREE_DIFFERS
    await other.caught_up()
    assert (await other.step(seen))[0].alarm is Fault.TREE_DIFFERS
    step, _ = await take_step(other, origin="log.example.com/second", seen=SeenTree(), macs=MACS)
    assert step.alarm is Fault.TREE_OF_ANOTHER_LOG
    for opened in (database.sql, copy, other.sql):
        opened.close()


async def test_several_processes_take_turns_and_each_sees_the_trees_of_the_others_grow(database: Database) -> None:
    seen = [SeenTree(), SeenTree(), SeenTree()]
    for seq in range(1, 61):
        database.add(seq)
        turn = hashlib.sha256(str(seq).encode()).digest()[0] % 3
        step, seen[turn] = await database.step(seen[turn])
        assert step.alarm is None
        assert seen[turn].size == seq
