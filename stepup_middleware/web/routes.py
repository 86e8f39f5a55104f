"""What the middleware serves under its prefix: prompts, ceremonies, factors, purposes and assets."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, Router

from stepup_middleware import assets
from stepup_middleware.asgi import Receive, Scope, Send
from stepup_middleware.core.canonical import storable
from stepup_middleware.core.factors import FactorKind
from stepup_middleware.core.moments import iso
from stepup_middleware.core.proof import Proof
from stepup_middleware.core.purposes import FACTOR_CHANGE
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.errors import StoreError
from stepup_middleware.request.body import BODY_SECONDS
from stepup_middleware.request.bound import below_root
from stepup_middleware.request.context import Tag, logger
from stepup_middleware.request.cookie import token_cookie
from stepup_middleware.request.guarded import Gate
from stepup_middleware.request.site import is_navigation
from stepup_middleware.service.proving import IssuedToken, insufficient_for
from stepup_middleware.service.stepup import StepUp
from stepup_middleware.service.visitor import Visitor

from .answers import SAFE_HEADERS, answer, guarded_at
from .pages import base_of, factor_view, prompt_view, purpose_view, render, root_of
from .receipt import NO_EVIDENCE, NO_RECEIPT, receipt_view
from .repetition import NO_FORM, handed_on, repeat_view

ID_LENGTH = 64  # characters; ours have 22
BODY_LIMIT = 64 * 1024  # bytes; a registration is about 1 kB
FOREVER = "public, max-age=31536000, immutable"
DELIVER_HEADER = "stepup-deliver"

Handler = Callable[["Call"], Awaitable[Response]]


class BadRequest(Exception):
    """The request cannot be read; ``refusal`` says so."""

    def __init__(self, code: RefusalCode = RefusalCode.BAD_REQUEST) -> None:
        super().__init__(code)
        self.refusal = Refusal(code=code)


class Call:
    """One request to the library's own routes, by a signed-in person."""

    __slots__ = ("_body", "base", "guarded", "request", "stepup", "visitor")

    def __init__(self, request: Request, visitor: Visitor) -> None:
        self.request = request
        self.guarded = guarded_at(request.scope)
        self.stepup: StepUp = self.guarded.stepup
        self.visitor = visitor
        self.base = base_of(request.scope, self.stepup)
        self._body: bytes | None = None

    @property
    def prompt_id(self) -> str:
        return self.parameter("prompt_id")

    def parameter(self, name: str) -> str:
        """Return what the path has in the place of an id, as text that a store can be asked for."""
        return storable(str(self.request.path_params[name]), ID_LENGTH)

    async def body(self) -> bytes:
        """Return the body, at most 64 KiB. Raises ``BadRequest``."""
        if self._body is None:
            self._body = await self._read()
        return self._body

    async def _read(self) -> bytes:
        declared = self.request.headers.get("content-length", "")
        if declared.isdigit() and (len(declared) > 18 or int(declared) > BODY_LIMIT):
            raise BadRequest(RefusalCode.BODY_TOO_LARGE)
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in self.request.stream():
                    body += chunk
                    if len(body) > BODY_LIMIT:
                        raise BadRequest(RefusalCode.BODY_TOO_LARGE)
        except (TimeoutError, ClientDisconnect):
            raise BadRequest(RefusalCode.BODY_TIMEOUT) from None
        return bytes(body)

    async def json(self) -> dict[str, Any]:
        """Return the JSON object of the body. Raises ``BadRequest``."""
        try:
            value = json.loads((await self.body() or b"{}").decode("utf-8"))
        except (ValueError, RecursionError):
            raise BadRequest from None
        if not isinstance(value, dict):
            raise BadRequest
        return value

    async def form(self) -> dict[str, str]:
        """Return the urlencoded fields of the body. Raises ``BadRequest``."""
        try:
            return dict(parse_qsl((await self.body()).decode("utf-8"), keep_blank_values=True, max_num_fields=50))
        except ValueError:
            raise BadRequest from None

    @property
    def sends_form(self) -> bool:
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        return kind == "application/x-www-form-urlencoded"

    def refuse(self, refusal: Refusal, **context: Any) -> Response:
        return answer(refusal, self.stepup, self.request.scope, **context)

    def json_response(self, value: Any, status: int = 200) -> Response:
        return JSONResponse(value, status_code=status, headers=SAFE_HEADERS)

    def html_response(self, text: str, status: int = 200) -> Response:
        return HTMLResponse(text, status_code=status, headers=SAFE_HEADERS)


