"""The page of people, for admins: who has which factors, enrolment passes, and resets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response

from stepup_middleware.core.moments import iso
from stepup_middleware.core.recovery import LONGEST_REASON, ResetRequest
from stepup_middleware.core.refusals import Refusal, RefusalCode, StepUpRequired
from stepup_middleware.core.subject import Subject
from stepup_middleware.core.texts import Text, marked
from stepup_middleware.errors import NotPermitted
from stepup_middleware.request.site import is_navigation
from stepup_middleware.service.people import PersonStanding
from stepup_middleware.service.resets import IssuedPass

from .call import BadRequest, Call, Handler
from .pages import factor_view, qr_svg, render

PAGE = 50  # people


def for_admins(handler: Callable[[Call, Subject], Awaitable[Response]]) -> Handler:
    """Return a handler that answers what may not be done with its sentence, and asks for the proof of what may."""

    async def serve(call: Call) -> Response:
        try:
            return await handler(call, call.requester.subject)
        except StepUpRequired as required:
            call.guarded.answered = True
            return call.refuse(required.refusal)
        except NotPermitted as error:
            return call.refuse(Refusal(code=RefusalCode.NOT_PERMITTED, detail=error.reason))

    return serve


@for_admins
async def list_people(call: Call, admin: Subject) -> Response:
    """Show people of the admin's workspace, by name: page or JSON."""
    scope, asked = call.request.scope, call.request.query_params
    factors = call.stepup.factors
    text, purpose, begin = asked.get("q", "")[:200].strip(), asked.get("purpose", ""), asked.get("after")
    people, after = await factors.people(admin, scope=scope, text=text, purpose=purpose, after=begin, limit=PAGE)
    if begin and not people:  # those of the page before were the last ones by now
        begin = None
        people, after = await factors.people(admin, scope=scope, text=text, purpose=purpose, limit=PAGE)
    waiting = await factors.reset_requests(admin, scope=scope)
    views = [_person_view(call, standing) for standing in people]
    requests = [_request_view(request, admin) for request in waiting]
    if not is_navigation(scope) and call.request.headers.get("hx-request") is None:
        return call.json_response({"people": views, "requests": requests, "next": after})
    page = render(
        "people.html",
        call.stepup,
        call.base,
        call.texts,
        admin_id=admin.id,
        people=views,
        requests=requests,
        text=text,
        purpose=purpose,
        purposes=[(each.id, call.texts(each.title)) for each in call.stepup.purposes.values()],
        after=after,
        is_first=not begin,
        people_url=f"{call.base}/people",
        takes_pass=factors.rules.first_factor.takes_pass,
        needs_two=factors.rules.reset_needs_two,
        longest_reason=LONGEST_REASON,
    )
    return call.html_response(page)


def _person_view(call: Call, standing: PersonStanding) -> dict[str, Any]:
    person = standing.person
    return {
        "id": person.subject_id,
        "name": person.name,
        "login": person.login,
        "factors": [factor_view(factor, call.texts) for factor in standing.factors],
        "closed": [purpose.id for purpose in standing.closed],
        "closed_titles": [call.texts(purpose.title) for purpose in standing.closed],
        "held_until": None if standing.hold is None else iso(standing.hold.until),
    }


def _request_view(request: ResetRequest, admin: Subject) -> dict[str, Any]:
    return {
        "id": request.id,
        "person": request.subject_id,
        "name": request.subject_name,
        "reason": request.reason,
        "requested_by": request.requested_by,
        "requested_by_name": request.requested_by_name,
        "requested_at": iso(request.requested_at),
        "expires_at": iso(request.expires_at),
        "yours": request.requested_by == admin.id,
        "about_you": request.subject_id == admin.id,
    }


@for_admins
async def issue_pass(call: Call, admin: Subject) -> Response:
    """Issue an enrolment pass, after a step-up that names the person and the reason."""
    person, reason = await _asked(call)
    scope, factors = call.request.scope, call.stepup.factors
    issued = await factors.issue_pass(admin.workspace_id, person, by=admin, reason=reason, scope=scope)
    return call.json_response(_pass_view(call, issued), 201)


@for_admins
async def reset_factors(call: Call, admin: Subject) -> Response:
    """Reset a person's factors, after a step-up that names the person and the reason."""
    person, reason = await _asked(call)
    with_pass = (await call.json()).get("pass") is True
    scope, factors = call.request.scope, call.stepup.factors
    done = await factors.reset(admin.workspace_id, person, by=admin, reason=reason, with_pass=with_pass, scope=scope)
    return _reset_answer(call, done.waits, done.issued, admin)


@for_admins
async def confirm_reset(call: Call, admin: Subject) -> Response:
    """Do a reset that another admin asked for, after a step-up of one's own."""
    request_id = await _request_id(call)
    done = await call.stepup.factors.confirm_reset(request_id, by=admin, scope=call.request.scope)
    return _reset_answer(call, None, done.issued, admin)


@for_admins
async def withdraw_reset(call: Call, admin: Subject) -> Response:
    """Take back a reset that waits for another admin."""
    await call.stepup.factors.withdraw_reset(await _request_id(call), by=admin, scope=call.request.scope)
    return call.json_response({})


def _reset_answer(call: Call, waits: ResetRequest | None, issued: IssuedPass | None, admin: Subject) -> Response:
    if waits is not None:
        return call.json_response({"waits": _request_view(waits, admin)}, 202)
    return call.json_response({"pass": None if issued is None else _pass_view(call, issued)})


def _pass_view(call: Call, issued: IssuedPass) -> dict[str, Any]:
    """Return a pass as it is shown once: the QR code has the same text, to be typed by a phone."""
    valid = Text(marked("Valid until %(moment)s, once, for this person alone."), {"moment": issued.expires_at})
    return {
        "person": issued.person.subject_id,
        "secret": issued.secret,
        "expires_at": iso(issued.expires_at),
        "valid": call.texts(valid),
        "qr_svg": qr_svg(issued.secret),
    }


async def _asked(call: Call) -> tuple[str, str]:
    body = await call.json()
    person, reason = body.get("person"), body.get("reason")
    if not isinstance(person, str) or not isinstance(reason, str):
        raise BadRequest
    return person, reason


async def _request_id(call: Call) -> str:
    wanted = (await call.json()).get("request")
    if not isinstance(wanted, str):
        raise BadRequest
    return wanted
