"""What a verb sees of the database while it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.stores.rows import Row

from .log import Entry, entry_of
from .parameters import columns

if TYPE_CHECKING:
    from asyncpg import Connection


class Transaction:
    """The open transaction of a batch. Verbs run in it one after another."""

    __slots__ = ("_connection", "_sql", "entries")

    def __init__(self, connection: Connection[Any], sql: Mapping[str, str]) -> None:
        self._connection = connection
        self._sql = sql
        self.entries: list[Entry] = []

    async def rows(self, name: str, *parameters: Any) -> Sequence[Row]:
        """Return all rows of a statement."""
        return await self._connection.fetch(self._sql[name], *parameters)

    async def row(self, name: str, *parameters: Any) -> Row | None:
        """Return the first row of a statement, None when there is none."""
        return await self._connection.fetchrow(self._sql[name], *parameters)

    async def changed(self, name: str, *parameters: Any) -> int:
        """Run a statement and return how many rows it changed."""
        status = await self._connection.execute(self._sql[name], *parameters)
        return int(status.rpartition(" ")[2])

    async def many(self, name: str, rows: Sequence[Row]) -> Sequence[Row]:
        """Run a statement that unnests columns over rows; does nothing when there are none."""
        return await self.rows(name, *columns(rows, 0)) if rows else ()

    def append(self, event: AuditEvent) -> None:
        """Write an event to the log at the end of this transaction."""
        self.entries.append(entry_of(event))
