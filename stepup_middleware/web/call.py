"""One call to a route of the library's own: who calls, what was sent, and how it fails closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from stepup_middleware.asgi import Receive, Scope, Send
from stepup_middleware.core.canonical import storable, strict_json
from stepup_middleware.core.factors import FactorKind
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.core.texts import marked
from stepup_middleware.errors import StoreError
from stepup_middleware.request.body import BODY_SECONDS
from stepup_middleware.request.context import guarded_request, logger
from stepup_middleware.roots import base_of
from stepup_middleware.service.life import beside
from stepup_middleware.service.requester import Requester
from stepup_middleware.service.stepup import StepUp

from .answers import SAFE_HEADERS, answer

ID_LENGTH = 64  # characters; ours have 22
BODY_LIMIT = 64 * 1024  # bytes; a registration is about 1 kB

T = TypeVar("T")
Handler = Callable[["Call"], Awaitable[Response]]


class _Refused(Exception):
    """The request is not let in."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


class BadRequest(_Refused):
    """The request cannot be read; ``refusal`` says so."""

    def __init__(self, code: RefusalCode = RefusalCode.BAD_REQUEST) -> None:
        super().__init__(Refusal(code=code))


def wanted_kind(body: Mapping[str, Any]) -> FactorKind | None:
    """Return which kind of key a call wants, None where it does not say. Raises ``BadRequest`` for what is none."""
    wanted = body.get("kind")
    if wanted not in (None, FactorKind.PASSKEY, FactorKind.HARDWARE_KEY):
        raise BadRequest
    return None if wanted is None else FactorKind(wanted)


class Call:
    """One request to the library's own routes, by a signed-in person."""

    __slots__ = ("_body", "base", "bound", "guarded", "request", "requester", "stepup", "texts")

    def __init__(self, request: Request, requester: Requester) -> None:
        self.request = request
        self.guarded = guarded_request(request.scope)
        self.stepup: StepUp = self.guarded.stepup
        self.requester = requester
        self.base = base_of(request.scope, self.stepup.prefix)
        self.texts = self.stepup.languages.texts(requester.locale)
        self._body: bytes | None = None
        self.bound: asyncio.Timeout | None = None  # of what it waits for the store

    @property
    def prompt_id(self) -> str:
        return self.parameter("prompt_id")

    def parameter(self, name: str) -> str:
        """Return what the path has in the place of an id, as text that a store can be asked for."""
        return storable(str(self.request.path_params[name]), ID_LENGTH)

    async def identify_again(self) -> Refusal | None:
        """Look anew who calls, after a wait: the session may have ended, and the time is another one."""
        found = await self.stepup._parts.identification.identify_request(self.request.scope)
        if isinstance(found, Refusal):
            return found
        self.requester = found
        return None

    async def beside_the_store(self, work: Awaitable[T]) -> T:
        """Await what is not the store's, such as a slow hash: it takes nothing of the time that the store has."""
        return await work if self.bound is None else await beside(self.bound, work)

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
            value = strict_json((await self.body() or b"{}").decode("utf-8"))
        except ValueError:
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
        return _media_type(self.request) == "application/x-www-form-urlencoded"

    def refuse(self, refusal: Refusal, **context: Any) -> Response:
        return _refuse(refusal, self.stepup, self.request.scope, **context)

    def json_response(self, value: Any, status: int = 200) -> Response:
        return JSONResponse(value, status_code=status, headers=SAFE_HEADERS)

    def html_response(self, text: str, status: int = 200) -> Response:
        return HTMLResponse(text, status_code=status, headers=SAFE_HEADERS)


_NOT_SHOWN = Refusal(
    code=RefusalCode.UNAVAILABLE,
    title=marked("This page cannot be shown right now"),
    detail=marked(
        "What it shows cannot be read at the moment, and nothing was changed. Try again in a moment; if it stays like "
        "this, tell your administrator."
    ),
)
_NOT_DONE = Refusal(
    code=RefusalCode.UNAVAILABLE,
    title=marked("This cannot be done right now"),
    detail=marked("Nothing was changed. Try again in a moment; if it stays like this, tell your administrator."),
)
_NOT_KNOWN = Refusal(
    code=RefusalCode.UNAVAILABLE,
    title=marked("It is not known whether this was done"),
    detail=marked(
        "Something failed on the way, and it may have been done. Open the page anew and look before you try again; if "
        "it stays like this, tell your administrator."
    ),
)


