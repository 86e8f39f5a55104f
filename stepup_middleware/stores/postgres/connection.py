"""One writing connection: runs batches, each in a transaction of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.errors import StoreError
from stepup_middleware.log.records import RowMacs
from stepup_middleware.stores.sealing import Tampered
from stepup_middleware.stores.sql.operations import Operation, by_verb
from stepup_middleware.stores.subscribers import Subscribers, Written

from .database import Connection, Database, Moved, as_store_error, breaks_connection, close
from .log import write_records
from .transaction import PostgresTransaction

_TRIES = 3  # of one batch, where the error says that another may succeed
_AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_DIED = (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError)


class BeforeBegin(StoreError):
    """The connection had died while nobody used it: the batch has not begun."""


class WriterConnection:
    """A connection that writes, opened when it is first needed and again after it broke.

    ``lost`` is called with the events that nobody waited for and that could not be written, and why. An epoch lasts as
    long as a batch that decides by it. Without ``batches`` no transaction does, and however long, it delays no end.
    """

    def __init__(
        self,
        database: Database,
        subscribers: Subscribers,
        *,
        macs: RowMacs | None,
        seconds: float,
        batches: bool = True,
    ) -> None:
        self._macs = macs
        self._database = database
        self._subscribers = subscribers
        self._seconds = seconds
        self._batches = batches
        self._connection: Connection | None = None

    async def write(self, operations: Sequence[Operation], events: Sequence[AuditEvent]) -> bool:
        """Do what was handed over and answer it. Returns whether the log has grown."""
        try:
            return await self._attempt(operations, events)
        except BaseException:
            self._drop()
            self._give_up(operations, events, StoreError("the store was closed"))
            raise

    async def _attempt(self, operations: Sequence[Operation], events: Sequence[AuditEvent]) -> bool:
        """Run everything in one transaction; where one operation spoils it, each in one of its own."""
        try:
            return await self._retried(operations, events)
        except Exception as error:
            if len(operations) + len(events) == 1 or self._connection is None:
                self._give_up(operations, events, as_store_error(error))
                return False
        grown = [await self._attempt([], [event]) for event in events]
        grown += [await self._attempt([operation], []) for operation in operations if not operation.future.done()]
        return any(grown)

    def _give_up(self, operations: Sequence[Operation], events: Sequence[AuditEvent], error: Exception) -> None:
        for operation in operations:
            operation.fail(error)
        if events:
            self._subscribers.gave_up(events, error)

    async def _retried(self, operations: Sequence[Operation], events: Sequence[AuditEvent]) -> bool:
        left = _TRIES
        while True:
            left -= 1
            try:
                async with asyncio.timeout(self._seconds):
                    return await self._transact(operations, events)
            except Exception as error:
                if not left or not self._repaired(error):
                    raise

    def _repaired(self, error: Exception) -> bool:
        """Whether the batch may be tried again: nothing of it was committed, and the cause is gone."""
        if isinstance(error, asyncpg.UniqueViolationError) and error.constraint_name == "audit_pkey":
            # the database counts, so somebody else gave their record a number; the next try has the next one
            self._subscribers.met([Tampered("audit", error.detail or "", "", "")])
            return True
        return isinstance(error, _AGAIN) or isinstance(as_store_error(error), Moved | BeforeBegin)

    async def _transact(self, operations: Sequence[Operation], events: Sequence[AuditEvent]) -> bool:
        connection = await self._ready()
        written: list[Written] = []
        committing = False
        try:
            transaction = PostgresTransaction(connection, self._database.sql, self._macs)
            results: list[tuple[Operation, Any]] = []
            for verb, share in by_verb(operations):
                values = await verb.run(transaction, [operation.entry for operation in share])
                results += zip(share, values, strict=True)
            self._subscribers.met(transaction.tampered)
            for event in events:
                transaction.append(event)
            if transaction.records:
                written = await write_records(transaction)
            committing = True
            await connection.execute("COMMIT")
        except BaseException as error:
            if committing or breaks_connection(error):
                self._drop()
            else:
                await self._roll_back(connection)
            raise
        if written:
            self._database.seen_seq = max(self._database.seen_seq, written[-1][0])
            self._subscribers.publish(written)
        for operation, result in results:
            operation.succeed(result)
        return bool(written)

    async def _ready(self) -> Connection:
        """Return a connection with a transaction begun, opening one where there is none."""
        database, connection = self._database, self._connection
        if connection is not None and connection.is_closed():
            connection = None
        fresh = connection is None
        try:
            if connection is None:
                connection = self._connection = await database.connect_writer()
                await database.locate(connection)
            await connection.execute(database.begin_text(batch=self._batches))
        except BaseException as error:
            self._drop()
            if not fresh and isinstance(error, _DIED):
                raise BeforeBegin(str(error)) from error
            raise
        return connection

    async def _roll_back(self, connection: Connection) -> None:
        try:
            await connection.execute("ROLLBACK")
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await close(connection)
