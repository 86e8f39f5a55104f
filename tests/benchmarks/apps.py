"""The apps that a server runs for ``served``: one endpoint, bare, tagged, and redeeming as one writes it first.

Uvicorn calls the functions below (``--factory``); ``BENCHMARK_DATABASE`` names the database.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.routing import Route

from stepup_middleware import RelyingParty, Rule, StepUp, StepUpMiddleware, Subject, requires_step_up
from stepup_middleware.asgi import ASGIApp, Scope
from stepup_middleware.core.binding import details_digest
from stepup_middleware.core.decisions import Presentation
from stepup_middleware.core.factors import FactorRequirement
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.core.tokens import TokenCodec
from stepup_middleware.log.records import RowMacs
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.binding import bound_request_of

from .minted import PATIENT
from .sqlite import commit_each

SECRET = b"a key of the benchmarks, of no other use"
DETAILS = (("Run", "2026-06"), ("Employees", "214"), ("Total", "USD 412,908.77"))
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


def bare() -> ASGIApp:
    """The endpoint alone."""
    return Starlette(routes=[Route("/payroll/{run}/transmit", transmit, methods=["POST"])])


def _stepup(origin: str = "http://localhost:8000") -> StepUp:
    return StepUp(
        secret_key=SECRET,
        store=SQLiteStore(os.environ["BENCHMARK_DATABASE"], timeout=PATIENT),
        relying_party=RelyingParty(id="localhost", name="Benchmark", origins=[origin]),
        identify=identify,
        store_timeout=PATIENT,  # a disk that is busy makes it slow, not refused
    )


def around() -> StepUpMiddleware:
    """The endpoint, untagged, with the middleware around the app."""
    return StepUpMiddleware(bare(), stepup=_stepup())


def tagged() -> StepUpMiddleware:
    """The endpoint behind a tag."""
    endpoint = requires_step_up(PURPOSE, details=DETAILS)(transmit)
    app = Starlette(routes=[Route("/payroll/{run}/transmit", endpoint, methods=["POST"])])
    return StepUpMiddleware(app, stepup=_stepup())


async def ping(request: Request) -> PlainTextResponse:
    """Answer at once."""
    return PlainTextResponse("pong")


def bothered() -> StepUpMiddleware:
    """A tagged endpoint, forty rules, and an endpoint that others ask for meanwhile."""
    endpoint = requires_step_up(PURPOSE, details=DETAILS)(transmit)
    routes = [Route("/payroll/{run}/transmit", endpoint, methods=["POST"]), Route("/ping", ping)]
    rules = [Rule("*", f"/ruled/{number}/{{a}}/{{b:path}}", purpose=PURPOSE, optional=True) for number in range(40)]
    return StepUpMiddleware(Starlette(routes=routes), stepup=_stepup(), rules=rules)


def unbothered() -> ASGIApp:
    """An app without us, for what a server by itself makes of a request."""
    return Starlette(routes=[Route("/ping", ping)])


def naive() -> ASGIApp:
    """The same redemption and the same audit row, with one aiosqlite commit for each request."""
    tokens = codec()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with commit_each(Path(os.environ["BENCHMARK_DATABASE"]), secrets.token_hex(4)) as app.state.redemption:
            yield

    async def endpoint(request: Request) -> JSONResponse:
        who = await identify(request.scope)
        reference = tokens.read(request.headers.get("stepup-token", "").encode("latin-1"))
        if who is None or reference is None or request.client is None:
            return JSONResponse({}, status_code=401)
        line = bound_request_of(request.scope, await request.body())
        shown = Presentation(
            reference=reference,
            attempt=secrets.token_bytes(16),
            workspace_id=who.workspace_id,
            subject_id=who.id,
            subject_name=who.name,
            actor=who.actor,
            client=who.client,
            session=who.session,
            ip=request.client.host,
            user_agent=request.headers.get("user-agent", ""),
            purpose=PURPOSE,
            ttl=timedelta(seconds=60),
            minimum=FactorRequirement.PHISHING_RESISTANT,
            retention_years=1,
            request=line,
            request_digest=line.digest(),
            details=DETAILS,
            details_digest=details_digest(DETAILS),
            now=datetime.now(UTC),
        )
        if not await request.app.state.redemption.redeem(shown):
            return JSONResponse({}, status_code=401)
        return await transmit(request)

    return Starlette(routes=[Route("/payroll/{run}/transmit", endpoint, methods=["POST"])], lifespan=lifespan)


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
        Route("/payroll/{run}/transmit", tag(transmit), methods=["POST"]),
        Route("/bare/{run}", untagged, methods=["POST"]),
    ]
    return StepUpMiddleware(Starlette(routes=routes), stepup=stepup)
