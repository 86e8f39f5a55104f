"""The engine beneath the verbs: the writer, the readers, and a listener, from start to close."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from stepup_middleware.core.audit import Load
from stepup_middleware.core.decisions import Presentation
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.errors import StoreError
from stepup_middleware.log.records import RowMacs
from stepup_middleware.logged import get_logger
from stepup_middleware.stores.authorized import presentation_row
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.sealing import Tampered, TamperTaker
from stepup_middleware.stores.sql.operations import RUN, Operation
from stepup_middleware.stores.sql.transaction import Transaction
from stepup_middleware.stores.statements import joined, load_migrations, load_statements
from stepup_middleware.stores.subscribers import Subscriber, Subscribers, Unwritten

from .database import DRIVER_ERRORS, Connection, Database, as_store_error, close
from .log_reader import PostgresLogReader
from .transaction import PostgresTransaction, storable
from .writer import Writer

logger = get_logger("stepup_middleware.stores.postgres")

T = TypeVar("T")

_START_SECONDS = 30.0  # starting may wait for another process that migrates
_POLL_SECONDS = 0.25  # how often the log is looked at, by those who wait for it
_CHANNEL = "stepup_audit"


class PostgresEngine:
    """The connections of one store in one process."""

    def __init__(self, dsn: str, *, seconds: float, statement_cache_size: int, options: Mapping[str, Any]) -> None:
        self._subscribers = Subscribers()
        self._seconds = seconds
        self.macs: RowMacs | None = None
        self._listens = statement_cache_size > 0  # a pooler of transactions has no session that could listen
        self.database = Database(
            dsn,
            joined(load_statements("stepup_middleware.stores.sql"), load_statements(__package__)),
            load_migrations(__package__),
            seconds=seconds,
            statement_cache_size=statement_cache_size,
            options=options,
        )
        self.state = self.database
        self.log = PostgresLogReader(self.database)
        self._writer: Writer | None = None
        self._process = 0
        self._listener: Connection | None = None
        self._listening = asyncio.Lock()

    @property
    def load(self) -> Load:
        """How much work the writer has."""
        return Load() if self._writer is None else self._writer.load

    async def start(self) -> None:
        """Open the database and write to it."""
        if self._writer is not None:
            return
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self.database.start()
        except TimeoutError as error:
            raise as_store_error(error) from error
        self._subscribers.loop = asyncio.get_running_loop()
        writer = Writer(self.database, self._subscribers, macs=self.macs, seconds=self._seconds)
        try:
            await writer.perform(RUN, _nothing)
        except BaseException:
            await writer.close()
            await self.database.close()
            raise
        self._process = os.getpid()
        self._writer = writer

    async def close(self) -> None:
        """Write everything that was handed over, then close."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        await writer.close()
        listener, self._listener = self._listener, None
        if listener is not None:
            await close(listener)
        await self.database.close()

    def running(self) -> Writer:
        """Return what writes. Raises ``StoreError`` before ``start``, and where the database was open during a fork."""
        if self._writer is None:
            raise StoreError("the store is not started")
        if self._process != os.getpid():
            # S19: two processes on one socket would read each other's answers
            raise StoreError("the database was open during a fork: start the store in each process")
        return self._writer

    async def write(self, run: Callable[[Transaction], Awaitable[T]], *, seconds: float | None = None) -> T:
        """Run something in a transaction and return its result once that is durable.

        With ``seconds`` it has a connection of its own, and so long.
        """
        if seconds is None:
            answer: T = await self.running().perform(RUN, run)
        else:
            answer = await self.running().perform_apart(Operation(RUN, run), seconds)
        return answer

    def append_soon(self, event: AuditEvent) -> None:
        """Hand over an event that nobody waits for."""
        try:
            self.running().append_soon(event)
        except StoreError as error:
            self._subscribers.gave_up([event], error)

    async def apart(self, run: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run something that may take long and writes no event in a transaction and a connection of its own."""
        self.running()
        try:
            async with asyncio.timeout(self._seconds):
                connection = await self.database.connect()
            try:
                async with connection.transaction():
                    await connection.execute("SET LOCAL search_path = pg_catalog")
                    return await run(PostgresTransaction(connection, self.database.sql, self.macs))
            finally:
                await close(connection)
        except (*DRIVER_ERRORS, TimeoutError) as error:
            raise as_store_error(error) from error

    def on_unwritten(self, taker: Unwritten) -> None:
        """Hand what ``append_soon`` was given and could not be written to ``taker``."""
        self._subscribers.on_unwritten(taker)

    def on_tampering(self, taker: TamperTaker) -> None:
        """Hand rows that this installation did not write as they are to ``taker``."""
        self._subscribers.on_tampering(taker)

    def met(self, rows: Sequence[Tampered]) -> None:
        """Hand such rows, which a reader met, to who takes them."""
        self._subscribers.met(rows)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call ``subscriber`` with what this process wrote."""
        self._subscribers.subscribe(subscriber)

    def presentation_row(self, shown: Presentation) -> Row | None:
        """Return a presentation as the redeeming statement reads it, None when it can match no row."""
        if not storable(shown.workspace_id + shown.subject_id + shown.session + shown.ip + shown.purpose):
            return None
        return presentation_row(shown, shown.user_agent.replace("\0", "\ufffd"))

    def storable(self, *texts: str | None) -> bool:
        """Whether PostgreSQL can hold the texts. A text that it cannot hold is in no row."""
        return storable(*texts)

    async def wait(self, after: int, seconds: float) -> None:
        """Return when the log has records above ``after``, or after the time."""
        self.running()
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        await self._listen()
        while await self.log.last_seq() <= after and (left := end - loop.time()) > 0:
            await self._subscribers.wait(min(left, _POLL_SECONDS))

    async def _listen(self) -> None:
        if not self._listens or (self._listener is not None and not self._listener.is_closed()):
            return
        async with self._listening:
            if self._listener is not None and not self._listener.is_closed():
                return
            # without a listener, polling alone brings the news
            with suppress(*DRIVER_ERRORS, TimeoutError):
                connection = await self._connected()
                try:
                    await connection.add_listener(_CHANNEL, lambda *_: self._subscribers.wake())
                except BaseException:
                    connection.terminate()
                    raise
                self._listener = connection

    async def _connected(self) -> Connection:
        """Return a new connection. A caller that is cancelled leaves none open, as the driver would."""
        connecting = asyncio.ensure_future(self.database.connect())
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            with suppress(*DRIVER_ERRORS, TimeoutError):
                (await connecting).terminate()
            raise


async def _nothing(_: Transaction) -> None:
    """Do nothing, durably."""
