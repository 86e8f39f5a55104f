"""The library's refusals as HTTP: problem details, the modal as a fragment, or the modal as a page."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.websockets import WebSocket

from stepup_middleware.asgi import Receive, Scope, Send, header, headers
from stepup_middleware.core.moments import iso
from stepup_middleware.core.refusals import Refusal, RefusalCode, StepUpRequired
from stepup_middleware.request.context import GuardedRequest, guarded_request, nothing_more
from stepup_middleware.request.site import is_navigation
from stepup_middleware.roots import base_of, root_of

from .approval_views import approval_members
from .cors import cors_headers
from .pages import (
    enroll_url,
    page_before,
    problem_view,
    prompt_url,
    prompt_view,
    render,
    sign_in_url,
    texts_of,
)
from .repetition import NO_FORM, Repetition, repeat_view, repetition_of

if TYPE_CHECKING:
    from stepup_middleware.core.prompts import Prompt
    from stepup_middleware.core.purposes import Purpose
    from stepup_middleware.languages import Texts
    from stepup_middleware.service.stepup import StepUp

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types stepup 'allow-duplicates'"  # a page may load two scripts of ours
)
SAFE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "Vary": "Accept, Accept-Language, HX-Request, Cookie, Sec-Fetch-Mode",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
WS_POLICY_VIOLATION = 1008


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class ProblemResponse(JSONResponse):
    """An answer of RFC 9457."""

    media_type = "application/problem+json"

    def render(self, content: Any) -> bytes:
        return _encode(content).encode()


def problem_type(code: RefusalCode) -> str:
    """Return the stable URI of a problem."""
    return "urn:stepup-middleware:problem:" + code.value.removeprefix("STEPUP_").lower().replace("_", "-")


def purpose_view(purpose: Purpose, texts: Texts, prompt: Prompt | None = None) -> dict[str, Any]:
    """Return a purpose as the wire format has it: with a prompt, in the words that will be signed."""
    view: dict[str, Any] = {
        "id": purpose.id,
        "title": texts(purpose.title),
        "authorize_title": texts(purpose.authorize_title) if prompt is None else prompt.title,
        "consequence": texts(purpose.consequence) if prompt is None else prompt.consequence,
    }
    if purpose.deprecated is not None:
        view["deprecated"] = {"on": purpose.deprecated.on.isoformat(), "text": purpose.deprecated.text}
    return view


def problem_body(refusal: Refusal, stepup: StepUp, scope: MutableMapping[str, Any]) -> dict[str, Any]:
    """Return the problem details of a refusal, with its prompt where it carries one."""
    base, texts = base_of(scope, stepup.prefix), _texts(refusal, stepup, scope)
    body: dict[str, Any] = {
        "type": problem_type(refusal.code),
        "title": texts(refusal.heading),
        "status": refusal.status,
        "code": refusal.code.value,
        "detail": texts(refusal.wording),
    }
    if refusal.purpose is not None:
        body["purpose"] = purpose_view(refusal.purpose, texts, refusal.prompt)
    if refusal.requirement is not None:
        body["requirement"] = refusal.requirement.value
        body["factors"] = [kind.value for kind in refusal.requirement.kinds()]
    if refusal.prompt is not None:
        prompt = refusal.prompt
        body["details"] = [list(pair) for pair in prompt.details]
        body["enrolled_factors"] = [kind.value for kind in prompt.factor_kinds]
        body["prompt"] = {
            "id": prompt.id,
            "url": prompt_url(base, prompt),
            "expires_at": iso(prompt.expires_at),
        }
    if refusal.approval is not None:
        body.update(approval_members(refusal.approval, stepup, scope, texts))
    if refusal.enroll:
        body["enroll_url"] = enroll_url(stepup, base)
    if (address := sign_in_url(refusal, stepup)) is not None:
        body["sign_in_url"] = address
    if refusal.enroll and stepup.help_url is not None:
        body["help_url"] = stepup.help_url
    if refusal.retry_after_seconds is not None:
        body["retry_after"] = refusal.retry_after_seconds
    if refusal.until is not None:
        body["until"] = iso(refusal.until)
    return body


def answer(
    refusal: Refusal,
    stepup: StepUp,
    scope: MutableMapping[str, Any],
    *,
    repetition: Repetition = NO_FORM,
    error: str | None = None,
) -> Response:
    """Return the response of a refusal in the form that the client reads.

    ``repetition`` is what a page repeats after the proof. ``error`` is a sentence that the modal shows above its
    factors.
    """
    base = base_of(scope, stepup.prefix)
    response: Response
    if header(scope, b"hx-request") is not None:
        response = HTMLResponse(_fragment(refusal, stepup, scope, error), status_code=refusal.status)
    elif is_navigation(scope):
        page = _page(refusal, stepup, scope, repetition, error)
        response = HTMLResponse(page, status_code=refusal.status)
    else:
        response = ProblemResponse(problem_body(refusal, stepup, scope), status_code=refusal.status)
    response.raw_headers += _headers(refusal, base)
    response.raw_headers += cors_headers(scope, stepup.relying_party.origins)
    return response


def _texts(refusal: Refusal, stepup: StepUp, scope: MutableMapping[str, Any]) -> Texts:
    """Return the texts of an answer: a prompt is shown in the language that it was asked in, and that is signed."""
    return texts_of(scope, stepup) if refusal.prompt is None else stepup.languages.texts(refusal.prompt.locale)


def _fragment(refusal: Refusal, stepup: StepUp, scope: MutableMapping[str, Any], error: str | None) -> str:
    base, texts = base_of(scope, stepup.prefix), _texts(refusal, stepup, scope)
    if refusal.prompt is None or refusal.purpose is None:
        return render("problem.html", stepup, base, texts, problem=problem_view(refusal, stepup, base, texts))
    view = prompt_view(refusal.prompt, refusal.purpose, base, texts, error=error)
    return render("modal.html", stepup, base, texts, prompt=view)


def _page(
    refusal: Refusal, stepup: StepUp, scope: MutableMapping[str, Any], repetition: Repetition, error: str | None
) -> str:
    """Render a page: the modal, from which the original request is repeated, or what is wrong."""
    base, texts = base_of(scope, stepup.prefix), _texts(refusal, stepup, scope)
    if refusal.prompt is None or refusal.purpose is None:
        back, asks_for_page = page_before(scope, stepup), scope.get("method") in ("GET", "HEAD")
        passing = refusal.code in (RefusalCode.UNAVAILABLE, RefusalCode.RATE_LIMITED)
        return render(
            "problem_page.html",
            stepup,
            base,
            texts,
            problem=problem_view(refusal, stepup, base, texts, back),
            again_url=back if asks_for_page and passing else None,
            back_url=None if asks_for_page else back,
        )
    return render(
        "page.html",
        stepup,
        base,
        texts,
        prompt=prompt_view(refusal.prompt, refusal.purpose, base, texts, error=error),
        repeat=repeat_view(refusal.prompt.request, repetition, texts, root_path=root_of(scope)),
    )


_SAFE_HEADERS = [(name.lower().encode(), value.encode()) for name, value in SAFE_HEADERS.items()]


def _headers(refusal: Refusal, base: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of a refusal as ASGI has them: set one by one, each would be compared with all others."""
    headers = [*_SAFE_HEADERS, (b"stepup-error", refusal.code.value.encode())]
    if refusal.status == 401:
        challenge = "Bearer"
        if refusal.code is not RefusalCode.NOT_SIGNED_IN and refusal.requirement is not None:
            # RFC 9470 §3
            challenge += (
                f' error="insufficient_user_authentication", acr_values="{refusal.requirement.acr}", max_age="0"'
            )
        headers.append((b"www-authenticate", challenge.encode()))
    if refusal.prompt is not None:
        headers.append((b"stepup-prompt", prompt_url(base, refusal.prompt).encode("latin-1")))
        # a script that followed a redirect is not told as what it came here
        headers.append((b"stepup-method", refusal.prompt.request.method.encode("ascii", "replace")))
    if refusal.code is RefusalCode.UNAVAILABLE:
        headers.append((b"retry-after", b"2"))
    elif refusal.retry_after_seconds is not None:
        headers.append((b"retry-after", str(refusal.retry_after_seconds).encode()))
    return headers


