"""Reading the audit log of a SQLite file, beside its writer or where nobody may write."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime
from functools import lru_cache

from stepup_middleware.core.audit import AuditFilter, EventCounts
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.moments import to_micros
from stepup_middleware.stores.rows import Row, counts_of, record_of
from stepup_middleware.stores.sql.made import differences
from stepup_middleware.stores.statements import joined, load_migrations, load_statements

from .dialect import split_script, translated
from .query import statement
from .reader import SQLiteReader

_MOST_DAMAGES = 20  # places that are told
# one that refuses no row and calls nothing
_PLAIN_INDEX = re.compile(
    r"CREATE INDEX \w+ ON \w+ ?\(\w+( (ASC|DESC))?(, ?\w+( (ASC|DESC))?)*\)", re.ASCII | re.IGNORECASE
)
STRETCH = 50_000  # sequence numbers that one statement counts: about 50 ms, for which other reads wait


def load_sql() -> Mapping[str, str]:
    """Return all statements of the store."""
    return joined(translated(load_statements("stepup_middleware.stores.sql")), load_statements(__package__))


def schema_of(rows: Sequence[Row]) -> dict[str, str]:
    """Return what there is in a file, by kind and name: on what, and the text that made it."""
    return {f"{kind} {name}": f"on {table}: {text}" for kind, name, table, text in rows}


@lru_cache(maxsize=1)
def made_by(scripts: tuple[str, ...]) -> Mapping[str, str]:
    """Return what the scripts of the library make."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement_ in (each for script in scripts for each in split_script(script)):
            connection.execute(statement_)
        return schema_of(connection.execute(load_sql()["schema_objects"]).fetchall())


class SQLiteLogReader(SQLiteReader):
    """A connection that reads the log."""

    async def query(
        self, workspace: str | None, wanted: AuditFilter, *, before: int | None, limit: int
    ) -> tuple[AuditRecord, ...]:
        """Return up to ``limit`` records with ``seq`` below ``before``, newest first."""
        return await self._query(workspace, wanted, first=None, end=before, newest_first=True, limit=limit)

    async def follow(
        self, workspace: str | None, wanted: AuditFilter, *, after: int, limit: int
    ) -> tuple[AuditRecord, ...]:
        """Return up to ``limit`` records above ``after``, oldest first: they are committed in their order."""
        return await self._query(workspace, wanted, first=after + 1, end=None, newest_first=False, limit=limit)

    async def _query(
        self,
        workspace: str | None,
        wanted: AuditFilter,
        *,
        first: int | None,
        end: int | None,
        newest_first: bool,
        limit: int,
    ) -> tuple[AuditRecord, ...]:
        if limit <= 0:
            return ()
        text, parameters = statement(workspace, wanted, first=first, end=end, newest_first=newest_first, limit=limit)
        return tuple(record_of(row) for row in await self.fetch(text, parameters))

    async def altered_schema(self) -> Sequence[tuple[str, str]]:
        """Return what of the schema is not as the library made it, each with what is wrong with it."""
        made = made_by(load_migrations(__package__))
        rows = await self.fetch_all("schema_objects")
        # what stands on other tables harms nobody, and neither do views and plain indexes
        beside = {
            f"{kind} {name}"
            for kind, name, table, text in rows
            if kind != "trigger" and (f"table {table}" not in made or _PLAIN_INDEX.fullmatch(text))
        }
        return differences(
            made, {what: text for what, text in schema_of(rows).items() if what in made or what not in beside}
        )

    async def damage(self) -> Sequence[str]:
        """Return where the pages of the file contradict each other, as SQLite says it.

        An index that lacks a row hides it from whoever looks by that index. On a connection of its own, so that others
        read meanwhile: it takes as long as a check of the whole file does, about 20 us a record.
        """
        reader = SQLiteReader(self._path, self.sql, self._prove, seconds=self._seconds, mode=self._mode)
        try:
            rows = await reader.fetch(f"PRAGMA integrity_check({_MOST_DAMAGES})", bounded=False)
        finally:
            if reader._connection is not None:
                await reader._connection.interrupt()  # where nobody waits any more
            await reader.close()
        return [str(line) for (line,) in rows if line != "ok"]

    async def last_seq(self) -> int:
        """Return the highest sequence number of the log, 0 when it is empty."""
        row = await self.fetch_one("last_seq")
        return 0 if row is None else int(row[0])

    async def count_events(self, workspace: str, since: datetime, until: datetime | None) -> EventCounts:
        """Count the records of a workspace by hour, event and outcome, a stretch of the log at a time."""
        start, over = to_micros(since), None if until is None else to_micros(until)
        first, end, last = await self.fetch_one("span", start, over) or (None, None, None)
        last = last or 0
        end = end or last + 1
        rows: list[Row] = []
        for at in range(first or end, end, STRETCH):
            rows += await self.fetch_all("count_events", workspace, at, min(at + STRETCH, end), start, over)
        return counts_of(rows, last)
