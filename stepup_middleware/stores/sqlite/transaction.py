"""What a verb sees of the database while it writes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.stores.rows import Row

from .database import Database
from .statements import chunked

Parameters = tuple[Any, ...] | Mapping[str, Any]


class Transaction:
    """The open transaction of a batch. Verbs run in it one after another, in the writer's thread."""

    __slots__ = ("_connection", "_database", "_sql", "place")

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection = database.connection
        self._sql = database.sql
        self.place = database.log.place

    @property
    def epoch(self) -> int:
        """The current epoch."""
        return self._database.epoch

    @property
    def batch(self) -> int:
        """The number of the batch that is being written."""
        return self._database.batch

    def run(self, name: str, parameters: Parameters = ()) -> sqlite3.Cursor:
        """Run a statement by its name."""
        return self._connection.execute(self._sql[name], parameters)

    def run_many(self, name: str, rows: Iterable[Row]) -> None:
        """Run a statement once for each row."""
        self._connection.executemany(self._sql[name], rows)

    def run_rows(self, name: str, rows: Sequence[Row]) -> int:
        """Run a statement over rows of VALUES, and return how many rows it changed."""
        changed = 0
        for text, parameters in chunked(self._sql[name], rows):
            changed += self._connection.execute(text, parameters).rowcount
        return changed

    def read_rows(self, name: str, rows: Sequence[Row]) -> list[Any]:
        """Return the entries that a statement over rows of VALUES gives as one JSON list."""
        found: list[Any] = []
        for text, parameters in chunked(self._sql[name], rows):
            found += json.loads(self._connection.execute(text, parameters).fetchone()[0])
        return found

    def rows(self, name: str, parameters: Parameters = ()) -> list[Row]:
        """Return all rows of a statement."""
        return self._connection.execute(self._sql[name], parameters).fetchall()

    def row(self, name: str, parameters: Parameters = ()) -> Row | None:
        """Return the first row of a statement, None when there is none."""
        row: Row | None = self._connection.execute(self._sql[name], parameters).fetchone()
        return row

    def changed(self, name: str, parameters: Parameters = ()) -> int:
        """Run a statement and return how many rows it changed."""
        return self._connection.execute(self._sql[name], parameters).rowcount

    def append(self, event: AuditEvent) -> None:
        """Write an event to the log with this transaction."""
        self._database.log.append(event)

    def flush(self) -> None:
        """Write what was appended so far, for a verb that reads the log."""
        self._database.log.flush()

    def begin_epoch(self, name: str = "bump_epoch", parameters: Parameters = ()) -> None:
        """Begin a new epoch by a statement that returns its number, if it began one."""
        row = self.row(name, parameters)
        if row is not None:
            self._database.epoch = row[0]
