"""The routes by which a person comes back to their factors: an enrolment pass, a recovery code, a new set of codes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from starlette.responses import RedirectResponse, Response

from stepup_middleware.core.moments import iso
from stepup_middleware.core.purposes import FACTOR_CHANGE
from stepup_middleware.core.refusals import Refusal
from stepup_middleware.core.texts import marked
from stepup_middleware.service.recovery import NewCodes, Opened
from stepup_middleware.service.requester import Requester

from .answers import SAFE_HEADERS
from .call import Call
from .factor_routes import factors_page, step_up


async def take_pass(call: Call) -> Response:
    """Take an enrolment pass, by JSON or by the form of the page of factors."""
    return await _open(call, call.stepup._parts.recovery.take_pass, "pass")


async def use_recovery_code(call: Call) -> Response:
    """Use a recovery code, by JSON or by the form of the page of factors."""
    use_code = call.stepup._parts.recovery.use_code
    return await _open(call, partial(use_code, beside=call.beside_the_store), "code")


async def _open(call: Call, taken: Callable[[Requester, object], Awaitable[Opened | Refusal]], member: str) -> Response:
    typed = (await call.form() if call.sends_form else await call.json()).get(member)
    opened = await taken(call.requester, typed)
    if isinstance(opened, Opened):
        if call.sends_form:
            return RedirectResponse(f"{call.base}/factors", status_code=303, headers=SAFE_HEADERS)
        view: dict[str, object] = {"expires_at": iso(opened.right.expires_at)}
        if opened.left is not None:
            view["left"] = opened.left
        return call.json_response(view)
    if call.sends_form:
        page = await factors_page(call, error=call.texts(opened.wording), failed=member)
        return call.html_response(page, status=opened.status)
    return call.refuse(opened)


async def renew_recovery_codes(call: Call) -> Response:
    """Make a new set of recovery codes, after a step-up with the strongest factor there is."""
    await call.body()
    recovery = call.stepup._parts.recovery
    if refusal := await recovery.may_renew(call.requester):
        return call.refuse(refusal)
    details = ((call.texts(marked("Add")), call.texts(marked("Recovery codes"))),)
    proved = await step_up(call, FACTOR_CHANGE, details)
    if isinstance(proved, Refusal):
        return call.refuse(proved)
    made = await recovery.renew_codes(call.requester, proved, call.beside_the_store)
    return call.json_response({"codes": list(made.codes)}, 201) if isinstance(made, NewCodes) else call.refuse(made)