async def _answer(guarded: GuardedRequest, refusal: Refusal, scope: Scope) -> Response:
    """Return the answer to a refusal of a gate, with the form that a page of it repeats."""
    refusal = outward(guarded, refusal)
    repetition = NO_FORM
    if refusal.prompt is not None and is_navigation(scope) and scope.get("method") not in ("GET", "HEAD"):
        repetition = await repetition_of(await guarded.context.body.form(), headers(scope, b"content-type"))
    return answer(refusal, guarded.stepup, scope, repetition=repetition)


def outward(guarded: GuardedRequest, refusal: Refusal) -> Refusal:
    """Return what a whole request is answered: once a part of it has been authorized, never to send it again."""
    if guarded.proof is None or refusal.code is RefusalCode.NEVER_ASKED:
        return refusal
    return Refusal(code=RefusalCode.PARTLY_DONE)


async def send_refusal(guarded: GuardedRequest, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a refusal through ``send``: over HTTP, or before a WebSocket is accepted."""
    guarded.answered = True
    if scope["type"] == "websocket":
        await _deny_websocket(guarded, refusal, scope, receive, send)
        return
    response = await _answer(guarded, refusal, scope)
    await response(scope, receive, send)


async def replace_page(guarded: GuardedRequest) -> None:
    """Send the library's answer in place of a page that a framework made of our refusal, or of none."""
    guarded.answered = True
    refusal, scope = guarded.refusal or Refusal(code=RefusalCode.UNAVAILABLE), guarded.scope
    if scope["type"] == "websocket":
        await _deny_websocket(guarded, refusal, scope, nothing_more, guarded.send_plain)
        return
    response = await _answer(guarded, refusal, scope)
    await response(scope, nothing_more, guarded.send_plain)


async def _deny_websocket(
    guarded: GuardedRequest, refusal: Refusal, scope: Scope, receive: Receive, send: Send
) -> None:
    """Refuse a WebSocket before it is accepted: with the whole answer where the server can carry it."""
    stepup, refusal = guarded.stepup, outward(guarded, refusal)
    if "websocket.http.response" in (scope.get("extensions") or {}) and not guarded.accepted:
        base = base_of(scope, stepup.prefix)
        response = ProblemResponse(problem_body(refusal, stepup, scope), status_code=refusal.status)
        response.raw_headers += _headers(refusal, base)
        await response(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": WS_POLICY_VIOLATION, "reason": refusal.code.value})


async def starlette_handler(connection: Request | WebSocket, error: Exception) -> Response | None:
    """Answer ``StepUpRequired`` where Starlette or FastAPI look for an exception's handler."""
    assert isinstance(error, StepUpRequired)  # noqa: S101 - it is registered for this class alone
    guarded = guarded_request(connection.scope)
    guarded.answered = True
    if isinstance(connection, Request):
        return await _answer(guarded, error.refusal, connection.scope)
    await _deny_websocket(
        guarded,
        error.refusal,
        connection.scope,
        connection._receive,  # Starlette hands both to every response that it sends for a socket
        connection._send,
    )
    return None
