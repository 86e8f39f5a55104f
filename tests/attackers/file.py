"""Somebody runs statements on the app's SQLite file, and leaves its triggers or takes them away: what becomes of each.

The triggers stop it, or it changes nothing, or the app that is started on the file tells of it, or verifying does, or
nothing that the app answers is another for it, or the guide grants it.
"""

# ruff: noqa: S608 - the names are those of the schema, and the values those of the test

from __future__ import annotations

import random
import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from stepup_middleware.core.events import EventName
from stepup_middleware.core.topics import Topic
from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.evidence.database import LogVerifier
from stepup_middleware.evidence.trust import Trust
from stepup_middleware.log.checkpoints import Checkpoint
from stepup_middleware.log.integrator import SeenTree
from stepup_middleware.log.keys import sign_checkpoint
from stepup_middleware.log.stored import StoredCheckpoint
from stepup_middleware.stores.sqlite import SQLiteLog
from stepup_middleware.testing.contract.values import MACS, NOW, ORIGIN, event

from . import state
from .alterations import other_values
from .attacked import DECIDES_NOTHING, LOG_KEYS, Tally
from .raw import RawSQLite, Row
from .role import COUNTS, LATER, REFUSED
from .statements import Statement, of_rows
from .tables import LOG, SEALED

SHARED = ("INSERT", "UPDATE", "ON CONFLICT", "DELETE")  # verbs that both databases have


def statements(rows: Mapping[str, Sequence[Row]], keys: Mapping[str, Sequence[str]]) -> Iterator[Statement]:
    """Yield what changes rows, or what they stand in."""
    chance = random.Random(7)  # noqa: S311 - which values are tried, no secret
    for each in of_rows(rows, keys, chance):
        if each.verb in SHARED and "OVERRIDING SYSTEM VALUE SELECT" not in each.text and " USING " not in each.text:
            text = each.text.replace("stepup.", "").replace(" OVERRIDING SYSTEM VALUE", "")
            yield Statement(each.verb, text.replace("'\\x", "x'").replace("'::bytea", "'"), each.table, each.column)
    for table, found in rows.items():
        for row in found[:1]:
            here = " AND ".join(f"{key} = {_literal(row[key])}" for key in keys[table])
            for column, value in row.items():
                for new in [*other_values(value, [each[column] for each in found], chance)][:2]:
                    names, values = ", ".join(row), ", ".join(map(_literal, {**row, column: new}.values()))
                    replace = f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({values})"
                    yield Statement("OR REPLACE", replace, table, column)
                    update = f"UPDATE OR REPLACE {table} SET {column} = {_literal(new)} WHERE {here}"
                    yield Statement("OR REPLACE", update, table, column)
                    ignored = f"UPDATE OR IGNORE {table} SET {column} = {_literal(new)} WHERE {here}"
                    yield Statement("OR IGNORE", ignored, table, column)
            yield Statement("FROM", f"UPDATE {table} SET {column} = NULL FROM meta WHERE {here}", table, column)
            yield Statement("RETURNING", f"DELETE FROM {table} WHERE {here} RETURNING *", table)
        for text in (
            f"DROP TABLE {table}", f"ALTER TABLE {table} RENAME TO mine", f"ALTER TABLE {table} ADD COLUMN mine",
            f"CREATE TRIGGER mine BEFORE INSERT ON {table} BEGIN SELECT RAISE(IGNORE); END",
            f"CREATE UNIQUE INDEX mine ON {table} (1)", f"CREATE VIEW mine AS SELECT * FROM {table}",
        ):  # fmt: skip
            yield Statement("DDL", text, table)
        ignored = f"BEFORE INSERT ON main.{table} BEGIN SELECT RAISE(IGNORE); END"
        yield Statement("TEMP", f"CREATE TEMP TRIGGER mine {ignored}")
        yield Statement("TEMP", f"CREATE TEMP TABLE {table} AS SELECT * FROM main.{table}")


def of_the_file(triggers: Sequence[str]) -> Iterator[Statement]:
    """Yield what changes no row by itself, and might open the way to one."""
    for name in triggers:
        yield Statement("DROP TRIGGER", f"DROP TRIGGER {name}")
    writable = "PRAGMA writable_schema = ON"
    for verb, text in (
        ("PRAGMA", "PRAGMA recursive_triggers = OFF"), ("PRAGMA", "PRAGMA foreign_keys = OFF"),
        ("PRAGMA", "PRAGMA ignore_check_constraints = ON"), ("PRAGMA", "PRAGMA synchronous = OFF"),
        ("PRAGMA", "PRAGMA user_version = 7"), ("PRAGMA", "PRAGMA application_id = 7"),
        ("PRAGMA", "PRAGMA journal_mode = DELETE"), ("PRAGMA", "PRAGMA auto_vacuum = NONE"), ("PRAGMA", "VACUUM"),
        ("PRAGMA", "REINDEX"), ("PRAGMA", "ANALYZE"),
        ("schema", f"{writable}; DELETE FROM sqlite_schema WHERE type = 'trigger'"),
        ("schema", f"{writable}; DELETE FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"),
        ("schema", f"{writable}; UPDATE sqlite_schema SET sql = replace(sql, 'RAISE(ABORT', 'RAISE(IGNORE') "
                   "WHERE type = 'trigger'"),
        ("sequence", "UPDATE sqlite_sequence SET seq = 0"), ("sequence", "DELETE FROM sqlite_sequence"),
        ("sequence", "UPDATE sqlite_sequence SET seq = seq + 1000000"),
    ):  # fmt: skip
        yield Statement(verb, text)


