"""The audit log: filters, pages, and one step-up from beginning to end."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo_app.accounts import WORKSPACE
from demo_app.areas.audit_exports import LABELS, recent
from demo_app.audit_filters import audit_search, chosen
from demo_app.axis import Axis, admin_of, axis_of
from demo_app.languages import marked, texts_of
from demo_app.pages import page
from demo_app.seed import ACCOUNTS
from stepup_middleware import (
    PLATFORM_PURPOSES,
    AuditFilter,
    AuditRecord,
    AuditTotals,
    EventName,
    FactorKind,
    Outcome,
    Severity,
)

PAGE = 50  # events
STEPS = (
    (marked("Asked"), EventName.CHALLENGE_REQUESTED),
    (marked("Proved"), EventName.VERIFIED),
    (marked("Authorized"), EventName.ACTION_AUTHORIZED),
    (marked("Completed"), EventName.ACTION_COMPLETED),
)


async def show(request: Request) -> Response:
    """Show the newest events that meet the filters, a page at a time."""
    await admin_of(request)
    wanted = chosen(request.query_params)
    before = request.query_params.get("before", "")
    try:
        wish = audit_search(wanted)
        cursor = int(before) if before else None
    except ValueError as error:
        _ = texts_of(request.scope)
        problem = _(
            marked("This page of the log does not exist. Begin with the newest events.") if before else str(error)
        )
        return await _show(request, wanted, [], None, 422, problem)
    audit = axis_of(request.scope).stepup.audit
    found = await audit.search(WORKSPACE, wish, before=cursor, limit=PAGE)
    totals = await audit.totals(WORKSPACE, wish)
    older = urlencode({**wanted, "before": str(found.next)}) if found.next is not None else None
    return await _show(request, wanted, found.events, older, totals=totals)


async def _show(
    request: Request,
    wanted: dict[str, str],
    events: Iterable[AuditRecord],
    older: str | None,
    status: int = 200,
    problem: str | None = None,
    totals: AuditTotals | None = None,
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
        totals=totals,
        severities=[(severity.value, severity.value) for severity in Severity],
        factors=[(kind.value, kind.label) for kind in FactorKind],
        outcomes=[(outcome.value, outcome.value) for outcome in Outcome],
        purposes=[(purpose.id, purpose.title) for purpose in PLATFORM_PURPOSES],
        people=[(account_id, name) for account_id, _, name, _ in ACCOUNTS],
        continued="before" in request.query_params,
        formats=list(LABELS.items()),
        exports=await recent(axis_of(request.scope)),
    )


async def one_step_up(request: Request) -> Response:
    """Show the events of one prompt together, oldest first, with the evidence."""
    await admin_of(request)
    prompt_id = request.path_params["prompt"]
    events = await axis_of(request.scope).stepup.audit.of_prompt(WORKSPACE, prompt_id)
    if not events:
        raise HTTPException(404, marked("The log has no step-up with this number."))
    steps = [
        (label, next((event for event in events if event.event is name and event.outcome is not Outcome.DENIED), None))
        for label, name in STEPS
    ]
    proved = next((event for event in events if event.event is EventName.VERIFIED), None)
    return await page(
        request,
        "audit_prompt.html",
        events=events,
        proved=proved,
        enrolment=None if proved is None else await _enrolment(axis_of(request.scope), proved),
        alerts=sum(event.is_alert for event in events),
        prompt_id=prompt_id,
        steps=steps,
        receipt=dict(steps)["Authorized"] is not None,
        vkeys=axis_of(request.scope).stepup.log_vkeys,
    )


async def _enrolment(axis: Axis, proved: AuditRecord) -> AuditRecord | None:
    """Return the record of how the factor of a proof was enrolled; None where the log has none."""
    wanted = AuditFilter(event=EventName.FACTOR_ENROLLED, subject=proved.subject_id)
    async for record in axis.stepup.audit.stream(proved.workspace_id, wanted):
        if record.factor_id == proved.factor_id:
            return record
    return None


routes = [
    Route("/audit", show),
    Route("/audit/prompts/{prompt}", one_step_up),
]
