"""How pages are drawn: the layout's context, filters, and what is said to the person next."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from demo_app.accounts import WORKSPACE
from demo_app.axis import Axis, axis_of
from stepup_middleware import PLATFORM_PURPOSES, StoreError, visible

_HERE = Path(__file__).parent
_TITLES = {purpose.id: purpose.title for purpose in PLATFORM_PURPOSES}
NAVIGATION = (
    ("", (("/", "Overview"),)),
    (
        "People and pay",
        (("/payroll", "Payroll"), ("/equity", "Equity"), ("/year-end", "Year-end"), ("/privacy", "Privacy")),
    ),
    (
        "Platform",
        (
            ("/developers", "Developers"),
            ("/identity", "Identity"),
            ("/domains", "Domains"),
            ("/exports", "Data exports"),
        ),
    ),
    (
        "Settings",
        (
            ("/settings/security", "Security"),
            ("/stepup/factors", "Factors"),
            ("/settings/step-up-policy", "Step-up policy"),
            ("/mailbox", "Mailbox"),
        ),
    ),
    ("Oversight", (("/audit", "Audit log"), ("/security", "Security console"), ("/guide", "Guide"))),
)
_FOR_ADMINS = frozenset({"/audit", "/security"})
ALERT_SPAN = timedelta(days=30)  # alerts that are older are in the audit log alone


def money(cents: int) -> str:
    """Return whole cents as ``USD 412,908.77``."""
    return f"USD {cents // 100:,}.{cents % 100:02d}"


def moment(at: str | datetime | None) -> str:
    """Return a time as ``24 Nov 2026, 08:05 UTC``; nothing for None."""
    if at is None:
        return ""
    when = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{when.day} {when:%b %Y, %H:%M} UTC"


def second(at: datetime) -> str:
    """Return a time to the second, as ``2026-11-24 08:05:09``; UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        money=money, moment=moment, second=second, words=words, purpose=purpose_title, visible=shown
    )
    environment.globals.update(navigation=NAVIGATION, for_admins=_FOR_ADMINS)
    return environment


def words(identifier: str) -> str:
    """Return an identifier as a person reads it: ``totp_replay`` becomes ``totp replay``."""
    return identifier.replace("_", " ").replace("-", " ")


def shown(value: object) -> str:
    """Return a value as text in which what cannot be seen is written out; nothing for None."""
    return "" if value is None else "\n".join(visible(line) for line in str(value).split("\n"))


def purpose_title(purpose_id: str) -> str:
    """Return a purpose's title, and for one outside the platform's catalogue its id in words."""
    return _TITLES.get(purpose_id) or words(purpose_id).capitalize()


_templates = _environment()


def rendered(name: str, /, **context: Any) -> str:
    """Return a template's text."""
    return _templates.get_template(name).render(context)


def fragment(name: str, /, *, status: int = 200, **context: Any) -> Response:
    """Return a part of a page: what htmx puts in the place of the old one."""
    return HTMLResponse(rendered(name, **context), status_code=status)


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
    layout = {
        "path": request.url.path,
        "subject": subject,
        "head": Markup(axis.stepup.head),  # noqa: S704 - the library's own tags
        "said": request.session.pop("said", None),
        "trouble": request.session.pop("trouble", None),
        "alerts_waiting": await alerts_waiting(axis) if subject and subject.is_admin else 0,
        "lockout": await axis.accounts.lockout_of(subject.id) if subject else None,
    }
    return fragment(name, status=status, **layout, **context)


def say_and_show(request: Request, sentence: str, path: str) -> Response:
    """Send the browser to a page that shows the sentence, once."""
    request.session["said"] = sentence
    return RedirectResponse(path, status_code=303)


def wants_fragment(request: Request) -> bool:
    """Whether htmx asks and takes a part of the page."""
    return request.headers.get("hx-request") == "true"


def done(
    request: Request, card: str, path: str, /, *, said: str | None = None, problem: str | None = None, **context: Any
) -> Response:
    """Answer an action: htmx is given the new card, a plain form the page at ``path`` with what was done or not."""
    if wants_fragment(request):
        return fragment(card, status=409 if problem else 200, said=said, problem=problem, **context)
    request.session.update({"trouble": problem} if problem else {"said": said})
    return RedirectResponse(path, status_code=303)


def download(content: bytes, name: str, media_type: str) -> Response:
    """Return a file to save. The name must be plain ASCII of the app's own making."""
    return Response(content, media_type=media_type, headers={"content-disposition": f'attachment; filename="{name}"'})
