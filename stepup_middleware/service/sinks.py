"""Hands audit events to the app's own sinks, without ever keeping a request waiting."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.notices import Notice
from stepup_middleware.core.topics import Topic
from stepup_middleware.logged import SELDOM, get_logger
from stepup_middleware.stores.records import Records

from .outbox import Outbox

logger = get_logger("stepup_middleware")

Sink = Callable[[AuditEvent], Awaitable[None]]
NoticeSink = Callable[[Notice], Awaitable[None]]
Prepare = Callable[[int, AuditEvent], Awaitable[AuditEvent]]
MakeNotice = Callable[[int, AuditEvent], Awaitable[Notice]]

QUEUE_LENGTH = 10_000  # events
SINK_TIMEOUT_SECONDS = 10.0

_Place = tuple[Topic, str]  # a sink: of alerts and all other events, or of notices; and its name


class Dispatcher:
    """One bounded queue and one task per sink: a slow or failing sink delays nobody, not even another sink.

    Events reach ``sinks`` after they are durable, in the order of the log, each as ``prepare`` returns it; those that
    are notices reach ``notify`` as ``make_notice`` writes them. When a sink is so slow that its queue is full, its
    oldest events are dropped and counted; the log itself has them all. An alert or a notice that a sink did not take
    is handed to it again (see ``Outbox``), also after a restart.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        *,
        store: Records,
        clock: Callable[[], datetime],
        prepare: Prepare,
        make_notice: MakeNotice,
        notify: Sequence[NoticeSink] = (),
    ) -> None:
        self._prepare = prepare
        self._make_notice = make_notice
        self._heard: asyncio.Queue[tuple[int, AuditEvent]] = asyncio.Queue(QUEUE_LENGTH)
        self._sinks: dict[_Place, Any] = {
            **{(Topic.ALERT, name): sink for name, sink in zip(_names(sinks), sinks, strict=True)},
            **{(Topic.NOTICE, name): sink for name, sink in zip(_names(notify), notify, strict=True)},
        }
        self._queues: dict[_Place, asyncio.Queue[tuple[int, AuditEvent]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        names = {topic: tuple(name for of, name in self._sinks if of is topic) for topic in Topic}
        self.outbox = Outbox(store=store, clock=clock, sinks=names, hand=self._put)
        self.dropped = 0
        self._failing: set[_Place] = set()

    def has_sinks(self, topic: Topic) -> bool:
        """Whether anybody is handed what is of a topic."""
        return any(of is topic for of, _ in self._sinks)

    @property
    def failing(self) -> tuple[str, ...]:
        """The names of the sinks that failed when they were last called."""
        return tuple(sorted({name for _, name in self._failing}))

    @property
    def waiting(self) -> int:
        """How many events wait in this process, each once for every sink that has not taken it."""
        return self._heard.qsize() + sum(queue.qsize() for queue in self._queues.values())

    def start(self) -> None:
        """Start one task per sink on the running loop."""
        if self._tasks or not self._sinks:
            return
        for place in self._sinks:
            queue = self._queues[place] = asyncio.Queue(QUEUE_LENGTH)
            self._tasks.append(asyncio.create_task(self._run(place, queue), name="stepup-sink"))
        self._tasks.append(asyncio.create_task(self._hand_out(), name="stepup-sinks"))
        self.outbox.start()

    def heard(self, events: Sequence[tuple[int, AuditEvent]]) -> None:
        """Queue events for every sink. Never raises, never waits."""
        if not self._queues:
            return
        for seq, event in events:
            for topic in event.topics:
                self.outbox.began(seq, topic)
            if self._heard.full():
                self._drop(self._heard, tuple(self._queues))
            self._heard.put_nowait((seq, event))

    async def _hand_out(self) -> None:
        while True:
            seq, event = await self._heard.get()
            try:
                event = await self._prepare(seq, event)
            finally:
                is_notice = Topic.NOTICE in event.topics
                for topic, name in self._queues:
                    if topic is Topic.ALERT or is_notice:
                        self._put(topic, name, seq, event)
                self._heard.task_done()

    def _put(self, topic: Topic, name: str, seq: int, event: AuditEvent) -> None:
        queue = self._queues.get((topic, name))
        if queue is None:
            return
        if queue.full():
            self._drop(queue, ((topic, name),))
        queue.put_nowait((seq, event))

    def _drop(self, queue: asyncio.Queue[tuple[int, AuditEvent]], places: Sequence[_Place]) -> None:
        lost, _ = queue.get_nowait()
        queue.task_done()
        for topic, name in places:
            self.outbox.ended(lost, topic, name, taken=False)
        self.dropped += 1
        if self.dropped == 1:
            logger.error("an event sink is too slow: its oldest events are dropped (the log has them)")

    async def close(self, *, seconds: float = 5.0) -> None:
        """Give the sinks ``seconds`` to finish, then stop them. Alerts and notices that are left stay in the store."""
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

    async def _run(self, place: _Place, queue: asyncio.Queue[tuple[int, AuditEvent]]) -> None:
        (topic, name), sink = place, self._sinks[place]
        while True:
            seq, event = await queue.get()
            taken = False
            try:
                async with asyncio.timeout(SINK_TIMEOUT_SECONDS):
                    await sink(event if topic is Topic.ALERT else await self._make_notice(seq, event))
                taken = True
                self._failing.discard(place)
            except Exception:
                self._failing.add(place)
                what = "the event sink %s failed; the log has the events"
                if topic is Topic.NOTICE:
                    what = "%s of notify failed on a notice; it is handed over again in a minute"
                logger.exception(what, name, extra=SELDOM)
            finally:
                self.outbox.ended(seq, topic, name, taken=taken)
                queue.task_done()


def _names(sinks: Sequence[Callable[..., Awaitable[None]]]) -> list[str]:
    """Return a name for each sink that is the same after a restart and on every node: where it is defined."""
    names: list[str] = []
    for sink in sinks:
        definition: Any = sink if hasattr(sink, "__qualname__") else type(sink)
        name = f"{definition.__module__}.{definition.__qualname__}"
        count = sum(other == name or other.startswith(f"{name}#") for other in names)
        names.append(f"{name}#{count + 1}" if count else name)
    return names
