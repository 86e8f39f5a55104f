"""Exports of the audit log: streamed, counted while they run, and listed on the page of the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Scope

from demo_app.accounts import WORKSPACE
from demo_app.audit_filters import audit_search, chosen
from demo_app.axis import ADMINS_ONLY, Actor, Axis, actor_of, admin_of, axis_of
from demo_app.db import Row
from demo_app.pages import fragment
from stepup_middleware import AuditRecord, AuditSearch, requires_step_up
from stepup_middleware.exports import CSV_COLUMNS, csv_line, csv_row, ocsf_event, record_as_dict

PRODUCT = "AxisSynapse"
_SHOWN = 5  # exports
_BATCH = 200  # lines that are sent at once
_NOTED_SECONDS = 0.5  # how often a running export says how far it has come
_SILENT = timedelta(seconds=15)  # an export that has not said so for this long has stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format of the export: how a person reads it, the file's ending and type, its head and each record's line."""

    label: str
    ending: str
    media_type: str
    head: str
    line: Callable[[AuditRecord], str]


def _json_line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


FORMATS = {
    "csv": Format(
        label="CSV",
        ending="csv",
        media_type="text/csv; charset=utf-8",
        head=csv_line(CSV_COLUMNS),
        line=lambda record: csv_line(csv_row(record)),
    ),
    "ndjson": Format(
        label="NDJSON",
        ending="ndjson",
        media_type="application/x-ndjson",
        head="",
        line=lambda record: _json_line(record_as_dict(record)),
    ),
    "ocsf": Format(
        label="OCSF",
        ending="ocsf.ndjson",
        media_type="application/x-ndjson",
        head="",
        line=lambda record: _json_line(ocsf_event(record, product=PRODUCT)),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """An export as the page shows it. ``percent`` is its way through the log; ``state`` done, running or stopped."""

    row: Row
    state: str
    percent: int


async def recent(axis: Axis) -> list[Progress]:
    """Return the latest exports, newest first."""
    rows = await axis.database.all(
        "SELECT audit_export.*, name FROM audit_export JOIN account ON account.id = account_id"
        " ORDER BY audit_export.id DESC LIMIT ?",
        _SHOWN,
    )
    return [_progress(row, axis.clock()) for row in rows]


def _progress(row: Row, now: datetime) -> Progress:
    if row["finished_at"] is not None:
        return Progress(row=row, state="done", percent=100)
    silent = now - datetime.fromisoformat(row["updated_at"]) > _SILENT
    way = max(1, row["last"] - row["first"])
    percent = 100 * (row["position"] - row["first"]) // way if row["position"] else 0
    return Progress(row=row, state="stopped" if silent else "running", percent=min(99, percent))


def _wish(query: QueryParams) -> tuple[Format, AuditSearch, str]:
    form = FORMATS.get(query.get("format", "csv"))
    if form is None:
        raise HTTPException(422, "The log is exported as csv, ndjson or ocsf.")
    wanted = chosen(query)
    try:
        wish = audit_search(wanted)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    return form, wish, ", ".join(f"{name} {value}" for name, value in wanted.items()) or "all"


async def export_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for an export: the format and which events.

    What makes no sense is refused here, before anybody is asked to prove anything.
    """
    subject = await axis_of(scope).accounts.identify(scope)
    if subject is None or not subject.is_admin:
        raise HTTPException(403, ADMINS_ONLY)
    form, _, which = _wish(QueryParams(scope["query_string"]))
    return [("Format", form.label), ("Events", which)]


@requires_step_up("audit_log_export", details=export_details)
async def export(request: Request) -> Response:
    """Export the events that meet the filters, streamed; a plain form with GET, answered with a file."""
    form, wish, which = _wish(request.query_params)
    axis = axis_of(request.scope)
    job = await _begin(axis, await actor_of(request), form, wish, which)
    headers = {"content-disposition": f'attachment; filename="audit-log.{form.ending}"'}
    return StreamingResponse(_lines(axis, job, form, wish), media_type=form.media_type, headers=headers)


async def _begin(axis: Axis, actor: Actor, form: Format, wish: AuditSearch, which: str) -> int:
    newest = await axis.stepup.audit.page(WORKSPACE, wish.filter, limit=1)
    async with axis.database.write() as change:
        row = await change.one(
            "INSERT INTO audit_export (account_id, format, wanted, started_at, updated_at, last)"
            " VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
            actor.account_id,
            form.label,
            which,
            actor.at.isoformat(),
            actor.at.isoformat(),
            newest.events[0].seq if newest.events else 0,
        )
        await actor.note(change, f"Audit log exported as {form.label}, events: {which}.")
    return int(row["id"]) if row is not None else 0


async def _lines(axis: Axis, job: int, form: Format, wish: AuditSearch) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    lines, events, first, position, noted = [form.head], 0, 0, 0, loop.time()
    async for record in axis.stepup.audit.stream(WORKSPACE, wish.filter):
        if not wish.admits(record):
            continue
        lines.append(form.line(record))
        events, first, position = events + 1, first or record.seq, record.seq
        if len(lines) >= _BATCH:
            yield "".join(lines)
            lines.clear()
            if loop.time() - noted >= _NOTED_SECONDS:
                noted = loop.time()
                await _note(axis, job, events, first, position, finished=False)
    yield "".join(lines)
    await _note(axis, job, events, first, position, finished=True)


async def _note(axis: Axis, job: int, events: int, first: int, position: int, *, finished: bool) -> None:
    now = axis.clock().isoformat()
    async with axis.database.write() as change:
        await change.run(
            "UPDATE audit_export SET updated_at = ?, finished_at = ?, events = ?, first = ?, position = ? WHERE id = ?",
            now,
            now if finished else None,
            events,
            first,
            position,
            job,
        )


async def progress(request: Request) -> Response:
    """Return the list of the latest exports as they are now."""
    await admin_of(request)
    return fragment("audit_exports.html", exports=await recent(axis_of(request.scope)))


routes = [
    Route("/audit/export", export),
    Route("/audit/exports", progress),
]
