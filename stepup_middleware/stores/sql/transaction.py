"""What a verb sees of a database while it writes: one open transaction, and statements by their names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from ssl import RAND_bytes
from typing import NamedTuple

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.standing import held_until, person_concerned
from stepup_middleware.errors import StoreError
from stepup_middleware.log.records import CHANCE_BYTES, SALT_BYTES, RowMacs, SealedRecord
from stepup_middleware.stores.authorized import NAME, OUTCOME, PreparedRedemption, authorized_body, authorized_event
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.sealing import Tampered

Value = str | bytes | int | bool | None


class NewRecord(NamedTuple):
    """A record on its way into the log, sealed, and what the log is indexed by.

    ``make`` returns the event itself, for subscribers; ``topics`` tells which sinks it must reach.
    """

    sealed: SealedRecord
    at: int
    workspace: str
    subject: str
    event: str
    outcome: str
    purpose: str
    prompt: str
    factor: str
    token: int | None
    make: Callable[[], AuditEvent]
    topics: tuple[str, ...] = ()
    person: str | None = None  # whose recovery it concerns (core/standing.py)
    held: int | None = None  # until when it holds them


def new_record(event: AuditEvent, macs: RowMacs) -> NewRecord:
    """Return the record of an event."""
    chance = RAND_bytes(CHANCE_BYTES)
    body = event.body(chance[:SALT_BYTES].hex())
    return NewRecord(
        macs.seal(body, at=event.at, retention_years=event.retention_years, chance=chance),
        to_micros(event.at),
        event.workspace_id,
        event.subject_id,
        event.name.value,
        (event.outcome or event.name.outcome).value,
        event.purpose,
        event.prompt_id,
        event.factor_id,
        event.token_id,
        lambda: event,
        tuple(topic.value for topic in event.topics),
        person_concerned(event),
        held_until(event),
    )


class Transaction(ABC):
    """The open transaction of a batch. Verbs run in it one after another.

    The methods are coroutines because PostgreSQL answers over a network. Those of SQLite never wait, so that its
    thread runs a verb to its end by itself: a verb awaits nothing but these methods, and other verbs.

    A statement over many rows is one text for all of them where the database takes them so (``unnest`` in PostgreSQL,
    ``VALUES`` in SQLite), else one that is run for each row.
    """

    __slots__ = ("_macs", "records", "tampered")

    def __init__(self, macs: RowMacs | None) -> None:
        self.records: list[NewRecord] = []
        self.tampered: list[Tampered] = []  # rows that were met and do not count
        self._macs = macs

    @property
    def macs(self) -> RowMacs:
        """What makes and checks the MACs of rows. Raises ``StoreError`` in a store that was given none."""
        if self._macs is None:
            raise StoreError("the store was given no MACs for its rows, so it writes none: call use(macs) before start")
        return self._macs

    def append(self, event: AuditEvent) -> None:
        """Write an event to the log at the end of this transaction."""
        self.records.append(new_record(event, self.macs))

    def append_authorized(self, prepared: PreparedRedemption, facts: Row) -> None:
        """Write ``ACTION_AUTHORIZED`` for a presentation, with the ``Facts`` of its row."""
        shown = prepared.shown
        self.records.append(
            NewRecord(
                self.macs.seal(
                    authorized_body(prepared, facts),
                    at=shown.now,
                    retention_years=shown.retention_years,
                    chance=prepared.chance,
                ),
                to_micros(shown.now),
                shown.workspace_id,
                shown.subject_id,
                NAME,
                OUTCOME,
                shown.purpose,
                facts[0],
                facts[1],
                shown.reference.id,
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
    async def lock_epoch(self) -> None:
        """Wait until no other transaction decides by the epoch, and let none do so until the end of this one."""

    @abstractmethod
    async def give_back_space(self) -> None:
        """Let the database's file shrink by what was deleted, a bounded part of it."""

    @abstractmethod
    async def lock(self, keys: Sequence[str]) -> None:
        """Wait until no other transaction holds one of the keys, and hold them until the end of this one."""
