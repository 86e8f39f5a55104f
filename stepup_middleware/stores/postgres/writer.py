"""Group commit: one task drains what callers hand over into one durable transaction after another."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import Any

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.base import TokenGrant
from stepup_middleware.stores.deadlines import Deadlines
from stepup_middleware.stores.waiting import Audience

from .database import Database
from .lane import Lane
from .operations import Kind, Operation

logger = logging.getLogger("stepup_middleware.stores.postgres")

MOST_TOGETHER = 512  # operations in one transaction
MOST_WAITING = 10_000  # operations that nobody has begun
MOST_SOON = 10_000  # events handed over without a waiter
SOON_SECONDS = 0.05  # how long such an event waits for company
_CLOSE_SECONDS = 5.0  # at least; a database that does not answer does not hold up a shutdown for longer


class Writer:
    """The queue of one store in one process, and the task that empties it."""

    def __init__(self, database: Database, audience: Audience, *, seconds: float) -> None:
        self._database = database
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Operation] = deque()
        self._deadlines = Deadlines(self._loop, seconds)
        self._soon: deque[AuditEvent] = deque()
        self._soon_since = 0.0
        self._news = asyncio.Event()
        self._grown = asyncio.Event()
        self._closing = False
        self.lost = 0
        self._lane = Lane(database, audience, self._lose, seconds=seconds)
        self._task = self._loop.create_task(self._serve(), name="stepup-postgres-writer")
        self._notifier = self._loop.create_task(self._notify(), name="stepup-postgres-notifier")

    async def perform(self, operation: Operation) -> Any:
        """Hand over an operation and wait until it is durable.

        Raises ``StoreError``; ``StoreTimeoutError`` after the time: the operation is skipped if nobody has
        begun it, and may still take effect if somebody has.
        """
        if asyncio.get_running_loop() is not self._loop:
            raise StoreError("the store is used in another event loop than the one that started it")
        if self._closing:
            raise StoreError("the store is closed")
        if len(self._queue) >= MOST_WAITING:
            raise StoreError("too many operations wait for the database")
        self._queue.append(operation)
        self._deadlines.watch(operation.future)
        self._news.set()
        try:
            return await operation.future
        except asyncio.CancelledError:
            # the answer may have come in the same moment as the cancellation
            future = operation.future
            if operation.late and future.done() and not future.cancelled() and future.exception() is None:
                operation.late(future.result())
            raise

    def append_soon(self, event: AuditEvent) -> None:
        """Hand over an event for the next batch, or one of its own a moment later."""
        if self._task.done() or len(self._soon) >= MOST_SOON:
            self._lose(1, "nobody can take it")
            return
        if not self._soon:
            self._soon_since = self._loop.time()
        self._soon.append(event)
        self._news.set()

    def _lose(self, count: int, reason: object) -> None:
        self.lost += count
        logger.error("%d audit event(s) that nobody waited for could not be written: %s", count, reason)

    # the task

    async def _serve(self) -> None:
        try:
            while True:
                operations, events = await self._take()
                if operations or events:
                    if await self._lane.write(operations, events):
                        self._grown.set()
                elif self._closing:
                    break
        finally:
            await self._lane.close()

    async def _take(self) -> tuple[list[Operation], list[AuditEvent]]:
        """Wait for something to do and return what can be done together."""
        while not self._queue and not self._closing:
            self._news.clear()
            if not self._soon:
                await self._news.wait()
                continue
            left = self._soon_since + SOON_SECONDS - self._loop.time()
            if left <= 0:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._news.wait()
        taken: list[Operation] = []
        deferred: list[Operation] = []
        people: set[tuple[str, str]] = set()
        while self._queue and len(taken) < MOST_TOGETHER:
            operation = self._queue.popleft()
            # what was cancelled or has timed out before it was begun never happens
            if operation.future.done():
                continue
            if operation.kind is Kind.ISSUE:
                grant: TokenGrant = operation.value
                person = (grant.prompt.workspace_id, grant.prompt.subject_id)
                if person in people:
                    deferred.append(operation)
                    continue
                people.add(person)
            taken.append(operation)
        self._queue.extendleft(reversed(deferred))
        events = list(self._soon)
        self._soon.clear()
        return taken, events

    async def _notify(self) -> None:
        """Tell other processes that the log has grown, a few times a second at most.

        Outside of the batches: PostgreSQL commits one transaction with a notification after the other.
        """
        while True:
            await self._grown.wait()
            self._grown.clear()
            with suppress(StoreError):
                await self._database.rows("notify")
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
            self._lose(len(self._soon), "the store was closed")
            self._soon.clear()
        for operation in self._queue:
            operation.fail(StoreError("the store is closed"))
        self._queue.clear()
