"""Alerts that must arrive: kept by the store from the transaction that wrote them until every sink has had them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.records import Records

logger = logging.getLogger("stepup_middleware")

LOOK_SECONDS = 15.0  # how often alerts are looked for that nobody hands over
HOLD = timedelta(minutes=1)  # how long one process has for it, before another may
AT_ONCE = 100


@dataclass(slots=True)
class _Handover:
    """An alert on its way: the sinks that have had it, and those that it is queued for."""

    had: set[str]
    queued: set[str]


class Outbox:
    """Sees to it that each alert reaches each sink, over failures and restarts (A06).

    An alert is handed over by the process that wrote it. If a sink fails, or the process dies, the next process that
    looks for alerts without an owner hands it over again, to the sinks that did not have it. So a sink gets an alert
    once, unless a process dies between the sink's taking it and the store's noting that. ``sinks`` are names that every
    node gives to the same sinks; ``hand`` queues an event for one.
    """

    def __init__(
        self,
        *,
        store: Records,
        clock: Callable[[], datetime],
        sinks: tuple[str, ...],
        hand: Callable[[str, int, AuditEvent], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._sinks = sinks
        self._hand = hand
        self._open: dict[int, _Handover] = {}
        self._ended: dict[int, set[str]] = {}  # to be noted in the store
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start looking, on the running loop: at once for what a process before left behind."""
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._serve(), name="stepup-outbox")

    def began(self, seq: int, had: tuple[str, ...] = ()) -> None:
        """Note that an alert is queued for the sinks that have not had it."""
        self._open[seq] = _Handover(had=set(had), queued=set(self._sinks) - set(had))

    def ended(self, seq: int, sink: str, *, taken: bool) -> None:
        """Note that a sink took an event, or did not. Events that are not alerts change nothing."""
        handover = self._open.get(seq)
        if handover is None:
            return
        handover.queued.discard(sink)
        if taken:
            handover.had.add(sink)
        if not handover.queued:
            del self._open[seq]
            self._ended[seq] = handover.had
            self._wake.set()

    async def collect(self) -> None:
        """Queue the alerts that nobody holds. Raises ``StoreError``."""
        now = self._clock()
        for alert in await self._store.claim_alerts(now=now, until=now + HOLD, limit=AT_ONCE):
            seq = alert.record.seq
            if seq in self._open or seq in self._ended:
                continue
            self.began(seq, alert.had)
            waiting = self._open[seq].queued
            if not waiting:  # its last sink is no sink any more
                self._ended[seq] = self._open.pop(seq).had
            event = alert.record.as_event()
            for sink in tuple(waiting):
                self._hand(sink, seq, event)
        await self.settle()

    async def settle(self) -> None:
        """Note in the store what the sinks have taken. Raises ``StoreError``."""
        while self._ended:
            seq, had = next(iter(self._ended.items()))
            await self._store.settle_alert(seq, had=sorted(had), over=had.issuperset(self._sinks))
            self._ended.pop(seq, None)

    async def close(self) -> None:
        """Note what is left to note, and stop. Never raises for a store that is down."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for seq in tuple(self._open):  # sinks that were stopped in the middle
            self._ended[seq] = self._open.pop(seq).had
        try:
            await self.settle()
        except StoreError as error:
            logger.warning("what sinks have had of the alerts could not be noted: %s", error)
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
                logger.warning("alerts cannot be looked for, the store cannot be used: %s", error)
            except Exception:
                logger.exception("alerts could not be looked for")
            await asyncio.sleep(LOOK_SECONDS)