def endpoint(handler: Handler, *, changes: bool) -> Callable[[Request], Awaitable[Response]]:
    """Return a Starlette endpoint that lets only the signed-in person's own pages in, and fails closed."""

    async def serve(request: Request) -> Response:
        stepup = guarded_at(request.scope).stepup
        try:
            if changes and not _from_own_page(request, stepup):
                return answer(Refusal(code=RefusalCode.CROSS_ORIGIN), stepup, request.scope)
            if not await stepup._usable():
                return answer(Refusal(code=RefusalCode.UNAVAILABLE), stepup, request.scope)
            visitor = await stepup._parts.reception.receive(request.scope)
            if isinstance(visitor, Refusal):
                return answer(visitor, stepup, request.scope)
            call = Call(request, visitor)
            if changes:
                await call.body()  # the client's time, not the store's
            async with stepup._in_time():
                return await handler(call)
        except BadRequest as error:
            return answer(error.refusal, stepup, request.scope)
        except StoreError as error:
            logger.error("the store cannot be used: %s", error)
            return answer(Refusal(code=RefusalCode.UNAVAILABLE), stepup, request.scope)
        except TimeoutError:
            logger.error("the store did not answer in time; nothing was authorized")
            return answer(Refusal(code=RefusalCode.UNAVAILABLE), stepup, request.scope)
        except Exception:
            logger.exception("a route of the library failed; nothing was authorized")
            return answer(Refusal(code=RefusalCode.UNAVAILABLE), stepup, request.scope)

    return serve


def _from_own_page(request: Request, stepup: StepUp) -> bool:
    """Whether a state-changing call comes from one of our own origins (ASVS 3.5.1).

    What a browser says about the origin must be right, and the request must be one that another site
    cannot make a browser send unasked: JSON or htmx. A native form is let in on the browser's word alone.
    """
    headers = request.headers
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is not None and origin not in stepup.relying_party.origins:
        return False
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or headers.get("hx-request") == "true":
        return True
    if request.method not in ("POST",):
        return True  # PATCH and DELETE: no other site can send them without asking first (CORS)
    return site == "same-origin" or origin is not None


# prompts


async def show_prompt(call: Call) -> Response:
    """Show a prompt: fragment, page or JSON."""
    prompt = await call.stepup._parts.proving.open_prompt(call.visitor, call.prompt_id)
    if isinstance(prompt, Refusal):
        return call.refuse(prompt)
    usable = {factor.kind for factor in await call.stepup._parts.proving.usable(prompt)}
    purpose = call.stepup._parts.proving.purpose_of(prompt)
    kinds = tuple(kind for kind in prompt.factor_kinds if kind in usable)
    if purpose is None or not kinds:
        return call.refuse(insufficient_for(purpose, prompt))
    view = prompt_view(prompt, purpose, call.base, kinds=kinds)
    if call.request.headers.get("hx-request") is not None:
        response = call.html_response(render("modal.html", call.stepup, call.base, prompt=view))
        response.headers["StepUp-Prompt"] = view["url"]  # page.js believes no fragment that does not name itself here
        return response
    if is_navigation(call.request.scope):
        if prompt.request.method != "GET":
            return call.refuse(Refusal(code=RefusalCode.PROMPT_NOT_FOUND))  # its form is on another page
        repeat = repeat_view(prompt.request, NO_FORM, root_path=root_of(call.request.scope))
        return call.html_response(render("page.html", call.stepup, call.base, prompt=view, repeat=repeat))
    return call.json_response(
        {
            "purpose": purpose_view(purpose),
            "requirement": prompt.requirement.value,
            "factors": [kind.value for kind in prompt.requirement.kinds()],
            "enrolled_factors": [kind.value for kind in kinds],
            "details": [list(pair) for pair in prompt.details],
            "prompt": {"id": prompt.id, "url": view["url"], "expires_at": view["expires_at"]},
        }
    )


