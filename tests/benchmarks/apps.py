"""The apps that a server runs for the benchmarks: one endpoint, bare and tagged, on Starlette and on FastAPI.

Uvicorn calls the functions below (``--factory``); ``BENCHMARK_DATABASE`` is the path or the DSN of the database. An app
loads what it needs and nothing else, for what a start takes is measured, too.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.routing import Route

from stepup_middleware import RelyingParty, StepUp, StepUpMiddleware, Subject, requires_step_up
from stepup_middleware.asgi import ASGIApp, Scope
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.core.tokens import TokenCodec
from stepup_middleware.log.records import RowMacs
from stepup_middleware.stores.base import Store
from stepup_middleware.stores.sqlite import SQLiteStore

PATIENT = timedelta(seconds=30)
SECRET = b"a key of the benchmarks, of no other use"
DETAILS = (("Run", "2026-06"), ("Employees", "214"), ("Total", "USD 412,908.77"))
ROUTE = "/payroll/{run}/transmit"
PATH = "/payroll/2026-06/transmit"
PURPOSE = "payroll_ach_transmit"
SESSION = "s-owner"


def macs() -> RowMacs:
    """Return what makes the MACs of the rows that the apps read."""
    return RowMacs(KeyRing([SECRET]))


def codec() -> TokenCodec:
    """Return what the library writes its tokens with."""
    return TokenCodec(KeyRing([SECRET]).derive("token"))


def subject(session: str) -> Subject:
    """Return the one person, in a session."""
    return Subject(
        id="u-owner",
        session_id=session,
        workspace_id="w-1",
        name="owner@axis.example",
        signed_in_at=datetime.now(UTC),
    )


async def identify(scope: Scope) -> Subject | None:
    """Return the person in the session that the cookie names, as an app with a table of sessions does."""
    for name, value in scope["headers"]:
        if name == b"cookie":
            return subject(value.rpartition(b"session=")[2].decode())
    return None


async def transmit(request: Request) -> JSONResponse:
    """Do nothing, and say so."""
    return JSONResponse({"sent": request.path_params["run"]})


async def transmit_on_fastapi(run: str) -> dict[str, str]:
    """Do nothing, and say so."""
    return {"sent": run}


def _store(database: str) -> Store:
    if database.startswith("postgresql"):
        from stepup_middleware.stores.postgres import PostgresStore

        return PostgresStore(database, timeout=PATIENT)
    return SQLiteStore(database, timeout=PATIENT)


def _stepup(origin: str = "http://localhost:8000") -> StepUp:
    return StepUp(
        secret_key=SECRET,
        store=_store(os.environ["BENCHMARK_DATABASE"]),
        relying_party=RelyingParty(id="localhost", name="Benchmark", origins=[origin]),
        identify=identify,
        store_timeout=PATIENT,  # a disk that is busy makes it slow, not refused
    )


def bare() -> ASGIApp:
    """The endpoint alone."""
    return Starlette(routes=[Route(ROUTE, transmit, methods=["POST"])])


def bare_fastapi() -> ASGIApp:
    """The same, on FastAPI."""
    from fastapi import FastAPI

    app = FastAPI()
    app.post(ROUTE)(transmit_on_fastapi)
    return app


def around() -> ASGIApp:
    """The endpoint, untagged, with the middleware around the app."""
    return StepUpMiddleware(bare(), stepup=_stepup())


def around_fastapi() -> ASGIApp:
    """The same, on FastAPI."""
    return StepUpMiddleware(bare_fastapi(), stepup=_stepup())


def tagged() -> StepUpMiddleware:
    """The endpoint behind a tag."""
    endpoint = requires_step_up(PURPOSE, details=DETAILS)(transmit)
    return StepUpMiddleware(Starlette(routes=[Route(ROUTE, endpoint, methods=["POST"])]), stepup=_stepup())


def tagged_fastapi() -> ASGIApp:
    """The same, on FastAPI."""
    from fastapi import FastAPI

    app = FastAPI()
    app.post(ROUTE)(requires_step_up(PURPOSE, details=DETAILS)(transmit_on_fastapi))
    return StepUpMiddleware(app, stepup=_stepup())


def page() -> ASGIApp:
    """A page with a button, for a browser: the endpoint behind a tag, and the same one bare."""
    stepup = _stepup(os.environ["BENCHMARK_ORIGIN"])

    async def show(request: Request) -> HTMLResponse:
        return HTMLResponse(f"<!doctype html><title>Payroll</title>{stepup.head}<button id=act>Transmit</button>")

    async def untagged(request: Request) -> JSONResponse:
        return await transmit(request)  # a route to the tagged function itself would stop the start

    tag = requires_step_up(PURPOSE, details=DETAILS)
    routes = [
        Route("/", show),
        Route(ROUTE, tag(transmit), methods=["POST"]),
        Route("/bare/{run}", untagged, methods=["POST"]),
    ]
    return StepUpMiddleware(Starlette(routes=routes), stepup=stepup)


async def ping(request: Request) -> PlainTextResponse:
    """Answer at once."""
    return PlainTextResponse("pong")


def bothered() -> StepUpMiddleware:
    """A tagged endpoint, forty rules, and an endpoint that others ask for meanwhile."""
    from stepup_middleware import Rule

    endpoint = requires_step_up(PURPOSE, details=DETAILS)(transmit)
    routes = [Route("/payroll/{run}/transmit", endpoint, methods=["POST"]), Route("/ping", ping)]
    rules = [Rule("*", f"/ruled/{number}/{{a}}/{{b:path}}", purpose=PURPOSE, optional=True) for number in range(40)]
    return StepUpMiddleware(Starlette(routes=routes), stepup=_stepup(), rules=rules)


def unbothered() -> ASGIApp:
    """An app without us, for what a server by itself makes of a request."""
    return Starlette(routes=[Route("/ping", ping)])
