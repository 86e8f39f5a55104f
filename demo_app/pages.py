"""How pages are drawn: the layout's context, filters, and what is said to the person next."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from babel import Locale
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from demo_app.accounts import WORKSPACE
from demo_app.axis import Axis, Conflict, axis_of
from demo_app.languages import Text, Texts, marked, money, said_in, texts_of, unpacked
from demo_app.what_was_off import altered, off
from stepup_middleware import PLATFORM_PURPOSES, StoreError, visible

_HERE = Path(__file__).parent
_TITLES = {purpose.id: purpose.title for purpose in PLATFORM_PURPOSES} | {  # and what the library itself asks for
    "factor_change": marked("Factor change"),
    "factors_reset": marked("Factors reset"),
    "enrolment_pass": marked("Enrolment pass"),
}
NAVIGATION = (
    ("", (("/", marked("Overview")),)),
    (
        marked("People and pay"),
        (
            ("/payroll", marked("Payroll")),
            ("/equity", marked("Equity")),
            ("/year-end", marked("Year-end")),
            ("/privacy", marked("Privacy")),
        ),
    ),
    (
        marked("Platform"),
        (
            ("/developers", marked("Developers")),
            ("/agents", marked("Agents")),
            ("/identity", marked("Identity")),
            ("/domains", marked("Domains")),
            ("/exports", marked("Data exports")),
        ),
    ),
    (
        marked("Settings"),
        (
            ("/settings/security", marked("Security")),
            ("/stepup/factors", marked("Factors")),
            ("/stepup/approvals", marked("Waiting approvals")),
            ("/settings/step-up-policy", marked("Step-up policy")),
            ("/mailbox", marked("Mailbox")),
        ),
    ),
    (
        marked("Oversight"),
        (
            ("/audit", marked("Audit log")),
            ("/security", marked("Security console")),
            ("/stepup/people", marked("People and their factors")),
            ("/guide", marked("Guide")),
        ),
    ),
)
_FOR_ADMINS = frozenset({"/audit", "/security", "/stepup/people"})
ALERT_SPAN = timedelta(days=30)  # alerts that are older are in the audit log alone


# identifiers of the library, as people read them
WORDS = (
    *(marked("info"), marked("warning"), marked("critical")),
    *(marked("pending"), marked("success"), marked("failure"), marked("denied"), marked("cancelled")),
    *(marked("asked"), marked("verified"), marked("authorized"), marked("failed"), marked("blocked"), marked("reused")),
)


def second(at: datetime) -> str:
    """Return a time to the second, as ``2026-11-24 08:05:09``; UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_callables(_one, _several, newstyle=True)  # type: ignore[attr-defined]
    environment.filters.update(
        apart=pass_context(lambda context, text: apart(_texts(context), text)),
        day=pass_context(lambda context, when: _texts(context).day(when)),
        money=pass_context(lambda context, cents: money(_texts(context), cents)),
        moment=pass_context(lambda context, at: moment(_texts(context), at)),
        number=pass_context(lambda context, number: _texts(context).number(number)),
        off=pass_context(lambda context, flag: off(_texts(context), flag)),
        altered=pass_context(lambda context, reason: altered(_texts(context), reason)),
        purpose=pass_context(lambda context, purpose_id: purpose_title(_texts(context), purpose_id)),
        sentence=pass_context(lambda context, kept: said_in(_texts(context), unpacked(kept))),
        second=second,
        visible=shown,
    )
    environment.globals.update(navigation=NAVIGATION, for_admins=_FOR_ADMINS)
    return environment


def _texts(context: Context) -> Texts:
    texts: Texts = context["texts"]
    return texts


@pass_context
def _one(context: Context, text: str) -> str:
    return _texts(context).gettext(text) if text else ""


@pass_context
def _several(context: Context, singular: str, plural: str, number: int) -> str:
    return _texts(context).ngettext(singular, plural, number)


def apart(texts: Texts, text: str) -> str:
    """Return a name or a time for a sentence: where that runs from right to left, neither draws the other along."""
    return text if texts.direction == "ltr" else Markup("<bdi>{}</bdi>").format(text)


