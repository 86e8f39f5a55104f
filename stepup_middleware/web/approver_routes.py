"""The routes on which a person sees what their programs ask, types the two digits, proves, or denies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from hashlib import sha256
from math import inf
from typing import Any

from starlette.responses import RedirectResponse, Response

from stepup_middleware.core.approvals import Approval, ApprovalState, EndReason
from stepup_middleware.core.moments import iso
from stepup_middleware.core.notices import browser_of
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.core.texts import Text, marked
from stepup_middleware.request.site import is_navigation
from stepup_middleware.service.approval_watch import of_person
from stepup_middleware.service.approving import decider_of
from stepup_middleware.service.ceremony_parts import insufficient_for
from stepup_middleware.service.grants import IssuedToken

from .answers import SAFE_HEADERS
from .approval_routes import wait_of
from .call import Call, Handler, wanted_kind
from .pages import prompt_view, render

_NOT_YOURS = marked(
    "You are signed in as %(name)s, and nothing waits here for you. If the link is for somebody else, sign in as that "
    "person."
)


def of_approval(handler: Callable[[Call, Approval], Awaitable[Response]]) -> Handler:
    """Return a handler of what a link is for; whoever it is not for is told so, and shown nothing of it."""

    async def serve(call: Call) -> Response:
        found = await _find(call)
        return call.refuse(found) if isinstance(found, Refusal) else await handler(call, found)

    serve.__name__ = handler.__name__
    return serve


async def _find(call: Call) -> Approval | Refusal:
    found = await call.stepup._parts.approving.find(call.requester, str(call.request.path_params["code"]))
    if not isinstance(found, Refusal) or found.code is RefusalCode.NOT_PERMITTED:
        return found
    subject = call.requester.subject
    return Refusal(code=RefusalCode.PROMPT_NOT_FOUND, detail=Text(_NOT_YOURS, {"name": subject.name or subject.id}))


async def list_approvals(call: Call) -> Response:
    """Show what waits for a person: page or JSON.

    With ``Prefer: wait`` (RFC 7240 §4.3) and the ``ETag`` of what the caller knows as ``If-None-Match`` it is answered
    once something else waits, and with 304 where nothing does.
    """
    seconds, known = wait_of(call.request), call.request.headers.get("if-none-match", "")
    if is_navigation(call.request.scope) or not (seconds and known):
        async with call.stepup._life.in_time():
            waiting = await call.stepup._parts.approving.waiting(call.requester)
            return call.refuse(waiting) if isinstance(waiting, Refusal) else await _listed(call, waiting)
    subject, watch = call.requester.subject, call.stepup._parts.approvals.watch
    person = of_person(subject.workspace_id, subject.id)
    waiting, waited = await watch.until(person, partial(_look_at_list, call, known), seconds)
    if isinstance(waiting, Refusal):
        return call.refuse(waiting)
    if _tag(waiting) not in known:
        async with call.stepup._life.in_time():
            return await _listed(call, waiting)
    applied = {"Preference-Applied": f"wait={seconds}"} if waited else {}
    return Response(status_code=304, headers={**SAFE_HEADERS, **applied, "ETag": _tag(waiting)})


async def _look_at_list(call: Call, known: str) -> tuple[tuple[Approval, ...] | Refusal, float]:
    """Look what waits, and say how long it may stay like that: no time where it is another list than the known."""
    async with call.stepup._life.in_time():
        refusal = await call.identify_again()
        waiting = await call.stepup._parts.approving.waiting(call.requester) if refusal is None else refusal
    if isinstance(waiting, Refusal) or _tag(waiting) not in known:
        return waiting, 0
    ends = (each.prompt.expires_at - call.requester.now for each in waiting)
    return waiting, min((left.total_seconds() for left in ends), default=inf)


async def _listed(call: Call, waiting: Sequence[Approval]) -> Response:
    known = await call.stepup._parts.approving.known_addresses(call.requester) if waiting else frozenset()
    views, tag = [_view(call, approval, known) for approval in waiting], _tag(waiting)
    if is_navigation(call.request.scope):
        page = render("approvals.html", call.stepup, call.base, call.texts, approvals=views, tag=tag)
        return call.html_response(page)
    response = call.json_response({"approvals": views})
    response.headers["ETag"] = tag
    return response


def _tag(waiting: Sequence[Approval]) -> str:
    """Return what names these approvals, as an ``ETag``: others, or in another order, have another."""
    return f'"{sha256(" ".join(each.prompt.id for each in waiting).encode()).hexdigest()[:32]}"'


@of_approval
async def show_approval(call: Call, approval: Approval) -> Response:
    """Show what a program asks: page, JSON, or for page.js the modal once the digits were typed."""
    return await _shown(call, approval)


@of_approval
async def match_digits(call: Call, approval: Approval) -> Response:
    """Take the two digits that the program shows."""
    digits = (await call.form()).get("match") if call.sends_form else (await call.json()).get("match")
    after = await call.stepup._parts.approving.match(call.requester, approval, digits)
    if not is_navigation(call.request.scope):
        return call.refuse(after) if isinstance(after, Refusal) else call.json_response(await _one(call, after))
    if isinstance(after, Refusal) and after.code is RefusalCode.VERIFICATION_FAILED:
        return await _shown(call, approval, error=call.texts(after.wording))
    return _back(call, approval)


@of_approval
async def begin_approval(call: Call, approval: Approval) -> Response:
    """Begin the ceremony by which a person approves."""
    kind = wanted_kind(await call.json())
    options = await call.stepup._parts.approving.begin_webauthn(call.requester, approval, kind)
    return call.refuse(options) if isinstance(options, Refusal) else call.json_response(options)


@of_approval
async def approve_by_key(call: Call, approval: Approval) -> Response:
    """Approve by an assertion."""
    return _done(call, await call.stepup._parts.approving.finish_webauthn(call.requester, approval, await call.json()))


@of_approval
async def approve_by_code(call: Call, approval: Approval) -> Response:
    """Approve by a one-time password: from a script, or from the form of a page without one."""
    code = (await call.form()).get("code") if call.sends_form else (await call.json()).get("code")
    done = await call.stepup._parts.approving.finish_totp(call.requester, approval, code)
    if not is_navigation(call.request.scope):
        return _done(call, done)
    if isinstance(done, Refusal) and done.code is RefusalCode.VERIFICATION_FAILED:
        return await _shown(call, approval, error=call.texts(done.wording))
    return call.refuse(done) if isinstance(done, Refusal) else _back(call, approval)


@of_approval
async def deny(call: Call, approval: Approval) -> Response:
    """Say no."""
    refusal = await call.stepup._parts.approving.deny(call.requester, approval)
    if is_navigation(call.request.scope):
        return _back(call, approval)
    return Response(status_code=204, headers=SAFE_HEADERS) if refusal is None else call.refuse(refusal)


async def deny_and_end(call: Call) -> Response:
    """Say no, and end the session of the program that asks: here at once, and in the app."""
    parts = call.stepup._parts
    if not parts.ender.can_end:
        return call.refuse(Refusal(code=RefusalCode.PROMPT_NOT_FOUND))
    async with call.stepup._life.in_time():
        approval = await _find(call)
        if isinstance(approval, Refusal):
            return call.refuse(approval)
        await parts.approving.deny(call.requester, approval)  # where it is over already, the session ends all the same
        await parts.ender.revoke(call.requester, approval)
    how = await parts.ender.end_in_app(approval)
    async with call.stepup._life.in_time():
        await parts.ender.revoke(call.requester, approval)  # what it began while the app was ending it
        refusal = await parts.ender.log(call.requester, approval, *how)
        if refusal is not None:
            return call.refuse(refusal)
        if is_navigation(call.request.scope):
            return _page(call, {**await _one(call, approval), "state": "ended"})
    return Response(status_code=204, headers=SAFE_HEADERS)


def _done(call: Call, done: IssuedToken | Refusal) -> Response:
    """Say that it was approved. The token is the program's: whoever approves is not given it."""
    return call.refuse(done) if isinstance(done, Refusal) else call.json_response({"status": "approved"})


