"""The filters of the audit log, from the words of a query to the library's own."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from starlette.datastructures import QueryParams

from demo_app.languages import marked
from stepup_middleware import AuditFilter, AuditSearch, EventName, FactorKind, Outcome, Severity

_Word = TypeVar("_Word", bound=StrEnum)
_WHOLE = 44  # digits of the number of a step-up; a part of it is looked for
_FILTERS = ("event", "purpose", "person", "outcome", "since", "until", "prompt", "severity", "factor")


def chosen(query: QueryParams) -> dict[str, str]:
    """Return the filters that a query sets, by name."""
    return {name: query[name].strip()[:200] for name in _FILTERS if query.get(name, "").strip()}


def audit_search(wanted: dict[str, str]) -> AuditSearch:
    """Return the library's search. Raises ``ValueError`` with a sentence for a value that means nothing."""
    prompt = wanted.get("prompt", "")
    by_index = AuditFilter(
        event=_known(EventName, wanted.get("event")),
        purpose=wanted.get("purpose"),
        subject=wanted.get("person"),
        outcome=_known(Outcome, wanted.get("outcome")),
        since=_time(wanted.get("since")),
        until=_time(wanted.get("until")),
        prompt=prompt if len(prompt) == _WHOLE else None,
    )
    return AuditSearch(
        filter=by_index,
        severity=_known(Severity, wanted.get("severity")),
        factor=_known(FactorKind, wanted.get("factor")),
        prompt_part=None if len(prompt) == _WHOLE else prompt or None,
    )


def _known(kind: type[_Word], word: str | None) -> _Word | None:
    if word is None:
        return None
    try:
        return kind(word)
    except ValueError:
        raise ValueError(marked("A filter has a value that does not exist. Clear the filters.")) from None


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(marked("A time is written as 2026-11-24T08:00, in UTC.")) from None
