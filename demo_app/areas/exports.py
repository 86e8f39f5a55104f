"""Data exports: prepared bundles, written when they are downloaded."""

from __future__ import annotations

import io
import zipfile

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from demo_app.axis import NOT_THERE, Actor, actor_of, axis_of, current
from demo_app.db import Database, Row
from demo_app.languages import saying, texts_of
from demo_app.pages import download, page
from demo_app.tables import csv_table
from stepup_middleware import requires_step_up

_EXPORTS = (
    "SELECT data_export.*, account.name AS downloader FROM data_export"
    " LEFT JOIN account ON account.id = downloaded_by WHERE ? IN ('', data_export.id) ORDER BY data_export.id"
)
# content -> (file, header, query), each file a table of the bundle
_TABLES: dict[str, tuple[tuple[str, tuple[str, ...], str], ...]] = {
    "people": (
        ("employees.csv", ("number", "name"), "SELECT number, name FROM employee ORDER BY number"),
        (
            "former-employees.csv",
            ("id", "label", "email", "phone", "address"),
            "SELECT id, label, email, phone, address FROM member ORDER BY id",
        ),
    ),
    "payroll": (
        (
            "payments.csv",
            ("run", "employee", "cents"),
            "SELECT run_id, employee, cents FROM payment ORDER BY run_id, employee",
        ),
    ),
    "equity": (
        (
            "grants.csv",
            ("id", "grantee", "instrument", "shares", "first signer", "second signer"),
            "SELECT id, grantee, instrument, shares, first_signer, second_signer FROM equity_grant ORDER BY id",
        ),
    ),
}


async def bundle(database: Database, export_id: str, actor: Actor) -> bytes:
    """Write an export's ZIP of CSV files and count the download."""
    async with database.write() as change:
        row = await change.one(
            "UPDATE data_export SET downloads = downloads + 1, downloaded_at = ?, downloaded_by = ?"
            " WHERE id = ? RETURNING title, content",
            actor.at.isoformat(),
            actor.account_id,
            export_id,
        )
        if row is None:
            raise HTTPException(404, NOT_THERE)
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, header, query in _TABLES[row["content"]]:
                archive.writestr(name, csv_table(header, (tuple(line) for line in await change.all(query))))
        await actor.note(change, saying("Data export %(title)s downloaded.", title=row["title"]))
    return content.getvalue()


async def _export(database: Database, export_id: str) -> Row:
    row = await database.one(_EXPORTS, export_id)
    if row is None:
        raise HTTPException(404, NOT_THERE)
    return row


async def export_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for an export: which, with which files, prepared when."""
    row = await _export(axis_of(scope).database, scope["path_params"]["export"])
    files = ", ".join(name for name, _, _ in _TABLES[row["content"]])
    _ = texts = texts_of(scope)
    return [(_("Export"), row["title"]), (_("Files"), files), (_("Prepared"), texts.day(row["prepared_at"]))]


async def overview(request: Request) -> Response:
    """Show the prepared exports."""
    await current(request)
    exports = await axis_of(request.scope).database.all(_EXPORTS, "")
    rows = [(row, [name for name, _, _ in _TABLES[row["content"]]]) for row in exports]
    return await page(request, "exports.html", exports=rows)


@requires_step_up("data_export_download", details=export_details)
async def fetch(request: Request) -> Response:
    """Download a bundle; a plain link, answered with a file."""
    export_id = request.path_params["export"]
    content = await bundle(axis_of(request.scope).database, export_id, await actor_of(request))
    return download(content, f"axis-export-{export_id}.zip", "application/zip")


routes = [
    Route("/exports", overview),
    Route("/exports/{export}/download", fetch),
]
