"""The open transaction of a batch, in the writer's thread; statements over many rows of VALUES."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from stepup_middleware.errors import StoreError
from stepup_middleware.log.records import RowMacs
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.sql.transaction import Transaction, Value

from .texts import as_they_stand, is_undecodable

_ONE_ROW = re.compile(r"VALUES (\([?, ]+\))")
MOST_ROWS = 512  # of one statement; 16 columns of them are well below SQLite's 32,766 parameters
_PAGES = 2000  # that a step gives back


@lru_cache(maxsize=256)
def takes_rows(text: str) -> bool:
    """Whether a statement is one over VALUES, for many rows at once."""
    return _ONE_ROW.search(text) is not None


@lru_cache(maxsize=64)
def _for_rows(text: str, count: int) -> str:
    """Return a statement over one row of VALUES as one over so many."""
    return _ONE_ROW.sub(lambda found: "VALUES " + ", ".join([found[1]] * count), text)


def chunked(text: str, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, list[Any]]]:
    """Yield statements and flat parameters that together treat all rows, in as few steps as may be.

    Each step, ``executemany`` for every row, lets the interpreter's lock go and takes it back, and beside a busy
    event loop each time can cost as much as the whole statement. So there is one step for a whole batch, of a
    length that is a power of two: few different texts, so that their preparation is kept. The rest is filled with rows
    of NULL, which the statements pass over.
    """
    for start in range(0, len(rows), MOST_ROWS):
        some = rows[start : start + MOST_ROWS]
        size = 1 << (len(some) - 1).bit_length()
        parameters = list(chain.from_iterable(some))
        parameters += [None] * ((size - len(some)) * len(some[0]))
        yield _for_rows(text, size), parameters


class SQLiteTransaction(Transaction):
    """Statements on the writer's connection. No method waits: the writer runs a verb to its end by itself."""

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
        return self._read(self._sql[name], parameters)

    def _read(self, text: str, parameters: Sequence[Value]) -> list[Row]:
        try:
            return self._connection.execute(text, parameters).fetchall()
        except sqlite3.OperationalError as error:
            if not is_undecodable(error):
                raise
        with as_they_stand(self._connection):
            return self._connection.execute(text, parameters).fetchall()

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
                found += self._read(text, row)
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

    async def lock_epoch(self) -> None:
        """Nothing to wait for: one transaction at a time writes to the file."""

    async def give_back_space(self) -> None:
        # a statement without columns is stepped once, and frees one page with each step, however many it may
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        for _ in range(min(free, _PAGES)):
            self._connection.execute(self._sql["give_back_space"])

    async def lock(self, keys: Sequence[str]) -> None:
        """Nothing to wait for: one transaction at a time writes to the file."""
