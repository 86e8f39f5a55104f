"""Hands audit events to the app's own sinks, without ever keeping a request waiting."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from stepup_middleware.core.events import AuditEvent

logger = logging.getLogger("stepup_middleware")

Sink = Callable[[AuditEvent], Awaitable[None]]

QUEUE_LENGTH = 10_000  # events
SINK_TIMEOUT_SECONDS = 10.0


class Dispatcher:
    """One bounded queue and one task per sink: a slow or failing sink delays nobody, not even another sink.

    Events reach a sink after they are durable, in the order of the log. When a sink is so slow that its
    queue is full, its oldest events are dropped and counted; the log itself has them all.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)
        self._queues: list[asyncio.Queue[AuditEvent]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.dropped = 0

    def start(self) -> None:
        """Start one task per sink on the running loop."""
        if self._tasks:
            return
        for sink in self._sinks:
            queue: asyncio.Queue[AuditEvent] = asyncio.Queue(QUEUE_LENGTH)
            self._queues.append(queue)
            self._tasks.append(asyncio.create_task(self._run(sink, queue), name="stepup-sink"))

    def heard(self, events: Sequence[tuple[int, AuditEvent]]) -> None:
        """Queue events for every sink. Never raises, never waits."""
        for queue in self._queues:
            for _, event in events:
                if queue.full():
                    queue.get_nowait()
                    queue.task_done()
                    self.dropped += 1
                    if self.dropped == 1:
                        logger.error("an event sink is too slow: its oldest events are dropped (the log has them)")
                queue.put_nowait(event)

    async def close(self, *, seconds: float = 5.0) -> None:
        """Give the sinks ``seconds`` to finish, then stop them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for queue in self._queues:
                    await queue.join()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._queues.clear()
        self._tasks.clear()

    @staticmethod
    async def _run(sink: Sink, queue: asyncio.Queue[AuditEvent]) -> None:
        while True:
            event = await queue.get()
            try:
                async with asyncio.timeout(SINK_TIMEOUT_SECONDS):
                    await sink(event)
            except Exception:
                logger.exception("an event sink failed on %s; the log has the event", event.name)
            finally:
                queue.task_done()
