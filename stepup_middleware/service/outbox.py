"""What must arrive, alerts and notices: kept by the store from the transaction that wrote it until all sinks had it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.topics import Topic
from stepup_middleware.errors import StoreError
from stepup_middleware.logged import get_logger
from stepup_middleware.stores.records import Records

logger = get_logger("stepup_middleware")

LOOK_SECONDS = 15.0  # how often is looked for what nobody hands over
HOLD = timedelta(minutes=1)  # how long one process has for it, before another may
AT_ONCE = 100

Key = tuple[int, Topic]  # serial number of the record, and for which sinks


@dataclass(slots=True)
class _Handover:
    """A delivery on its way: the sinks that have had it, and those that it is queued for."""

    had: set[str]
    queued: set[str]


class Outbox:
    """Sees to it that each alert and each notice reaches each of its sinks, over failures and restarts (A06).

    It is handed over by the process that wrote it. If a sink fails, or the process dies, the next process that
    looks for what has no owner hands it over again, to the sinks that did not have it. So a sink gets it
    once, unless a process dies between the sink's taking it and the store's noting that. ``sinks`` are names, by
    topic, that every node gives to the same sinks; ``hand`` queues an event for one. Other nodes get
    the rest: topics that have no sink here.
    """

    def __init__(
        self,
        *,
        store: Records,
        clock: Callable[[], datetime],
        sinks: Mapping[Topic, tuple[str, ...]],
        hand: Callable[[Topic, str, int, AuditEvent], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._sinks = {topic: names for topic, names in sinks.items() if names}
        self._hand = hand
        self._open: dict[Key, _Handover] = {}
        self._ended: dict[Key, set[str]] = {}  # to be noted in the store
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start looking, on the running loop: at once for what a process before left behind."""
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._serve(), name="stepup-outbox")

    def began(self, seq: int, topic: Topic, had: tuple[str, ...] = ()) -> None:
        """Note that an event is queued for the sinks of a topic that have not had it."""
        if topic in self._sinks:
            self._open[seq, topic] = _Handover(had=set(had), queued=set(self._sinks[topic]) - set(had))

    def ended(self, seq: int, topic: Topic, sink: str, *, taken: bool) -> None:
        """Note that a sink took an event, or did not. Events that are not in the outbox change nothing."""
        key = seq, topic
        handover = self._open.get(key)
        if handover is None:
            return
        handover.queued.discard(sink)
        if taken:
            handover.had.add(sink)
        if not handover.queued:
            del self._open[key]
            self._ended[key] = handover.had
            self._wake.set()

    async def collect(self) -> None:
        """Queue what nobody holds. Raises ``StoreError``."""
        now = self._clock()
        claimed = await self._store.claim_deliveries(tuple(self._sinks), now=now, until=now + HOLD, limit=AT_ONCE)
        for delivery in claimed:
            key = seq, topic = delivery.record.seq, delivery.topic
            if key in self._open or key in self._ended:
                continue
            self.began(seq, topic, delivery.had)
            waiting = self._open[key].queued
            if not waiting:  # its last sink is no sink any more
                self._ended[key] = self._open.pop(key).had
            event = delivery.record.as_event()
            for sink in tuple(waiting):
                self._hand(topic, sink, seq, event)
        await self.settle()

    async def settle(self) -> None:
        """Note in the store what the sinks have taken. Raises ``StoreError``."""
        while self._ended:
            key, had = next(iter(self._ended.items()))
            seq, topic = key
            over = had.issuperset(self._sinks[topic])
            await self._store.settle_delivery(seq, topic, had=sorted(had), over=over)
            self._ended.pop(key, None)

    async def close(self) -> None:
        """Note what is left to note, and stop. Never raises for a store that is down."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for key in tuple(self._open):  # sinks that were stopped in the middle
            self._ended[key] = self._open.pop(key).had
        try:
            await self.settle()
        except StoreError as error:
            logger.warning("what sinks have had of alerts and notices could not be noted: %s", error)
        self._ended.clear()

    async def _serve(self) -> None:
        while True:
            try:
                await self.collect()
                while True:
                    self._wake.clear()
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._wake.wait()
                    await self.settle()
            except TimeoutError:
                continue
            except StoreError as error:
                logger.warning("alerts and notices cannot be looked for, the store cannot be used: %s", error)
            except Exception:
                logger.exception("alerts and notices could not be looked for")
            await asyncio.sleep(LOOK_SECONDS)
