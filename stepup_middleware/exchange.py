"""One request on its way through the app: what the gate needs to decide about it, and what became of it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from stepup_middleware.asgi import Message, Receive, Scope, Send
from stepup_middleware.body import Arriving, form_kind
from stepup_middleware.core.application import Application
from stepup_middleware.core.binding import BoundRequest, Details, check_details
from stepup_middleware.core.cookies import chosen_value
from stepup_middleware.core.proof import Proof
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.headers import header, headers
from stepup_middleware.request.bound import BodyDigest, Unbindable, Wire, bound_request

if TYPE_CHECKING:
    from stepup_middleware.core.purposes import Purpose
    from stepup_middleware.service.stepup import StepUp
    from stepup_middleware.service.visitor import Visitor

logger = logging.getLogger("stepup_middleware")

# with one of these messages an app answers a request, or a handshake that it may not accept
_BEGINNINGS = frozenset({"http.response.start", "websocket.accept", "websocket.close", "websocket.http.response.start"})

DetailsSource = Details | Sequence[tuple[str, str]] | Mapping[str, str] | Callable[[Scope], Any] | None

KEY = "stepup_middleware"  # where the middleware places the passage; clients set headers, never scope keys
TOKEN_HEADER = b"stepup-token"
REPEATED_FORM_LIMIT = 256 * 1024  # bytes of a form that a page of ours carries over to its repetition

# The scope of the request in hand, for endpoints that are handed nothing to find it by. Setting it costs a
# third of an empty request: the middleware does so only once there are such endpoints, by their names.
current: ContextVar[Scope | None] = ContextVar("stepup_middleware_scope", default=None)
by_context: set[str] = set()


class Tag(NamedTuple):
    """What a route is tagged with. ``details`` is a value or a callable of the scope, sync or async."""

    purpose: str
    details: DetailsSource = None
    bind_body: bool = False


class Installation(NamedTuple):
    """What is the same for every request that comes through one ``StepUpMiddleware``."""

    stepup: StepUp
    framework: Any  # one of ``stepup_middleware.frameworks``, or None


class Passage(partial[Awaitable[None]]):
    """What the middleware places in each scope: the server's ``send``, and room for an exchange.

    The app is given it as its ``send``. Until a gate asks there is no exchange, and nothing is looked at: a
    ``partial`` is the cheapest callable whose target can be exchanged afterwards. ``wire`` is the request as it came;
    ``receive`` is the server's own where a body may have to be repeated, with its ``scope``, and None for a GET;
    ``accepted`` says that the app has accepted the WebSocket. ``installation`` is None when the request has ended:
    from then on nothing is admitted, also where a task of the request lives on with a copy of the scope.
    """

    __slots__ = ("installation", "receive", "scope", "wire")  # the others are set for few requests

    installation: Installation | None
    wire: Wire
    receive: Receive | None
    scope: Scope
    exchange: Exchange | None = None
    accepted: bool = False
    _arriving: Arriving | None = None

    @property
    def arriving(self) -> Arriving | None:
        """The body on its way through the app, if there can be one."""
        if self._arriving is None and self.receive is not None:
            self._arriving = Arriving(self.receive, self.scope, may_be_repeated, REPEATED_FORM_LIMIT)
        return self._arriving

    async def arrive(self) -> Message:
        """Receive the next message, for the app: what it may have to repeat is kept from its first one on."""
        arriving = self.arriving
        assert arriving is not None  # noqa: S101 - the app is given this one where there can be a body
        return await arriving()

    def hand_to(self, send: Send) -> None:
        """Let every later message go to another ``send``."""
        # what unpickling uses to set the target; the last part is what else is kept here
        self.__setstate__((send, (), {}, self.__dict__))  # type: ignore[attr-defined]

    def part(self, exchange: Exchange) -> None:
        """Let the exchange of a request that has ended go.

        Left in a ring, they and the server's request would wait for the garbage collector, on which a busy server
        then spends a third of its time.
        """
        self.hand_to(exchange.onward)
        self.exchange = None


async def _nowhere(message: Message) -> None:
    """Send a message to nobody."""


ENDED = Passage(_nowhere)  # in the scope of a request that has ended
ENDED.installation = None

Render = Callable[["Exchange"], Awaitable[None]]


def exchange_at(scope: Scope | None, render: Render) -> Exchange:
    """Return the exchange of a request (None: of the one in hand), and begin it if nothing has asked before.

    Raises ``ConfigurationError`` when the middleware is missing, or when the request has ended.
    """
    if scope is None:
        scope = current.get()
    passage = None if scope is None else scope.get(KEY)
    if scope is None or not isinstance(passage, Passage):
        raise ConfigurationError(
            "a tagged endpoint was reached without StepUpMiddleware around the app; it does not run"
        )
    if passage.installation is None:
        raise ConfigurationError("a tagged endpoint was called after its request had ended; it does not run")
    if passage.exchange is None:
        passage.exchange = Exchange(passage, passage.installation.stepup, scope, render)
    return passage.exchange


class Exchange:
    """The state of one request that a gate has asked about.

    ``proof`` is set once redeemed, ``refusal`` once refused; ``answered`` when our own answer goes out.
    ``render`` sends our answer in place of a page that a framework made of the refusal, ``onward`` is the server's
    own ``send``.
    """

    __slots__ = (
        "_asked",
        "_passage",
        "_spent_cookie",
        "answered",
        "onward",
        "proof",
        "purpose",
        "refusal",
        "render",
        "scope",
        "status",
        "stepup",
        "swapped",
        "visitor",
    )

    def __init__(self, passage: Passage, stepup: StepUp, scope: Scope, render: Render) -> None:
        self._passage = passage
        # all of its parts: where the server's send is a partial itself (daphne), the passage has taken it apart
        self.onward: Send = partial(passage.func, *passage.args, **passage.keywords)
        self.stepup = stepup
        self.scope = scope
        self.render = render
        self.proof: Proof | None = None
        self.purpose: Purpose | None = None
        self.visitor: Visitor | None = None
        self.refusal: Refusal | None = None
        self.answered = False
        self.swapped = False
        self.status: int | None = None
        self._asked: BoundRequest | None = None
        self._spent_cookie: bytes | None = None
        passage.hand_to(self.send)

    @property
    def arriving(self) -> Arriving | None:
        """The body on its way through the app, if there can be one."""
        return self._passage.arriving

    @property
    def accepted(self) -> bool:
        """Whether the app has accepted the WebSocket already (Sanic does before it calls the handler)."""
        return self._passage.accepted

    # what goes out

    async def send(self, message: Message) -> None:
        """Pass a message on. A framework's own page for our refusal is replaced by the library's answer."""
        if self.swapped:
            return
        kind = message["type"]
        if kind in _BEGINNINGS:
            if self.refusal is not None and not self.answered:
                self.swapped = True
                await self.render(self)
                return
            if self.status is None and kind == "http.response.start":
                self.status = message["status"]
            if self.proof is not None or self._spent_cookie is not None:
                message = self._marked(message)
        await self.onward(message)

    async def send_plain(self, message: Message) -> None:
        """Pass a message of the library's own answer on."""
        if message["type"] == "http.response.start" and self._spent_cookie is not None:
            message = self._marked(message)
        await self.onward(message)

    def _marked(self, message: Message) -> Message:
        """The answer of an authorized action is nobody's to cache, and the one-time cookie goes with it."""
        marked = list(message.get("headers", ()))
        if self.proof is not None:
            marked = [entry for entry in marked if entry[0].lower() != b"cache-control"]
            marked.append((b"cache-control", b"no-store"))
        if self._spent_cookie is not None:
            marked.append((b"set-cookie", self._spent_cookie))
        return {**message, "headers": marked}

    # what is decided

    async def admit(
        self,
        purpose: Purpose | str,
        *,
        scope: Scope,
        details: DetailsSource = None,
        body: bytes | None = None,
    ) -> Proof | Refusal:
        """Let the request run, or refuse it. Whatever goes wrong inside is a refusal.

        ``body`` is given where the tag binds it. An exception of the app's own ``details`` callable (its
        404, say) goes to the app unchanged: nothing has run.
        """
        verdict = await self._admit(purpose, scope=scope, details=details, body=body)
        if isinstance(verdict, Proof):
            self.proof = verdict
            scope["stepup"] = verdict
        else:
            self.refusal = verdict
        return verdict

    async def _admit(
        self, purpose: Purpose | str, *, scope: Scope, details: DetailsSource, body: bytes | None
    ) -> Proof | Refusal:
        stepup = self.stepup
        known = stepup.purposes.get(purpose) if isinstance(purpose, str) else purpose
        if known is None:
            logger.error("a tag names the unknown purpose %r; the request is refused", purpose)
            return Refusal(code=RefusalCode.UNAVAILABLE)
        if not await stepup.usable():
            return Refusal(code=RefusalCode.UNAVAILABLE)
        if header(scope, b"early-data") == b"1":
            return Refusal(code=RefusalCode.EARLY_DATA)  # RFC 8470 §5.2: replayable by whoever recorded it
        visitor = await stepup.reception.receive(scope)
        if isinstance(visitor, Refusal):
            return visitor
        shown = await self._details(details, scope)
        quiet = b"prefetch" in (header(scope, b"sec-purpose") or header(scope, b"purpose") or b"")
        try:
            request = self._request(scope, body)
            if self.proof is not None:
                return self._same_again(known, request, shown)
            self.visitor, self.purpose, self._asked = visitor, known, request
            application = Application(
                purpose=known,
                request=request,
                details=shown,
                tokens=[] if quiet else self._tokens(scope),  # nobody clicked: the cookie is not for this
                quiet=quiet,
            )
            async with stepup.in_time():
                return await stepup.admission.admit(visitor, application)
        except Unbindable as error:
            return Refusal(code=error.code)
        except StoreError as error:
            logger.error("the store cannot be used, the request is refused: %s", error)
            return Refusal(code=RefusalCode.UNAVAILABLE)
        except TimeoutError:
            logger.error("the store did not answer in time, the request is refused")
            return Refusal(code=RefusalCode.UNAVAILABLE)
        except Exception:
            logger.exception("the decision failed; the request is refused")
            return Refusal(code=RefusalCode.UNAVAILABLE)

    def _same_again(self, purpose: Purpose, request: BoundRequest, details: Details) -> Proof | Refusal:
        """A second tag on the same request: the same question is answered, another one cannot be."""
        proof = self.proof
        if proof is not None and (proof.purpose, proof.details, self._asked) == (purpose.id, details, request):
            return proof
        logger.error("two tags ask for different proofs on one request (purpose, details or body); it carries one")
        return Refusal(code=RefusalCode.UNAVAILABLE)

    @staticmethod
    async def _details(details: DetailsSource, scope: Scope) -> Details:
        value: Any = details
        if callable(details):
            value = details(scope)
            if inspect.isawaitable(value):
                value = await value
        return () if value is None else check_details(value)

    def _request(self, scope: Scope, body: bytes | None) -> BoundRequest:
        digest = None
        if body is not None:
            digest = BodyDigest(headers(scope, b"content-type"))
            digest.feed(body)
        return bound_request(self._passage.wire, scope, digest)

    def _tokens(self, scope: Scope) -> list[bytes]:
        """Return the token headers; on a same-origin navigation without one, the library's one-time cookie."""
        given = headers(scope, TOKEN_HEADER)
        if given or not is_navigation(scope) or not self._same_origin(scope):
            return given
        secure = self.stepup.relying_party.secure
        name = cookie_name(secure=secure).encode()
        value = chosen_value(headers(scope, b"cookie"), name, self.stepup.admission.has_signed)
        if not value:
            return []
        assert self._asked is not None  # noqa: S101 - what is asked is known before its token is looked for
        self._spent_cookie = token_cookie("", path=self._asked.path, seconds=0, secure=secure)
        return [value]

    def _same_origin(self, scope: Scope) -> bool:
        site = header(scope, b"sec-fetch-site")
        if site is not None:
            return site == b"same-origin"
        origin = header(scope, b"origin")
        return origin is not None and origin.decode("latin-1") in self.stepup.relying_party.origins


