"""What callers hand to the writer, and how its answers come back to their event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from stepup_middleware.errors import ConfigurationError, StoreError

from .transaction import Transaction

Together = Callable[[Transaction, Sequence[Any]], Sequence[Any]]


class Operation:
    """Something to be done in a transaction, and the future that waits for it.

    Either ``run`` does it, or ``together`` does it with all the others of its batch that have the same one: it is
    given the ``entry`` of each, and answers in their order.
    ``late`` is called with the result, in the event loop, when nobody waits for it any more.
    """

    __slots__ = ("entry", "future", "late", "loop", "run", "together")

    def __init__(
        self,
        run: Callable[[Transaction], Any] | None = None,
        *,
        together: Together | None = None,
        entry: Any = None,
        late: Callable[[Any], None] | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.run = run
        self.together = together
        self.entry = entry
        self.late = late

    def answered(self) -> Any:
        """Return the result that is there although the wait for it was cancelled, else None."""
        future = self.future
        if future.done() and not future.cancelled() and future.exception() is None:
            return future.result()
        return None


Answer = tuple[Operation, Any, BaseException | None]


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
