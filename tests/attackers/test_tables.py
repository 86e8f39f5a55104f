"""A table of the schema that nobody thought of is found here: each is the log, has a MAC, or says why it needs none."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS

from .tables import LOG, SEALED, UNCOVERED, UNSEALED


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "sqlite":
        return tmp_path / "db"
    dsn: str = request.getfixturevalue("postgres_dsn")
    return dsn


async def tables_of(address: Path | str) -> dict[str, set[str]]:
    """Return the columns of each table that a fresh database has."""
    if isinstance(address, Path):
        async with SQLiteStore(address).use(MACS):
            pass
        with closing(sqlite3.connect(address)) as connection:
            found = connection.execute(
                "SELECT m.name, c.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS c "
                "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"
            ).fetchall()
    else:
        async with PostgresStore(address).use(MACS):
            pass
        connected = await asyncpg.connect(address)
        try:
            found = await connected.fetch(
                "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'stepup'"
            )
        finally:
            await connected.close()
    tables: dict[str, set[str]] = {}
    for table, column in found:
        tables.setdefault(table, set()).add(column)
    return tables


async def test_each_table_is_guarded_or_says_why_it_needs_no_guard(address: Path | str) -> None:
    tables = await tables_of(address)
    listed = [*LOG, *SEALED, *UNSEALED]
    assert len(listed) == len(set(listed))
    assert set(listed) - tables.keys() <= ({"schema_version"} if isinstance(address, Path) else set())
    assert tables.keys() - set(listed) == set()
    for table, covered in SEALED.items():
        named = {*covered, *UNCOVERED.get(table, {}), "mac"}
        assert tables[table] - named == set(), table
        assert named - tables[table] <= {"batch"}, table  # SQLite alone has it
