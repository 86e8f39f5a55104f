"""Reading the audit log of a PostgreSQL database, whose writers do not wait for each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from importlib.resources import files

from stepup_middleware.core.audit import AuditFilter, EventCounts
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.moments import to_micros
from stepup_middleware.stores.rows import Row, counts_of, record_of
from stepup_middleware.stores.sql.made import differences
from stepup_middleware.stores.sql.transaction import Value

from .database import Database
from .transaction import storable

# in the order of rows.record_of
RECORD = "r.seq, r.body, r.id, r.entry, r.mac, r.refused, l.log, l.idx"
_FACETS = ("subject", "purpose", "event", "outcome", "prompt")


def plain(text: str) -> str:
    """Return a definition with its spaces as one."""
    return " ".join(text.split())


@lru_cache(maxsize=1)
def made_by_scripts() -> Mapping[str, str]:
    """Return what the scripts of the library make, as ``schema_objects`` tells it: ``schema/made.json``.

    ``python -m tests.stores.made`` writes that file anew, from a server on which the scripts ran.
    """
    made: dict[str, str] = json.loads(files(__package__).joinpath("schema", "made.json").read_text(encoding="utf-8"))
    return made


class PostgresLogReader:
    """Reads the log on the reading connections of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch_one(self, name: str, *parameters: Value) -> Row | None:
        """Return the first row of a statement, None when there is none."""
        return await self._database.fetch_one(name, *parameters)

    async def fetch_all(self, name: str, *parameters: Value) -> Sequence[Row]:
        """Return all rows of a statement."""
        return await self._database.fetch_all(name, *parameters)

    async def query(
        self, workspace: str | None, wanted: AuditFilter, *, before: int | None, limit: int
    ) -> tuple[AuditRecord, ...]:
        """Return up to ``limit`` records with ``seq`` below ``before``, newest first."""
        text, parameters = statement(workspace, wanted, first=None, end=before, newest_first=True, limit=limit)
        return tuple(record_of(row) for row in await self._database.fetch(text, *parameters))

    async def follow(
        self, workspace: str | None, wanted: AuditFilter, *, after: int, limit: int
    ) -> tuple[AuditRecord, ...]:
        """Return up to ``limit`` records above ``after``, oldest first, once all that come before them are there."""
        end = await self.settled() + 1
        text, parameters = statement(workspace, wanted, first=after + 1, end=end, newest_first=False, limit=limit)
        return tuple(record_of(row) for row in await self._database.fetch(text, *parameters))

    async def altered_schema(self) -> Sequence[tuple[str, str]]:
        """Return what of the schema is not as the library made it, each with what is wrong with it."""
        made = made_by_scripts()
        objects = await self._database.fetch_all("schema_objects")
        # what stands on other tables harms nobody, and neither do views and plain indexes
        found = {
            what: plain(text)
            for table, what, text, beside in objects
            if what in made or not (beside or (table and f"table {table}" not in made))
        }
        return differences(made, found)

    async def damage(self) -> Sequence[str]:
        """Return nothing: ``pg_amcheck``, which needs a superuser, tells of it."""
        return ()

    async def last_seq(self) -> int:
        """Return the highest sequence number below which no record is still to come."""
        row = await self._database.fetch_one("last_seq", await self.settled())
        return 0 if row is None else int(row[0])

    async def settled(self) -> int:
        """Return up to which sequence number the log is complete, once it is: waits for commits under way."""
        row = await self._database.fetch_one("settled")
        return 0 if row is None else int(row[0])

    async def count_events(self, workspace: str, since: datetime, until: datetime | None) -> EventCounts:
        """Count the records of a workspace by hour, event and outcome, ``since`` inclusive, ``until`` not."""
        last = await self.settled()
        if not storable(workspace):
            return counts_of((), last)
        end = None if until is None else to_micros(until)
        rows = await self._database.fetch_all("count_events", workspace, to_micros(since), end, last)
        return counts_of(rows, last)


def statement(
    workspace: str | None, wanted: AuditFilter, *, first: int | None, end: int | None, newest_first: bool, limit: int
) -> tuple[str, list[Value]]:
    """Return the statement of a query, of records with ``first <= seq < end``, and its parameters."""
    conditions: list[str] = []
    parameters: list[Value] = []

    def add(condition: str, value: Value) -> None:
        parameters.append(value)
        conditions.append(condition.format(f"${len(parameters)}"))

    given = {"workspace": workspace, **{facet: getattr(wanted, facet) for facet in _FACETS}}
    for facet, value in given.items():
        if value is not None:
            add(f"{facet} = {{}}", str(value)) if storable(value) else conditions.append("false")
    if wanted.prompt:
        conditions.append("prompt <> ''")  # so that the partial index serves
    if wanted.since is not None:
        add("at >= {}", to_micros(wanted.since))
    if wanted.until is not None:
        add("at < {}", to_micros(wanted.until))
    if first is not None:
        add("seq >= {}", first)
    if end is not None:
        add("seq < {}", end)
    parameters.append(limit)
    order = "DESC" if newest_first else "ASC"
    # every part of the text is a constant of this module; what callers give is bound
    text = (
        f"SELECT {RECORD} FROM stepup.audit AS r LEFT JOIN stepup.leaves AS l ON l.record_id = r.id "  # noqa: S608
        f"WHERE {' AND '.join(conditions) or 'true'} ORDER BY r.seq {order} LIMIT ${len(parameters)}"
    )
    return text, parameters