class Endpoint:
    """An ASGI endpoint that lets only the signed-in person's own pages in, and fails closed.

    ``waits``: the handler waits for somebody, and bounds by itself what it waits for the store. Thousands may, so that
    a call is one coroutine: Starlette would put three more around a function. ``proves``: it is about the proof of an
    action, which has not run whatever becomes of the call.
    """

    def __init__(self, handler: Handler, *, changes: bool, waits: bool = False, proves: bool = False) -> None:
        self._handler = handler
        self._changes = changes
        self._waits = waits
        self._closed = Refusal(code=RefusalCode.UNAVAILABLE) if proves else _NOT_DONE if changes else _NOT_SHOWN
        self._failed = _NOT_KNOWN if changes and not proves else self._closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        stepup = guarded_request(scope).stepup
        try:
            call = await self._let_in(Request(scope, receive, send), stepup)
            response = await (self._handler(call) if self._waits else self._in_time(call))
        except _Refused as error:
            response = _refuse(error.refusal, stepup, scope)
        except StoreError as error:
            logger.error("the store cannot be used: %s", error)
            stepup._parts.figures.store_error(error)
            response = _refuse(self._failed, stepup, scope)
        except TimeoutError as error:
            logger.error("the store did not answer in time; nothing was authorized")
            stepup._parts.figures.store_error(error)
            response = _refuse(self._failed, stepup, scope)
        except Exception:
            logger.exception("a route of the library failed; nothing was authorized")
            response = _refuse(self._failed, stepup, scope)
        await response(scope, receive, send)

    async def _let_in(self, request: Request, stepup: StepUp) -> Call:
        """Return the call of a request that may come in. Raises ``_Refused``."""
        if self._changes and not _is_from_listed_page(request, stepup):
            raise _Refused(Refusal(code=RefusalCode.CROSS_ORIGIN))
        requester = await stepup._parts.identification.identify_request(request.scope)
        if not await stepup._life.usable():
            raise _Refused(self._closed)  # in the person's language
        if isinstance(requester, Refusal):
            raise _Refused(self._closed if requester.code is RefusalCode.UNAVAILABLE else requester)
        call = Call(request, requester)
        if self._changes:
            await call.body()  # the client's time, not the store's
        return call

    async def _in_time(self, call: Call) -> Response:
        with call.stepup._parts.figures.timed(self._handler.__name__) as step:
            async with call.stepup._life.in_time() as call.bound:
                response = await self._handler(call)
            step.outcome = response.headers.get("stepup-error", "ok")
        return response


def _refuse(refusal: Refusal, stepup: StepUp, scope: Scope, **context: Any) -> Response:
    stepup._parts.figures.refusal(refusal.code.value)
    return answer(refusal, stepup, scope, **context)


def _is_from_listed_page(request: Request, stepup: StepUp) -> bool:
    """Whether a state-changing call comes from one of the listed origins (ASVS 3.5.1).

    The origin that a browser names must be right, and the request must be one that another site
    cannot make a browser send unasked: JSON, htmx or with a bearer token. A native form is let in on the browser's
    word alone, from our own pages only.
    """
    headers = request.headers
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if origin is not None and origin not in stepup.relying_party.origins:
        return False
    if site not in (None, "same-origin") and (site == "none" or origin is None):
        return False
    bearer = headers.get("authorization", "").lower().startswith(("bearer ", "dpop "))
    if bearer or _media_type(request) == "application/json" or headers.get("hx-request") == "true":
        return True
    if request.method not in ("POST",):
        return True  # PATCH and DELETE: no other site can send them without asking first (CORS)
    return site == "same-origin" or (site is None and origin is not None)


def _media_type(request: Request) -> str:
    """Return the media type of a body in lower case, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
