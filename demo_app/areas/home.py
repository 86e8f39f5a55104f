"""The overview: what waits to be done, and what was done last."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo_app.axis import axis_of, current
from demo_app.languages import marked
from demo_app.pages import page

_WAITING = (
    ("/payroll", marked("Payroll runs to transmit"), "SELECT count(*) FROM payroll_run WHERE state = 'draft'"),
    ("/equity", marked("Grants to sign"), "SELECT count(*) FROM equity_grant WHERE second_signer IS NULL"),
    ("/year-end", marked("Year-end forms to finalize"), "SELECT count(*) FROM year_end_form WHERE state = 'prepared'"),
    ("/privacy", marked("Erasures in progress"), "SELECT count(*) FROM erasure WHERE finalized_at IS NULL"),
    ("/exports", marked("Exports ready to download"), "SELECT count(*) FROM data_export"),
    ("/domains", marked("Subdomains without a certificate"), "SELECT count(*) FROM branding WHERE certificate IS NULL"),
)
_ACTIVITY = (
    "SELECT at, sentence, purpose, prompt_id, account_id, account.name"
    " FROM activity JOIN account ON account.id = account_id ORDER BY activity.id DESC LIMIT 12"
)


async def overview(request: Request) -> Response:
    """Show the workspace at a glance."""
    subject = await current(request)
    axis = axis_of(request.scope)
    waiting = []
    for path, label, query in _WAITING:
        row = await axis.database.one(query)
        waiting.append((path, label, row[0] if row is not None else 0))
    return await page(
        request,
        "home.html",
        waiting=waiting,
        activity=await axis.database.all(_ACTIVITY),
        factors=await axis.stepup.factors.list(subject),
    )


routes = [Route("/", overview)]
