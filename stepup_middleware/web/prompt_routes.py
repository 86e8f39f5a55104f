"""The routes of a prompt: the modal, its ceremonies, and the way to cancel it."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from stepup_middleware.core.cookies import token_cookie
from stepup_middleware.core.moments import iso
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.request.bound import below_root
from stepup_middleware.request.site import is_navigation
from stepup_middleware.roots import root_of
from stepup_middleware.service.ceremony_parts import insufficient_for
from stepup_middleware.service.grants import IssuedToken

from .answers import SAFE_HEADERS, purpose_view
from .call import Call, wanted_kind
from .pages import prompt_view, render
from .repetition import NO_FORM, handed_on, repeat_view

DELIVER_HEADER = "stepup-deliver"


async def show_prompt(call: Call) -> Response:
    """Show a prompt: fragment, page or JSON."""
    prompt = await call.stepup._parts.ceremonies.open_prompt(call.requester, call.prompt_id)
    if isinstance(prompt, Refusal):
        return call.refuse(prompt)
    usable = {factor.kind for factor in await call.stepup._parts.ceremonies.usable(prompt)}
    purpose = call.stepup._parts.ceremonies.purpose_of(prompt)
    kinds = tuple(kind for kind in prompt.factor_kinds if kind in usable)
    if purpose is None or not kinds:
        return call.refuse(insufficient_for(purpose, prompt))
    texts = await call.stepup.languages.ready(prompt.locale)
    view = prompt_view(prompt, purpose, call.base, texts, kinds=kinds)
    if call.request.headers.get("hx-request") is not None:
        response = call.html_response(render("modal.html", call.stepup, call.base, texts, prompt=view))
        response.headers["StepUp-Prompt"] = view["url"]  # page.js accepts only a fragment that names itself here
        return response
    if is_navigation(call.request.scope):
        if prompt.request.method != "GET":
            return call.refuse(Refusal(code=RefusalCode.PROMPT_NOT_FOUND))  # its form is on another page
        repeat = repeat_view(prompt.request, NO_FORM, texts, root_path=root_of(call.request.scope))
        return call.html_response(render("page.html", call.stepup, call.base, texts, prompt=view, repeat=repeat))
    return call.json_response(
        {
            "purpose": purpose_view(purpose, texts, prompt),
            "requirement": prompt.requirement.value,
            "factors": [kind.value for kind in prompt.requirement.kinds()],
            "enrolled_factors": [kind.value for kind in kinds],
            "details": [list(pair) for pair in prompt.details],
            "prompt": {"id": prompt.id, "url": view["url"], "expires_at": view["expires_at"]},
        }
    )


async def cancel_prompt(call: Call) -> Response:
    """The person says no, or the program that asked takes it back."""
    refusal = await call.stepup._parts.ceremonies.cancel(call.requester, call.prompt_id)
    await call.stepup._parts.approvals.withdraw(call.requester, call.prompt_id)
    return Response(status_code=204, headers=SAFE_HEADERS) if refusal is None else call.refuse(refusal)


async def webauthn_options(call: Call) -> Response:
    """Begin an authentication ceremony."""
    kind = wanted_kind(await call.json())
    options = await call.stepup._parts.ceremonies.begin_webauthn(call.requester, call.prompt_id, kind)
    return call.refuse(options) if isinstance(options, Refusal) else call.json_response(options)


async def webauthn_finish(call: Call) -> Response:
    """Finish an authentication ceremony."""
    issued = await call.stepup._parts.ceremonies.finish_webauthn(call.requester, call.prompt_id, await call.json())
    return call.refuse(issued) if isinstance(issued, Refusal) else _issued(call, issued)


async def totp_finish(call: Call) -> Response:
    """Take a one-time password: from a script, or from the form of a page without one."""
    if not call.sends_form:
        code = (await call.json()).get("code")
        issued = await call.stepup._parts.ceremonies.finish_totp(call.requester, call.prompt_id, code)
        return call.refuse(issued) if isinstance(issued, Refusal) else _issued(call, issued)
    form = await call.form()
    issued = await call.stepup._parts.ceremonies.finish_totp(call.requester, call.prompt_id, form.get("code"))
    if not is_navigation(call.request.scope):
        return call.refuse(issued) if isinstance(issued, Refusal) else _issued(call, issued)
    original = form.get("original", "")
    if isinstance(issued, Refusal):
        return await _ask_again(call, issued, original)
    asked = issued.prompt.request
    repetition = NO_FORM if asked.method == "GET" else handed_on(original, asked)
    texts = await call.stepup.languages.ready(issued.prompt.locale)
    repeat = repeat_view(asked, repetition, texts, root_path=root_of(call.request.scope))
    purpose = call.stepup._parts.ceremonies.purpose_of(issued.prompt)
    assert purpose is not None  # noqa: S101 - a token was just issued for it
    view = prompt_view(issued.prompt, purpose, call.base, texts)
    response = call.html_response(render("continue.html", call.stepup, call.base, texts, prompt=view, repeat=repeat))
    _deliver(call, issued, response)
    return response


async def _ask_again(call: Call, refusal: Refusal, original: str) -> Response:
    """Show the page again with what went wrong; the form fields stay on it."""
    prompt = await call.stepup._parts.ceremonies.open_prompt(call.requester, call.prompt_id)
    purpose = None if isinstance(prompt, Refusal) else call.stepup._parts.ceremonies.purpose_of(prompt)
    if refusal.code is not RefusalCode.VERIFICATION_FAILED or isinstance(prompt, Refusal) or purpose is None:
        return call.refuse(refusal)
    again = Refusal(code=refusal.code, purpose=purpose, requirement=prompt.requirement, prompt=prompt)
    repetition = NO_FORM if prompt.request.method == "GET" else handed_on(original, prompt.request)
    return call.refuse(again, repetition=repetition, error=call.stepup.languages.texts(prompt.locale)(refusal.wording))


def _issued(call: Call, issued: IssuedToken) -> Response:
    body: dict[str, Any] = {"expires_at": iso(issued.expires_at)}
    if call.request.headers.get(DELIVER_HEADER) == "cookie":
        response = call.json_response(body)
        _deliver(call, issued, response)
        return response
    return call.json_response({"token": issued.token, **body})


def _deliver(call: Call, issued: IssuedToken, response: Response) -> None:
    """Put the token into the one-time cookie of the action, for a native form or link."""
    seconds = max(1, int((issued.expires_at - call.requester.now).total_seconds()))
    cookie = token_cookie(
        issued.token,
        path=below_root(issued.prompt.request.path, root_of(call.request.scope)),
        seconds=seconds,
        secure=call.stepup.relying_party.secure,
    )
    response.raw_headers.append((b"set-cookie", cookie))