def is_navigation(scope: Mapping[str, Any]) -> bool:
    """Whether a browser is going to a page: a link or a native form, not a script and not htmx."""
    if header(scope, b"hx-request") is not None:
        return False
    mode = header(scope, b"sec-fetch-mode")
    if mode is not None:
        return mode == b"navigate"
    return b"text/html" in (header(scope, b"accept") or b"")


def may_be_repeated(scope: Mapping[str, Any]) -> bool:
    """Whether a request is a native form, which a page of ours would have to repeat."""
    return form_kind(header(scope, b"content-type") or b"") is not None and is_navigation(scope)


def cookie_name(*, secure: bool) -> str:
    """Return the name of the one-time cookie; the prefix makes browsers insist on https (RFC 6265bis §4.1.3.1)."""
    return "__Secure-stepup-token" if secure else "stepup-token"


def token_cookie(token: str, *, path: str, seconds: int, secure: bool) -> bytes:
    """Return the ``Set-Cookie`` value of the one-time cookie: for this path, this site and this long only."""
    if ";" in path:  # which would end the attribute: the folder above it (RFC 6265 §5.1.4)
        path = path.partition(";")[0].rpartition("/")[0] or "/"
    parts = [
        f"{cookie_name(secure=secure)}={token}",
        f"Path={path}",
        f"Max-Age={seconds}",
        "HttpOnly",
        "SameSite=Strict",
    ]
    if secure:
        parts.append("Secure")
    return "; ".join(parts).encode("latin-1")
