"""Queries of the audit log, and their results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from operator import itemgetter
from typing import Any

from .audit_record import AuditRecord
from .binding import bound_request_from
from .events import EventName, Outcome, Severity
from .factors import FactorKind, FactorRequirement
from .topics import Topic


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
class Backlog:
    """What waits in a store: ``leafless`` records for their leaf, the first of them since ``since`` (UTC; None: none).

    ``undelivered``: events of each topic that some sink has not taken after a minute. All are counted up to a limit.
    """

    leafless: int = 0
    since: datetime | None = None
    undelivered: Mapping[Topic, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Load:
    """What this process has for a store: operations that wait now, and since its start those done, in how many
    transactions. For metrics: an operation more or less does not matter.
    """

    waiting: int = 0
    done: int = 0
    transactions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An event that some sink of its ``topic`` has not taken yet. ``had`` names the sinks that have."""

    record: AuditRecord
    topic: Topic
    had: tuple[str, ...]


_TEXTS = (
    "workspace", "subject", "subject_name", "actor", "client", "session", "ip", "user_agent", "purpose", "prompt",
    "factor_id", "reason",
)  # fmt: skip


def read_record(
    body: str,
    *,
    seq: int = 0,
    id_: str = "",
    entry: str = "",
    mac: bytes = b"",
    refused: str | None = None,
    log: int | None = None,
    index: int | None = None,
) -> AuditRecord:
    """Return the record of a body, or of the text of an event. Its fields are read from there and nowhere else.

    Raises ``ValueError`` when the text is no event.
    """
    try:
        return _read(body, seq=seq, id=id_, entry=entry, mac=mac, log=log, index=index, refused=refused)
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError("the text is no event") from error


def _read(body: str, *, refused: str | None, index: int | None, **place: Any) -> AuditRecord:
    fields = json.loads(body)
    texts = itemgetter(*_TEXTS)(fields)
    if not all(isinstance(each, str) for each in (*texts, *fields["flags"], *chain.from_iterable(fields["details"]))):
        raise TypeError("a member that is a text is none")
    if not isinstance(fields["data"], dict):
        raise TypeError("the data of an event is an object")
    request = fields["request"]
    return AuditRecord(
        **place,
        body=body,
        salt=fields.get("salt", ""),
        index=index,
        refused=None if index is not None else refused,
        at=datetime.fromisoformat(fields["at"]),
        event=EventName(fields["event"]),
        severity=Severity(fields["severity"]),
        outcome=Outcome(fields["outcome"]),
        workspace_id=fields["workspace"],
        subject_id=fields["subject"],
        subject_name=fields["subject_name"],
        actor=fields["actor"],
        client=fields["client"],
        session=fields["session"],
        ip=fields["ip"],
        user_agent=fields["user_agent"],
        purpose=fields["purpose"],
        prompt_id=fields["prompt"],
        factor_kind=None if fields["factor"] is None else FactorKind(fields["factor"]),
        factor_id=fields["factor_id"],
        requirement=None if fields["requirement"] is None else FactorRequirement(fields["requirement"]),
        policy_version=fields["policy_version"],
        request=None if request is None else bound_request_from(request),
        details=tuple((label, text) for label, text in fields["details"]),
        reason=fields["reason"],
        flags=tuple(fields["flags"]),
        retention_years=fields["retention_years"],
        data=fields["data"],
    )
