"""The audit log of a SQLite file, read beside its writer or where nobody may write."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from stepup_middleware.core.events import AuditRecord
from stepup_middleware.core.heads import SignedHead
from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.stores.base import AuditFilter, AuditLog, ChainStart
from stepup_middleware.stores.rows import chain_start_of, head_of, record_of
from stepup_middleware.stores.statements import load_statements

from .database import APPLICATION_ID, Identity, identity_of
from .reader import Reader
from .walk import walk


class SQLiteLogReader(AuditLog):
    """Reads the log by a reader and the statements of the schema."""

    _log: Reader
    _sql: Mapping[str, str]

    async def audit_after(
        self, workspace_id: str | None, wanted: AuditFilter, *, after: int, limit: int
    ) -> tuple[AuditRecord, ...]:
        return await walk(self._log, workspace_id, wanted, first=after + 1, newest_first=False, limit=limit)

    async def last_seq(self) -> int:
        row = await self._log.row(self._sql["last_seq"])
        return 0 if row is None else row[0]

    async def audit_segment(self, chain: str, first: int, last: int) -> tuple[AuditRecord, ...]:
        rows = await self._log.rows(self._sql["segment"], (chain, first, last))
        return tuple(record_of(row) for row in rows)

    async def chain_heads(self) -> tuple[AuditRecord, ...]:
        return tuple(record_of(row) for row in await self._log.rows(self._sql["chain_heads"]))

    async def chain_starts(self) -> tuple[ChainStart, ...]:
        return tuple(chain_start_of(row) for row in await self._log.rows(self._sql["chain_starts"]))

    async def heads(self, chain: str, *, from_link: int = 0, limit: int = 100) -> tuple[SignedHead, ...]:
        rows = await self._log.rows(self._sql["heads"], (chain, from_link, limit))
        return tuple(head_of(row) for row in rows)

    async def signed_chains(self) -> tuple[str, ...]:
        return tuple(chain for (chain,) in await self._log.rows(self._sql["signed_chains"]))


class SQLiteLog(SQLiteLogReader):
    """The log of a database that is only read: of a running app, of a backup, of a copy under seal.

    Nothing is written, neither to the file nor beside it; it may lie where nobody can write. Entering raises
    ``ConfigurationError`` for a file that is none of the library's, leaving raises ``StoreError`` when a file that
    nobody had open was written to meanwhile: then what was read is worth nothing.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: timedelta = timedelta(seconds=30)) -> None:
        self._path = Path(path).absolute()
        self._seconds = timeout.total_seconds()
        self._sql = load_statements(__package__)
        self._before: tuple[int, int, int] | None = None

    async def __aenter__(self) -> Self:
        alone = not await asyncio.to_thread(self._side_file.exists)
        if alone:
            # with nobody beside it there is nothing to lock, and SQLite need not make side files to do so
            self._before = await asyncio.to_thread(self._look)
        mode = "mode=ro&immutable=1" if alone else "mode=ro"
        self._log = Reader(self._path, self._prove, seconds=self._seconds, mode=mode)
        try:
            row = await self._log.row("PRAGMA application_id")
        except StoreError as error:
            raise ConfigurationError(f"{self._path} cannot be read: {error}") from error
        if row is None or row[0] != APPLICATION_ID:
            await self._log.close()
            raise ConfigurationError(f"{self._path} is no database of this library")
        return self

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
