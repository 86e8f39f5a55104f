"""Subscribers of the log in this process, and callers that wait until it grows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.logged import get_logger

from .sealing import Tampered, TamperTaker

logger = get_logger("stepup_middleware.stores")

Written = tuple[int, Callable[[], AuditEvent]]  # a sequence number, and what makes its event if it is wanted
Subscriber = Callable[[Sequence[tuple[int, AuditEvent]]], None]
Unwritten = Callable[[Sequence[AuditEvent]], None]


class Subscribers:
    """Told by the writer, in whatever thread it works, what has become durable.

    Subscribers hear of it on ``loop``, the one that started the store; waiters in the loop they wait in.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._subscribers: list[Subscriber] = []
        self._takers: list[Unwritten] = []
        self._tamper_takers: list[TamperTaker] = []
        self._waiters: set[asyncio.Future[None]] = set()

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call a subscriber from now on."""
        self._subscribers.append(subscriber)

    def on_unwritten(self, taker: Unwritten) -> None:
        """Hand events that nobody waited for and that could not be written to a taker, from now on."""
        self._takers.append(taker)

    def on_tampering(self, taker: TamperTaker) -> None:
        """Hand rows that this installation did not write as they are to a taker, from now on."""
        self._tamper_takers.append(taker)

    def met(self, rows: Sequence[Tampered]) -> None:
        """Hand such rows to who takes them. Called in whatever thread met them."""
        for row in rows:
            for taker in self._tamper_takers:
                taker(row)

    def gave_up(self, events: Sequence[AuditEvent], reason: object) -> None:
        """Hand events that could not be written to who takes them. Called in whatever thread gave them up."""
        if not self._takers:
            logger.error("%d audit event(s) that nobody waited for could not be written: %s", len(events), reason)
        for taker in self._takers:
            taker(events)

    def publish(self, written: Sequence[Written]) -> None:
        """Hand durable events to the subscribers and wake everybody who waits."""
        if written and self._subscribers and self.loop is not None and not self.loop.is_closed():
            try:
                self.loop.call_soon_threadsafe(self._deliver, written)
            except RuntimeError:
                logger.warning("%d audit event(s) came when nobody could hear them", len(written))
        self.wake()

    def wake(self) -> None:
        """Wake everybody who waits: this process wrote, or another one."""
        for waiter in tuple(self._waiters):
            try:
                waiter.get_loop().call_soon_threadsafe(_wake, waiter)
            except RuntimeError:  # that loop is closed
                self._waiters.discard(waiter)

    def _deliver(self, written: Sequence[Written]) -> None:
        events = [(seq, make()) for seq, make in written]
        for subscriber in self._subscribers:
            subscriber(events)

    async def wait(self, seconds: float) -> None:
        """Return when there is news, or after the time."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait((waiter,), timeout=seconds)
        finally:
            self._waiters.discard(waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
