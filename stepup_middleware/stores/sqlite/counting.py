"""Counting the audit log where it lies, a stretch at a time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from stepup_middleware.core.moments import to_micros
from stepup_middleware.stores.base import EventCounts
from stepup_middleware.stores.rows import Row, counts_of

from .reader import Reader

_STRETCH = 50_000  # sequence numbers a statement: about 50 ms, for which other reads wait


async def count_events(
    reader: Reader, sql: Mapping[str, str], workspace: str, since: datetime, until: datetime | None
) -> EventCounts:
    """Count the records of a workspace by hour and event, ``since`` inclusive, ``until`` not."""
    span = {"since": to_micros(since), "until": None if until is None else to_micros(until)}
    ((first, end, last),) = await reader.rows(sql["span"], span)
    last = last or 0
    end = end or last + 1
    rows: list[Row] = []
    for start in range(first or end, end, _STRETCH):
        stretch = {"workspace": workspace, "first": start, "end": min(start + _STRETCH, end)}
        rows += await reader.rows(sql["count_events"], span | stretch)
    return counts_of(rows, last)
