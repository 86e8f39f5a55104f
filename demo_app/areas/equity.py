"""Equity: a grant takes effect when a second person has signed it."""

from __future__ import annotations

import hashlib

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from demo_app.axis import NOT_THERE, Actor, Conflict, actor_of, axis_of, current
from demo_app.db import Database, Row
from demo_app.languages import Text, marked, money, said_in, saying, texts_of
from demo_app.pages import download, page, say_and_show
from stepup_middleware import requires_step_up

MAX_DOCUMENT = 5 * 1024 * 1024  # bytes
_GRANTS = (
    "SELECT equity_grant.id, instrument, shares, price_cents, vesting, employee.name AS grantee, first_signer,"
    " first_signed_at, second_signed_at, document_name, document_sha256, first.name AS first_name,"
    " second.name AS second_name"
    " FROM equity_grant JOIN employee ON number = grantee LEFT JOIN account AS first ON first.id = first_signer"
    " LEFT JOIN account AS second ON second.id = second_signer"
    " WHERE ? IN ('', equity_grant.id) ORDER BY second_signed_at IS NOT NULL, equity_grant.id"
)


def obstacle(grant: Row, account_id: str) -> str | None:
    """Return why this person cannot cosign this grant now, or None when they can."""
    if grant["second_signed_at"] is not None:
        return marked("Both signatures are in place.")
    if grant["first_signer"] is None:
        return marked("Nobody has signed first yet. Sign first, then ask a second person to cosign.")
    if grant["first_signer"] == account_id:
        return marked("You signed first. A different person must cosign.")
    return None


async def sign_first(database: Database, grant_id: str, actor: Actor) -> Text:
    """Sign a grant as the first of two. Raises ``Conflict`` when somebody has signed it already."""
    async with database.write() as change:
        signed = await change.run(
            "UPDATE equity_grant SET first_signer = ?, first_signed_at = ? WHERE id = ? AND first_signer IS NULL",
            actor.account_id,
            actor.at.isoformat(),
            grant_id,
        )
        if not signed:
            raise Conflict(saying("Grant %(grant)s has a first signature already.", grant=grant_id))
        sentence = saying("Grant %(grant)s signed first. A different person must cosign.", grant=grant_id)
        await actor.note(change, sentence)
    return sentence


async def cosign_grant(
    database: Database, grant_id: str, actor: Actor, document: tuple[str, bytes] | None = None
) -> Text:
    """Sign a grant as the second of two, with the signed document where there is one.

    Raises ``Conflict`` when the grant is not waiting for a second signature, or waits for one of another person.
    """
    async with database.write() as change:
        grant = await change.one("SELECT * FROM equity_grant WHERE id = ?", grant_id)
        if grant is None:
            raise Conflict(saying(NOT_THERE))
        reason = obstacle(grant, actor.account_id)
        if reason is not None:
            raise Conflict(saying("Grant %(grant)s was not cosigned. %(why)s", grant=grant_id, why=saying(reason)))
        name, content = document or (None, None)
        await change.run(
            "UPDATE equity_grant SET second_signer = ?, second_signed_at = ?, document_name = ?,"
            " document_sha256 = ?, document = ? WHERE id = ?",
            actor.account_id,
            actor.at.isoformat(),
            name,
            hashlib.sha256(content).hexdigest() if content is not None else None,
            content,
            grant_id,
        )
        sentence = saying(
            "Grant %(grant)s cosigned. Shares granted: %(number)s.", grant=grant_id, number=grant["shares"]
        )
        await actor.note(change, sentence)
    return sentence


async def _grant(database: Database, grant_id: str) -> Row:
    grant = await database.one(_GRANTS, grant_id)
    if grant is None:
        raise HTTPException(404, NOT_THERE)
    return grant


async def grant_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for a grant: to whom, what, how much, and who signed first."""
    grant = await _grant(axis_of(scope).database, scope["path_params"]["grant"])
    _ = texts = texts_of(scope)
    return [
        (_("Grant"), grant["id"]),
        (_("Grantee"), grant["grantee"]),
        (_("Instrument"), grant["instrument"]),
        (_("Shares"), texts.number(grant["shares"])),
        (_("Price per share"), money(texts, grant["price_cents"])),
        (_("First signer"), grant["first_name"] or _("nobody yet")),
    ]


async def overview(request: Request) -> Response:
    """Show every grant, those that wait for a signature first."""
    return await _overview(request)


async def _overview(request: Request, conflict: Conflict | None = None) -> Response:
    subject = await current(request)
    grants = await axis_of(request.scope).database.all(_GRANTS, "")
    rows = [(grant, obstacle(grant, subject.id)) for grant in grants]
    problem = None if conflict is None else said_in(texts_of(request.scope), conflict.reason)
    return await page(request, "equity.html", status=409 if conflict else 200, grants=rows, problem=problem)


async def sign(request: Request) -> Response:
    """Sign a grant first: not high-impact, since nothing is granted before the second signature."""
    actor = await actor_of(request)
    try:
        said = await sign_first(axis_of(request.scope).database, request.path_params["grant"], actor)
    except Conflict as conflict:
        return await _overview(request, conflict)
    return say_and_show(request, said, "/equity")


@requires_step_up("equity_grant_cosign", details=grant_details)
async def cosign(request: Request) -> Response:
    """Cosign a grant; a plain multipart form, with the signed PDF where the person has one."""
    actor = await actor_of(request)
    try:
        document = await _document(request)
        database = axis_of(request.scope).database
        said = await cosign_grant(database, request.path_params["grant"], actor, document)
    except Conflict as conflict:
        return await _overview(request, conflict)
    return say_and_show(request, said, "/equity")


async def _document(request: Request) -> tuple[str, bytes] | None:
    async with request.form(max_files=1, max_fields=4) as form:
        upload = form.get("document")
        if not isinstance(upload, UploadFile) or not upload.filename:
            return None
        content = await upload.read(MAX_DOCUMENT + 1)
    if len(content) > MAX_DOCUMENT:
        raise Conflict(saying("The document is larger than 5 MB. Choose a smaller file and cosign again."))
    if not content.startswith(b"%PDF-"):
        raise Conflict(saying("The document is not a PDF. Choose a PDF, or cosign without a document."))
    return upload.filename[:120], content


async def document(request: Request) -> Response:
    """Download the signed document of a grant."""
    await current(request)
    query = "SELECT document FROM equity_grant WHERE id = ? AND document IS NOT NULL"
    row = await axis_of(request.scope).database.one(query, request.path_params["grant"])
    if row is None:
        raise HTTPException(404, marked("This grant has no document."))
    return download(row["document"], "grant.pdf", "application/pdf")


routes = [
    Route("/equity", overview),
    Route("/equity/grants/{grant}/sign", sign, methods=["POST"]),
    Route("/equity/grants/{grant}/cosign", cosign, methods=["POST"]),
    Route("/equity/grants/{grant}/document", document),
]
