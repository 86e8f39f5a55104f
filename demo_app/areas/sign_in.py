"""Signing in and out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from demo_app.accounts import SignInRefused
from demo_app.axis import axis_of
from demo_app.languages import KEY, saying, texts_of
from demo_app.pages import moment, page, say_and_show
from demo_app.seed import ACCOUNTS, DEMO_PASSWORD


def local_path(wanted: str) -> str:
    """Return a path of this app to go to next, ``/`` for anything that could lead elsewhere."""
    plain = wanted.isascii() and wanted.isprintable() and "\\" not in wanted
    return wanted if plain and wanted.startswith("/") and not wanted.startswith("//") else "/"


async def show(request: Request) -> Response:
    """Show the sign-in form, or go on when somebody is signed in already."""
    wanted = local_path(request.query_params.get("next", "/"))
    if await axis_of(request.scope).accounts.identify(request.scope) is not None:
        return RedirectResponse(wanted, status_code=303)
    return await _form(request, wanted)


async def _form(
    request: Request, wanted: str, *, status: int = 200, email: str = "", problem: str | None = None
) -> Response:
    accounts = [(name, address, is_admin) for _, address, name, is_admin in ACCOUNTS]
    return await page(
        request,
        "sign_in.html",
        status=status,
        wanted=wanted,
        email=email,
        problem=problem,
        accounts=accounts,
        password=DEMO_PASSWORD,
    )


async def sign_in(request: Request) -> Response:
    """Check the password and begin a session under a new id."""
    async with request.form(max_files=0, max_fields=8) as form:
        email, password = str(form.get("email", "")), str(form.get("password", ""))
        wanted = local_path(str(form.get("next", "/")))
    accounts = axis_of(request.scope).accounts
    _ = texts = texts_of(request.scope)
    try:
        session_id = await accounts.sign_in(email, password)
    except SignInRefused as refused:
        if refused.opens_at is not None:
            problem = _(
                "Sign-in for this account is closed until %(when)s, after repeated failed sign-ins or step-ups."
                " Sessions that are open go on. Try again then.",
                when=moment(texts, refused.opens_at),
            )
            return await _form(request, wanted, status=429, email=email, problem=problem)
        problem = _("That email address and password do not belong together. Check both and try again.")
        return await _form(request, wanted, status=403, email=email, problem=problem)
    previous = request.session.get("id")
    if isinstance(previous, str):
        await accounts.sign_out(previous)
    _leave(request)
    request.session["id"] = session_id
    return RedirectResponse(wanted, status_code=303)


async def sign_out(request: Request) -> Response:
    """End the session, and with it every prompt and token that it still had."""
    axis, session_id = axis_of(request.scope), request.session.get("id")
    subject = await axis.accounts.identify(request.scope)
    if isinstance(session_id, str):
        await axis.accounts.sign_out(session_id)
    if subject is not None:
        await axis.stepup.end_session(subject)
    _leave(request)
    return say_and_show(request, saying("You are signed out."), "/sign-in")


def _leave(request: Request) -> None:
    """Forget what the session had, but for the language that was chosen."""
    chosen = request.session.get(KEY)
    request.session.clear()
    if chosen is not None:
        request.session[KEY] = chosen


async def language(request: Request) -> Response:
    """Show the pages in another language from now on, in this browser."""
    async with request.form(max_files=0, max_fields=4) as form:
        chosen = axis_of(request.scope).languages.find(str(form.get("language", ""))[:35])
        wanted = local_path(str(form.get("next", "/")))
    if chosen is not None:
        request.session[KEY] = chosen
    return RedirectResponse(wanted, status_code=303)


routes = [
    Route("/sign-in", show),
    Route("/sign-in", sign_in, methods=["POST"]),
    Route("/sign-out", sign_out, methods=["POST"]),
    Route("/language", language, methods=["POST"]),
]
