"""Hands audit events to the app's own sinks, without ever keeping a request waiting."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.stores.records import Records

from .outbox import Outbox

logger = logging.getLogger("stepup_middleware")

Sink = Callable[[AuditEvent], Awaitable[None]]
Prepare = Callable[[int, AuditEvent], Awaitable[AuditEvent]]

QUEUE_LENGTH = 10_000  # events
SINK_TIMEOUT_SECONDS = 10.0


class Dispatcher:
    """One bounded queue and one task per sink: a slow or failing sink delays nobody, not even another sink.

    Events reach a sink after they are durable, in the order of the log, each as ``prepare`` returns it. When a
    sink is so slow that its queue is full, its oldest events are dropped and counted; the log itself has them
    all. An alert that a sink did not take is handed to it again (see ``Outbox``), also after a restart.
    """

    def __init__(
        self, sinks: Sequence[Sink], *, store: Records, clock: Callable[[], datetime], prepare: Prepare
    ) -> None:
        self._prepare = prepare
        self._heard: asyncio.Queue[tuple[int, AuditEvent]] = asyncio.Queue(QUEUE_LENGTH)
        self._sinks = dict(zip(_names(sinks), sinks, strict=True))
        self._queues: dict[str, asyncio.Queue[tuple[int, AuditEvent]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.outbox = Outbox(store=store, clock=clock, sinks=tuple(self._sinks), hand=self._put)
        self.dropped = 0

    def start(self) -> None:
        """Start one task per sink on the running loop."""
        if self._tasks or not self._sinks:
            return
        for name, sink in self._sinks.items():
            queue = self._queues[name] = asyncio.Queue(QUEUE_LENGTH)
            self._tasks.append(asyncio.create_task(self._run(name, sink, queue), name="stepup-sink"))
        self._tasks.append(asyncio.create_task(self._hand_out(), name="stepup-sinks"))
        self.outbox.start()

    def heard(self, events: Sequence[tuple[int, AuditEvent]]) -> None:
        """Queue events for every sink. Never raises, never waits."""
        if not self._queues:
            return
        for seq, event in events:
            if event.is_alert:
                self.outbox.began(seq)
            if self._heard.full():
                self._drop(self._heard, tuple(self._queues))
            self._heard.put_nowait((seq, event))

    async def _hand_out(self) -> None:
        while True:
            seq, event = await self._heard.get()
            try:
                event = await self._prepare(seq, event)
            finally:
                for name in self._queues:
                    self._put(name, seq, event)
                self._heard.task_done()

    def _put(self, name: str, seq: int, event: AuditEvent) -> None:
        queue = self._queues.get(name)
        if queue is None:
            return
        if queue.full():
            self._drop(queue, (name,))
        queue.put_nowait((seq, event))

    def _drop(self, queue: asyncio.Queue[tuple[int, AuditEvent]], names: Sequence[str]) -> None:
        lost, _ = queue.get_nowait()
        queue.task_done()
        for name in names:
            self.outbox.ended(lost, name, taken=False)
        self.dropped += 1
        if self.dropped == 1:
            logger.error("an event sink is too slow: its oldest events are dropped (the log has them)")

    async def close(self, *, seconds: float = 5.0) -> None:
        """Give the sinks ``seconds`` to finish, then stop them. Alerts that are left stay in the store."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._heard.join()
                for queue in self._queues.values():
                    await queue.join()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._queues.clear()
        self._tasks.clear()
        await self.outbox.close()

    async def _run(self, name: str, sink: Sink, queue: asyncio.Queue[tuple[int, AuditEvent]]) -> None:
        while True:
            seq, event = await queue.get()
            taken = False
            try:
                async with asyncio.timeout(SINK_TIMEOUT_SECONDS):
                    await sink(event)
                taken = True
            except Exception:
                logger.exception("an event sink failed on %s; the log has the event", event.name)
            finally:
                self.outbox.ended(seq, name, taken=taken)
                queue.task_done()


def _names(sinks: Sequence[Sink]) -> list[str]:
    """Return a name for each sink that is the same after a restart and on every node: where it is defined."""
    names: list[str] = []
    for sink in sinks:
        definition: Any = sink if hasattr(sink, "__qualname__") else type(sink)
        name = f"{definition.__module__}.{definition.__qualname__}"
        count = sum(other == name or other.startswith(f"{name}#") for other in names)
        names.append(f"{name}#{count + 1}" if count else name)
    return names
