"""Reads rows of recovery with what the log says of them: a row counts as long as its own record is the last word.

A row that has its MAC and does not stand is an older copy: it was used, replaced or taken away, and was put back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, TypeVar

from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.recovery import ResetRequest
from stepup_middleware.core.standing import Standing
from stepup_middleware.log.records import RowKind, RowMacs, names_body
from stepup_middleware.stores.recovery_rows import (
    CODES,
    PASSES,
    REQUESTS,
    RIGHTS,
    codes_of,
    pass_of,
    request_of,
    right_of,
)
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.sealing import Tampered

from .transaction import Transaction

T = TypeVar("T")
Judged = tuple[T | None, Tampered | None]


@dataclass(frozen=True, slots=True)
class StandingTable(Generic[T]):
    """A table whose rows the log decides on. ``statement`` gives a row once for each record of its person."""

    kind: RowKind
    statement: str
    read: Callable[[Row], T]
    stands: Callable[[Standing, T], bool]

    def judge(self, macs: RowMacs | None, rows: Sequence[Row], pending: Iterable[AuditEvent] = ()) -> Judged[T]:
        """Return the value of one row as it counts, None without one; and the row where it does not count.

        ``pending`` are events that the log gets with this transaction. Without MACs nothing is checked.
        """
        if not rows:
            return None, None
        width = len(self.kind.columns) + 1
        row = rows[0][:width]
        if macs is None:
            return self.read(row), None
        if self.kind.holds(macs, row):
            value = self.read(row)
            if self.stands(_standing(macs, [each[width:] for each in rows], pending), value):
                return value, None
        return None, Tampered(self.kind.table, f"{row[0]}/{row[1]}", str(row[0]), str(row[1]))

    async def of(self, transaction: Transaction, workspace_id: str, subject_id: str) -> T | None:
        """Return what counts of a person, whose row is locked, as this transaction finds it."""
        rows = await transaction.fetch_all(self.statement, workspace_id, subject_id)
        value, tampered = self.judge(transaction.macs, rows, _pending(transaction, workspace_id, subject_id))
        transaction.tampered += [] if tampered is None else [tampered]
        return value


PASS = StandingTable(PASSES, "last_pass", pass_of, Standing.has_pass)
RIGHT = StandingTable(RIGHTS, "read_right", right_of, Standing.has_right)
RECOVERY_CODES = StandingTable(CODES, "read_codes", codes_of, Standing.has_codes)
REQUEST = StandingTable(REQUESTS, "read_requests", request_of, Standing.has_request)


def by_person(rows: Sequence[Row]) -> Iterable[Sequence[Row]]:
    """Return the rows of ``read_requests``, those of one person together."""
    return [list(group) for _, group in groupby(rows, key=lambda row: (row[0], row[1]))]


async def waiting(transaction: Transaction, workspace_id: str, now: int) -> list[ResetRequest]:
    """Return the resets of a workspace that count and wait."""
    found = []
    for rows in by_person(await transaction.fetch_all(REQUEST.statement, workspace_id, now)):
        value, tampered = REQUEST.judge(transaction.macs, rows, _pending(transaction, workspace_id, rows[0][1]))
        found += [] if value is None else [value]
        transaction.tampered += [] if tampered is None else [tampered]
    return found


def _pending(transaction: Transaction, workspace_id: str, subject_id: str) -> Iterable[AuditEvent]:
    place = (workspace_id, subject_id)
    return [record.make() for record in transaction.records if (record.workspace, record.person) == place]


def _standing(macs: RowMacs, records: Sequence[Row], pending: Iterable[AuditEvent]) -> Standing:
    standing = Standing()
    for seq, body, entry, id_, mac, has_leaf in records:
        if seq is None or not names_body(entry, body):
            continue
        if has_leaf or macs.holds_for_record(id_, entry, mac):  # a key of long ago may be gone
            fields = json.loads(body)
            standing.follow(EventName(fields["event"]), fields["data"])
    for event in pending:
        standing.follow(event.name, event.data)
    return standing
