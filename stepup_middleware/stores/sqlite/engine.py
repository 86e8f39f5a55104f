"""The engine beneath the verbs: one writer, two readers, and their lives from start to close and over a fork."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet

from stepup_middleware.core.audit import Load
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.log.records import RowMacs
from stepup_middleware.logged import get_logger
from stepup_middleware.stores.authorized import presentation_row
from stepup_middleware.stores.sealing import Tampered, TamperTaker
from stepup_middleware.stores.sql.operations import RUN
from stepup_middleware.stores.sql.transaction import Transaction
from stepup_middleware.stores.statements import load_migrations
from stepup_middleware.stores.subscribers import Subscriber, Subscribers, Unwritten

from .database import Database, DatabaseFingerprint, Identity, check_place
from .log_reader import SQLiteLogReader, load_sql
from .reader import SQLiteReader
from .writer import Writer

logger = get_logger("stepup_middleware.stores.sqlite")

T = TypeVar("T")

_START_SECONDS = 30.0  # opening may wait for another process that migrates
_CLOSE_SECONDS = 5.0  # at least; a database that cannot be written does not hold up a shutdown for longer
_POLL_SECONDS = 0.2  # how often another process's records are looked for
_FORK_SECONDS = 2.0  # how long a fork waits for what is under way


class SQLiteEngine:
    """The connections of one store in one process.

    ``state`` reads prompts, factors and policies, ``log`` the audit log, so that an export does not delay the others.
    """

    presentation_row = staticmethod(presentation_row)  # SQLite holds all that a presentation has

    def __init__(self, path: Path, timeout: timedelta) -> None:
        self.path = path
        self.sql = load_sql()
        self.subscribers = Subscribers()
        self._seconds = timeout.total_seconds()
        self._migrations = load_migrations(__package__)
        self._writer: Writer | None = None
        self.macs: RowMacs | None = None
        self._process = os.getpid()
        self._held = False  # the writer is kept from its connection
        self._suspended = False  # nothing at all is open
        self.state = SQLiteReader(path, self.sql, self._prove, seconds=self._seconds)
        self.log = SQLiteLogReader(path, self.sql, self._prove, seconds=self._seconds)

    @property
    def load(self) -> Load:
        """How much work the writer has."""
        return Load() if self._writer is None else self._writer.load

    async def start(self) -> None:
        """Open the database and write to it."""
        if self._writer is not None:
            return
        await asyncio.to_thread(check_place, self.path)
        self.subscribers.loop = asyncio.get_running_loop()
        writer = self._make_writer(None)
        try:
            # the number of the batch is written: a durable probe
            await writer.perform(RUN, _nothing, seconds=_START_SECONDS)
        except BaseException as error:
            await asyncio.to_thread(writer.close, self._seconds)
            if isinstance(error.__cause__, ConfigurationError):
                raise error.__cause__ from None
            raise
        self._writer = writer
        self._process = os.getpid()
        self.state.open()
        self.log.open()
        _engines.add(self)

    async def close(self) -> None:
        """Write everything that was handed over, then close."""
        writer = self._writer
        if writer is None:
            return
        if self._process != os.getpid():
            self._writer = None  # the parent's, and never used here
            return
        await self.state.close()
        await self.log.close()
        with suppress(StoreError):
            # when this is answered, so is all before it, and what nobody waited for has left its event
            await writer.perform(RUN, _nothing)
        await asyncio.to_thread(writer.close, max(2 * self._seconds, _CLOSE_SECONDS))
        self._writer = None
        _engines.discard(self)

    def _make_writer(self, known: DatabaseFingerprint | None) -> Writer:
        return Writer(self._open, self.subscribers, macs=self.macs, known=known, seconds=self._seconds)

    def _open(self, known: DatabaseFingerprint | None) -> Database:
        return Database(
            self.path,
            self.sql,
            self._migrations,
            create=known is None,
            known=known,
            busy_seconds=self._seconds,
        )

    def running(self) -> Writer:
        """Return what writes. Raises ``StoreError`` before ``start``, and where the database was open during a fork."""
        writer = self._writer
        if writer is None:
            raise StoreError("the store is not started")
        if self._process != os.getpid():
            return self._begin_anew(writer)
        return writer

    def _begin_anew(self, inherited: Writer) -> Writer:
        """Replace the writer after a fork: its thread stayed in the parent."""
        if not self._suspended:
            # S19: SQLite's locks are the parent's; to share them would corrupt the file
            raise StoreError("the database was open during a fork: start the store in each process")
        self._process = os.getpid()
        self._suspended = False
        self.subscribers.loop = asyncio.get_running_loop()
        self._writer = self._make_writer(inherited.known)
        return self._writer

    async def write(self, run: Callable[[Transaction], Awaitable[T]], *, seconds: float | None = None) -> T:
        """Run something in a transaction and return its result once that is durable, in so many ``seconds``."""
        answer: T = await self.running().perform(RUN, run, seconds=seconds)
        return answer

    async def apart(self, run: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run something that may take long in a transaction: all other writes wait for it."""
        return await self.write(run)

    def append_soon(self, event: AuditEvent) -> None:
        """Hand over an event that nobody waits for."""
        try:
            self.running().append_soon(event)
        except (StoreError, RuntimeError) as error:
            self.subscribers.gave_up([event], error)

    def on_unwritten(self, taker: Unwritten) -> None:
        """Hand what ``append_soon`` was given and could not be written to ``taker``."""
        self.subscribers.on_unwritten(taker)

    def on_tampering(self, taker: TamperTaker) -> None:
        """Hand rows that this installation did not write as they are to ``taker``."""
        self.subscribers.on_tampering(taker)

    def met(self, rows: Sequence[Tampered]) -> None:
        """Hand such rows, which a reader met, to who takes them."""
        self.subscribers.met(rows)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call ``subscriber`` with what this process wrote."""
        self.subscribers.subscribe(subscriber)

    async def wait(self, after: int, seconds: float) -> None:
        """Return when the log may have records above ``after``, or after the time."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while await self.log.last_seq() <= after and (left := end - loop.time()) > 0:
            await self.subscribers.wait(min(left, _POLL_SECONDS))

    def storable(self, *texts: str | None) -> bool:
        """Whether SQLite can hold the texts: all but those with a lone surrogate, which UTF-8 does not have."""
        try:
            for text in texts:
                if text is not None:
                    text.encode()
        except UnicodeEncodeError:
            return False
        return True

    async def _prove(self, again: bool) -> Identity:
        if again or self.running().identity is None:
            await self.write(_nothing)
        identity = self.running().identity
        if identity is None:
            raise StoreError("the database is not open")
        return identity

    def suspend(self) -> None:
        """Close all connections before a fork, as far as that can be done in time."""
        if self._writer is not None and self._process == os.getpid():
            read = [reader.suspend(_FORK_SECONDS) for reader in (self.state, self.log)]
            self._held = self._writer.suspend(_FORK_SECONDS)
            self._suspended = self._held and all(read)

    def resume(self) -> None:
        """Go on in the parent."""
        if self._held and self._writer is not None:
            self._held = self._suspended = False
            self._writer.resume()


async def _nothing(_: Transaction) -> None:
    """Do nothing, durably."""


_engines: WeakSet[SQLiteEngine] = WeakSet()


def _suspend_all() -> None:
    for engine in tuple(_engines):
        engine.suspend()


def _resume_all() -> None:
    for engine in tuple(_engines):
        engine.resume()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_suspend_all, after_in_parent=_resume_all)
