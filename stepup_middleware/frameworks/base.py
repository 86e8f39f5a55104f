"""What the library has to know of a framework: one protocol, with what holds for any framework as its defaults.

Each framework is one file of this package, named as the framework's own top-level package and with an instance of
its class as ``FRAMEWORK``: a file more, and one more framework is known.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol
from weakref import WeakSet

from starlette.concurrency import run_in_threadpool

from stepup_middleware.asgi import ASGIApp, Receive, Scope, Send
from stepup_middleware.core.refusals import Refusal
from stepup_middleware.exchange import Tag

TAG_ATTRIBUTE = "__stepup_tag__"
DEPTH = 20  # wrappers, partials and mounts that are looked through
bare: WeakSet[Any] = WeakSet()  # the functions that were tagged, as they are without their tags


class FoundRoute(NamedTuple):
    """A route as the app has it. ``tag`` is None for an untagged one; ``readable`` False for an app without a list."""

    path: str
    methods: tuple[str, ...]
    name: str
    tag: Tag | None
    readable: bool = True
    endpoint: Any = None

    @property
    def lost_its_tag(self) -> bool:
        """Whether the router has the function without the tag, which was put above the route's own decorator."""
        return self.tag is None and inspect.isfunction(self.endpoint) and self.endpoint in bare


class Reached(NamedTuple):
    """The method and the path of a request as the framework's own request object has them."""

    method: str
    path: str


class Guard(Protocol):
    """A tag as a framework puts it at the ways into a class."""

    tag: Tag

    def function(self, endpoint: Callable[..., Any]) -> Callable[..., Any]:
        """Return an async function that runs the endpoint with a proof alone."""

    async def admit(self, *values: Any) -> None:
        """Return if the request among the values may run; raises ``StepUpRequired``."""

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Run an ASGI app, or send the refusal."""


Below = Callable[[Any, str], Iterator[FoundRoute]]


class Framework:
    """One framework. ``quiet`` is the exception that it answers without taking it for a fault, by module and name.

    The exception can be built without arguments.
    """

    name: ClassVar[str] = ""
    quiet: ClassVar[tuple[str, str] | None] = None
    keeps_path_parameters: ClassVar[bool] = False  # in the scope, as Starlette does

    def in_hand(self, scope: Scope) -> bool:
        """Whether this framework handles the request, where no request object of its own says so."""
        return False

    def reached(self, request: Any, scope: Scope) -> Reached | None:
        """Return by which method and path the endpoint was reached; None where the request object reads the scope."""
        return None

    def path_parameters(self, request: Any) -> Mapping[str, Any]:
        """Return the path parameters that a request object of the framework has, if it has any."""
        return {}

    def page(self, refusal: Refusal) -> Any:
        """Return what an endpoint answers in place of raising, where that is quieter. None: raise."""
        return None

    async def run_sync(self, endpoint: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Run a sync endpoint where it does not block the loop."""
        return await run_in_threadpool(endpoint, *args, **kwargs)

    async def body(self, request: Any, limit: int) -> bytes | None:
        """Return the body of a request, and leave it readable; None where it cannot be read within bounds."""
        return None

    def ways_in(self, kind: type[Any]) -> list[str]:
        """Return the members of a class through which the framework reaches what it does."""
        return [name for name in dir(kind) if name.startswith("on_") or name == "__call__"]

    def guarded(self, kind: type[Any], name: str, guard: Guard) -> Any:
        """Return what takes the place of a way in."""
        return guard.function(getattr(kind, name))

    def routes(self, app: Any, prefix: str, below: Below) -> Iterator[FoundRoute]:
        """Yield the routes of an app of the framework; ``below`` yields those of an app that is mounted in it."""
        return iter(())


def tag_of(value: Any) -> Tag | None:
    """Return the tag on an endpoint or ASGI app, if it has one (through ``functools.partial`` too)."""
    for _ in range(DEPTH):
        if hasattr(value, TAG_ATTRIBUTE) or not hasattr(value, "func"):
            break
        found = next((tag for tag in map(tag_of, getattr(value, "args", ())) if tag is not None), None)
        if found is not None:
            return found
        value = value.func
    tag = getattr(value, TAG_ATTRIBUTE, None)
    if tag is None and inspect.ismethod(value):
        tag = getattr(value.__func__, TAG_ATTRIBUTE, None)
    if tag is None and isinstance(getattr(value, "view_class", None), type):
        tag = getattr(value.view_class, TAG_ATTRIBUTE, None)  # what as_view() made of a class
    return tag if isinstance(tag, Tag) else None


def tag_around(app: Any) -> Tag | None:
    """Return the tag on an app or on one of the apps that it is wrapped in."""
    for _ in range(DEPTH):
        if app is None:
            return None
        tag = tag_of(app)
        if tag is not None:
            return tag
        app = getattr(app, "app", None)
    return None