def _url(call: Call, approval: Approval) -> str:
    return f"{call.base}/approve/{call.stepup._parts.approvals.code_of(approval)}"


def _back(call: Call, approval: Approval) -> Response:
    return RedirectResponse(_url(call, approval), status_code=303, headers=SAFE_HEADERS)


async def _shown(call: Call, approval: Approval, *, error: str | None = None) -> Response:
    scope, parts, prompt = call.request.scope, call.stepup._parts, approval.prompt
    view = await _one(call, approval)
    purpose = parts.ceremonies.purpose_of(prompt)
    texts = await call.stepup.languages.ready(prompt.locale)
    modal = None
    matched = approval.waits(call.requester.now) and approval.matched == decider_of(call.requester).session
    if matched and purpose is not None:
        usable = {factor.kind for factor in await parts.ceremonies.usable(prompt, approving=True)}
        kinds = tuple(kind for kind in prompt.factor_kinds if kind in usable)
        if not kinds:
            refusal = insufficient_for(purpose, prompt)
            return _page(call, view, refusal=refusal) if is_navigation(scope) else call.refuse(refusal)
        modal = {**prompt_view(prompt, purpose, call.base, texts, kinds=kinds, error=error), "url": view["url"]}
    if call.request.headers.get("hx-request") is not None:
        if modal is None:
            return call.refuse(Refusal(code=RefusalCode.PROMPT_NOT_FOUND))
        response = call.html_response(render("modal.html", call.stepup, call.base, texts, prompt=modal, asked=view))
        response.headers["StepUp-Prompt"] = view["url"]
        return response
    if is_navigation(scope):
        return _page(call, view, modal, error)
    return call.json_response(view)


