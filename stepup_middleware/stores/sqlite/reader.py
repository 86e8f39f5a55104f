"""Reading: connections that cannot write, beside the writer."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiosqlite

from stepup_middleware.errors import StoreError, StoreTimeoutError
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.sql.transaction import Value

from .database import Identity, identity_of
from .texts import as_they_stand, is_undecodable


class WatchedConnection(sqlite3.Connection):
    """A connection that refuses to read once its path leads to another file (S12)."""

    path: Path
    identity: Identity
    closed: threading.Event

    def close(self) -> None:
        super().close()
        self.closed.set()

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if identity_of(self.path) != self.identity:
            raise sqlite3.OperationalError("the database file was removed or replaced")
        return super().execute(sql, parameters)


class SQLiteReader:
    """One connection for reading, opened when it is first needed and again after an error.

    ``prove`` returns the file that the writer has opened and found to be the right one; with True it makes
    the writer look again. ``mode`` are the parameters of the URI by which SQLite opens the file.
    """

    def __init__(
        self,
        path: Path,
        sql: Mapping[str, str],
        prove: Callable[[bool], Awaitable[Identity]],
        *,
        seconds: float,
        mode: str = "mode=rw",
    ) -> None:
        self.sql = sql
        self._path = path
        self._prove = prove
        self._mode = mode
        self._seconds = seconds
        self._connection: aiosqlite.Connection | None = None
        self._opening: asyncio.Task[aiosqlite.Connection] | None = None
        self._raw: WatchedConnection | None = None
        self._doubtful = False
        self._closed = False

    def open(self) -> None:
        """Let it read, again: it opens its connection when it first does."""
        self._closed = False

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")

    async def fetch_all(self, name: str, *parameters: Value) -> Sequence[Row]:
        """Return all rows of a statement. Raises ``StoreError``."""
        return await self.fetch(self.sql[name], parameters)

    async def fetch_one(self, name: str, *parameters: Value) -> Row | None:
        """Return the first row of a statement, None when there is none. Raises ``StoreError``."""
        rows = await self.fetch(self.sql[name], parameters)
        return rows[0] if rows else None

    async def fetch(
        self, text: str, parameters: Sequence[Value] | Mapping[str, Value] = (), *, bounded: bool = True
    ) -> Sequence[Row]:
        """Return all rows of a text of SQL that only reads, within the time if it is ``bounded``.

        Raises ``StoreError``.
        """
        try:
            async with asyncio.timeout(self._seconds if bounded else None):
                connection = self._connection or await self._opened()
                try:
                    return list(await connection.execute_fetchall(text, parameters))
                except sqlite3.OperationalError as error:
                    if not is_undecodable(error):
                        raise
                with as_they_stand(connection):
                    return list(await connection.execute_fetchall(text, parameters))
        except TimeoutError:
            raise StoreTimeoutError("the database did not answer in time") from None
        except (sqlite3.Error, OSError, ValueError) as error:
            await self._drop()
            raise StoreError(f"the database cannot be read: {type(error).__name__}: {error}") from error

    async def _opened(self) -> aiosqlite.Connection:
        """Open the connection, once for all who ask meanwhile, and to its end though none of them waits any more."""
        self._check_open()
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._connect(), name="stepup-sqlite-reader")
        return await asyncio.shield(self._opening)

    async def _connect(self) -> aiosqlite.Connection:
        identity = await self._prove(self._doubtful)
        raw: list[WatchedConnection] = []

        def open_file(*arguments: Any, **options: Any) -> WatchedConnection:
            connection = WatchedConnection(*arguments, **options)
            connection.path, connection.identity = self._path, identity
            connection.closed = threading.Event()
            raw.append(connection)
            return connection

        connection = await aiosqlite.connect(
            f"{self._path.as_uri()}?{self._mode}",
            uri=True,
            timeout=self._seconds,
            isolation_level=None,
            cached_statements=256,
            factory=open_file,
        )
        try:
            await connection.execute_fetchall("PRAGMA query_only = ON")
            await connection.execute_fetchall("PRAGMA trusted_schema = OFF")
        except BaseException:
            await _end(connection)
            raise
        self._connection, self._raw, self._doubtful = connection, raw[0], False
        return connection

    def suspend(self, seconds: float) -> bool:
        """Close the connection before a fork; False when that took too long. The next read opens it again."""
        if self._opening is not None and not self._opening.done():
            return False
        connection, raw, self._connection, self._raw = self._connection, self._raw, None, None
        if connection is None or raw is None:
            return True
        # asked by a thread without a loop, so that the connection's own thread has none to answer, which may be closed
        asking = threading.Thread(target=connection.stop)
        asking.start()
        asking.join()
        return raw.closed.wait(seconds)

    async def _drop(self) -> None:
        self._doubtful = True
        await self._disconnect()

    async def close(self) -> None:
        """Finish what was asked, then close, and open nothing any more."""
        self._closed = True
        await self._disconnect()

    async def _disconnect(self) -> None:
        if self._opening is not None and not self._opening.done():
            await asyncio.wait((self._opening,))
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close()
            except (sqlite3.Error, ValueError):
                await _end(connection)


async def _end(connection: aiosqlite.Connection) -> None:
    """Close a connection and let its thread end, which speaks to this loop once more before it does."""
    if (ended := connection.stop()) is not None:
        await ended
