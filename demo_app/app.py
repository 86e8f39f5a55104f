"""The app: routes, middleware, and the services they share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from demo_app.accounts import SESSION_LIFE, WORKSPACE, Accounts
from demo_app.agent_tools import AgentServer
from demo_app.areas import (
    agents,
    audit,
    audit_exports,
    console,
    developers,
    domains,
    equity,
    exports,
    guide,
    home,
    identity,
    mailbox,
    payroll,
    policy,
    privacy,
    sign_in,
    year_end,
)
from demo_app.axis import Axis, SignInNeeded
from demo_app.db import Database
from demo_app.event_counters import EventCounters
from demo_app.languages import InLanguage, demo_languages, language_of, marked, texts_of
from demo_app.pages import fragment, page, wants_fragment
from demo_app.protection import ByName, PlainCookies, SameOrigin, SecurityHeaders
from demo_app.secrets_at_rest import Vault, derived_key
from demo_app.seed import seed
from demo_app.settings import Settings, from_arguments
from stepup_middleware import (
    PLATFORM_PURPOSES,
    Purpose,
    RelyingParty,
    StepUp,
    StepUpMiddleware,
    StoreError,
    approvable,
)
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.sqlite import SQLiteStore

_AREAS = (
    sign_in,
    home,
    payroll,
    equity,
    year_end,
    privacy,
    developers,
    agents,
    identity,
    domains,
    exports,
    policy,
    audit,
    audit_exports,
    console,
    mailbox,
    guide,
)
_STATIC = Path(__file__).parent / "static"
_PLAIN = {  # what Starlette says, in words for people
    "Not Found": marked("There is no such page. The address may be mistyped, or what it showed is gone."),
    "Method Not Allowed": marked("This page cannot be asked for like that. Go back and use its buttons."),
}
# what programs and agents may ask for, and their person approves elsewhere
PURPOSES = approvable(PLATFORM_PURPOSES, "webhook_secret_rotation", "audit_log_export")
MAX_BODY = 6 * 1024 * 1024  # bytes; a grant's document may have five million


def utc_now() -> datetime:
    """Return the present time, in UTC."""
    return datetime.now(UTC)


def create_app(
    settings: Settings,
    *,
    clock: Callable[[], datetime] = utc_now,
    stopping: asyncio.Event | None = None,
    purposes: Sequence[Purpose] = PURPOSES,
) -> ASGIApp:
    """Build the app. Its databases are opened when the server starts it (ASGI lifespan).

    From the outside in: headers, sessions, step-up, and the app itself. Step-up stands inside the session, since
    it must know who asks. ``stopping`` may be set by the server that runs the app when it is about to stop: answers
    that have no end of their own, the event streams, end then.
    """
    database = Database(settings.database)
    accounts = Accounts(database, clock)
    vault = Vault(settings.secret_keys)
    stepup = StepUp(
        secret_key=[derived_key(key, "step-up").hex() for key in settings.secret_keys],
        store=_store(settings),
        relying_party=RelyingParty(id=settings.domain, name="AxisSynapse", origins=[settings.origin]),
        identify=accounts.identify,
        end_session=accounts.end_session,
        purposes=purposes,
        trusted_proxies=settings.trusted_proxies,
        on_event=[accounts.count_failed_step_up],
        notify=[accounts.tell],
        first_factor="either",
        recovery_codes=True,
        home_url="/",
        sign_in_url="/sign-in",
        locale=language_of,
        log_key=settings.log_key,
        totals={"payroll_ach_transmit": lambda details, locale: payroll.payroll_total(languages, details, locale)},
        clock=clock,
    )
    languages = demo_languages(stepup)
    served_to_agents = AgentServer(settings.origin, [derived_key(key, "agents") for key in settings.secret_keys])

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            await database.open(partial(seed, now=clock(), vault=vault))
            async with served_to_agents.running():
                yield
        finally:
            await database.close()

    starlette = Starlette(
        routes=[
            *(route for area in _AREAS for route in area.routes),
            Route(agents.PATH, served_to_agents, methods=["POST"]),
            Route("/favicon.ico", _icon),
            Mount("/static", StaticFiles(directory=_STATIC), name="static"),
        ],
        exception_handlers={
            SignInNeeded: _ask_to_sign_in,
            HTTPException: _explain,
            StoreError: _unavailable,
            Exception: _broken,
        },
        lifespan=lifespan,
        max_body_size=MAX_BODY,
    )
    starlette.state.axis = Axis(
        settings=settings,
        database=database,
        accounts=accounts,
        vault=vault,
        stepup=stepup,
        counters=EventCounters(stepup, WORKSPACE, clock),
        languages=languages,
        clock=clock,
        stopping=stopping or asyncio.Event(),
    )
    app: ASGIApp = StepUpMiddleware(starlette, stepup=stepup)
    app = InLanguage(app, languages)
    app = SessionMiddleware(
        app,
        secret_key=derived_key(settings.secret_keys[0], "session").hex(),
        session_cookie="axis",
        max_age=int(SESSION_LIFE.total_seconds()),
        same_site="lax",
        https_only=settings.secure,
    )
    app = PlainCookies(app)
    app = SameOrigin(app, origin=settings.origin)
    app = ByName(app, origin=settings.origin)
    return SecurityHeaders(app)


def from_environment() -> ASGIApp:
    """Build the app from the environment alone: a factory for several workers.

    ``uvicorn --factory demo_app.app:from_environment --workers 4``
    """
    return create_app(from_arguments([]))


def _store(settings: Settings) -> SQLiteStore | PostgresStore:
    return SQLiteStore(settings.step_up_database) if settings.postgres is None else PostgresStore(settings.postgres)


async def _icon(_: Request) -> Response:
    """Return the icon under the name that browsers ask for on pages that name none."""
    return FileResponse(_STATIC / "icon.svg")


async def _ask_to_sign_in(request: Request, _: Exception) -> Response:
    if request.method == "GET" and not wants_fragment(request):
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse("/sign-in?" + urlencode({"next": wanted}), status_code=303)
    detail = texts_of(request.scope)("You are not signed in. Sign in and try again.")
    return JSONResponse({"detail": detail}, status_code=401)


async def _explain(request: Request, error: Exception) -> Response:
    known = cast(HTTPException, error)
    problem = texts_of(request.scope)(_PLAIN.get(known.detail, known.detail))
    answer = await _answer(request, known.status_code, problem)
    answer.headers.update(known.headers or {})
    return answer


async def _unavailable(request: Request, _: Exception) -> Response:
    """Answer where the library's store cannot be used. What was asked for by an action is another matter: see below."""
    if request.method not in ("GET", "HEAD"):
        return await _broken(request, _)
    said = marked("The step-up records cannot be read right now. Try again in a moment.")
    return await _answer(request, 503, texts_of(request.scope)(said))


async def _broken(request: Request, _: Exception) -> Response:
    """Answer a fault of the app's own, which the server's log has. Nobody knows how far an action came."""
    said = marked("Something went wrong on our side. Try again in a moment.")
    if request.method not in ("GET", "HEAD"):
        said = marked("Something went wrong on our side. It may have been done: look before you try again.")
    problem = texts_of(request.scope)(said)
    try:
        return await _answer(request, 500, problem)
    except Exception:  # what is broken may be what every page needs
        return PlainTextResponse(problem, status_code=500)


async def _answer(request: Request, status: int, problem: str) -> Response:
    if wants_fragment(request):
        return fragment(request, "problem.html", status=status, problem=problem)
    if "text/html" in request.headers.get("accept", ""):
        return await page(request, "error.html", status=status, problem=problem)
    return JSONResponse({"detail": problem}, status_code=status)
