"""What the middleware places in each scope, and what it knows of where it stands."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from stepup_middleware.asgi import Message, Receive, Scope, Send
from stepup_middleware.core.binding import Details

from .body import RequestBody
from .bound import Wire
from .site import is_navigation

if TYPE_CHECKING:
    from stepup_middleware.frameworks.base import Framework
    from stepup_middleware.service.stepup import StepUp

    from .guarded import GuardedRequest

logger = logging.getLogger("stepup_middleware")

DetailsSource = Details | Sequence[tuple[str, str]] | Mapping[str, str] | Callable[[Scope], Any] | None

KEY = "stepup_middleware"  # where the middleware places the context; clients set headers, never scope keys

# The scope of the request in hand, for endpoints that are handed nothing to find it by. Setting it costs a
# third of an empty request: the middleware does so only once there are such endpoints, by their names.
current: ContextVar[Scope | None] = ContextVar("stepup_middleware_scope", default=None)
by_context: set[str] = set()


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

    ``render`` sends our answer in place of a page that a framework made of a refusal.
    """

    stepup: StepUp
    framework: Framework | None
    render: Callable[[GuardedRequest], Awaitable[None]]


class RequestContext:
    """What the middleware places in each scope: the request as it came, and a place for what becomes of it.

    The app is given it as its ``send``, and ``receive`` as its ``receive``. Until a gate asks there is no guarded
    request, and nothing is looked at. ``wire`` is the request as it came, ``accepted`` says that the app has accepted
    the WebSocket. ``installation`` is None when the request has ended: from then on nothing is admitted, also where a
    task of the request lives on with a copy of the scope.
    """

    __slots__ = ("_body", "_server_receive", "accepted", "guarded", "installation", "scope", "send", "wire")

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

    def __call__(self, message: Message) -> Awaitable[None]:
        """Send a message, for the app."""
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
                self._server_receive, self.scope["headers"], limit=limit, keeps_form=_may_be_repeated(self.scope)
            )
        return body

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


def _may_be_repeated(scope: Scope) -> bool:
    """Whether a request may be a native form, which a page of ours would have to repeat."""
    return scope.get("method") not in ("GET", "HEAD") and is_navigation(scope)


async def _nowhere(message: Message) -> None:
    """Send a message to nobody."""


async def nothing_more() -> Message:
    """Say that the client sends nothing more."""
    return {"type": "http.disconnect"}


# in the scope of a request that has ended
ENDED = RequestContext(None, Wire("", "", b"", "", b""), {"headers": ()}, nothing_more, _nowhere)
