"""What a verb sees of a database while it writes: one open transaction, and statements by their names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.moments import to_micros
from stepup_middleware.stores.authorized import NAME, OUTCOME, PreparedRedemption, authorized_body, authorized_event
from stepup_middleware.stores.rows import Row

Value = str | bytes | int | bool | None


class Entry(NamedTuple):
    """An event on its way into the log: its canonical text, and what the log is indexed by.

    ``make`` returns the event itself, for subscribers; ``alerts`` tells whether it is an alert.
    """

    at: int
    retention_years: int
    body: str
    workspace: str
    subject: str
    event: str
    outcome: str
    purpose: str
    prompt: str
    make: Callable[[], AuditEvent]
    alerts: bool = False


def entry_of(event: AuditEvent) -> Entry:
    """Return the entry of an event."""
    return Entry(
        to_micros(event.at),
        event.retention_years,
        event.body(),
        event.workspace_id,
        event.subject_id,
        event.name.value,
        (event.outcome or event.name.outcome).value,
        event.purpose,
        event.prompt_id,
        lambda: event,
        event.is_alert,
    )


class Transaction(ABC):
    """The open transaction of a batch. Verbs run in it one after another.

    The methods are coroutines because PostgreSQL answers over a network. Those of SQLite never wait, so that its
    thread runs a verb to its end by itself: a verb awaits nothing but these methods, and other verbs.

    A statement over many rows is one text for all of them where the database takes them so (``unnest`` in PostgreSQL,
    ``VALUES`` in SQLite), else one that is run for each row.
    """

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def append(self, event: AuditEvent) -> None:
        """Write an event to the log at the end of this transaction."""
        self.entries.append(entry_of(event))

    def append_authorized(self, prepared: PreparedRedemption, facts: Row) -> None:
        """Write ``ACTION_AUTHORIZED`` for a presentation, with the ``Facts`` of its row."""
        shown = prepared.shown
        self.entries.append(
            Entry(
                to_micros(shown.now),
                shown.retention_years,
                authorized_body(prepared, facts),
                shown.workspace_id,
                shown.subject_id,
                NAME,
                OUTCOME,
                shown.purpose,
                facts[0],
                partial(authorized_event, shown, facts),
            )
        )

    @abstractmethod
    async def execute(self, name: str, *parameters: Value) -> int:
        """Run a statement and return how many rows it changed."""

    @abstractmethod
    async def fetch_one(self, name: str, *parameters: Value) -> Row | None:
        """Return the first row of a statement, None when there is none."""

    @abstractmethod
    async def fetch_all(self, name: str, *parameters: Value) -> Sequence[Row]:
        """Return all rows of a statement."""

    @abstractmethod
    async def execute_many(self, name: str, rows: Sequence[Row]) -> None:
        """Run a statement over many rows."""

    @abstractmethod
    async def fetch_many(self, name: str, rows: Sequence[Row]) -> Sequence[Row]:
        """Return all rows that a statement over many rows gives."""

    @abstractmethod
    async def redeem(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Redeem what rows of ``presentation_row`` present, with one guarded statement.

        Returns id, attempt and ``Facts`` of each token that was redeemed. A method of its own because SQLite answers
        with a second statement: one row for the whole batch, where each row of RETURNING would be a step.
        """

    @abstractmethod
    async def lock(self, keys: Sequence[str]) -> None:
        """Wait until no other transaction holds one of the keys, and hold them until the end of this one."""
