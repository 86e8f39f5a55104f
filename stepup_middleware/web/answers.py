"""The library's refusals as HTTP: problem details, the modal as a fragment, or the modal as a page."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.websockets import WebSocket

from stepup_middleware.asgi import Message, Receive, Scope, Send
from stepup_middleware.body import BodyTooLarge, BodyTooSlow, chunks_of, form_fields, read_body
from stepup_middleware.core.moments import iso
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.errors import StepUpRequired
from stepup_middleware.exchange import REPEATED_FORM_LIMIT, Exchange, exchange_at, is_navigation
from stepup_middleware.headers import header

from .pages import base_of, enroll_url, problem_view, prompt_url, prompt_view, purpose_view, render, repeat_view

if TYPE_CHECKING:
    from stepup_middleware.service.stepup import StepUp

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SAFE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "Vary": "Accept, HX-Request, Cookie, Sec-Fetch-Mode",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
WS_POLICY_VIOLATION = 1008

Fields = list[tuple[str, str]]


def exchange_of(scope: Scope | None) -> Exchange:
    """Return the exchange of a request (None: of the one in hand), which answers with the pages of this module.

    Raises ``ConfigurationError`` when the middleware is missing, or when the request has ended.
    """
    return exchange_at(scope, replace_page)


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class ProblemResponse(JSONResponse):
    """An answer of RFC 9457."""

    media_type = "application/problem+json"

    def render(self, content: Any) -> bytes:
        return _encode(content).encode()


def problem_type(code: RefusalCode) -> str:
    """Return the stable URI of a problem."""
    return "urn:stepup-middleware:problem:" + code.value.removeprefix("STEPUP_").lower().replace("_", "-")


def problem_body(refusal: Refusal, stepup: StepUp, base: str) -> dict[str, Any]:
    """Return the problem details of a refusal, with its prompt where it carries one."""
    body: dict[str, Any] = {
        "type": problem_type(refusal.code),
        "title": refusal.code.heading,
        "status": refusal.status,
        "code": refusal.code.value,
        "detail": refusal.sentence,
    }
    if refusal.purpose is not None:
        body["purpose"] = purpose_view(refusal.purpose)
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
    if refusal.enroll:
        body["enroll_url"] = enroll_url(stepup, base)
    if refusal.retry_after_seconds is not None:
        body["retry_after"] = refusal.retry_after_seconds
    return body


def answer(
    refusal: Refusal,
    stepup: StepUp,
    scope: Mapping[str, Any],
    *,
    fields: Fields | None = None,
    files_lost: bool = False,
    error: str | None = None,
) -> Response:
    """Return the response of a refusal in the form that the client reads.

    ``fields`` are the form fields that a page repeats after the proof. ``error`` is a sentence that the
    modal shows above its factors.
    """
    base = base_of(scope, stepup)
    response: Response
    if header(scope, b"hx-request") is not None:
        response = HTMLResponse(_fragment(refusal, stepup, base, error), status_code=refusal.status)
    elif is_navigation(scope):
        page = _page(refusal, stepup, base, fields, files_lost, error)
        response = HTMLResponse(page, status_code=refusal.status)
    else:
        response = ProblemResponse(problem_body(refusal, stepup, base), status_code=refusal.status)
    response.raw_headers += _headers(refusal, base)
    return response


def _fragment(refusal: Refusal, stepup: StepUp, base: str, error: str | None) -> str:
    if refusal.prompt is None or refusal.purpose is None:
        return render("problem.html", stepup, base, problem=problem_view(refusal, stepup, base))
    view = prompt_view(refusal.prompt, refusal.purpose, base, error=error)
    return render("modal.html", stepup, base, prompt=view)


def _page(
    refusal: Refusal, stepup: StepUp, base: str, fields: Fields | None, files_lost: bool, error: str | None
) -> str:
    """Render a page: the modal, from which the original request is repeated, or what is wrong."""
    if refusal.prompt is None or refusal.purpose is None:
        return render("problem_page.html", stepup, base, problem=problem_view(refusal, stepup, base))
    return render(
        "page.html",
        stepup,
        base,
        prompt=prompt_view(refusal.prompt, refusal.purpose, base, error=error),
        repeat=repeat_view(refusal.prompt, fields or [], files_lost=files_lost),
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
    if refusal.code is RefusalCode.UNAVAILABLE:
        headers.append((b"retry-after", b"2"))
    elif refusal.retry_after_seconds is not None:
        headers.append((b"retry-after", str(refusal.retry_after_seconds).encode()))
    return headers


async def form_of(scope: Mapping[str, Any], chunks: Any) -> tuple[Fields, bool]:
    """Return the fields of the form that a navigation sent, and whether something of it cannot be repeated.

    Files cannot be carried over by a page, nor can a form beyond ``REPEATED_FORM_LIMIT``.
    """
    content_type = header(scope, b"content-type") or b""
    try:
        body = await read_body(chunks, declared=header(scope, b"content-length"), limit=REPEATED_FORM_LIMIT)
        parsed = await form_fields(body, content_type)
        if parsed is None:
            return [], bool(body)
        fields = [(name, value.decode("utf-8")) for name, file, value in parsed if not file]
        return fields, any(file for _, file, _ in parsed)
    except (BodyTooLarge, BodyTooSlow, ValueError, RuntimeError):
        return [], True


def _repeats_form(refusal: Refusal, scope: Scope) -> bool:
    return refusal.prompt is not None and is_navigation(scope) and scope.get("method") not in ("GET", "HEAD")


async def _answer_with_form(refusal: Refusal, stepup: StepUp, scope: Scope, chunks: Any) -> Response:
    fields: Fields = []
    files_lost = False
    if _repeats_form(refusal, scope):
        fields, files_lost = await form_of(scope, chunks)
    return answer(refusal, stepup, scope, fields=fields, files_lost=files_lost)


async def send_refusal(exchange: Exchange, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a refusal through ``send``: over HTTP, or before a WebSocket is accepted."""
    exchange.answered = True
    if scope["type"] == "websocket":
        await _deny_websocket(exchange, refusal, scope, receive, send)
        return
    response = await _answer_with_form(refusal, exchange.stepup, scope, chunks_of(receive))
    await response(scope, receive, send)


