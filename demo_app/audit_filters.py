"""The filters of the audit log, from the words of a query to the library's own."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from starlette.datastructures import QueryParams

from stepup_middleware import AuditFilter, EventName, Outcome

_Word = TypeVar("_Word", bound=StrEnum)
_FILTERS = ("event", "purpose", "person", "outcome", "since", "until", "prompt")


def chosen(query: QueryParams) -> dict[str, str]:
    """Return the filters that a query sets, by name."""
    return {name: query[name].strip()[:200] for name in _FILTERS if query.get(name, "").strip()}


def audit_filter(wanted: dict[str, str]) -> AuditFilter:
    """Return the library's filter. Raises ``ValueError`` with a sentence for a value that means nothing."""
    return AuditFilter(
        event=_known(EventName, wanted.get("event"), "event"),
        purpose=wanted.get("purpose"),
        subject=wanted.get("person"),
        outcome=_known(Outcome, wanted.get("outcome"), "outcome"),
        since=_time(wanted.get("since")),
        until=_time(wanted.get("until")),
        prompt=wanted.get("prompt"),
    )


def _known(kind: type[_Word], word: str | None, name: str) -> _Word | None:
    if word is None:
        return None
    try:
        return kind(word)
    except ValueError:
        raise ValueError(f"There is no such {name}.") from None


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("A time is written as 2026-11-24T08:00, in UTC.") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
