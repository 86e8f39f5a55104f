"""The demo's database: one writer, one reader, every change a transaction."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite

_SCHEMA = Path(__file__).with_name("schema.sql")
_BUSY_SECONDS = 10.0  # how long to wait for another worker's transaction

Row = sqlite3.Row


class Transaction:
    """A running transaction: what a change may do to the database."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def run(self, sql: str, *values: Any) -> int:
        """Execute a statement and return how many rows it changed."""
        cursor = await self._connection.execute(sql, values)
        changed = cursor.rowcount
        await cursor.close()
        return changed

    async def many(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        """Execute a statement once for each tuple of values."""
        await (await self._connection.executemany(sql, rows)).close()

    async def all(self, sql: str, *values: Any) -> list[Row]:
        """Return every row of a query."""
        return list(await self._connection.execute_fetchall(sql, values))

    async def one(self, sql: str, *values: Any) -> Row | None:
        """Return the first row of a query, or of a statement with RETURNING, or None."""
        rows = await self.all(sql, *values)
        return rows[0] if rows else None


class Database:
    """The demo's SQLite file.

    Reads go over a connection of their own and see committed data only. Writes are serialised: within
    this process by a lock, between workers by ``BEGIN IMMEDIATE``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = asyncio.Lock()
        self._writer: aiosqlite.Connection | None = None
        self._reader: aiosqlite.Connection | None = None

    async def open(self, seed: Callable[[Transaction], Awaitable[None]]) -> None:
        """Open the file, create what is missing and, in a new file, write the first rows by ``seed``.

        Workers that start together do it once: the schema is idempotent, and the first to insert the mark
        ``seeded`` writes the rows in the same transaction.
        """
        await asyncio.to_thread(_make, self._path)
        self._writer = await _connect(self._path)
        await self._writer.execute_fetchall("PRAGMA journal_mode=WAL")
        script = await asyncio.to_thread(_SCHEMA.read_text, encoding="utf-8")
        await self._writer.executescript(f"BEGIN IMMEDIATE;\n{script}\nCOMMIT;")
        async with self.write() as change:
            mark = "INSERT INTO setting (key, value) VALUES ('seeded', 'yes') ON CONFLICT DO NOTHING"
            if await change.run(mark) == 1:
                await seed(change)
        self._reader = await _connect(self._path)
        await self._reader.execute_fetchall("PRAGMA query_only=ON")

    async def close(self) -> None:
        """Close both connections."""
        for connection in (self._reader, self._writer):
            if connection is not None:
                await connection.close()
        self._reader = self._writer = None

    async def all(self, sql: str, *values: Any) -> list[Row]:
        """Return every row of a query."""
        if self._reader is None:
            raise RuntimeError("the database is not open")
        return list(await self._reader.execute_fetchall(sql, values))

    async def one(self, sql: str, *values: Any) -> Row | None:
        """Return the first row of a query, or None."""
        rows = await self.all(sql, *values)
        return rows[0] if rows else None

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """Run a transaction: committed when the block ends, rolled back when it raises.

        Where the demo does not run, as in a command of the library's, the file is opened for this alone.
        """
        if self._writer is None and not await asyncio.to_thread(self._path.exists):
            raise RuntimeError("the database is not open")
        async with self._lock:
            writer = self._writer or await _connect(self._path)
            try:
                await writer.execute_fetchall("BEGIN IMMEDIATE")
                try:
                    yield Transaction(writer)
                    await writer.commit()
                except BaseException:
                    await writer.rollback()
                    raise
            finally:
                if writer is not self._writer:
                    await writer.close()


def _make(path: Path) -> None:
    """Make the file where there is none, for its owner alone; SQLite gives the files beside it the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


async def _connect(path: Path) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    connection.row_factory = sqlite3.Row
    await connection.execute_fetchall("PRAGMA foreign_keys=ON")
    return connection