def _page(
    call: Call,
    asked: dict[str, Any],
    modal: dict[str, Any] | None = None,
    error: str | None = None,
    *,
    refusal: Refusal | None = None,
) -> Response:
    """Return the page; with a ``refusal`` it can only be denied there."""
    page = render(
        "approve.html",
        call.stepup,
        call.base,
        call.texts,
        asked=asked,
        prompt=modal,
        error=error,
        refused=None if refusal is None else call.texts(refusal.wording),
        can_end=call.stepup._parts.ender.can_end,
    )
    return call.html_response(page, refusal.status if refusal is not None else 200 if error is None else 400)


async def _one(call: Call, approval: Approval) -> dict[str, Any]:
    return _view(call, approval, await call.stepup._parts.approving.known_addresses(call.requester))


def _view(call: Call, approval: Approval, known_addresses: frozenset[str]) -> dict[str, Any]:
    prompt = approval.prompt
    purpose = call.stepup._parts.ceremonies.purpose_of(prompt)
    age = call.requester.now - prompt.created_at
    over = approval.state is ApprovalState.WAITING and not approval.waits(call.requester.now)
    proved = approval.reason is EndReason.PROVED  # by the session that asks
    return {
        "url": _url(call, approval),
        "state": "expired" if over else "proved" if proved else approval.state.value,
        "purpose": prompt.purpose,
        "authorize_title": prompt.purpose if purpose is None else call.texts(purpose.authorize_title),
        "consequence": "" if purpose is None else call.texts(purpose.consequence),
        "details": [list(pair) for pair in prompt.details],
        "client": prompt.client,
        "actor": prompt.actor,
        "agent": browser_of(prompt.user_agent),
        "ip": prompt.ip,
        "known_network": prompt.ip in known_addresses,
        "asked_at": iso(prompt.created_at),
        "when": call.texts.moment(prompt.created_at),
        "age": max(0, int(age.total_seconds())),
        "ago": call.texts.ago(age),
        "expires_at": iso(prompt.expires_at),
    }
