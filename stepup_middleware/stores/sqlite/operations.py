"""What callers hand to the writer, and how its answers come back to their event loops."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from stepup_middleware.core.decisions import Presentation
from stepup_middleware.errors import ConfigurationError, StoreError, StoreTimeoutError

from .authorized import Ready
from .transaction import Transaction


class Operation:
    """Something to be done in a transaction, and the future that waits for it.

    Either ``run`` does it, or ``shown`` is a presentation made ready, to be redeemed with the others of its
    batch.
    ``late`` is called with the result, in the event loop, when nobody waits for it any more.
    """

    __slots__ = ("future", "late", "loop", "run", "shown")

    def __init__(
        self,
        run: Callable[[Transaction], Any] | None = None,
        *,
        shown: tuple[Presentation, Ready] | None = None,
        late: Callable[[Any], None] | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.run = run
        self.shown = shown
        self.late = late

    def answered(self) -> Any:
        """Return the result that is there although the wait for it was cancelled, else None."""
        future = self.future
        if future.done() and not future.cancelled() and future.exception() is None:
            return future.result()
        return None


Answer = tuple[Operation, Any, BaseException | None]


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


def expire(future: asyncio.Future[Any]) -> None:
    """End a future that is not done with ``StoreTimeoutError``."""
    if not future.done():
        future.set_exception(StoreTimeoutError("the database did not answer in time"))


def resolve(answers: Sequence[Answer]) -> None:
    """Hand answers to their event loops, one call a loop. Called in the writer's thread."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Answer]] = {}
    for answer in answers:
        by_loop.setdefault(answer[0].loop, []).append(answer)
    for loop, share in by_loop.items():
        try:
            loop.call_soon_threadsafe(_deliver, share)
        except RuntimeError:  # the loop is closed: nobody waits there any more
            for operation, result, error in share:
                if error is None and operation.late is not None:
                    operation.late(result)


def _deliver(answers: Sequence[Answer]) -> None:
    for operation, result, error in answers:
        future = operation.future
        if error is not None:
            if not future.done():
                future.set_exception(as_store_error(error))
        elif not future.done():
            future.set_result(result)
        elif operation.late is not None:
            operation.late(result)


def as_store_error(error: BaseException) -> Exception:
    """Return the error that leaves the store for one that was met inside it."""
    if isinstance(error, ConfigurationError):
        return error
    text = str(error)
    if not isinstance(error, StoreError):
        text = f"the database cannot be used: {type(error).__name__}: {text}"
    wrapped = StoreError(text)
    wrapped.__cause__ = error
    return wrapped
