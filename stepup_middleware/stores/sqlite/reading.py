"""The audit log of a SQLite file that is only read."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.stores.sql.reading import SQLLog
from stepup_middleware.stores.statements import foundation_of, load_migrations

from .database import APPLICATION_ID, Identity, earlier_version, identity_of
from .log_reader import SQLiteLogReader, load_sql


class SQLiteLog(SQLLog):
    """The log of a database that is only read: of a running app, of a backup, of a copy under seal.

    Nothing is written, neither to the file nor beside it; it may lie where nobody can write. Entering raises
    ``ConfigurationError`` for a file that is none of the library's, leaving raises ``StoreError`` when a file that
    nobody had open was written to meanwhile: the rows that were read do not count.
    """

    _log: SQLiteLogReader

    def __init__(self, path: str | os.PathLike[str], *, timeout: timedelta = timedelta(seconds=30)) -> None:
        self._path = Path(path).absolute()
        self._seconds = timeout.total_seconds()
        self._before: tuple[int, int, int] | None = None

    async def __aenter__(self) -> Self:
        alone = not await asyncio.to_thread(self._side_file.exists)
        if alone:
            # without another process there is nothing to lock, and SQLite makes no side files to do so
            self._before = await asyncio.to_thread(self._look)
        mode = "mode=ro&immutable=1" if alone else "mode=ro"
        self._log = SQLiteLogReader(self._path, load_sql(), self._prove, seconds=self._seconds, mode=mode)
        try:
            await self._check()
        except BaseException:
            await self._log.close()
            raise
        return self

    async def _check(self) -> None:
        try:
            row, *_ = await self._log.fetch("PRAGMA application_id")
        except StoreError as error:
            raise ConfigurationError(f"{self._path} cannot be read: {error}") from error
        if row[0] != APPLICATION_ID:
            raise ConfigurationError(f"{self._path} is no database of this library")
        try:
            made_by = await self._log.fetch_one("foundation")
        except StoreError as error:
            if not isinstance(error.__cause__, sqlite3.OperationalError):
                raise
            raise earlier_version(self._path) from error
        if made_by is None or made_by[0] != foundation_of(load_migrations(__package__)):
            raise earlier_version(self._path)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._log.close()
        if self._before is not None and (
            await asyncio.to_thread(self._look) != self._before or await asyncio.to_thread(self._side_file.exists)
        ):
            raise StoreError(f"{self._path} was opened for writing while it was read: read it again")

    @property
    def _side_file(self) -> Path:
        return self._path.with_name(self._path.name + "-wal")

    def _look(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    async def _prove(self, again: bool) -> Identity:
        identity = await asyncio.to_thread(identity_of, self._path)
        if identity is None:
            raise StoreError(f"there is no database at {self._path}")
        return identity
