"""Privacy: erasing an account after cooling-off and four-eyes, and the holds that stand against it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from demo_app.axis import Actor, Conflict, actor_of, axis_of, current
from demo_app.db import Database, Row, Transaction
from demo_app.pages import done, page
from stepup_middleware import requires_step_up

OVERRIDE_REASONS = (
    "The regulator released the hold",
    "A court ordered the erasure",
    "The hold was placed on the wrong person",
)
_ERASURES = (
    "SELECT erasure.*, member.label, member.email, member.phone, member.address, member.birth_date,"
    " requester.name AS requester, approver.name AS approver, finalizer.name AS finalizer,"
    " (SELECT count(*) FROM member_document WHERE member_document.member_id = member.id) AS documents"
    " FROM erasure JOIN member ON member.id = erasure.member_id"
    " JOIN account AS requester ON requester.id = requested_by"
    " LEFT JOIN account AS approver ON approver.id = approved_by"
    " LEFT JOIN account AS finalizer ON finalizer.id = finalized_by"
    " WHERE ? IN ('', erasure.id) ORDER BY finalized_at IS NOT NULL, erasure.id"
)
_HOLDS = (
    "SELECT hold.*, account.name AS overrider FROM hold LEFT JOIN account ON account.id = overridden_by"
    " WHERE ? IN ('', hold.id) AND ? IN ('', erasure_id) ORDER BY hold.id"
)


def obstacle(erasure: Row, holds: list[Row], now: datetime) -> str | None:
    """Return why an erasure cannot be finalized now, or None when it can."""
    if erasure["finalized_at"] is not None:
        return "The account has been erased."
    if now < datetime.fromisoformat(erasure["cooling_off_ends"]):
        return "The cooling-off period is still running."
    if erasure["approved_by"] is None or erasure["approved_by"] == erasure["requested_by"]:
        return "A second person must approve the erasure first."
    if any(hold["overridden_at"] is None for hold in holds):
        return "A regulatory hold stands against the erasure."
    return None


async def approve_erasure(database: Database, erasure_id: str, actor: Actor) -> str:
    """Approve an erasure as the second person. Raises ``Conflict`` for the one who requested it."""
    async with database.write() as change:
        approved = await change.run(
            "UPDATE erasure SET approved_by = ?, approved_at = ?"
            " WHERE id = ? AND approved_by IS NULL AND requested_by <> ?",
            actor.account_id,
            actor.at.isoformat(),
            erasure_id,
            actor.account_id,
        )
        if not approved:
            raise Conflict("Not approved: a person other than the one who requested it approves, and only once.")
        sentence = f"Erasure {erasure_id} approved by a second person."
        await actor.note(change, sentence)
    return sentence


async def finalize_erasure(database: Database, erasure_id: str, actor: Actor) -> str:
    """Erase a person's data, in one transaction with the note of it. Raises ``Conflict`` when a rule forbids it."""
    async with database.write() as change:
        erasure, holds = await _state(change, erasure_id)
        reason = obstacle(erasure, holds, actor.at)
        if reason is not None:
            raise Conflict(f"Nothing was erased. {reason}")
        member_id = erasure["member_id"]
        documents = await change.run("DELETE FROM member_document WHERE member_id = ?", member_id)
        await change.run(
            "UPDATE member SET email = NULL, phone = NULL, address = NULL, birth_date = NULL WHERE id = ?", member_id
        )
        await change.run(
            "UPDATE erasure SET finalized_by = ?, finalized_at = ? WHERE id = ?",
            actor.account_id,
            actor.at.isoformat(),
            erasure_id,
        )
        sentence = f"{erasure['label']} erased: contact data emptied, {documents} documents deleted."
        await actor.note(change, sentence)
    return sentence


async def override_hold(database: Database, hold_id: str, reason: str, actor: Actor) -> str:
    """Override a hold that stands against an erasure. Raises ``Conflict`` where there is no such hold."""
    if reason not in OVERRIDE_REASONS:
        raise Conflict("The hold stands. Choose one of the reasons and try again.")
    async with database.write() as change:
        overridden = await change.one(
            "UPDATE hold SET overridden_by = ?, overridden_at = ?, override_reason = ?"
            " WHERE id = ? AND overridden_at IS NULL"
            " AND erasure_id IN (SELECT id FROM erasure WHERE finalized_at IS NULL) RETURNING erasure_id, rule",
            actor.account_id,
            actor.at.isoformat(),
            reason,
            hold_id,
        )
        if overridden is None:
            raise Conflict("There is no hold to override: it does not exist or was overridden before.")
        sentence = f"Hold {hold_id} ({overridden['rule']}) overridden for erasure {overridden['erasure_id']}: {reason}."
        await actor.note(change, sentence)
    return sentence


