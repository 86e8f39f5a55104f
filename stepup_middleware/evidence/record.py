"""Read a record strictly: its entry, its body, and whether the two fit together. One reading for every verifier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC

from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.events import EventName, Outcome
from stepup_middleware.core.moments import iso
from stepup_middleware.core.sequence import read_event
from stepup_middleware.log.records import Entry, last_day, read_body, read_entry

from .report import Check, Finding

# what it raises to take anybody's text for that of a record
MISSHAPEN = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """A record as far as it could be read, and what does not hold. Fields of findings begin with where it lies."""

    entry: Entry | None
    event: AuditRecord | None
    findings: tuple[Finding, ...]


def read_record_at(where: str, entry_text: str, body: str) -> ReadRecord:
    """Read a record. Never raises, whatever the two texts are."""
    try:
        entry = read_entry(entry_text)
    except ValueError as error:
        return ReadRecord(None, None, (_wrong(Check.INCLUSION, f"{where}.entry", str(error)),))
    found = []
    if not entry.is_of(body):
        found.append(_wrong(Check.INCLUSION, f"{where}.body", "is not the body of this entry: its hash is another"))
    try:
        text = read_body(body)
    except (ValueError, RecursionError) as error:
        found.append(_wrong(Check.EVENTS, f"{where}.body", str(error)))
        return ReadRecord(entry, None, tuple(found))
    event, wrong = read_event(where, text)
    found += map(Finding.of, wrong)
    if event is not None:
        found += _disagreeing(where, entry, event)
    return ReadRecord(entry, event, tuple(found))


def _disagreeing(where: str, entry: Entry, event: AuditRecord) -> Iterator[Finding]:
    if iso(entry.at) != iso(event.at):
        yield _wrong(Check.EVENTS, f"{where}.entry", "its at is not what the body says")
    if entry.keep_until.isoformat() != _keep_until(event):
        yield _wrong(Check.EVENTS, f"{where}.entry", "its keep_until is not what the body says")
    if event.outcome not in _outcomes(event.event):
        yield _wrong(Check.EVENTS, f"{where}.body.outcome", f"is not how {event.event} goes")


def _outcomes(name: EventName) -> tuple[Outcome, ...]:
    """Return how an event of a name may have gone: a failed ceremony is also one that the person cancelled."""
    return (name.outcome, Outcome.CANCELLED) if name is EventName.FAILED else (name.outcome,)


def _keep_until(event: AuditRecord) -> str | None:
    """Return the last day on which an event is kept, None where its years are no number or beyond every calendar."""
    if type(event.retention_years) is not int:  # its text may have said anything
        return None
    try:
        return last_day(event.at.astimezone(UTC).date(), event.retention_years)
    except (ValueError, OverflowError):
        return None


def _wrong(check: Check, field: str, problem: str) -> Finding:
    return Finding(check=check, field=field, problem=problem)
