"""One request that a gate has asked about: what is decided, and what goes out."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from stepup_middleware.asgi import Message, Scope, Send, header, headers
from stepup_middleware.core.binding import BoundRequest, Details, check_details
from stepup_middleware.core.cookies import chosen_value, cookie_name, token_cookie
from stepup_middleware.core.proof import ActionRequest, Proof
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.errors import ConfigurationError, StoreError

from .body import BodyDigest, BodyMismatch, BodyTooLarge, BodyTooSlow
from .bound import Unbindable, below_root, bound_request
from .context import KEY, DetailsSource, Installation, RequestContext, Tag, current, logger
from .site import Standing, is_navigation, is_same_origin, standing_of

if TYPE_CHECKING:
    from stepup_middleware.core.purposes import Purpose
    from stepup_middleware.service.requester import Requester

TOKEN_HEADER = b"stepup-token"

# with one of these messages an app answers a request, or a handshake that it may not accept
_BEGINNINGS = frozenset({"http.response.start", "websocket.accept", "websocket.close", "websocket.http.response.start"})


class Question(NamedTuple):
    """What a gate asks: two gates ask the same question only if all of it is the same."""

    purpose: str
    details: Details
    request: BoundRequest


# The question of the gate that runs what is going on now. A gate that stands beside it, not inside (another part of a
# batch, say), is in another context or comes when this is over.
_handing_on: ContextVar[Question | None] = ContextVar("stepup_middleware_handing_on", default=None)


class Gate(NamedTuple):
    """Where a gate stands and what its handler gave it besides the tag.

    ``framework`` is the method and path as the framework has them, ``body`` and ``token`` what a handler handed over.
    ``hands_on``: the gate runs an endpoint or an app with its proof, which a gate inside that asks the same question
    may take over (``GuardedRequest.handing_on``).
    """

    framework: tuple[str, str] | None = None
    body: bytes | None = None
    token: bytes | None = None
    hands_on: bool = True


def guarded_request(scope: Scope | None) -> GuardedRequest:
    """Return the guarded request of a scope (None: of the one in hand), and begin it if nothing has asked before.

    Raises ``ConfigurationError`` when the middleware is missing, or when the request has ended.
    """
    if scope is None:
        scope = current.get()
    context = None if scope is None else scope.get(KEY)
    if scope is None or not isinstance(context, RequestContext):
        raise ConfigurationError(
            "a tagged endpoint was reached without StepUpMiddleware around the app; it does not run"
        )
    if context.installation is None:
        raise ConfigurationError("a tagged endpoint was called after its request had ended; it does not run")
    if context.guarded is None:
        context.guarded = GuardedRequest(context, context.installation, scope)
    return context.guarded


class GuardedRequest:
    """The state of one request that a gate has asked about.

    ``proof`` is the last one redeemed, ``refusal`` set once refused and not answered by the app itself; ``answered``
    when our own answer goes out; ``status`` is that of the answer that went out. ``render`` sends our answer in place
    of a page that a framework made of the refusal, ``onward`` is the server's own ``send``.
    """

    __slots__ = (
        "_context",
        "_firm",
        "_handed_on",
        "_requester",
        "_spent_cookie",
        "answered",
        "began",
        "onward",
        "proof",
        "purpose",
        "refusal",
        "render",
        "scope",
        "status",
        "stepup",
        "swapped",
    )

    def __init__(self, context: RequestContext, installation: Installation, scope: Scope) -> None:
        self._context = context
        self.onward: Send = context.send
        self.stepup = installation.stepup
        self.scope = scope
        self.render = installation.render
        self.proof: Proof | None = None
        self.purpose: Purpose | None = None
        self.refusal: Refusal | None = None
        self.answered = self.began = self.swapped = False
        self.status: int | None = None
        self._requester: Requester | None = None
        self._firm = False
        self._handed_on: Question | None = None
        self._spent_cookie: bytes | None = None
        context.send = self.send

    @property
    def context(self) -> RequestContext:
        """What the middleware placed in the scope of this request."""
        return self._context

    @property
    def accepted(self) -> bool:
        """Whether the app has accepted the WebSocket already (Sanic does before it calls the handler)."""
        return self._context.accepted

    # what goes out

    async def send(self, message: Message) -> None:
        """Pass a message on. A framework's own page for our refusal is replaced by the library's answer.

        The page of a refusal by a tag always is. A refusal that a handler met inside of it is the handler's to answer:
        only an error, or a closing, is taken for what a framework made of it.
        """
        if self.swapped:
            return
        kind = message["type"]
        if kind in _BEGINNINGS:
            if self.refusal is not None and not self.answered:
                if self._firm or _is_error(message):
                    self.swapped = True
                    await self.render(self)
                    return
                self.refusal = None
            self.began = True
            if self.status is None and kind == "http.response.start":
                self.status = message["status"]
            if self.proof is not None or self._spent_cookie is not None:
                message = self._marked(message)
        elif kind == "websocket.send" and not self._firm:
            self.refusal = None
        await self.onward(message)

    async def send_plain(self, message: Message) -> None:
        """Pass a message of the library's own answer on."""
        if message["type"] in _BEGINNINGS:
            self.began = True
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._spent_cookie is not None:
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
        self, tag: Tag, *, scope: Scope, purpose: Purpose | None = None, gate: Gate | None = None
    ) -> Proof | Refusal:
        """Let what the gate guards run, or refuse it. Whatever goes wrong inside is a refusal.

        ``purpose`` is given where it is none of the catalogue. An exception of the app's own ``details`` callable (its
        404, say) goes to the app unchanged: nothing has run.
        """
        gate = gate or Gate()
        verdict = await self._admit(tag, scope, purpose or self.stepup.purposes.get(tag.purpose), gate)
        if isinstance(verdict, Proof):
            self.proof, self.refusal = verdict, None
            scope["stepup"] = verdict
            return verdict
        if self.proof is not None and verdict.code is RefusalCode.UNAVAILABLE:
            verdict = Refusal(code=RefusalCode.PARTLY_DONE)  # that nothing has run is no longer known
        self.refusal, self._firm = verdict, gate.hands_on
        return verdict

    async def _admit(self, tag: Tag, scope: Scope, purpose: Purpose | None, gate: Gate) -> Proof | Refusal:
        stepup = self.stepup
        if purpose is None:
            logger.error("a tag names the unknown purpose %r; the request is refused", tag.purpose)
            return Refusal(code=RefusalCode.UNAVAILABLE)
        if header(scope, b"early-data") == b"1":
            return Refusal(code=RefusalCode.EARLY_DATA)  # RFC 8470 §5.2: replayable by whoever recorded it
        standing = standing_of(scope, self._context.wire.method, stepup.relying_party.origins)
        if standing is Standing.FOREIGN:
            return Refusal(code=RefusalCode.CROSS_ORIGIN)
        if not await stepup._usable():
            return Refusal(code=RefusalCode.UNAVAILABLE)
        requester = await stepup._parts.identification.identify_request(scope)
        if isinstance(requester, Refusal):
            return requester
        shown = await _details(tag.details, scope)
        try:
            body = await self._body(tag, scope, gate)
            request = bound_request(
                self._context.wire, scope, body, bind_headers=tag.bind_headers, framework=gate.framework
            )
            question = Question(purpose.id, shown, request)
            if self._takes_over(question) and gate.token is None and self.proof is not None:
                self._handed_on = None
                return self.proof
            prefetch = standing is Standing.PREFETCH
            application = ActionRequest(
                purpose=purpose,
                request=request,
                details=shown,
                tokens=[] if prefetch else self._tokens(scope, request, gate),
                prefetch=prefetch,
                linked=standing is Standing.LINKED,
            )
            async with stepup._in_time():
                verdict = await stepup._parts.redemption.admit(requester, application)
        except (BodyTooLarge, BodyTooSlow, BodyMismatch, Unbindable) as error:
            return _unbound(error)
        except StoreError as error:
            logger.error("the store cannot be used, the request is refused: %s", error)
            return Refusal(code=RefusalCode.UNAVAILABLE)
        except TimeoutError:
            logger.error("the store did not answer in time, the request is refused")
            return Refusal(code=RefusalCode.UNAVAILABLE)
        except Exception:
            logger.exception("the decision failed; the request is refused")
            return Refusal(code=RefusalCode.UNAVAILABLE)
        if isinstance(verdict, Proof):
            self.completed({"status": None, "outcome": "went_on"})  # the action before this one
            self._requester, self.purpose = requester, purpose
            self._handed_on = question if gate.hands_on else None
        return verdict

    @contextmanager
    def handing_on(self) -> Iterator[None]:
        """Let the first gate inside that asks the same question take over the proof, while what is guarded runs."""
        question = self._handed_on
        before = _handing_on.set(question)
        try:
            yield
        finally:
            _handing_on.reset(before)
            if self._handed_on is question:
                self._handed_on = None

    def _takes_over(self, question: Question) -> bool:
        return self._handed_on is not None and self._handed_on is _handing_on.get() and self._handed_on == question

    def completed(self, outcome: dict[str, object]) -> None:
        """Log how the last authorized action ended, if there was one."""
        if self.proof is not None and self._requester is not None and self.purpose is not None:
            self.stepup._parts.redemption.completed(self._requester, self.proof, self.purpose, outcome)

    async def _body(self, tag: Tag, scope: Scope, gate: Gate) -> BodyDigest | None:
        """Return the digest of the body that is bound: the one handed over, or that of the request. None: none."""
        if gate.body is not None:
            digest = BodyDigest(headers(scope, b"content-type"))
            digest.feed(gate.body)
            return digest
        if not tag.bind_body or scope["type"] != "http":
            return None
        return await self._context.body.complete()

    def _tokens(self, scope: Scope, request: BoundRequest, gate: Gate) -> list[bytes]:
        """Return the tokens for a question: the one handed over; for the first one of a request those of its headers.

        On a same-origin navigation without a header, the library's one-time cookie counts.
        """
        if gate.token is not None:
            return [gate.token]
        if self.proof is not None:
            return []  # what came with the request has answered its one question
        given = headers(scope, TOKEN_HEADER)
        stepup = self.stepup
        if given or not is_navigation(scope) or not is_same_origin(scope, stepup.relying_party.origins):
            return given
        secure = stepup.relying_party.secure
        value = chosen_value(
            headers(scope, b"cookie"), cookie_name(secure=secure).encode(), stepup._parts.redemption.has_signed
        )
        if not value:
            return []
        path = below_root(request.path, self._context.wire.root_path)
        self._spent_cookie = token_cookie("", path=path, seconds=0, secure=secure)
        return [value]


async def _details(details: DetailsSource, scope: Scope) -> Details:
    value: Any = details
    if callable(details):
        value = details(scope)
        if inspect.isawaitable(value):
            value = await value
    return () if value is None else check_details(value)


def _is_error(message: Message) -> bool:
    return message["type"] == "websocket.close" or int(message.get("status", 0)) >= 400


def _unbound(error: Exception) -> Refusal:
    match error:
        case BodyTooLarge():
            return Refusal(code=RefusalCode.BODY_TOO_LARGE)
        case BodyTooSlow():
            return Refusal(code=RefusalCode.BODY_TIMEOUT)
        case Unbindable():
            return Refusal(code=error.code)
    return Refusal(code=RefusalCode.BAD_REQUEST)