async def cancel_prompt(call: Call) -> Response:
    """The person says no."""
    refusal = await call.stepup._parts.proving.cancel(call.visitor, call.prompt_id)
    return Response(status_code=204, headers=SAFE_HEADERS) if refusal is None else call.refuse(refusal)


async def webauthn_options(call: Call) -> Response:
    """Begin an authentication ceremony."""
    wanted = (await call.json()).get("kind")
    kind = None
    if wanted is not None:
        if wanted not in (FactorKind.PASSKEY, FactorKind.HARDWARE_KEY):
            raise BadRequest
        kind = FactorKind(wanted)
    options = await call.stepup._parts.proving.begin_webauthn(call.visitor, call.prompt_id, kind)
    return call.refuse(options) if isinstance(options, Refusal) else call.json_response(options)


async def webauthn_finish(call: Call) -> Response:
    """Finish an authentication ceremony."""
    issued = await call.stepup._parts.proving.finish_webauthn(call.visitor, call.prompt_id, await call.json())
    return call.refuse(issued) if isinstance(issued, Refusal) else _issued(call, issued)


async def totp_finish(call: Call) -> Response:
    """Take a one-time password: from a script, or from the form of a page without one."""
    if not call.sends_form:
        code = (await call.json()).get("code")
        issued = await call.stepup._parts.proving.finish_totp(call.visitor, call.prompt_id, code)
        return call.refuse(issued) if isinstance(issued, Refusal) else _issued(call, issued)
    form = await call.form()
    issued = await call.stepup._parts.proving.finish_totp(call.visitor, call.prompt_id, form.get("code"))
    if not is_navigation(call.request.scope):
        return call.refuse(issued) if isinstance(issued, Refusal) else _issued(call, issued)
    original = form.get("original", "")
    if isinstance(issued, Refusal):
        return await _ask_again(call, issued, original)
    asked = issued.prompt.request
    repetition = NO_FORM if asked.method == "GET" else handed_on(original, asked)
    repeat = repeat_view(asked, repetition, root_path=root_of(call.request.scope))
    purpose = call.stepup._parts.proving.purpose_of(issued.prompt)
    assert purpose is not None  # noqa: S101 - a token was just issued for it
    view = prompt_view(issued.prompt, purpose, call.base)
    response = call.html_response(render("continue.html", call.stepup, call.base, prompt=view, repeat=repeat))
    _deliver(call, issued, response)
    return response


async def _ask_again(call: Call, refusal: Refusal, original: str) -> Response:
    """Show the page again with what went wrong; the form fields stay on it."""
    prompt = await call.stepup._parts.proving.open_prompt(call.visitor, call.prompt_id)
    purpose = None if isinstance(prompt, Refusal) else call.stepup._parts.proving.purpose_of(prompt)
    if refusal.code is not RefusalCode.VERIFICATION_FAILED or isinstance(prompt, Refusal) or purpose is None:
        return call.refuse(refusal)
    again = Refusal(code=refusal.code, purpose=purpose, requirement=prompt.requirement, prompt=prompt)
    repetition = NO_FORM if prompt.request.method == "GET" else handed_on(original, prompt.request)
    return call.refuse(again, repetition=repetition, error=refusal.sentence)


def _issued(call: Call, issued: IssuedToken) -> Response:
    body: dict[str, Any] = {"expires_at": iso(issued.expires_at)}
    if call.request.headers.get(DELIVER_HEADER) == "cookie":
        response = call.json_response(body)
        _deliver(call, issued, response)
        return response
    return call.json_response({"token": issued.token, **body})


def _deliver(call: Call, issued: IssuedToken, response: Response) -> None:
    """Put the token into the one-time cookie of the action, for a native form or link."""
    seconds = max(1, int((issued.expires_at - call.visitor.now).total_seconds()))
    cookie = token_cookie(
        issued.token,
        path=below_root(issued.prompt.request.path, root_of(call.request.scope)),
        seconds=seconds,
        secure=call.stepup.relying_party.secure,
    )
    response.raw_headers.append((b"set-cookie", cookie))


# factors