def _literal(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case bytes():
            return f"x'{value.hex()}'"
        case int():
            return str(int(value))
        case _:
            return "'" + str(value).replace("'", "''") + "'"


class File:
    """A file of an app that was stopped, with its log under a checkpoint that somebody kept elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.honest = folder / "honest.db"
        self.path = folder / "tried" / "stepup.db"

    async def make(self) -> None:
        """Fill it as an app does."""
        raw = RawSQLite(self.honest)
        async with raw.store().use(MACS) as store:
            self.world = await state.build(raw, store)
            await store.append([event(EventName.REUSED)])
            _, seen = await store.integrate(origin=ORIGIN, seen=SeenTree())
            self.kept = Checkpoint(ORIGIN, seen.size, seen.root)
            note = str(sign_checkpoint(self.kept, LOG_KEYS, int(NOW.timestamp())))
            await store.add_checkpoint(StoredCheckpoint(log=1, size=seen.size, note=note))
        with closing(sqlite3.connect(self.honest, isolation_level=None)) as connection:
            names, places = ", ".join(REFUSED), ", ".join("?" * len(REFUSED))
            connection.execute(f"INSERT INTO refused_sessions ({names}) VALUES ({places})", [*REFUSED.values()])
            connection.execute("INSERT INTO attempts VALUES ('w-1', 'u-owner', 'totp', 1, 7)")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.begin()
        self.rows, self.schema = self.read(), self.made()
        self.before, self.found_before, told = await self.answers()
        assert (self.found_before, told) == ([], 0)

    def begin(self) -> None:
        """Put the honest file where the next statement is tried."""
        shutil.rmtree(self.path.parent, ignore_errors=True)
        self.path.parent.mkdir()
        shutil.copy(self.honest, self.path)

    def read(self) -> dict[str, list[Row]]:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            tables = (*LOG, *SEALED, *COUNTS)
            return {table: [dict(row) for row in connection.execute(f"SELECT * FROM {table}")] for table in tables}

    def made(self) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.path)) as connection:
            return [
                *connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2"),
                *connection.execute("SELECT name, seq FROM sqlite_sequence ORDER BY 1"),
            ]

    def keys(self) -> dict[str, list[str]]:
        with closing(sqlite3.connect(self.path)) as connection:
            return {
                table: [name for (name,) in connection.execute(
                    "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", [table])]
                for table in self.rows
            }  # fmt: skip

    def triggers(self) -> list[str]:
        return [str(row[1]) for row in self.schema if row[0] == "trigger"]

    def tried(self, statement: Statement) -> bool:
        """Try a statement. Returns whether the database ran it."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            try:
                connection.executescript(statement.text)
            except sqlite3.Error:
                return False
        return True

    async def answers(self) -> tuple[state.Observed, list[str], int]:
        """Start the app on the file. Returns its answers, what verifying finds, and of how much the app tells."""
        world = self.world
        world.told.clear()
        raw = RawSQLite(self.path)
        async with raw.store().use(MACS) as store:
            store.records.on_tampering(world.told.append)
            world.store = store
            seen = await state.observe(world)
            await store.records.claim_deliveries((Topic.ALERT, Topic.NOTICE), now=LATER, until=LATER, limit=100)
            await store.records.check_mac_keys()
            step, _ = await store.integrate(origin=ORIGIN, seen=SeenTree(self.kept.size, self.kept.root))
            told = len(world.told) + len(step.refused) + (step.alarm is not None)
        async with SQLiteLog(self.path) as log:
            trust = Trust(log_keys=[key.verifier for key in LOG_KEYS], checkpoints=[self.kept], rp_id="example.com")
            found = [str(each) async for each in LogVerifier(log, trust, now=LATER, macs=MACS).run()]
        return seen, found, told


async def sweep(folder: Path, *, every_nth: int, first: int = 0) -> dict[str, Tally]:
    """Try each nth statement on a copy of the file of its own."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    file = File(folder)
    await file.make()
    for statement in [*statements(file.rows, file.keys()), *of_the_file(file.triggers())][first::every_nth]:
        file.begin()
        tally = tallies[statement.verb]
        tally.tried += 1
        if not file.tried(statement):
            tally.stopped += 1
            continue
        try:
            rows, same = file.read(), file.made() == file.schema
            if rows == file.rows and same:
                tally.harmless += 1
                continue
            seen, found, told = await file.answers()
        except (StoreError, ConfigurationError, sqlite3.Error):
            tally.found += 1
            continue
        changed = [table for table, kept in file.rows.items() if rows[table] != kept]
        if state.counted(file.before, seen):
            tally.undetected.append(f"{statement.text}: counts")
        elif found or told:
            tally.found += 1
        elif any(table in LOG for table in changed):
            if statement.column in DECIDES_NOTHING or statement.table == "checkpoints":
                tally.granted += 1  # by NUMBERS, COPIES
            else:
                tally.undetected.append(statement.text)
        elif changed and all(table in COUNTS for table in changed):
            tally.granted += 1  # by the sentence of the table
        elif seen == file.before:
            tally.harmless += 1
        elif state.granted(file.before, seen):
            tally.granted += 1
        else:
            tally.undetected.append(statement.text)
    return {f"file: {verb}": tally for verb, tally in tallies.items()}
