"""Queries of the audit log, and their results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from .events import AuditRecord, EventName, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """What to read of the log. Every field that is set must match.

    ``event``, ``purpose`` (its id), ``subject`` (the id of a person), ``outcome`` and ``prompt`` (an id) are compared
    as they are; ``since`` (inclusive) and ``until`` (not) are aware UTC.
    """

    event: EventName | None = None
    purpose: str | None = None
    subject: str | None = None
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """A page of the log: its ``events``, newest first, and ``next``, the cursor of the next page (None at the end)."""

    events: tuple[AuditRecord, ...]
    next: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCounts:
    """The number of records of each hour, event and outcome, up to ``last_seq``: no record will be added before it.

    ``by_hour`` has the combinations that occur; an hour is named by its start, in UTC.
    """

    by_hour: Mapping[tuple[datetime, EventName, Outcome], int]
    last_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainStart:
    """Where a chain begins after purging: the last purged link and its hash."""

    chain: str
    link: int
    hash: bytes
    purged_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A critical event that some sink has not taken yet. ``had`` names the sinks that have."""

    record: AuditRecord
    had: tuple[str, ...]