async def list_factors(call: Call) -> Response:
    """Show a person's factors: page or JSON."""
    factors = [factor_view(factor) for factor in await call.stepup.factors.list(call.visitor.subject)]
    if call.request.headers.get("hx-request") is None and not is_navigation(call.request.scope):
        return call.json_response({"factors": factors})
    page = render(
        "factors.html",
        call.stepup,
        call.base,
        subject_name=call.visitor.subject.name,
        factors=factors,
        factors_url=f"{call.base}/factors",
    )
    return call.html_response(page)


async def _may_enrol(call: Call, kind: FactorKind) -> Refusal | None:
    """A first factor needs a fresh sign-in, a further one a step-up with the strongest kind there is."""
    if not await call.stepup.factors.list(call.visitor.subject):
        return await call.stepup.factors.first_allowed(call.visitor)
    return await _step_up(call, (("Add", kind.label),))


async def _step_up(call: Call, details: tuple[tuple[str, str], ...]) -> Refusal | None:
    verdict = await call.guarded.admit(
        Tag(FACTOR_CHANGE.id, details), scope=call.request.scope, purpose=FACTOR_CHANGE, gate=Gate(hands_on=False)
    )
    if isinstance(verdict, Proof):
        return None
    call.guarded.answered = True
    return verdict


async def factor_options(call: Call) -> Response:
    """Begin to enrol a passkey or a hardware key."""
    wanted = (await call.json()).get("kind")
    if wanted not in (FactorKind.PASSKEY, FactorKind.HARDWARE_KEY):
        raise BadRequest
    kind = FactorKind(wanted)
    if refusal := await _may_enrol(call, kind):
        return call.refuse(refusal)
    options = await call.stepup.factors.begin_webauthn(call.visitor, kind)
    return call.refuse(options) if isinstance(options, Refusal) else call.json_response(options)


async def factor_finish(call: Call) -> Response:
    """Finish enrolling a passkey or a hardware key."""
    body = await call.json()
    factor = await call.stepup.factors.finish_webauthn(call.visitor, body.get("name"), body.get("credential"))
    return call.refuse(factor) if isinstance(factor, Refusal) else call.json_response(factor_view(factor), 201)


async def totp_begin(call: Call) -> Response:
    """Begin to enrol an authenticator app."""
    await call.body()
    if refusal := await _may_enrol(call, FactorKind.TOTP):
        return call.refuse(refusal)
    new = await call.stepup.factors.begin_totp(call.visitor)
    if isinstance(new, Refusal):
        return call.refuse(new)
    return call.json_response({"id": new.id, "secret": new.secret, "uri": new.uri, "qr_svg": new.qr_svg}, 201)


async def totp_confirm(call: Call) -> Response:
    """Confirm an authenticator app by a code of it."""
    body = await call.json()
    enrolment_id = call.parameter("factor_id")
    factor = await call.stepup.factors.confirm_totp(call.visitor, enrolment_id, body.get("code"), body.get("name"))
    return call.refuse(factor) if isinstance(factor, Refusal) else call.json_response(factor_view(factor))


async def rename_factor(call: Call) -> Response:
    """Rename a factor."""
    body = await call.json()
    if not isinstance(body.get("name"), str) or not body["name"].strip():
        raise BadRequest
    factor = await call.stepup.factors.rename(call.visitor, call.parameter("factor_id"), body["name"])
    return call.refuse(factor) if isinstance(factor, Refusal) else call.json_response(factor_view(factor))


async def remove_factor(call: Call) -> Response:
    """Remove a factor, after a step-up."""
    factor_id = call.parameter("factor_id")
    factor = await call.stepup.factors.removable(call.visitor.subject, factor_id)
    if isinstance(factor, Refusal):
        return call.refuse(factor)
    if refusal := await _step_up(call, (("Remove", factor.name), ("Kind", factor.kind.label))):
        return call.refuse(refusal)
    refusal = await call.stepup.factors.remove(call.visitor, factor_id)
    return Response(status_code=204, headers=SAFE_HEADERS) if refusal is None else call.refuse(refusal)


# receipts, purposes and assets


async def show_receipt(call: Call) -> Response:
    """Show the receipt of a step-up to the person who made it, or to an admin of the workspace."""
    view = await receipt_view(call.stepup, call.visitor.subject, call.prompt_id, call.base)
    if view is None:
        return call.refuse(NO_RECEIPT)
    return call.html_response(render("receipt.html", call.stepup, call.base, receipt=view))


