"""The writing end of the audit log: gives each record its serial number."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from stepup_middleware.core.moments import span_micros
from stepup_middleware.core.retention import DELIVERY_LEASE
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.sql.transaction import NewRecord
from stepup_middleware.stores.subscribers import Written

from .transaction import chunked

_LEASE = span_micros(DELIVERY_LEASE)


class Log:
    """Writes the records of a transaction with one statement.

    Counts by itself between transactions. A caller that sees that another process wrote, or that a transaction was
    rolled back, calls ``forget``. A number that is taken all the same was taken by somebody who does not count the
    batches as every process of the app does: what is remembered is forgotten, and ``intruder`` names their record.
    """

    def __init__(self, connection: sqlite3.Connection, sql: Mapping[str, str]) -> None:
        self._connection = connection
        self._sql = sql
        self._known = False
        self._high = self._back = self._last_seq = 0
        self.intruder: int | None = None  # the serial number that was found taken

    def forget(self) -> None:
        """Drop what is remembered of the log."""
        self._known = False

    def _learn(self) -> None:
        self._last_seq, self._high, self._back = self._connection.execute(self._sql["log_ends"]).fetchone()
        self._known = True

    def write(self, records: Sequence[NewRecord]) -> list[Written]:
        """Insert records. Returns their serial numbers, in their order."""
        try:
            return self._insert(records)
        except sqlite3.IntegrityError as error:
            if not self._known or "audit.seq" not in str(error):
                raise
            self.intruder = self._last_seq - len(records) + 1
            self._learn()
            return self._insert(records)

    def _insert(self, records: Sequence[NewRecord]) -> list[Written]:
        if not self._known:
            self._learn()
        rows: list[Row] = []
        written: list[Written] = []
        deliveries: list[Row] = []
        for sealed, at, *index, make, topics, person, held in records:
            if at >= self._high:
                self._high = at
            elif self._high - at > self._back:
                self._back = self._high - at
                self._connection.execute(self._sql["set_back"], (self._back,))
            seq = self._last_seq = self._last_seq + 1
            written.append((seq, make))
            rows.append((seq, sealed.id, sealed.entry, sealed.mac, *index, person, held, at, self._high, sealed.body))
            deliveries += [(seq, topic, at, at + _LEASE) for topic in topics]
        for text, parameters in chunked(self._sql["append"], rows):
            self._connection.execute(text, parameters)
        for row in deliveries:
            self._connection.execute(self._sql["add_delivery"], row)
        return written
