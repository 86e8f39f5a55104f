"""Settings, Security: the person's factors and the workspace's step-up policy."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from demo_app.axis import axis_of, current
from demo_app.languages import saying, texts_of
from demo_app.pages import page, say_and_show
from stepup_middleware import PolicyError, ShutOut

_PATH = "/settings/step-up-policy"
_NAMED = 20  # people who are named where a stricter policy shuts them out


async def security(request: Request) -> Response:
    """Show the two pages of Settings, Security."""
    subject = await current(request)
    stepup = axis_of(request.scope).stepup
    policies = await stepup.policy.current(subject.workspace_id)
    return await page(
        request,
        "security_settings.html",
        factors=await stepup.factors.list(subject),
        tightened=sum(policy.requirement != policy.minimum for policy in policies),
        purposes=len(policies),
    )


async def show(request: Request) -> Response:
    """Show every purpose with its requirement; only an admin may change them."""
    return await _show(request)


async def _show(
    request: Request,
    status: int = 200,
    problem: str | None = None,
    wanted: Mapping[str, str] | None = None,
    shut_out: ShutOut | None = None,
) -> Response:
    subject = await current(request)
    policies = await axis_of(request.scope).stepup.policy.current(subject.workspace_id)
    return await page(
        request,
        "policy.html",
        status=status,
        problem=problem,
        policies=policies,
        editable=subject.is_admin,
        wanted=wanted or {},
        shut_out=shut_out,
    )


async def save(request: Request) -> Response:
    """Save the whole policy, or nothing of it; the library checks every write and logs those that it refuses."""
    subject = await current(request)
    policy = axis_of(request.scope).stepup.policy
    before = {row.purpose.id: row.requirement for row in await policy.current(subject.workspace_id)}
    async with request.form(max_files=0, max_fields=2 * len(before)) as form:
        wanted = {name: str(value) for name, value in form.multi_items()}
    seen = wanted.pop("shut_out", "")  # how many people the admin was told of
    changes = {name: value for name, value in wanted.items() if before.get(name) != value}
    if not subject.is_admin:
        changes = changes or dict(before)  # also a form that changes nothing is refused, and logged
    if subject.is_admin:
        out = await policy.shut_out(subject, changes, scope=request.scope, limit=_NAMED)
        if out.count and str(out.count) != seen:
            return await _show(request, wanted=wanted, shut_out=out)
    try:
        await policy.set_many(subject, changes, scope=request.scope)
    except PolicyError as error:
        _ = texts_of(request.scope)
        problem = _("%(reason)s Nothing was saved.", reason=_(error.message, **error.values))
        return await _show(request, 422 if subject.is_admin else 403, problem)
    said = (
        saying("Saved. Purposes changed: %(number)s. The next prompts follow the policy as shown.", number=len(changes))
        if changes
        else saying("Nothing to change. The next prompts follow the policy as shown.")
    )
    return say_and_show(request, said, _PATH)


async def settings(request: Request) -> Response:
    """Lead to Settings, Security."""
    return RedirectResponse("/settings/security", status_code=303)


routes = [
    Route("/settings", settings),
    Route("/settings/security", security),
    Route(_PATH, show),
    Route(_PATH, save, methods=["POST"]),
]