async def download_evidence(call: Call) -> Response:
    """Hand the evidence bundle of a step-up to an admin of the workspace, as a file.

    It has the records of everybody who tried the same prompt, so that the person of the receipt does not get it.
    """
    subject = call.visitor.subject
    bundle = await call.stepup.evidence(subject.workspace_id, call.prompt_id) if subject.is_admin else None
    if bundle is None:
        return call.refuse(NO_EVIDENCE)
    # a bundle may have a leaf for each of many links: too much for the event loop
    text = await asyncio.to_thread(json.dumps, bundle, ensure_ascii=False, indent=1)
    name = f"evidence-{bundle['prompt_id']}.json"
    headers = {**SAFE_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text + "\n", media_type="application/json", headers=headers)


async def list_purposes(call: Call) -> Response:
    """Tell the catalogue as the caller meets it."""
    standing = await call.stepup.factors.standing(call.visitor.subject)
    return call.json_response(
        {
            "purposes": [
                {
                    **purpose_view(entry.purpose),
                    "description": entry.purpose.description,
                    "requirement": entry.requirement.value,
                    "minimum": entry.purpose.minimum.value,
                    "ttl_seconds": int(entry.purpose.ttl.total_seconds()),
                    "satisfied": entry.satisfied,
                }
                for entry in standing
            ]
        }
    )


_ACCEPTS_GZIP = re.compile(r"(?:^|,)\s*gzip\s*(?:,|$|;\s*q=(?!0(?:\.0*)?\s*(?:,|$)))", re.IGNORECASE)


async def asset(request: Request) -> Response:
    """Serve a bundled asset under its hashed name."""
    found = assets.by_hashed_name().get(request.path_params["name"])
    if found is None:
        return Response(status_code=404, headers=SAFE_HEADERS)
    headers = {"Cache-Control": FOREVER, "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
    if not _ACCEPTS_GZIP.search(request.headers.get("accept-encoding", "")):
        return Response(found.content, media_type=found.media_type, headers=headers)
    # the same for everybody and without a secret, so its length tells nothing (RFC 9110 §8.4.1.3)
    return Response(found.gzipped, media_type=found.media_type, headers={**headers, "Content-Encoding": "gzip"})


class WrongMethod:
    """Answers an address of ours that was met with a method it does not have."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._headers = {**SAFE_HEADERS, "Allow": ", ".join(sorted(allowed))}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Response(status_code=405, headers=self._headers)(scope, receive, send)


async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer an address under the prefix that is none of ours."""
    await Response(status_code=404, headers=SAFE_HEADERS)(scope, receive, send)


def library_router(prefix: str) -> Router:
    """Return the router of everything under the prefix."""

    def route(path: str, handler: Handler, method: str) -> Route:
        return Route(prefix + path, endpoint(handler, changes=method != "GET"), methods=[method])

    prompt = "/prompts/{prompt_id}"
    factor = "/factors/{factor_id}"
    routes = [
        route(prompt, show_prompt, "GET"),
        route(prompt, cancel_prompt, "DELETE"),
        route(prompt + "/webauthn/options", webauthn_options, "POST"),
        route(prompt + "/webauthn", webauthn_finish, "POST"),
        route(prompt + "/totp", totp_finish, "POST"),
        route("/factors", list_factors, "GET"),
        route("/factors/webauthn/options", factor_options, "POST"),
        route("/factors/webauthn", factor_finish, "POST"),
        route("/factors/totp", totp_begin, "POST"),
        route("/factors/totp/{factor_id}/confirm", totp_confirm, "POST"),
        route(factor, rename_factor, "PATCH"),
        route(factor, remove_factor, "DELETE"),
        route("/receipts/{prompt_id}", show_receipt, "GET"),
        route("/receipts/{prompt_id}/evidence", download_evidence, "GET"),
        route("/purposes", list_purposes, "GET"),
        Route(prefix + "/static/{name}", asset, methods=["GET"]),
    ]
    allowed: dict[str, set[str]] = {}
    for each in routes:
        allowed.setdefault(each.path, set()).update(each.methods or ())
    routes += [Route(path, WrongMethod(methods)) for path, methods in allowed.items()]
    return Router(routes=routes, redirect_slashes=False, default=nowhere)