def moment(texts: Texts, at: str | datetime | None) -> str:
    """Return a time as the language writes it, ``Nov 24, 2026, 8:05 AM UTC``, say; nothing for None."""
    return "" if at is None else texts.moment(datetime.fromisoformat(at) if isinstance(at, str) else at)


def shown(value: object) -> str:
    """Return a value as text in which what cannot be seen is written out; nothing for None."""
    return "" if value is None else "\n".join(visible(line) for line in str(value).split("\n"))


def purpose_title(texts: Texts, purpose_id: str) -> str:
    """Return a purpose's title; for one outside the platform's catalogue its id."""
    title = _TITLES.get(purpose_id)
    return purpose_id if title is None else texts(title)


_templates = _environment()


def rendered(texts: Texts, name: str, /, **context: Any) -> str:
    """Return a template's text in a language."""
    return _templates.get_template(name).render(texts=texts, **context)


def fragment(request: Request, name: str, /, *, status: int = 200, **context: Any) -> Response:
    """Return a part of a page: what htmx puts in the place of the old one."""
    return HTMLResponse(rendered(texts_of(request.scope), name, **context), status_code=status)


async def alerts_waiting(axis: Axis) -> int:
    """Return how many alerts no admin has acknowledged; none to show while the log cannot be read."""
    try:
        return await axis.stepup.alerts.waiting(WORKSPACE, since=axis.clock() - ALERT_SPAN)
    except StoreError:
        return 0


async def page(request: Request, name: str, /, *, status: int = 200, **context: Any) -> Response:
    """Return a whole page, with the layout's context: who is signed in, where they are, what was just said."""
    axis = axis_of(request.scope)
    subject = await axis.accounts.identify(request.scope)
    texts = texts_of(request.scope)
    layout = {
        "path": request.url.path,
        "here_url": _again(request) if status == 200 else "/",
        "languages": [(tag, str(Locale.parse(tag, sep="-").get_display_name()).title()) for tag in axis.languages.tags],
        "for_scripts": json.dumps(axis.languages.said_by_scripts(texts)),
        "subject": subject,
        "head": Markup(axis.stepup.head),  # noqa: S704 - the library's own tags
        "said": request.session.pop("said", None),
        "trouble": request.session.pop("trouble", None),
        "alerts_waiting": await alerts_waiting(axis) if subject and subject.is_admin else 0,
        "lockout": await axis.accounts.lockout_of(subject.id) if subject else None,
    }
    return fragment(request, name, status=status, **layout, **context)


def _again(request: Request) -> str:
    """Return the address of the page in hand, to come back to."""
    query = f"?{request.url.query}" if request.url.query else ""
    return request.url.path + query if request.method == "GET" else "/"


def say_and_show(request: Request, sentence: Text, path: str) -> Response:
    """Send the browser to a page that shows the sentence, once."""
    request.session["said"] = said_in(texts_of(request.scope), sentence)
    return RedirectResponse(path, status_code=303)


def wants_fragment(request: Request) -> bool:
    """Whether htmx asks and takes a part of the page."""
    return request.headers.get("hx-request") == "true"


def done(request: Request, card: str, path: str, outcome: Text | Conflict, /, **context: Any) -> Response:
    """Answer an action: htmx is given the new card, a plain form the page at ``path`` with what was done or not."""
    texts = texts_of(request.scope)
    if isinstance(outcome, Conflict):
        said, problem = None, said_in(texts, outcome.reason)
    else:
        said, problem = said_in(texts, outcome), None
    if wants_fragment(request):
        return fragment(request, card, status=409 if problem else 200, said=said, problem=problem, **context)
    request.session.update({"trouble": problem} if problem else {"said": said})
    return RedirectResponse(path, status_code=303)


def download(content: bytes, name: str, media_type: str) -> Response:
    """Return a file to save. The name must be plain ASCII of the app's own making."""
    return Response(content, media_type=media_type, headers={"content-disposition": f'attachment; filename="{name}"'})
