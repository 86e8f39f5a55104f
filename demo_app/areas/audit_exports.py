"""Exports of the audit log: streamed, counted while they run, and listed on the page of the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Scope

from demo_app.accounts import WORKSPACE
from demo_app.audit_filters import audit_search, chosen
from demo_app.axis import ADMINS_ONLY, NOT_THERE, Actor, Axis, actor_of, admin_of, axis_of
from demo_app.db import Row
from demo_app.languages import Texts, marked, saying, texts_of
from demo_app.pages import fragment
from stepup_middleware import AuditSearch, LogExport, requires_step_up
from stepup_middleware.exports import ExportFormat

PRODUCT = "AxisSynapse"
_SHOWN = 5  # exports
_NOTED_SECONDS = 0.5  # how often a running export says how far it has come
_FOR_AGENTS = 5_000  # records that may be written before an export is too long for the answer of a tool
_SILENT = timedelta(seconds=15)  # an export that has not said so for this long has stopped
_TOO_LONG = marked("The audit log is too long for one answer. Its person exports it on the page of the log.")

LABELS = {ExportFormat.CSV: "CSV", ExportFormat.NDJSON: "NDJSON", ExportFormat.OCSF: "OCSF"}


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


def _wish(query: QueryParams) -> tuple[ExportFormat, AuditSearch, str]:
    try:
        form = ExportFormat(query.get("format", "csv"))
    except ValueError:
        raise HTTPException(422, marked("The log is exported as csv, ndjson or ocsf.")) from None
    wanted = chosen(query)
    try:
        wish = audit_search(wanted)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    return form, wish, ", ".join(f"{name}={value}" for name, value in wanted.items())


async def export_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for an export: the format and which events.

    What makes no sense is refused here, before anybody is asked to prove anything.
    """
    subject = await axis_of(scope).accounts.identify(scope)
    if subject is None or not subject.is_admin:
        raise HTTPException(403, ADMINS_ONLY)
    form, _, which = _wish(QueryParams(scope["query_string"]))
    return _shown(texts_of(scope), form, which)


def _shown(_: Texts, form: ExportFormat, which: str) -> list[tuple[str, str]]:
    return [(_("Format"), LABELS[form]), (_("Events"), which or _("all"))]


@requires_step_up("audit_log_export", details=export_details)
async def export(request: Request) -> Response:
    """Export the events that meet the filters, streamed; a plain form with GET, answered with a file."""
    form, wish, which = _wish(request.query_params)
    axis = axis_of(request.scope)
    job = await _begin(axis, await actor_of(request), form, wish, which)
    made = axis.stepup.audit.export(WORKSPACE, wish, form=form, product=PRODUCT)
    headers = {"content-disposition": f'attachment; filename="audit-log.{form.ending}"'}
    return StreamingResponse(_parts(axis, job, made), media_type=form.media_type, headers=headers)


async def export_for_agent(
    axis: Axis, texts: Texts, form: str, proved: Callable[[list[tuple[str, str]]], Awaitable[Actor]]
) -> str:
    """Return the whole log as a file, once ``proved`` has said who may have what it is shown.

    Raises ``OverflowError`` before anybody is asked where the log is too long for one answer.
    """
    newest = await axis.stepup.audit.page(WORKSPACE, limit=1)
    if newest.events and newest.events[0].seq > _FOR_AGENTS:
        raise OverflowError(texts(_TOO_LONG))
    kind = ExportFormat(form)
    actor = await proved(_shown(texts, kind, ""))
    job = await _begin(axis, actor, kind, AuditSearch(), "")
    made = axis.stepup.audit.export(WORKSPACE, AuditSearch(), form=kind, product=PRODUCT)
    return "".join([part async for part in _parts(axis, job, made)])


async def _begin(axis: Axis, actor: Actor, form: ExportFormat, wish: AuditSearch, which: str) -> int:
    newest = await axis.stepup.audit.page(WORKSPACE, wish.filter, limit=1)
    async with axis.database.write() as change:
        row = await change.one(
            "INSERT INTO audit_export (account_id, format, wanted, started_at, updated_at, last)"
            " VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
            actor.account_id,
            LABELS[form],
            which,
            actor.at.isoformat(),
            actor.at.isoformat(),
            newest.events[0].seq if newest.events else 0,
        )
        events = which or saying("all")
        told = saying("Audit log exported as %(format)s, events: %(which)s.", format=LABELS[form], which=events)
        await actor.note(change, told)
    return int(row["id"]) if row is not None else 0


async def _parts(axis: Axis, job: int, made: LogExport) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    noted = loop.time()
    async for part in made:
        yield part
        if loop.time() - noted >= _NOTED_SECONDS:
            noted = loop.time()
            await _note(axis, job, made, None)
    manifest = await made.manifest()
    await _note(axis, job, made, json.dumps(manifest.as_dict(), ensure_ascii=False, indent=1))


async def _note(axis: Axis, job: int, made: LogExport, manifest: str | None) -> None:
    now = axis.clock().isoformat()
    async with axis.database.write() as change:
        await change.run(
            "UPDATE audit_export SET updated_at = ?, finished_at = ?, events = ?, first = ?, position = ?, manifest = ?"
            " WHERE id = ?",
            now,
            None if manifest is None else now,
            made.records,
            made.first_seq,
            made.seq,
            manifest,
            job,
        )


async def manifest(request: Request) -> Response:
    """Return the manifest of an export, as a file beside that of the export."""
    await admin_of(request)
    row = await axis_of(request.scope).database.one(
        "SELECT format, manifest FROM audit_export WHERE id = ?", request.path_params["export"]
    )
    if row is None or row["manifest"] is None:
        raise HTTPException(404, NOT_THERE)
    form = next(form for form, label in LABELS.items() if label == row["format"])
    headers = {"content-disposition": f'attachment; filename="audit-log.{form.ending}.manifest.json"'}
    return Response(row["manifest"], media_type="application/json", headers=headers)


async def progress(request: Request) -> Response:
    """Return the list of the latest exports as they are now."""
    await admin_of(request)
    return fragment(request, "audit_exports.html", exports=await recent(axis_of(request.scope)))


routes = [
    Route("/audit/export", export),
    Route("/audit/exports", progress),
    Route("/audit/exports/{export:row}/manifest", manifest),
]
