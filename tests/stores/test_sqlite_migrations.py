"""A file of an earlier version is refused, and two versions of the library work on one file from now on."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.stores.sqlite import SQLiteLog, SQLiteStore
from stepup_middleware.stores.statements import foundation_of, load_migrations
from stepup_middleware.testing.contract.values import MACS, hold, won

from .migrated import assert_all_write, assert_side_by_side

MIGRATIONS = load_migrations("stepup_middleware.stores.sqlite")
EARLIER = """
PRAGMA application_id = 1400132976;
PRAGMA user_version = 4;
CREATE TABLE meta (id INTEGER PRIMARY KEY, database TEXT, epoch INTEGER, batch INTEGER, oldest INTEGER);
INSERT INTO meta VALUES (1, 'd3110ce05fc3bb1a42528181c1a0ac5b', 1, 7, 1);
"""
ADDS = "CREATE TABLE later (x);"
BREAKS = "ALTER TABLE tokens RENAME COLUMN attempt TO presentation;\nUPDATE meta SET oldest = 2;"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stepup.db"


def newer(path: Path, script: str) -> SQLiteStore:
    """Return the store as a later version has it, with one more migration."""
    store = SQLiteStore(path).use(MACS)
    store._engine._migrations = (*store._engine._migrations, script)
    return store


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


@pytest.fixture
def earlier(path: Path) -> Path:
    """Return a file as an earlier version left it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(EARLIER)
        connection.execute("PRAGMA journal_mode = WAL")
    return path


def rows_of(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


async def test_a_file_of_an_earlier_version_is_refused_with_what_to_do_and_left_as_it_was(earlier: Path) -> None:
    before = rows_of(earlier)
    for refused in (SQLiteStore(earlier).use(MACS), SQLiteLog(earlier)):
        with pytest.raises(ConfigurationError, match=r"earlier version.*move it away.*new file"):
            async with refused:
                pass
    assert rows_of(earlier) == before


async def test_a_file_that_another_schema_of_the_same_number_made_is_refused(path: Path) -> None:
    async with SQLiteStore(path).use(MACS):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE meta SET foundation = 'another'")
        connection.commit()
    for refused in (SQLiteStore(path).use(MACS), SQLiteLog(path)):
        with pytest.raises(ConfigurationError, match="earlier version"):
            async with refused:
                pass


def test_comments_and_spaces_of_a_schema_do_not_tell_it_from_itself() -> None:
    script, *later = MIGRATIONS
    assert foundation_of((f"-- another comment\n\n{script}  -- and one more", *later)) == foundation_of(MIGRATIONS)
    assert foundation_of((script.replace("NOT NULL", "", 1),)) != foundation_of(MIGRATIONS)


async def test_nodes_that_start_at_once_migrate_once(path: Path) -> None:
    stores = [newer(path, ADDS) for _ in range(4)]  # a second run of it would fail
    await asyncio.gather(*(store.start() for store in stores))
    assert version_of(path) == len(MIGRATIONS) + 1
    await assert_all_write(stores)


async def test_the_version_before_goes_on_while_a_newer_one_adds_to_the_schema(path: Path) -> None:
    async with SQLiteStore(path).use(MACS) as before:  # S33
        await assert_side_by_side(before, newer(path, ADDS), lambda: SQLiteStore(path).use(MACS))


async def test_the_version_before_stops_where_a_newer_one_says_so(path: Path) -> None:
    async with SQLiteStore(path).use(MACS) as before:  # S33
        held = await hold(before)
        async with newer(path, BREAKS):
            for _ in range(2):
                with pytest.raises(StoreError):  # never a second run, never another error
                    await before.redeem(held.shown())
            with pytest.raises(ConfigurationError, match="newer version"):
                await SQLiteStore(path).use(MACS).start()


async def test_the_version_before_stops_though_it_could_still_read_and_write_what_is_there(path: Path) -> None:
    async with SQLiteStore(path).use(MACS) as before:  # S33
        held = await hold(before)
        async with newer(path, "UPDATE meta SET oldest = 2;"):
            for call in (before.redeem(held.shown()), hold(before)):
                with pytest.raises(StoreError, match="newer version"):
                    await call


async def test_a_migration_that_fails_leaves_the_schema_as_it_was(path: Path) -> None:
    async with SQLiteStore(path).use(MACS) as store:
        held = await hold(store)
    with pytest.raises(StoreError):
        await newer(path, "CREATE TABLE later (x);\nCREATE TABLE audit (x);").start()
    assert version_of(path) == len(MIGRATIONS)
    async with SQLiteStore(path).use(MACS) as store:
        assert won([await store.redeem(held.shown())]) == 1
    async with newer(path, ADDS):
        assert version_of(path) == len(MIGRATIONS) + 1
