"""Rows of a database of the app, read and written past the library: every trigger is off, constraints stand."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg

from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.sql.store import SQLStore
from stepup_middleware.stores.sqlite import SQLiteStore

from .attacked import PATIENT

Row = dict[str, Any]


class Raw:
    """A database that an app has open, in the hands of somebody else."""

    def store(self) -> SQLStore:
        """Return a store of the app on it, not started."""
        raise NotImplementedError

    async def rows(self, table: str) -> list[Row]:
        """Return all rows of a table."""
        raise NotImplementedError

    async def put(self, table: str, rows: Sequence[Row]) -> bool:
        """Replace all rows of a table. False, and nothing is changed, where the database has no place for them."""
        raise NotImplementedError


class RawSQLite(Raw):
    def __init__(self, path: Path) -> None:
        self.path = path

    def store(self) -> SQLStore:
        return SQLiteStore(self.path, timeout=PATIENT)

    async def rows(self, table: str) -> list[Row]:
        with closing(sqlite3.connect(self.path, timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]  # noqa: S608

    async def put(self, table: str, rows: Sequence[Row]) -> bool:
        with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN IMMEDIATE")
            for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
                connection.execute(f"DROP TRIGGER {name}")
            connection.execute("SAVEPOINT rows")
            try:
                connection.execute(f"DELETE FROM {table}")  # noqa: S608
                for row in rows:
                    places = ", ".join("?" * len(row))
                    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", [*row.values()])  # noqa: S608
            except (sqlite3.IntegrityError, OverflowError):
                connection.execute("ROLLBACK")
                return False
            connection.execute("COMMIT")
            return True


class RawPostgres(Raw):
    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def store(self) -> SQLStore:
        return PostgresStore(self.dsn, timeout=PATIENT)

    async def rows(self, table: str) -> list[Row]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return [dict(row) for row in await connection.fetch(f"SELECT * FROM stepup.{table}")]  # noqa: S608
        finally:
            await connection.close()

    async def put(self, table: str, rows: Sequence[Row]) -> bool:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute("SET session_replication_role = replica")  # no trigger fires
            async with connection.transaction():
                await connection.execute(f"DELETE FROM stepup.{table}")  # noqa: S608
                for row in rows:
                    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
                    await connection.execute(
                        f"INSERT INTO stepup.{table} ({', '.join(row)}) OVERRIDING SYSTEM VALUE VALUES ({places})",  # noqa: S608
                        *row.values(),
                    )
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
            return False
        finally:
            await connection.close()
        return True
