"""The open transaction of a batch, in the writer's thread."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from stepup_middleware.errors import StoreError
from stepup_middleware.log.records import RowMacs
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.sql.transaction import Transaction, Value

from .chunks import chunked, takes_rows

T = TypeVar("T")


def run_to_end(verb: Coroutine[Any, Any, T]) -> T:
    """Run a verb whose every wait is a method of ``SQLiteTransaction``, and so is over at once."""
    try:
        verb.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    verb.close()
    raise StoreError("a verb of the store waited for something else than the database")


_PAGES = 2000  # that a step gives back


class SQLiteTransaction(Transaction):
    """Statements on the writer's connection. No method waits; see ``run_to_end``."""

    __slots__ = ("_batch", "_connection", "_sql")

    def __init__(
        self, connection: sqlite3.Connection, sql: Mapping[str, str], batch: int, macs: RowMacs | None
    ) -> None:
        super().__init__(macs)
        self._connection = connection
        self._sql = sql
        self._batch = batch

    async def execute(self, name: str, *parameters: Value) -> int:
        return self._connection.execute(self._sql[name], parameters).rowcount

    async def fetch_one(self, name: str, *parameters: Value) -> Row | None:
        row: Row | None = self._connection.execute(self._sql[name], parameters).fetchone()
        return row

    async def fetch_all(self, name: str, *parameters: Value) -> Sequence[Row]:
        return self._connection.execute(self._sql[name], parameters).fetchall()

    async def execute_many(self, name: str, rows: Sequence[Row]) -> None:
        text = self._sql[name]
        if takes_rows(text):
            for some, parameters in chunked(text, rows):
                self._connection.execute(some, parameters)
        else:
            self._connection.executemany(text, rows)

    async def fetch_many(self, name: str, rows: Sequence[Row]) -> Sequence[Row]:
        text, found = self._sql[name], list[Row]()
        if takes_rows(text):
            for some, parameters in chunked(text, rows):
                found += json.loads(self._connection.execute(some, parameters).fetchone()[0])
        else:
            for row in rows:
                found += self._connection.execute(text, row).fetchall()
        return found

    async def redeem(self, rows: Sequence[Row]) -> Sequence[Row]:
        changed = 0
        for text, parameters in chunked(self._sql["redeem"], [(*row, self._batch) for row in rows]):
            changed += self._connection.execute(text, parameters).rowcount
        if not changed:
            return ()
        ids = json.dumps([row[0] for row in rows])
        found = self._connection.execute(self._sql["redeemed_in_batch"], (ids, self._batch)).fetchone()
        redeemed = [
            (id_, bytes.fromhex(attempt), *facts, bytes.fromhex(mac))
            for id_, attempt, *facts, mac in json.loads(found[0])
        ]
        if len(redeemed) != changed:
            raise StoreError("the database redeemed a token that nobody presented")
        return redeemed

    async def give_back_space(self) -> None:
        # a statement without columns is stepped once, and frees one page with each step, however many it may
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        for _ in range(min(free, _PAGES)):
            self._connection.execute(self._sql["give_back_space"])

    async def lock(self, keys: Sequence[str]) -> None:
        """Nothing to wait for: one transaction at a time writes to the file."""
