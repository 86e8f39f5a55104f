"""What callers hand to the writer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import Any


class Kind(IntEnum):
    """What is done with an operation, in the order of a batch: locks are taken in one order everywhere."""

    RUN = 0  # an async callable of the transaction
    ASK = 1  # a question and its limit of open prompts
    ISSUE = 2  # a grant
    REDEEM = 3  # a presentation made ready
    AUTHORIZE = 4  # presentations that redeemed tokens kept elsewhere, the tokens, and their epoch


# decided by rows, wherever they are done, and with no order among them
BY_ROWS = frozenset({Kind.ASK, Kind.ISSUE, Kind.REDEEM, Kind.AUTHORIZE})


class Operation:
    """Something to be done in a transaction, and the future that waits for it.

    ``late`` is called with the result when nobody waits for it any more.
    """

    __slots__ = ("future", "kind", "late", "value")

    def __init__(self, kind: Kind, value: Any, late: Callable[[Any], None] | None = None) -> None:
        self.kind = kind
        self.value = value
        self.late = late
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def succeed(self, result: Any) -> None:
        """Hand over the result, to ``late`` if nobody waits."""
        if not self.future.done():
            self.future.set_result(result)
        elif self.late is not None:
            self.late(result)

    def fail(self, error: Exception) -> None:
        """Hand over an error, if somebody waits."""
        if not self.future.done():
            self.future.set_exception(error)
