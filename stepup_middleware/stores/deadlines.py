"""When callers stop waiting for a database."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from stepup_middleware.errors import StoreTimeoutError


class Deadlines:
    """The timeouts of one event loop: all of one length, so they end in the order in which they began.

    One timer serves them all, where one each would cost more than the bookkeeping of the operation.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._futures: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, future: asyncio.Future[Any]) -> None:
        """End a future with ``StoreTimeoutError`` unless it is done in time."""
        futures = self._futures
        while futures and futures[0][1].done():
            futures.popleft()
        end = self._loop.time() + self._seconds
        futures.append((end, future))
        if self._timer is None:
            self._timer = self._loop.call_at(end, self._sweep)

    def _sweep(self) -> None:
        futures, now = self._futures, self._loop.time()
        while futures and (futures[0][1].done() or futures[0][0] <= now):
            expire(futures.popleft()[1])
        self._timer = self._loop.call_at(futures[0][0], self._sweep) if futures else None

    def close(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def expire(future: asyncio.Future[Any]) -> None:
    """End a future that is not done with ``StoreTimeoutError``."""
    if not future.done():
        future.set_exception(StoreTimeoutError("the database did not answer in time"))
