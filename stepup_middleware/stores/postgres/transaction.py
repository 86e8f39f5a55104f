"""The open transaction of a batch, on a connection of asyncpg."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from stepup_middleware.log.records import RowMacs
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.sql.transaction import Transaction, Value

if TYPE_CHECKING:
    from asyncpg import Connection


def columns(rows: Sequence[Row]) -> list[list[Any]]:
    """Return rows as columns, which is how ``unnest`` takes them."""
    return [list(column) for column in zip(*rows, strict=True)]


def storable(*texts: str | None) -> bool:
    """Whether PostgreSQL can hold the texts: it has no NUL, and UTF-8 no lone surrogates. A text that it cannot hold is
    in no row, so a search for it finds nothing."""
    try:
        return not any(text is not None and b"\0" in text.encode() for text in texts)
    except UnicodeEncodeError:
        return False


def lock_key(text: str) -> int:
    """Return a 32-bit signed key; that two texts share one only makes them wait for each other."""
    key = crc32(text.encode("utf-8", "surrogatepass"))
    return key - 2**32 if key >= 2**31 else key


class PostgresTransaction(Transaction):
    """Statements on a connection that has begun a transaction."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: Connection[Any], sql: Mapping[str, str], macs: RowMacs | None) -> None:
        super().__init__(macs)
        self._connection = connection
        self._sql = sql

    async def execute(self, name: str, *parameters: Value) -> int:
        status = await self._connection.execute(self._sql[name], *parameters)
        return int(status.rpartition(" ")[2])

    async def fetch_one(self, name: str, *parameters: Value) -> Row | None:
        return await self._connection.fetchrow(self._sql[name], *parameters)

    async def fetch_all(self, name: str, *parameters: Value) -> Sequence[Row]:
        return await self._connection.fetch(self._sql[name], *parameters)

    async def execute_many(self, name: str, rows: Sequence[Row]) -> None:
        await self.fetch_many(name, rows)

    async def fetch_many(self, name: str, rows: Sequence[Row]) -> Sequence[Row]:
        return await self._connection.fetch(self._sql[name], *columns(rows)) if rows else ()

    async def redeem(self, rows: Sequence[Row]) -> Sequence[Row]:
        # in the order of the keys: two nodes never wait for each other crosswise
        return await self.fetch_many("redeem", sorted(rows, key=itemgetter(0)))

    async def lock_epoch(self) -> None:
        await self._connection.execute(self._sql["lock_epoch"])

    async def give_back_space(self) -> None:
        """Nothing to do: PostgreSQL gives back by itself what can be given back."""

    async def lock(self, keys: Sequence[str]) -> None:
        await self._connection.fetch(self._sql["lock"], sorted({lock_key(key) for key in keys}))
