"""Those who follow the log: subscribers of this process, and callers that wait for news."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from stepup_middleware.core.events import AuditEvent

from .log import Written

Heard = Callable[[Sequence[tuple[int, AuditEvent]]], None]


class Audience:
    """Told by the writer what has become durable, and by the listener that another process wrote."""

    def __init__(self) -> None:
        self._subscribers: list[Heard] = []
        self._waiters: set[asyncio.Future[None]] = set()

    def subscribe(self, heard: Heard) -> None:
        """Add a subscriber."""
        self._subscribers.append(heard)

    def tell(self, written: Sequence[Written]) -> None:
        """Hand durable events to the subscribers and wake everybody who waits."""
        if self._subscribers:
            events = [(seq, make()) for seq, make in written]
            for heard in self._subscribers:
                heard(events)
        self.wake()

    def wake(self) -> None:
        """Wake everybody who waits."""
        for waiter in tuple(self._waiters):
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Return when there is news, or after the time."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait((waiter,), timeout=seconds)
        finally:
            self._waiters.discard(waiter)
