"""Year-end: finalizing a form freezes the file that goes to the tax office."""

from __future__ import annotations

import hashlib

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from demo_app.axis import NOT_THERE, Actor, Conflict, actor_of, axis_of, current
from demo_app.db import Database
from demo_app.languages import Text, marked, money, said_in, saying, texts_of
from demo_app.pages import download, page, say_and_show
from demo_app.tax_files import Employer, Slip, tax_file
from stepup_middleware import requires_step_up

EMPLOYER = Employer(name="AxisSynapse Demo", tax_id="900000001", payroll_account="900000001RP0001")
_FORMS = (
    "SELECT year_end_form.id, form, tax_year, state, finalized_at, file_name, file_sha256,"
    " length(file) AS file_size, account.name AS finalized_by, count(*) AS recipients,"
    " sum(paid_cents) AS paid_cents, sum(tax_cents) AS tax_cents"
    " FROM year_end_form JOIN year_end_slip ON form_id = year_end_form.id"
    " LEFT JOIN account ON account.id = finalized_by"
    " WHERE ? IN ('', year_end_form.id) GROUP BY year_end_form.id ORDER BY form DESC"
)


async def finalize_form(database: Database, form_id: str, actor: Actor) -> Text:
    """Write a form's file and freeze it, in one transaction. Raises ``Conflict`` when it is final already."""
    async with database.write() as change:
        row = await change.one("SELECT form, tax_year FROM year_end_form WHERE id = ? AND state = 'prepared'", form_id)
        if row is None:
            raise Conflict(saying("This form is final already. Its file was left as it is."))
        people = await change.all(
            "SELECT number, name, tax_id, paid_cents, tax_cents"
            " FROM year_end_slip JOIN employee ON number = employee WHERE form_id = ? ORDER BY number",
            form_id,
        )
        slips = [Slip(**dict(person)) for person in people]
        name, content = tax_file(row["form"], EMPLOYER, row["tax_year"], slips)
        await change.run(
            "UPDATE year_end_form SET state = 'finalized', finalized_at = ?, finalized_by = ?, file_name = ?,"
            " file_sha256 = ?, file = ? WHERE id = ?",
            actor.at.isoformat(),
            actor.account_id,
            name,
            hashlib.sha256(content).hexdigest(),
            content,
            form_id,
        )
        sentence = saying(
            "Form %(form)s for %(year)s finalized. Recipients: %(number)s, file: %(file)s.",
            form=row["form"],
            year=str(row["tax_year"]),
            number=len(slips),
            file=name,
        )
        await actor.note(change, sentence)
    return sentence


async def form_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for a form: the year, how many recipients, the totals."""
    form = await axis_of(scope).database.one(_FORMS, scope["path_params"]["form"])
    if form is None:
        raise HTTPException(404, NOT_THERE)
    _ = texts = texts_of(scope)
    return [
        (_("Form"), form["form"]),
        (_("Tax year"), f"{form['tax_year']}"),
        (_("Recipients"), texts.number(form["recipients"])),
        (_("Total reported"), money(texts, form["paid_cents"])),
    ]


async def overview(request: Request) -> Response:
    """Show every form of the year."""
    return await _overview(request)


async def _overview(request: Request, conflict: Conflict | None = None) -> Response:
    await current(request)
    forms = await axis_of(request.scope).database.all(_FORMS, "")
    problem = None if conflict is None else said_in(texts_of(request.scope), conflict.reason)
    return await page(request, "year_end.html", status=409 if conflict else 200, forms=forms, problem=problem)


@requires_step_up("year_end_tax_transmit", details=form_details)
async def finalize(request: Request) -> Response:
    """Finalize a form; a plain form that ends in a redirect."""
    actor = await actor_of(request)
    try:
        said = await finalize_form(axis_of(request.scope).database, request.path_params["form"], actor)
    except Conflict as conflict:
        return await _overview(request, conflict)
    return say_and_show(request, said, "/year-end")


async def file(request: Request) -> Response:
    """Download the file of a final form."""
    await current(request)
    query = "SELECT file_name, file FROM year_end_form WHERE id = ? AND state = 'finalized'"
    row = await axis_of(request.scope).database.one(query, request.path_params["form"])
    if row is None:
        raise HTTPException(404, marked("This form has no file yet: it has not been finalized."))
    kind = "application/xml" if row["file_name"].endswith(".xml") else "text/plain; charset=us-ascii"
    return download(row["file"], row["file_name"], kind)


routes = [
    Route("/year-end", overview),
    Route("/year-end/{form}/finalize", finalize, methods=["POST"]),
    Route("/year-end/{form}/file", file),
]
