"""Somebody with the tables of a database and no key: writes past every trigger."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import asyncpg


class Attacker(Protocol):
    """Reads and writes rows of any table. Names of tables and columns are those of the test."""

    async def read(self, table: str, key: str, value: Any) -> dict[str, Any]:
        """Return the row with this key."""
        ...

    async def write(self, table: str, key: str, value: Any, changed: Mapping[str, Any]) -> bool:
        """Change columns of a row. False where the database itself has no place for such a value."""
        ...

    async def insert(self, table: str, row: Mapping[str, Any]) -> None:
        """Add a row."""
        ...


class _OnSQLite:
    def __init__(self, path: Path) -> None:
        self._path = path

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=30)
        connection.row_factory = sqlite3.Row
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        return connection

    async def read(self, table: str, key: str, value: Any) -> dict[str, Any]:
        with closing(self._open()) as connection:
            return dict(connection.execute(f"SELECT * FROM {table} WHERE {key} = ?", (value,)).fetchone())  # noqa: S608 - names of the test

    async def write(self, table: str, key: str, value: Any, changed: Mapping[str, Any]) -> bool:
        columns = ", ".join(f"{name} = ?" for name in changed)
        with closing(self._open()) as connection:
            try:
                connection.execute(f"UPDATE {table} SET {columns} WHERE {key} = ?", (*changed.values(), value))  # noqa: S608 - names of the test
            except sqlite3.IntegrityError:
                return False
            return True

    async def insert(self, table: str, row: Mapping[str, Any]) -> None:
        marks = ", ".join("?" * len(row))
        with closing(self._open()) as connection:
            connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))  # noqa: S608 - names of the test


class _OnPostgres:
    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def _open(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(self._dsn)
        await connection.execute("SET session_replication_role = replica")  # no trigger fires
        return connection

    async def read(self, table: str, key: str, value: Any) -> dict[str, Any]:
        connection = await self._open()
        try:
            row: Any = await connection.fetchrow(f"SELECT * FROM stepup.{table} WHERE {key} = $1", value)  # noqa: S608 - names of the test
            return dict(row)
        finally:
            await connection.close()

    async def write(self, table: str, key: str, value: Any, changed: Mapping[str, Any]) -> bool:
        columns = ", ".join(f"{name} = ${number}" for number, name in enumerate(changed, 2))
        connection = await self._open()
        try:
            await connection.execute(f"UPDATE stepup.{table} SET {columns} WHERE {key} = $1", value, *changed.values())  # noqa: S608 - names of the test
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
            return False
        finally:
            await connection.close()
        return True

    async def insert(self, table: str, row: Mapping[str, Any]) -> None:
        marks = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        connection = await self._open()
        try:
            await connection.execute(f"INSERT INTO stepup.{table} ({', '.join(row)}) VALUES ({marks})", *row.values())  # noqa: S608 - names of the test
        finally:
            await connection.close()


def attacking_sqlite(path: Path) -> Attacker:
    """Return an attacker of a SQLite file."""
    return _OnSQLite(path)


def attacking_postgres(dsn: str) -> Attacker:
    """Return an attacker of a PostgreSQL database, who owns it."""
    return _OnPostgres(dsn)
