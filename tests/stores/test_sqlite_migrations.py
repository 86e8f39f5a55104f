"""Every schema that ever was becomes the present one, and two versions of the library work on one file."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from stepup_middleware.core.decisions import Verdict
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.stores.statements import load_migrations

from .migrated import assert_all_write, assert_kept, assert_side_by_side
from .support import NOW, all_records, assert_chains_hold, hold, shown_for, won

MIGRATIONS = load_migrations("stepup_middleware.stores.sqlite")
DUMPS = sorted(Path(__file__).parent.joinpath("schemas").glob("sqlite-*.sql"))
ADDS = "CREATE TABLE later (x);"
BREAKS = "ALTER TABLE tokens RENAME COLUMN attempt TO presentation;\nUPDATE meta SET oldest = 99;"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stepup.db"


def restore(dump: Path, path: Path) -> dict[str, tuple[str, TokenReference]]:
    """Make a database of a dump; return its tokens by their state, with the prompts behind them."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(dump.read_text(encoding="utf-8"))
        connection.execute("PRAGMA journal_mode = WAL")
        rows = connection.execute("SELECT state, replays, prompt, id, nonce FROM tokens").fetchall()
    return {f"{state}{replays}": (prompt, TokenReference(id_, nonce)) for state, replays, prompt, id_, nonce in rows}


def newer(path: Path, script: str) -> SQLiteStore:
    """Return the store as a later version has it, with one more migration."""
    store = SQLiteStore(path)
    store._engine._migrations = (*store._engine._migrations, script)
    return store


def schema_of(path: Path) -> list[tuple[str, str]]:
    """Return name and text of everything in the schema, but for the comments and spaces."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT type || ' ' || name FROM sqlite_schema ORDER BY 1").fetchall()
        columns = [
            (f"{table} {column[1]}", f"{column[2]} {column[3]} {column[4]} {column[5]}")
            for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            for column in connection.execute(f"SELECT * FROM pragma_table_info('{table}')").fetchall()  # noqa: S608
        ]
    return sorted([(name, "") for (name,) in rows] + columns)


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def test_there_is_a_dump_of_every_schema_before_the_present_one() -> None:
    assert [dump.stem for dump in DUMPS] == [f"sqlite-{version:04}" for version in range(1, len(MIGRATIONS))]


@pytest.mark.parametrize("dump", DUMPS, ids=lambda dump: dump.stem)
async def test_an_earlier_schema_becomes_the_present_one_and_nothing_is_lost(
    dump: Path, path: Path, tmp_path: Path
) -> None:
    tokens = restore(dump, path)
    async with SQLiteStore(tmp_path / "fresh.db"):
        pass
    async with SQLiteStore(path) as store:
        assert version_of(path) == len(MIGRATIONS)
        assert schema_of(path) == schema_of(tmp_path / "fresh.db")
        await assert_chains_hold(store)
        assert len(await all_records(store)) >= 15
        for state, verdict in (
            ("issued0", Verdict.REDEEMED),
            ("redeemed0", Verdict.REUSED),
            ("redeemed1", Verdict.REUSED),
        ):
            prompt_id, reference = tokens[state]
            stored = await store.get_prompt(prompt_id, now=NOW)
            assert stored is not None
            answer = await store.redeem(shown_for(stored.prompt, reference))
            assert answer.decision.verdict is verdict
        await assert_kept(store)


@pytest.mark.parametrize("dump", DUMPS, ids=lambda dump: dump.stem)
async def test_nodes_that_start_at_once_migrate_once(dump: Path, path: Path) -> None:
    restore(dump, path)
    stores = [SQLiteStore(path) for _ in range(4)]
    await asyncio.gather(*(store.start() for store in stores))
    await assert_all_write(stores)


async def test_the_version_before_goes_on_while_a_newer_one_adds_to_the_schema(path: Path) -> None:
    async with SQLiteStore(path) as before:  # S33
        await assert_side_by_side(before, newer(path, ADDS), lambda: SQLiteStore(path))


async def test_the_version_before_stops_where_a_newer_one_says_so(path: Path) -> None:
    async with SQLiteStore(path) as before:  # S33
        held = await hold(before)
        async with newer(path, BREAKS):
            for _ in range(2):
                with pytest.raises(StoreError):  # never a second run, never another error
                    await before.redeem(held.shown())
            with pytest.raises(ConfigurationError, match="newer version"):
                await SQLiteStore(path).start()


async def test_a_migration_that_fails_leaves_the_schema_as_it_was(path: Path) -> None:
    async with SQLiteStore(path) as store:
        held = await hold(store)
    with pytest.raises(StoreError):
        await newer(path, "CREATE TABLE later (x);\nCREATE TABLE audit (x);").start()
    assert version_of(path) == len(MIGRATIONS)
    async with SQLiteStore(path) as store:
        assert won([await store.redeem(held.shown())]) == 1
    async with newer(path, ADDS):
        assert version_of(path) == len(MIGRATIONS) + 1
