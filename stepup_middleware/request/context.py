"""What the middleware places in each scope: the request as it came, and what goes out after a gate asked about it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from stepup_middleware.asgi import KEY, Message, Receive, Scope, Send
from stepup_middleware.core.binding import BoundRequest, Details
from stepup_middleware.core.proof import Proof
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.logged import get_logger

from .asked import Questions, is_error
from .body import RequestBody
from .bound import Wire
from .site import is_navigation

if TYPE_CHECKING:
    from stepup_middleware.core.purposes import Purpose
    from stepup_middleware.service.admin import Words
    from stepup_middleware.service.requester import Requester
    from stepup_middleware.service.stepup import StepUp

logger = get_logger("stepup_middleware")

DetailsSource = Details | Sequence[tuple[str, str]] | Mapping[str, str] | Callable[[Scope], Any] | None

# with one of these messages an app answers a request, or a handshake that it may not accept
_BEGINNINGS = frozenset({"http.response.start", "websocket.accept", "websocket.close", "websocket.http.response.start"})

# The scope of the request in hand: for endpoints that are handed nothing to find it by, and tags put on nothing.
current: ContextVar[Scope | None] = ContextVar("stepup_middleware_scope", default=None)


class Tag(NamedTuple):
    """What a route is tagged with. ``details`` is a value or a callable of the scope, sync or async.

    ``bind_headers`` are the names of further headers that are bound, in lower case.
    """

    purpose: str
    details: DetailsSource = None
    bind_body: bool = True
    bind_headers: tuple[bytes, ...] = ()


class Installation(NamedTuple):
    """What is the same for every request that comes through one ``StepUpMiddleware``.

    ``framework`` is that of the app (a ``Framework``), None if no known one. ``render`` sends our answer in place of a
    page that a framework made of a refusal, ``prove`` asks for one of the library's own purposes. ``cookies`` are the
    names of those by which the framework reads a request.
    """

    stepup: StepUp
    framework: object
    render: Callable[[GuardedRequest], Awaitable[None]]
    prove: Callable[[Scope, Purpose, Words, str | bytes | None], Awaitable[Proof]]
    cookies: tuple[bytes, ...] = ()


class Question(NamedTuple):
    """What a gate asks. ``request`` is the request as the gate finds it."""

    purpose: str
    details: Details
    request: BoundRequest

    def is_asked_by(self, other: Question) -> bool:
        """Whether two gates ask the same: of the same request as it came, which has ended up at the same place.

        A gate before a mount and one in the app that is mounted ask the same; to a token, which is bound to all that
        either of them finds, the two are different.
        """
        return (
            (self.purpose, self.details) == (other.purpose, other.details)
            and replace(self.request, reached=None) == replace(other.request, reached=None)
            and self.request.place() == other.request.place()
        )


# The question of the gate that runs what is going on now. A gate that stands beside it, not inside (another part of a
# batch, say), is in another context or comes when this is over.
_handing_on: ContextVar[Question | None] = ContextVar("stepup_middleware_handing_on", default=None)


class RequestContext:
    """What the middleware places in each scope: the request as it came, and what a gate has decided about it.

    The app is given it as its ``send``, and ``receive`` as its ``receive``. Until a gate asks there is no guarded
    request, and nothing is looked at. ``wire`` is the request as it came, ``accepted`` says that the app has accepted
    the WebSocket, ``began`` is the first message of an answer that went out. ``installation`` is None when the request
    has ended: from then on nothing is admitted, also where a task of the request lives on with a copy of the scope.
    """

    __slots__ = ("_body", "_server_receive", "accepted", "began", "guarded", "installation", "scope", "send", "wire")

    def __init__(
        self, installation: Installation | None, wire: Wire, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self.installation = installation
        self.wire = wire
        self.scope = scope
        self.send = send
        self._server_receive = receive
        self._body: RequestBody | None = None
        self.guarded: GuardedRequest | None = None
        self.accepted = False
        self.began: Message | None = None

    def __call__(self, message: Message) -> Awaitable[None]:
        """Send a message, for the app."""
        self.began = self.began or message
        return self.send(message)

    def receive(self) -> Awaitable[Message]:
        """Receive the next message, for the app."""
        return self.body()

    @property
    def body(self) -> RequestBody:
        """The body on its way into the app."""
        body = self._body
        if body is None:
            limit = 0 if self.installation is None else self.installation.stepup.max_bound_body
            body = self._body = RequestBody(
                self._server_receive, self.wire.headers, limit=limit, keeps_form=_may_be_repeated(self.scope)
            )
        return body

    async def prove(self, scope: Scope, purpose: Purpose, details: Words, token: str | bytes | None) -> Proof:
        """Return a proof of one of the library's own purposes, for what a service does only by one.

        Raises ``StepUpRequired``, and ``ConfigurationError`` when the request has ended.
        """
        if self.installation is None:
            raise ConfigurationError("a step-up was asked for after its request had ended; nothing is done")
        return await self.installation.prove(scope, purpose, details, token)

    def end(self) -> None:
        """Let everything of a request that has ended go.

        Left in a reference cycle, its parts and the server's request would wait for the garbage collector, on which a
        busy server then spends a third of its time.
        """
        self.installation = None
        if self._body is not None:
            self._body.close()
        if self.guarded is not None:
            self.send = self.guarded.onward
            self.guarded = None


class GuardedRequest:
    """The state of one request that a gate has asked about.

    ``proof`` is the last one redeemed, ``refusal`` set once refused and not answered by the app itself; ``answered``
    when our own answer goes out; ``status`` is that of the answer that went out, ``apart`` says that the action ends
    apart from the request, and is logged then. ``render`` sends our answer in place of a page that a framework made of
    the refusal, ``onward`` is the server's own ``send``. ``presenting`` is held while a question is decided: of several
    at once, the later ones see what the first has got.
    """

    __slots__ = (
        "answered",
        "apart",
        "began",
        "context",
        "firm",
        "handed_on",
        "onward",
        "presenting",
        "proof",
        "purpose",
        "questions",
        "read_by_cookies",
        "refusal",
        "render",
        "requester",
        "scope",
        "spent_cookie",
        "status",
        "stepup",
        "swapped",
    )

    def __init__(self, context: RequestContext, installation: Installation, scope: Scope) -> None:
        self.context = context
        self.onward: Send = context.send
        self.stepup = installation.stepup
        self.scope = scope
        self.render = installation.render
        self.presenting = asyncio.Lock()
        self.proof: Proof | None = None
        self.purpose: Purpose | None = None
        self.refusal: Refusal | None = None
        self.answered = self.swapped = False
        first = context.began if scope["type"] == "http" else None  # what went out before anybody asked
        self.began = first is not None
        self.status: int | None = None if first is None else first.get("status")
        self.apart = False
        self.requester: Requester | None = None
        self.firm = False
        self.handed_on: Question | None = None
        self.spent_cookie: bytes | None = None
        self.questions = Questions(scope)
        context.send = self.send
        self.read_by_cookies = installation.cookies

    @property
    def accepted(self) -> bool:
        """Whether the app has accepted the WebSocket already (Sanic does before it calls the handler)."""
        return self.context.accepted

    async def send(self, message: Message) -> None:
        """Pass a message on. A framework's own page for our refusal is replaced by the library's answer.

        That holds for every refusal by a tag. A refusal by ``require_step_up`` inside a handler may be answered by the
        handler: only an error, or a closing, counts as the page of a framework.
        """
        if self.swapped:
            return
        kind = message["type"]
        if self.questions.are_forgotten(message, answered=self.answered):
            if self.began or kind not in _BEGINNINGS:
                raise ConfigurationError("the connection is cut: a step-up was not awaited")
            self.refusal, self.firm = Refusal(code=RefusalCode.NEVER_ASKED), True
        if kind == "http.response.start" and self.began:
            await self.onward(message)  # a second one, over which the server fails
            return
        if kind in _BEGINNINGS:
            if self.refusal is not None and not self.answered:
                if self.firm or is_error(message):
                    self.swapped = True
                    await self.render(self)
                    return
                self.refusal = None
            self.began = True
            if self.status is None and kind == "http.response.start":
                self.status = message["status"]
            if self.proof is not None or self.spent_cookie is not None:
                message = self._marked(message)
        elif kind == "websocket.send" and not self.firm:
            self.refusal = None
        await self.onward(message)

    async def send_plain(self, message: Message) -> None:
        """Pass a message of the library's own answer on."""
        if message["type"] in _BEGINNINGS:
            self.began = True
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.spent_cookie is not None:
                message = self._marked(message)
        await self.onward(message)

    def _marked(self, message: Message) -> Message:
        """Return the start of an answer: that of an authorized action is not cached, a spent cookie is cleared."""
        marked = list(message.get("headers", ()))
        if self.proof is not None:
            marked = [entry for entry in marked if entry[0].lower() != b"cache-control"]
            marked.append((b"cache-control", b"no-store"))
        if self.spent_cookie is not None:
            marked.append((b"set-cookie", self.spent_cookie))
        return {**message, "headers": marked}

    @contextmanager
    def handing_on(self) -> Iterator[None]:
        """Let the first gate inside that asks the same question take over the proof, while what is guarded runs."""
        question = self.handed_on
        before = _handing_on.set(question)
        try:
            yield
        finally:
            _handing_on.reset(before)
            if self.handed_on is question:
                self.handed_on = None

    def takes_over(self, question: Question) -> bool:
        """Whether a gate is the first inside of the one whose proof is handed on that asks the same question."""
        given = self.handed_on
        return given is not None and given is _handing_on.get() and given.is_asked_by(question)

    def completed(self, outcome: dict[str, object]) -> None:
        """Log how the last authorized action ended, if there was one."""
        if self.proof is not None and self.requester is not None and self.purpose is not None:
            self.stepup._parts.redemption.completed(self.requester, self.proof, self.purpose, outcome)


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


def note_unused_tag(purpose: str) -> None:
    """Note that a tag was made and put on nothing: in a request, it must not answer as if somebody had been asked."""
    scope = current.get()
    context = None if scope is None else scope.get(KEY)
    if isinstance(context, RequestContext) and context.installation is not None:
        guarded_request(scope).questions.note_unused_tag(purpose)
    else:
        logger.critical("requires_step_up(%r) was called and put on nothing: it guards nothing", purpose)


def _may_be_repeated(scope: Scope) -> bool:
    """Whether a request may be a native form, which a page of ours would have to repeat."""
    return scope.get("method") not in ("GET", "HEAD") and is_navigation(scope)


async def _nowhere(message: Message) -> None:
    """Drop a message."""


async def nothing_more() -> Message:
    """Say that the client sends nothing more."""
    return {"type": "http.disconnect"}


# in the scope of a request that has ended
ENDED = RequestContext(None, Wire("", "", b"", "", b""), {"headers": ()}, nothing_more, _nowhere)
