"""Payroll: transmitting a run writes the NACHA file for the bank."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from demo_app.axis import NOT_THERE, Actor, Conflict, actor_of, axis_of, current
from demo_app.db import Database, Row
from demo_app.languages import Cents, Languages, Text, marked, money, saying, texts_of
from demo_app.nacha import Credit, Originator, check_digit, nacha_file, next_banking_day
from demo_app.pages import done, download, page
from stepup_middleware import requires_step_up

_BANK = "99000001"  # no bank has a number that begins with 99
ORIGINATOR = Originator(
    routing_number=_BANK + check_digit(_BANK),
    bank_name="Originating bank",
    company_id="1900000001",
    company_name="AxisSynapse Demo",
)
_TOTAL = 2  # the place of the amount among the details of a run
_RUNS = (
    "SELECT payroll_run.id, title, pay_date, state, transmitted_at, file_name, length(file) AS file_size,"
    " account.name AS transmitted_by, count(*) AS employees, sum(cents) AS cents"
    " FROM payroll_run JOIN payment ON run_id = payroll_run.id LEFT JOIN account ON account.id = transmitted_by"
    " WHERE ? IN ('', payroll_run.id) GROUP BY payroll_run.id ORDER BY payroll_run.id"
)


async def transmit_run(database: Database, run_id: str, actor: Actor) -> Text:
    """Write a run's NACHA file and mark the run transmitted, in one transaction. Return what was done.

    Raises ``Conflict`` when the run has been transmitted already.
    """
    async with database.write() as change:
        run = await change.one("SELECT id, pay_date FROM payroll_run WHERE id = ? AND state = 'draft'", run_id)
        if run is None:
            raise Conflict(saying("Run %(run)s has been transmitted already. Nothing was sent again.", run=run_id))
        payments = await change.all(
            "SELECT number, name, routing_number, account_number, account_type, cents"
            " FROM payment JOIN employee ON number = employee WHERE run_id = ? ORDER BY number",
            run_id,
        )
        credits = [
            Credit(
                routing_number=row["routing_number"],
                account_number=row["account_number"],
                account_type=row["account_type"],
                cents=row["cents"],
                identification=f"EMP{row['number']:04d}",
                name=row["name"],
            )
            for row in payments
        ]
        pay_date = date.fromisoformat(run["pay_date"])
        # on the pay date, or on the next day on which banks settle
        effective = next_banking_day(max(actor.at.date(), pay_date - timedelta(days=1)))
        content = nacha_file(ORIGINATOR, credits, description="PAYROLL", effective=effective, now=actor.at)
        await change.run(
            "UPDATE payroll_run SET state = 'transmitted', transmitted_at = ?, transmitted_by = ?,"
            " file_name = ?, file = ? WHERE id = ?",
            actor.at.isoformat(),
            actor.account_id,
            f"payroll-{run_id}.ach",
            content,
            run_id,
        )
        sentence = saying(
            "Payroll run %(run)s transmitted. Deposits: %(number)s, %(total)s.",
            run=run_id,
            number=len(credits),
            total=Cents(sum(row["cents"] for row in payments)),
        )
        await actor.note(change, sentence)
    return sentence


async def runs(database: Database) -> list[Row]:
    """Return every run."""
    return await database.all(_RUNS, "")


async def _run(database: Database, run_id: str) -> Row:
    run = await database.one(_RUNS, run_id)
    if run is None:
        raise HTTPException(404, NOT_THERE)
    return run


async def run_details(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows for a run: how many people, how much, from which account."""
    run = await _run(axis_of(scope).database, scope["path_params"]["run"])
    _ = texts = texts_of(scope)
    bank = _("%(bank)s, routing number %(number)s", bank=ORIGINATOR.bank_name, number=ORIGINATOR.routing_number)
    return [
        (_("Run"), run["id"]),
        (_("Employees"), texts.number(run["employees"])),
        (_("Total"), money(texts, run["cents"])),
        (_("Pay date"), texts.day(run["pay_date"])),
        (_("From"), bank),
    ]


def payroll_total(languages: Languages, details: Sequence[Sequence[tuple[str, str]]], locale: str) -> tuple[str, str]:
    """Return the total of runs that are confirmed together, by the amounts that the modal shows of each."""
    label, _ = details[0][_TOTAL]
    cents = sum(int("".join(filter(str.isdecimal, shown[_TOTAL][1]))) for shown in details)
    return label, money(languages.texts(locale), cents)


async def overview(request: Request) -> Response:
    """Show every run."""
    await current(request)
    return await page(request, "payroll.html", runs=await runs(axis_of(request.scope).database))


@requires_step_up("payroll_ach_transmit", details=run_details)
async def transmit(request: Request) -> Response:
    """Transmit a run."""
    database, run_id = axis_of(request.scope).database, request.path_params["run"]
    outcome: Text | Conflict
    try:
        outcome = await transmit_run(database, run_id, await actor_of(request))
    except Conflict as conflict:
        outcome = conflict
    return done(request, "payroll_run.html", "/payroll", outcome, run=await _run(database, run_id))


async def nacha(request: Request) -> Response:
    """Download the NACHA file of a transmitted run."""
    await current(request)
    query = "SELECT file_name, file FROM payroll_run WHERE id = ? AND state = 'transmitted'"
    row = await axis_of(request.scope).database.one(query, request.path_params["run"])
    if row is None:
        raise HTTPException(404, marked("This run has no file yet: it has not been transmitted."))
    return download(row["file"], row["file_name"], "text/plain; charset=us-ascii")


routes = [
    Route("/payroll", overview),
    Route("/payroll/runs/{run}/transmit", transmit, methods=["POST"]),
    Route("/payroll/runs/{run}/file", nacha),
]
