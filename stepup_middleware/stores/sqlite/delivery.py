"""How answers come back from the writer's thread to the event loops of the callers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.stores.sql.operations import Operation

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
        if error is None:
            operation.succeed(result)
        else:
            operation.fail(as_store_error(error))


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
