"""A schema of an earlier version is refused, and two versions of the library work on one database from now on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.statements import load_migrations
from stepup_middleware.testing.contract.values import MACS, event, hold, won

from .migrated import assert_all_write, assert_side_by_side

if TYPE_CHECKING:
    import asyncpg

MIGRATIONS = load_migrations("stepup_middleware.stores.postgres")
EARLIER = """
CREATE SCHEMA stepup;
CREATE TABLE stepup.schema_version (id integer PRIMARY KEY, version integer NOT NULL, oldest integer NOT NULL);
INSERT INTO stepup.schema_version VALUES (1, 2, 1);
"""
ADDS = "CREATE TABLE stepup.later (x integer); ALTER TABLE stepup.tokens ADD COLUMN later text NOT NULL DEFAULT '';"
NEXT = len(MIGRATIONS) + 1
BREAKS = f"""
ALTER TABLE stepup.tokens RENAME COLUMN attempt TO presentation;
UPDATE stepup.schema_version SET oldest = {NEXT};
"""  # noqa: S608 - a number of the test's own


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    import asyncpg

    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


def newer(dsn: str, script: str) -> PostgresStore:
    """Return the store as a later version has it, with one more migration."""
    store = PostgresStore(dsn).use(MACS)
    store._engine.database._migrations = (*store._engine.database._migrations, script)
    return store


async def schema_of(dsn: str) -> list[tuple[str, ...]]:
    """Return every column, index, trigger, constraint and function of the schema."""
    async with connected(dsn) as connection:
        rows = await connection.fetch("""
            SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod) || a.attnotnull
                || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
            FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
            LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
            WHERE c.relnamespace = 'stepup'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
            UNION ALL SELECT 'index', indexdef FROM pg_indexes WHERE schemaname = 'stepup'
            UNION ALL SELECT 'trigger', pg_get_triggerdef(t.oid) FROM pg_trigger AS t JOIN pg_class AS c
                ON c.oid = t.tgrelid WHERE c.relnamespace = 'stepup'::regnamespace AND NOT t.tgisinternal
            UNION ALL SELECT 'constraint', conname || pg_get_constraintdef(oid) FROM pg_constraint
                WHERE connamespace = 'stepup'::regnamespace
            UNION ALL SELECT 'function', pg_get_functiondef(oid) FROM pg_proc
                WHERE pronamespace = 'stepup'::regnamespace
        """)
    return sorted(tuple(row) for row in rows)


async def version_of(dsn: str) -> tuple[int, int]:
    """Return the version of the schema, and the oldest whose code may use it."""
    async with connected(dsn) as connection:
        row = await connection.fetchrow("SELECT version, oldest FROM stepup.schema_version")
        assert row is not None
        return row[0], row[1]


async def test_a_schema_of_an_earlier_version_is_refused_with_what_to_do_and_left_as_it_was(postgres_dsn: str) -> None:
    async with connected(postgres_dsn) as connection:
        await connection.execute(EARLIER)
    before = await schema_of(postgres_dsn)
    with pytest.raises(ConfigurationError, match=r"earlier version.*ALTER SCHEMA stepup RENAME"):
        await PostgresStore(postgres_dsn).use(MACS).start()
    assert await schema_of(postgres_dsn) == before
    async with connected(postgres_dsn) as connection:
        await connection.execute("ALTER SCHEMA stepup RENAME TO stepup_before")
    async with PostgresStore(postgres_dsn).use(MACS):
        assert await version_of(postgres_dsn) == (len(MIGRATIONS), 1)


async def test_a_schema_that_another_script_of_the_same_number_made_is_refused(postgres_dsn: str) -> None:
    async with PostgresStore(postgres_dsn).use(MACS):
        pass
    async with connected(postgres_dsn) as connection:
        await connection.execute("UPDATE stepup.schema_version SET foundation = 'another'")
    with pytest.raises(ConfigurationError, match="earlier version"):
        await PostgresStore(postgres_dsn).use(MACS).start()


async def test_nodes_that_start_at_once_migrate_once(postgres_dsn: str) -> None:
    stores = [newer(postgres_dsn, ADDS) for _ in range(4)]  # a second run of it would fail
    await asyncio.gather(*(store.start() for store in stores))
    assert await version_of(postgres_dsn) == (NEXT, 1)
    await assert_all_write(stores)


async def test_the_version_before_goes_on_while_a_newer_one_adds_to_the_schema(postgres_dsn: str) -> None:
    async with PostgresStore(postgres_dsn).use(MACS) as before:  # S33
        await assert_side_by_side(before, newer(postgres_dsn, ADDS), lambda: PostgresStore(postgres_dsn).use(MACS))


async def test_the_version_before_stops_where_a_newer_one_says_so(postgres_dsn: str) -> None:
    async with PostgresStore(postgres_dsn).use(MACS) as before:  # S33
        held = await hold(before)
        async with newer(postgres_dsn, BREAKS):
            for _ in range(2):
                with pytest.raises(StoreError, match="newer version"):  # never a second run
                    await before.redeem(held.shown())
            with pytest.raises(StoreError, match="newer version"):  # also where it would still work
                await before.append([event()])
            with pytest.raises(ConfigurationError, match="newer version"):
                await PostgresStore(postgres_dsn).use(MACS).start()


async def test_a_migration_that_fails_midway_leaves_everything_as_it_was(postgres_dsn: str) -> None:
    async with PostgresStore(postgres_dsn).use(MACS) as store:
        held = await hold(store)
        schema, version = await schema_of(postgres_dsn), await version_of(postgres_dsn)
        for script in (f"{ADDS}{BREAKS}CREATE TABLE stepup.audit (x integer);", f"{ADDS}SELECT 1/0;"):
            with pytest.raises(StoreError):
                await newer(postgres_dsn, script).start()
            assert await schema_of(postgres_dsn) == schema
            assert await version_of(postgres_dsn) == version
        assert won([await store.redeem(held.shown())]) == 1
        async with newer(postgres_dsn, ADDS):
            assert await version_of(postgres_dsn) == (NEXT, 1)


async def test_a_new_database_that_a_migration_fails_on_stays_empty(postgres_dsn: str) -> None:
    with pytest.raises(StoreError):
        await newer(postgres_dsn, "SELECT 1/0;").start()
    async with connected(postgres_dsn) as connection:
        assert not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'stepup')")
    async with PostgresStore(postgres_dsn).use(MACS):
        assert await version_of(postgres_dsn) == (len(MIGRATIONS), 1)
