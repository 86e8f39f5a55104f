"""What callers hand to a writer: verbs, alone or for many callers at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from stepup_middleware.core.attempts import TooMany
from stepup_middleware.core.decisions import Decision
from stepup_middleware.core.grants import GrantRefused
from stepup_middleware.core.prompts import NoFactor, Prompt
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.stores.authorized import PreparedRedemption

from .epochs import AuthorizedBatch, authorize_all
from .prompts import Asking, ask_all
from .tokens import OneProof, Redeemed, issue_all, person_of, redeem_all
from .transaction import Transaction

E = TypeVar("E")
A = TypeVar("A")

Run = Callable[[Transaction], Awaitable[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class BatchVerb(Generic[E, A]):
    """A verb for many callers at once: it is given the entry of each, and answers in their order.

    ``alone``: of entries for which it returns the same, only one is in a batch.
    """

    run: Callable[[Transaction, Sequence[E]], Coroutine[Any, Any, Sequence[A]]]
    alone: Callable[[E], Hashable] | None = None


async def _run_all(transaction: Transaction, batch: Sequence[Run]) -> list[Any]:
    return [await run(transaction) for run in batch]


RUN: BatchVerb[Run, Any] = BatchVerb(_run_all)
ASK: BatchVerb[Asking, Prompt | NoFactor | TooMany] = BatchVerb(ask_all)
ISSUE: BatchVerb[OneProof, list[TokenReference | GrantRefused]] = BatchVerb(
    issue_all, alone=lambda grants: person_of(grants[0])
)
REDEEM: BatchVerb[PreparedRedemption, Redeemed] = BatchVerb(redeem_all)
AUTHORIZE: BatchVerb[AuthorizedBatch, list[Decision]] = BatchVerb(authorize_all)

IN_ORDER: Sequence[BatchVerb[Any, Any]] = (
    RUN,
    ASK,
    ISSUE,
    REDEEM,
    AUTHORIZE,
)  # locks are taken in one order everywhere


class Operation:
    """Something to be done in a transaction, and the future that waits for it.

    ``late`` is called with the result, in the event loop, when nobody waits for it any more.
    """

    __slots__ = ("entry", "future", "late", "loop", "verb")

    def __init__(self, verb: BatchVerb[E, A], entry: E, late: Callable[[A], None] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.verb: BatchVerb[Any, Any] = verb
        self.entry: Any = entry
        self.late: Callable[[Any], None] | None = late

    async def answer(self) -> Any:
        """Wait for the result. One that comes in the moment of a cancellation goes to ``late``."""
        future = self.future
        try:
            return await future
        except asyncio.CancelledError:
            if self.late and future.done() and not future.cancelled() and future.exception() is None:
                self.late(future.result())
            raise

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


def by_verb(operations: Sequence[Operation]) -> Iterator[tuple[BatchVerb[Any, Any], Sequence[Operation]]]:
    """Yield the operations of each verb, in the order in which verbs are run."""
    shares: dict[BatchVerb[Any, Any], list[Operation]] = {}
    for operation in operations:
        shares.setdefault(operation.verb, []).append(operation)
    for verb in IN_ORDER:
        if verb in shares:
            yield verb, shares[verb]
