"""What runs beneath the verbs: the writer, the readers, and a listener, from start to close."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.statements import load_migrations, load_statements
from stepup_middleware.stores.waiting import Audience

from .database import DRIVER_ERRORS, Connection, Database, as_store_error, close
from .operations import Kind, Operation
from .transaction import Transaction
from .writer import Writer

logger = logging.getLogger("stepup_middleware.stores.postgres")

T = TypeVar("T")

_START_SECONDS = 30.0  # starting may wait for another process that migrates
_POLL_SECONDS = 0.25  # how often the log is looked at, by those who wait for it
_CHANNEL = "stepup_audit"


class Engine:
    """The connections of one store in one process."""

    def __init__(
        self, dsn: str, audience: Audience, *, seconds: float, statement_cache_size: int, options: Mapping[str, Any]
    ) -> None:
        self._audience = audience
        self._seconds = seconds
        self._listens = statement_cache_size > 0  # a pooler of transactions has no session that could listen
        self.database = Database(
            dsn,
            load_statements(__package__),
            load_migrations(__package__),
            seconds=seconds,
            statement_cache_size=statement_cache_size,
            options=options,
        )
        self._writer: Writer | None = None
        self._process = 0
        self._listener: Connection | None = None
        self._listening = asyncio.Lock()

    async def start(self) -> None:
        """Open the database and write to it."""
        if self._writer is not None:
            return
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self.database.start()
        except TimeoutError as error:
            raise as_store_error(error) from error
        self._audience.loop = asyncio.get_running_loop()
        writer = Writer(self.database, self._audience, seconds=self._seconds)
        try:
            await writer.perform(Operation(Kind.RUN, _nothing))
        except BaseException:
            await writer.close()
            await self.database.close()
            raise
        self._process = os.getpid()
        self._writer = writer

    async def close(self) -> None:
        """Write what was handed over, then close."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        await writer.close()
        listener, self._listener = self._listener, None
        if listener is not None:
            await close(listener)
        await self.database.close()

    def _running(self) -> Writer:
        if self._writer is None:
            raise StoreError("the store is not started")
        if self._process != os.getpid():
            # S19: two processes on one socket would read each other's answers
            raise StoreError("the database was open during a fork: start the store in each process")
        return self._writer

    async def write(self, run: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run something in a transaction and return its result once that is durable."""
        return await self.perform(Operation(Kind.RUN, run))  # type: ignore[no-any-return]

    async def perform(self, operation: Operation) -> Any:
        """Hand over an operation and return its result once it is durable. Raises ``StoreError``."""
        return await self._running().perform(operation)

    def append_soon(self, event: AuditEvent) -> None:
        """Hand over an event that nobody waits for."""
        try:
            self._running().append_soon(event)
        except StoreError as error:
            logger.error("an audit event is lost, %s: %s", event.name.value, error)

    async def apart(self, run: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run something that may take long and writes no event in a transaction and a connection of its own."""
        self._running()
        try:
            async with asyncio.timeout(self._seconds):
                connection = await self.database.connect()
            try:
                async with connection.transaction():
                    return await run(Transaction(connection, self.database.sql))
            finally:
                await close(connection)
        except (*DRIVER_ERRORS, TimeoutError) as error:
            raise as_store_error(error) from error

    async def last_seq(self) -> int:
        """Return the highest sequence number below which no record is still to come."""
        row = await self.database.row("last_seq", await self.settled())
        return 0 if row is None else int(row[0])

    async def settled(self) -> int:
        """Return up to which sequence number the log is complete, once it is: waits for commits under way."""
        self._running()
        row = await self.database.row("settled")
        return 0 if row is None else int(row[0])

    async def wait(self, after: int, seconds: float) -> None:
        """Return when the log has records above ``after``, or after the time."""
        self._running()
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        await self._listen()
        while await self.last_seq() <= after and (left := end - loop.time()) > 0:
            await self._audience.wait(min(left, _POLL_SECONDS))

    async def _listen(self) -> None:
        if not self._listens or (self._listener is not None and not self._listener.is_closed()):
            return
        async with self._listening:
            if self._listener is not None and not self._listener.is_closed():
                return
            # without a listener, polling alone brings the news
            with suppress(*DRIVER_ERRORS, TimeoutError):
                connection = await self.database.connect()
                await connection.add_listener(_CHANNEL, lambda *_: self._audience.wake())
                self._listener = connection


async def _nothing(_: Transaction) -> None:
    """Do nothing, durably."""
