"""Privacy: erasing an account after cooling-off and four-eyes, and the holds that stand against it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from demo_app.axis import NOT_THERE, Actor, Conflict, actor_of, axis_of, current
from demo_app.db import Database, Row, Transaction
from demo_app.languages import Text, marked, saying, texts_of
from demo_app.pages import done, page
from stepup_middleware import requires_step_up

OVERRIDE_REASONS = {  # by the word that stands in the address, so that a proof is bound to it
    "released": marked("The regulator released the hold"),
    "court-order": marked("A court ordered the erasure"),
    "wrong-person": marked("The hold was placed on the wrong person"),
}
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
        return marked("The account has been erased.")
    if now < datetime.fromisoformat(erasure["cooling_off_ends"]):
        return marked("The cooling-off period is still running.")
    if erasure["approved_by"] is None or erasure["approved_by"] == erasure["requested_by"]:
        return marked("A second person must approve the erasure first.")
    if any(hold["overridden_at"] is None for hold in holds):
        return marked("A regulatory hold stands against the erasure.")
    return None


async def approve_erasure(database: Database, erasure_id: str, actor: Actor) -> Text:
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
            raise Conflict(
                saying("Not approved: a person other than the one who requested it approves, and only once.")
            )
        sentence = saying("Erasure %(erasure)s approved by a second person.", erasure=erasure_id)
        await actor.note(change, sentence)
    return sentence


async def finalize_erasure(database: Database, erasure_id: str, actor: Actor) -> Text:
    """Erase a person's data, in one transaction with the note of it. Raises ``Conflict`` when a rule forbids it."""
    async with database.write() as change:
        erasure, holds = await _state(change, erasure_id)
        reason = obstacle(erasure, holds, actor.at)
        if reason is not None:
            raise Conflict(saying("Nothing was erased. %(why)s", why=saying(reason)))
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
        sentence = saying(
            "%(label)s erased: contact data emptied, documents deleted: %(number)s.",
            label=erasure["label"],
            number=documents,
        )
        await actor.note(change, sentence)
    return sentence


async def override_hold(database: Database, hold_id: str, reason: str, actor: Actor) -> Text:
    """Override a hold that stands against an erasure. Raises ``Conflict`` where there is no such hold."""
    if reason not in OVERRIDE_REASONS:
        raise Conflict(saying("The hold stands. Choose one of the reasons and try again."))
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
            raise Conflict(saying("There is no hold to override: it does not exist or was overridden before."))
        sentence = saying(
            "Hold %(hold)s (%(rule)s) overridden for erasure %(erasure)s: %(reason)s.",
            hold=hold_id,
            rule=overridden["rule"],
            erasure=overridden["erasure_id"],
            reason=saying(OVERRIDE_REASONS[reason]),
        )
        await actor.note(change, sentence)
    return sentence


async def _state(source: Database | Transaction, erasure_id: str) -> tuple[Row, list[Row]]:
    erasure = await source.one(_ERASURES, erasure_id)
    if erasure is None:
        raise HTTPException(404, NOT_THERE)
    return erasure, await source.all(_HOLDS, "", erasure_id)


async def erasure_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for an erasure: whose data, how much, who asked and who approved."""
    erasure, _ = await _state(axis_of(scope).database, scope["path_params"]["erasure"])
    _ = texts = texts_of(scope)
    return [
        (_("Erasure"), erasure["id"]),
        (_("Account"), erasure["label"]),
        (_("Documents"), texts.number(erasure["documents"])),
        (_("Requested by"), erasure["requester"]),
        (_("Approved by"), erasure["approver"] or _("nobody yet")),
    ]


async def hold_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for a hold: the rule, until when it runs, against which erasure, and why it goes."""
    database, reason = axis_of(scope).database, scope["path_params"]["reason"]
    if reason not in OVERRIDE_REASONS:
        raise HTTPException(404, NOT_THERE)
    hold = await database.one(_HOLDS, scope["path_params"]["hold"], "")
    if hold is None:
        raise HTTPException(404, NOT_THERE)
    erasure, _ = await _state(database, hold["erasure_id"])
    _ = texts = texts_of(scope)
    return [
        (_("Hold"), hold["id"]),
        (_("Rule"), hold["rule"]),
        (_("Runs until"), texts.day(hold["ends_on"])),
        (_("Erasure"), f"{erasure['id']}, {erasure['label']}"),
        (_("Reason"), _(OVERRIDE_REASONS[reason])),
    ]


async def _card(request: Request, erasure_id: str, outcome: Text | Conflict) -> Response:
    return done(request, "privacy_erasure.html", "/privacy", outcome, **await _context(request, erasure_id))


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
        return await _card(request, erasure_id, conflict)
    return await _card(request, erasure_id, said)


@requires_step_up("account_erasure_finalize", details=erasure_details)
async def finalize(request: Request) -> Response:
    """Erase the account and answer with the erasure's card."""
    erasure_id, actor = request.path_params["erasure"], await actor_of(request)
    try:
        said = await finalize_erasure(axis_of(request.scope).database, erasure_id, actor)
    except Conflict as conflict:
        return await _card(request, erasure_id, conflict)
    return await _card(request, erasure_id, said)


@requires_step_up("holds_override", details=hold_details)
async def override(request: Request) -> Response:
    """Override a hold for the reason in the address, which the token is bound to as well."""
    database, hold_id, actor = axis_of(request.scope).database, request.path_params["hold"], await actor_of(request)
    hold = await database.one(_HOLDS, hold_id, "")
    if hold is None:
        raise HTTPException(404, NOT_THERE)
    try:
        said = await override_hold(database, hold_id, request.path_params["reason"], actor)
    except Conflict as conflict:
        return await _card(request, hold["erasure_id"], conflict)
    return await _card(request, hold["erasure_id"], said)


routes = [
    Route("/privacy", overview),
    Route("/privacy/erasures/{erasure}/approve", approve, methods=["POST"]),
    Route("/privacy/erasures/{erasure}/finalize", finalize, methods=["POST"]),
    Route("/privacy/holds/{hold}/override/{reason}", override, methods=["POST"]),
]
