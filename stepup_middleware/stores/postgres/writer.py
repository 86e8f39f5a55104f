"""Group commit: what callers hand over is drained into durable transactions, on one connection, or two under load."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from stepup_middleware.core.audit import Load
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.errors import StoreError
from stepup_middleware.log.records import RowMacs
from stepup_middleware.logged import get_logger
from stepup_middleware.stores.deadlines import Deadlines
from stepup_middleware.stores.sql.operations import RUN, BatchVerb, Operation
from stepup_middleware.stores.subscribers import Subscribers

from .connection import WriterConnection
from .database import Database

logger = get_logger("stepup_middleware.stores.postgres")

E = TypeVar("E")
A = TypeVar("A")

MOST_TOGETHER = 512  # operations in one transaction
WORTH_SHARING = 8  # operations: fewer go into one transaction although both connections are free
MOST_WAITING = 10_000  # operations that nobody has begun
MOST_SOON = 10_000  # events handed over without a waiter
SOON_SECONDS = 0.05  # how long such an event waits for company
_CLOSE_SECONDS = 5.0  # at least; a database that does not answer does not hold up a shutdown for longer


class Writer:
    """The queue of one store in one process, and the task that hands it to two connections. Operations that have an
    order among themselves are done by the first, one batch after another. The second joins under load, for operations
    that are decided by rows that it locks: while the server works for one, this process prepares and answers the other.
    """

    def __init__(self, database: Database, subscribers: Subscribers, *, macs: RowMacs | None, seconds: float) -> None:
        self._database = database
        self._seconds = seconds
        self._macs = macs
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Operation] = deque()  # for either connection
        self._ordered: deque[Operation] = deque()  # for the first
        self._deadlines = Deadlines(self._loop, seconds)
        self._soon: deque[AuditEvent] = deque()
        self._soon_since = 0.0
        self._news = asyncio.Event()
        self._grown = asyncio.Event()
        self._closing = False
        self._subscribers = subscribers
        self._done = self._transactions = 0
        self._first, self._second = (
            WriterConnection(database, subscribers, macs=macs, seconds=seconds) for _ in range(2)
        )
        self._writing: dict[WriterConnection, asyncio.Task[None]] = {}
        self._task = self._loop.create_task(self._serve(), name="stepup-postgres-writer")
        self._notifier = self._loop.create_task(self._notify(), name="stepup-postgres-notifier")

    @property
    def load(self) -> Load:
        """How much there is to do, and was done: answered, committed or not."""
        waiting = len(self._queue) + len(self._ordered) + len(self._soon)
        return Load(waiting=waiting, done=self._done, transactions=self._transactions)

    async def perform(self, verb: BatchVerb[E, A], entry: E, late: Callable[[A], None] | None = None) -> A:
        """Hand over an entry of a verb and wait for its answer until that is durable: see ``sql.engine.Writer``."""
        if asyncio.get_running_loop() is not self._loop:
            raise StoreError("the store is used in another event loop than the one that started it")
        if self._closing:
            raise StoreError("the store is closed")
        if len(self._queue) + len(self._ordered) >= MOST_WAITING:
            raise StoreError("too many operations wait for the database")
        operation = Operation(verb, entry, late)
        (self._queue if verb is not RUN else self._ordered).append(operation)
        self._deadlines.watch(operation.future)
        self._news.set()
        answer: A = await operation.answer()
        return answer

    async def perform_apart(self, operation: Operation, seconds: float) -> Any:
        """Do an operation that takes long on a connection of its own, while others go on. Raises ``StoreError``."""
        connection = WriterConnection(
            self._database, self._subscribers, macs=self._macs, seconds=seconds, batches=False
        )
        try:
            if await connection.write([operation], []):
                self._grown.set()
        finally:
            await connection.close()
        return await operation.answer()

    def append_soon(self, event: AuditEvent) -> None:
        """Hand over an event for the next batch, or one of its own a moment later."""
        if self._task.done() or len(self._soon) >= MOST_SOON:
            self._subscribers.gave_up([event], "nobody can take it")
            return
        if not self._soon:
            self._soon_since = self._loop.time()
        self._soon.append(event)
        self._news.set()

    # the task

    async def _serve(self) -> None:
        try:
            while True:
                connection = await self._ready()
                operations, events = (
                    self._take_all() if connection is self._first else (self._take(self._queue, MOST_TOGETHER), [])
                )
                if operations or events:
                    self._writing[connection] = self._loop.create_task(self._write(connection, operations, events))
                elif self._closing:
                    if not self._writing:
                        break
                    await asyncio.wait(self._writing.values())  # what they do may leave events
        finally:
            for task in self._writing.values():
                task.cancel()
            await asyncio.gather(*self._writing.values(), return_exceptions=True)
            await self._first.close()
            await self._second.close()

    async def _write(
        self, connection: WriterConnection, operations: Sequence[Operation], events: Sequence[AuditEvent]
    ) -> None:
        try:
            if await connection.write(operations, events):
                self._grown.set()
            self._done += len(operations) + len(events)
            self._transactions += 1
        finally:
            del self._writing[connection]
            self._news.set()

    async def _ready(self) -> WriterConnection:
        """Wait until a connection is free and has something to do, or the end has come, and return it."""
        while True:
            pause = None
            if self._first not in self._writing:
                pause = self._pause()
                if pause == 0:
                    return self._first
            elif self._queue and self._second not in self._writing:
                return self._second
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._news.wait()

    def _pause(self) -> float | None:
        """Return how many seconds the first connection waits for company, None where there is nothing to do."""
        if self._queue or self._ordered or self._closing:
            return 0
        return max(0, self._soon_since + SOON_SECONDS - self._loop.time()) if self._soon else None

    def _take_all(self) -> tuple[list[Operation], list[AuditEvent]]:
        """Return what the first connection can do together; it leaves a free second one half of what both can."""
        operations = self._take(self._ordered, MOST_TOGETHER)
        most = MOST_TOGETHER - len(operations)
        if len(self._queue) >= WORTH_SHARING and self._second not in self._writing:
            most = min(most, len(self._queue) // 2)
        operations += self._take(self._queue, most)
        events = list(self._soon)
        self._soon.clear()
        return operations, events

    def _take(self, queue: deque[Operation], most: int) -> list[Operation]:
        """Return what can be done together of a queue, so many at most."""
        taken: list[Operation] = []
        deferred: list[Operation] = []
        alone: set[Hashable] = set()
        while queue and len(taken) < most:
            operation = queue.popleft()
            # an operation that was cancelled or timed out before it was begun never happens
            if operation.future.done():
                continue
            if operation.verb.alone is not None:
                key = operation.verb.alone(operation.entry)
                if key in alone:
                    deferred.append(operation)
                    continue
                alone.add(key)
            taken.append(operation)
        queue.extendleft(reversed(deferred))
        return taken

    async def _notify(self) -> None:
        """Tell other processes that the log has grown, a few times a second at most.

        Outside of the batches: PostgreSQL commits one transaction with a notification after the other.
        """
        while True:
            await self._grown.wait()
            self._grown.clear()
            with suppress(StoreError):
                await self._database.fetch_all("notify")
            await asyncio.sleep(SOON_SECONDS)

    async def close(self) -> None:
        """Finish what was handed over, then close. Waits at most a few timeouts."""
        self._closing = True
        self._news.set()
        _, unfinished = await asyncio.wait((self._task,), timeout=max(2 * self._seconds, _CLOSE_SECONDS))
        if unfinished:
            logger.error("the database did not take what was left in time")
        for task in (*unfinished, self._notifier):
            task.cancel()
        await asyncio.gather(self._task, self._notifier, return_exceptions=True)
        self._deadlines.close()
        if self._soon:
            self._subscribers.gave_up([*self._soon], "the store was closed")
            self._soon.clear()
        for operation in (*self._queue, *self._ordered):
            operation.fail(StoreError("the store is closed"))
        self._queue.clear()
        self._ordered.clear()
