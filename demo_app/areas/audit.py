"""The audit log: filters, one step-up from beginning to end, and the export."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Scope

from demo_app.accounts import WORKSPACE
from demo_app.axis import axis_of, current
from demo_app.pages import page
from demo_app.seed import ACCOUNTS
from demo_app.tables import csv_line
from stepup_middleware import (
    PLATFORM_PURPOSES,
    AuditFilter,
    AuditRecord,
    EventName,
    Outcome,
    requires_step_up,
)

PAGE = 50  # events
_Word = TypeVar("_Word", bound=StrEnum)
FORMATS = ("csv", "ndjson")
_FILTERS = ("event", "purpose", "person", "outcome", "since", "until", "prompt")
_COLUMNS = (
    "seq",
    "at",
    "event",
    "severity",
    "outcome",
    "subject",
    "purpose",
    "prompt",
    "factor",
    "requirement",
    "request",
    "details",
    "reason",
    "flags",
    "ip",
    "user agent",
    "session",
    "hash",
)


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


async def show(request: Request) -> Response:
    """Show the newest events that meet the filters, a page at a time."""
    await current(request)
    wanted = chosen(request.query_params)
    before = request.query_params.get("before", "")
    try:
        wish = audit_filter(wanted)
        cursor = int(before) if before else None
    except ValueError as error:
        problem = str(error) if not before else "This page of the log does not exist. Begin with the newest events."
        return await _show(request, wanted, [], None, 422, problem)
    found = await axis_of(request.scope).stepup.audit.page(WORKSPACE, wish, before=cursor, limit=PAGE)
    older = urlencode({**wanted, "before": str(found.next)}) if found.next is not None else None
    return await _show(request, wanted, found.events, older)


async def _show(
    request: Request,
    wanted: dict[str, str],
    events: Iterable[AuditRecord],
    older: str | None,
    status: int = 200,
    problem: str | None = None,
) -> Response:
    return await page(
        request,
        "audit.html",
        status=status,
        problem=problem,
        events=list(events),
        older=older,
        wanted=wanted,
        names=[(name.value, name.value) for name in EventName],
        outcomes=[(outcome.value, outcome.value) for outcome in Outcome],
        purposes=[(purpose.id, purpose.title) for purpose in PLATFORM_PURPOSES],
        people=[(account_id, name) for account_id, _, name, _ in ACCOUNTS],
        continued="before" in request.query_params,
    )


async def one_step_up(request: Request) -> Response:
    """Show the events of one prompt together, oldest first, with the evidence."""
    await current(request)
    prompt_id = request.path_params["prompt"]
    events = await axis_of(request.scope).stepup.audit.of_prompt(WORKSPACE, prompt_id)
    if not events:
        raise HTTPException(404, "The log has no step-up with this number.")
    return await page(request, "audit_prompt.html", events=events, prompt_id=prompt_id)


async def export_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for an export: the format and which events.

    What makes no sense is refused here, before anybody is asked to prove anything.
    """
    query = QueryParams(scope["query_string"])
    form, _ = _wish(query)
    which = ", ".join(f"{name} {value}" for name, value in chosen(query).items()) or "all"
    return [("Format", form.upper()), ("Events", which)]


def _wish(query: QueryParams) -> tuple[str, AuditFilter]:
    form = query.get("format", "csv")
    if form not in FORMATS:
        raise HTTPException(422, "The log is exported as csv or ndjson.")
    try:
        return form, audit_filter(chosen(query))
    except ValueError as error:
        raise HTTPException(422, str(error)) from error


@requires_step_up("audit_log_export", details=export_details)
async def export(request: Request) -> Response:
    """Export the events that meet the filters, streamed; a plain form with GET, answered with a file."""
    form, wish = _wish(request.query_params)
    events = axis_of(request.scope).stepup.audit.stream(WORKSPACE, wish)
    lines = _csv(events) if form == "csv" else _ndjson(events)
    kind = "text/csv; charset=utf-8" if form == "csv" else "application/x-ndjson"
    headers = {"content-disposition": f'attachment; filename="audit-log.{form}"'}
    return StreamingResponse(lines, media_type=kind, headers=headers)


async def _csv(events: AsyncIterator[AuditRecord]) -> AsyncIterator[str]:
    yield csv_line(_COLUMNS)
    async for event in events:
        row = as_row(event)
        yield csv_line(row[column] for column in _COLUMNS)


async def _ndjson(events: AsyncIterator[AuditRecord]) -> AsyncIterator[str]:
    async for event in events:
        row = {**as_row(event), "details": event.details, "flags": event.flags, "data": dict(event.data)}
        yield json.dumps(row, ensure_ascii=False, default=str) + "\n"


def as_row(event: AuditRecord) -> dict[str, Any]:
    """Return an event as the cells of a table."""
    return {
        "seq": event.seq,
        "at": event.at.isoformat(),
        "event": event.event.value,
        "severity": event.severity.value,
        "outcome": event.outcome.value,
        "subject": event.subject_id,
        "purpose": event.purpose,
        "prompt": event.prompt_id,
        "factor": event.factor_kind.value if event.factor_kind else "",
        "requirement": event.requirement.value if event.requirement else "",
        "request": f"{event.request.method} {event.request.path}" if event.request else "",
        "details": "; ".join(f"{label}: {value}" for label, value in event.details),
        "reason": event.reason,
        "flags": " ".join(event.flags),
        "ip": event.ip,
        "user agent": event.user_agent,
        "session": event.session,
        "hash": event.hash.hex(),
    }


routes = [
    Route("/audit", show),
    Route("/audit/export", export),
    Route("/audit/prompts/{prompt}", one_step_up),
]