async def _state(source: Database | Transaction, erasure_id: str) -> tuple[Row, list[Row]]:
    erasure = await source.one(_ERASURES, erasure_id)
    if erasure is None:
        raise HTTPException(404, "There is no such erasure.")
    return erasure, await source.all(_HOLDS, "", erasure_id)


async def erasure_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for an erasure: whose data, how much, who asked and who approved."""
    erasure, _ = await _state(axis_of(scope).database, scope["path_params"]["erasure"])
    return [
        ("Erasure", erasure["id"]),
        ("Account", erasure["label"]),
        ("Documents", f"{erasure['documents']}"),
        ("Requested by", erasure["requester"]),
        ("Approved by", erasure["approver"] or "nobody yet"),
    ]


async def hold_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for a hold: the rule, until when it runs, against which erasure."""
    database = axis_of(scope).database
    hold = await database.one(_HOLDS, scope["path_params"]["hold"], "")
    if hold is None:
        raise HTTPException(404, "There is no such hold.")
    erasure, _ = await _state(database, hold["erasure_id"])
    return [
        ("Hold", hold["id"]),
        ("Rule", hold["rule"]),
        ("Runs until", hold["ends_on"]),
        ("Erasure", f"{erasure['id']}, {erasure['label']}"),
    ]


async def _card(request: Request, erasure_id: str, said: str | None, problem: str | None) -> Response:
    context = await _context(request, erasure_id)
    return done(request, "privacy_erasure.html", "/privacy", said=said, problem=problem, **context)


async def _context(request: Request, erasure_id: str) -> dict[str, Any]:
    axis, subject = axis_of(request.scope), await current(request)
    erasure, holds = await _state(axis.database, erasure_id)
    return {
        "erasure": erasure,
        "holds": holds,
        "obstacle": obstacle(erasure, holds, axis.clock()),
        "may_approve": erasure["approved_by"] is None and erasure["requested_by"] != subject.id,
        "reasons": OVERRIDE_REASONS,
    }


async def overview(request: Request) -> Response:
    """Show every erasure with its holds."""
    await current(request)
    rows = await axis_of(request.scope).database.all(_ERASURES, "")
    return await page(request, "privacy.html", erasures=[await _context(request, row["id"]) for row in rows])


async def approve(request: Request) -> Response:
    """Approve an erasure as the second person."""
    erasure_id, actor = request.path_params["erasure"], await actor_of(request)
    try:
        said = await approve_erasure(axis_of(request.scope).database, erasure_id, actor)
    except Conflict as conflict:
        return await _card(request, erasure_id, None, str(conflict))
    return await _card(request, erasure_id, said, None)


@requires_step_up("account_erasure_finalize", details=erasure_details)
async def finalize(request: Request) -> Response:
    """Erase the account and answer with the erasure's card."""
    erasure_id, actor = request.path_params["erasure"], await actor_of(request)
    try:
        said = await finalize_erasure(axis_of(request.scope).database, erasure_id, actor)
    except Conflict as conflict:
        return await _card(request, erasure_id, None, str(conflict))
    return await _card(request, erasure_id, said, None)


@requires_step_up("holds_override", details=hold_details)
async def override(request: Request) -> Response:
    """Override a hold for the reason in the body, which the token is bound to as well."""
    database, hold_id, actor = axis_of(request.scope).database, request.path_params["hold"], await actor_of(request)
    hold = await database.one(_HOLDS, hold_id, "")
    if hold is None:
        raise HTTPException(404, "There is no such hold.")
    async with request.form(max_files=0, max_fields=4) as form:
        reason = str(form.get("reason", ""))
    try:
        said = await override_hold(database, hold_id, reason, actor)
    except Conflict as conflict:
        return await _card(request, hold["erasure_id"], None, str(conflict))
    return await _card(request, hold["erasure_id"], said, None)


routes = [
    Route("/privacy", overview),
    Route("/privacy/erasures/{erasure}/approve", approve, methods=["POST"]),
    Route("/privacy/erasures/{erasure}/finalize", finalize, methods=["POST"]),
    Route("/privacy/holds/{hold}/override", override, methods=["POST"]),
]