async def replace_page(exchange: Exchange) -> None:
    """Send the library's answer in place of a page that a framework made of our refusal, or of none."""
    exchange.answered = True
    refusal, scope = exchange.refusal or Refusal(code=RefusalCode.UNAVAILABLE), exchange.scope
    if scope["type"] == "websocket":
        await _deny_websocket(exchange, refusal, scope, nothing_more, exchange.send_plain)
        return
    response = await _answer_with_form(refusal, exchange.stepup, scope, _body_of(exchange))
    await response(scope, nothing_more, exchange.send_plain)


def _body_of(exchange: Exchange) -> AsyncIterator[bytes]:
    """Return the body of a request in chunks, whoever has read it by now."""
    return chunks_of(nothing_more) if exchange.arriving is None else exchange.arriving.chunks()


async def nothing_more() -> Message:
    """Say that the client sends nothing more: the ``receive`` of a request whose body was taken."""
    return {"type": "http.disconnect"}


async def _deny_websocket(exchange: Exchange, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a WebSocket before it is accepted: with the whole answer where the server can carry it."""
    stepup = exchange.stepup
    if "websocket.http.response" in (scope.get("extensions") or {}) and not exchange.accepted:
        base = base_of(scope, stepup)
        response = ProblemResponse(problem_body(refusal, stepup, base), status_code=refusal.status)
        response.raw_headers += _headers(refusal, base)
        await response(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": WS_POLICY_VIOLATION, "reason": refusal.code.value})


async def starlette_handler(connection: Request | WebSocket, error: Exception) -> Response | None:
    """Answer ``StepUpRequired`` where Starlette or FastAPI look for an exception's handler."""
    assert isinstance(error, StepUpRequired)  # noqa: S101 - it is registered for this class alone
    exchange = exchange_of(connection.scope)
    exchange.answered = True
    if isinstance(connection, Request):
        return await _answer_with_form(error.refusal, exchange.stepup, connection.scope, _body_of(exchange))
    await _deny_websocket(
        exchange,
        error.refusal,
        connection.scope,
        connection._receive,  # Starlette hands both to every response that it sends for a socket
        connection._send,
    )
    return None
