"""The protocol of a driver of SQL: readers, a writer, and their lives from start to close."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from stepup_middleware.core.audit import AuditFilter, EventCounts, Load
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.decisions import Presentation
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.log.records import RowMacs
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.sealing import Tampered, TamperTaker
from stepup_middleware.stores.subscribers import Subscriber, Unwritten

from .operations import BatchVerb
from .transaction import Transaction, Value

T = TypeVar("T")
E = TypeVar("E", contravariant=False)
A = TypeVar("A")


class Reader(Protocol):
    """Reads rows beside the writer. Every method raises ``StoreError``."""

    async def fetch_one(self, name: str, *parameters: Value) -> Row | None:
        """Return the first row of a statement, None when there is none."""

    async def fetch_all(self, name: str, *parameters: Value) -> Sequence[Row]:
        """Return all rows of a statement."""


class LogReader(Reader, Protocol):
    """Reads the audit log by its indexes, which are not the same in every database."""

    async def query(
        self, workspace: str | None, wanted: AuditFilter, *, before: int | None, limit: int
    ) -> tuple[AuditRecord, ...]:
        """Return up to ``limit`` records with ``seq`` below ``before``, newest first."""

    async def follow(
        self, workspace: str | None, wanted: AuditFilter, *, after: int, limit: int
    ) -> tuple[AuditRecord, ...]:
        """Return up to ``limit`` records above ``after``, oldest first, up to where none is still to come."""

    async def last_seq(self) -> int:
        """Return the highest sequence number below which no record is still to come."""

    async def altered_schema(self) -> Sequence[tuple[str, str]]:
        """Return what of the schema is not as the library made it, each with what is wrong with it."""

    async def damage(self) -> Sequence[str]:
        """Return where the database contradicts itself, as far as it can tell."""

    async def count_events(self, workspace: str, since: datetime, until: datetime | None) -> EventCounts:
        """Count the records of a workspace by hour, event and outcome, ``since`` inclusive, ``until`` not."""


class Writer(Protocol):
    """Does what callers hand over, in transactions for many of them at once."""

    async def perform(self, verb: BatchVerb[E, A], entry: E, late: Callable[[A], None] | None = None) -> A:
        """Hand over an entry of a verb and wait for its answer until that is durable.

        ``late`` is called with an answer for which nobody waits any more. Raises ``StoreError``; ``StoreTimeoutError``
        after the time: the entry is skipped if nobody has begun it, and may still take effect if somebody has.
        """


class Engine(Protocol):
    """The connections of one store in one process. ``macs`` are set before ``start``, or nothing is written."""

    macs: RowMacs | None

    @property
    def state(self) -> Reader:
        """What reads prompts, factors and policies."""

    @property
    def load(self) -> Load:
        """How much work the writer has."""

    def running(self) -> Writer:
        """Return what writes. Raises ``StoreError`` before ``start``, and in a process that was forked."""

    @property
    def log(self) -> LogReader:
        """What reads the audit log, so that an export does not delay the others."""

    async def start(self) -> None:
        """Open the database and write to it."""

    async def close(self) -> None:
        """Write what was handed over, then close."""

    async def write(self, run: Callable[[Transaction], Awaitable[T]], *, seconds: float | None = None) -> T:
        """Run something in a transaction and return its result once that is durable.

        ``seconds`` bounds what takes longer than a request may wait; where the database lets them, others write beside.
        """

    async def apart(self, run: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run something that may take long and writes no event, where the database lets others write beside it."""

    def append_soon(self, event: AuditEvent) -> None:
        """Hand over an event that nobody waits for."""

    def on_unwritten(self, taker: Unwritten) -> None:
        """Hand what ``append_soon`` was given and could not be written to ``taker``."""

    def on_tampering(self, taker: TamperTaker) -> None:
        """Hand rows that this installation did not write as they are to ``taker``."""

    def met(self, rows: Sequence[Tampered]) -> None:
        """Hand such rows, which a reader met, to who takes them."""

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call ``subscriber`` with what this process wrote."""

    async def wait(self, after: int, seconds: float) -> None:
        """Return when the log may have records above ``after``, or after the time."""

    def presentation_row(self, shown: Presentation) -> Row | None:
        """Return a presentation as the redeeming statement reads it, None when it can match no row."""

    def storable(self, *texts: str | None) -> bool:
        """Whether the database can hold the texts. A text that it cannot hold is in no row."""
