"""What the library has to know of a framework: one protocol, with what holds for any framework as its defaults.

Each framework is one file of this package, named as the framework's own top-level package and with an instance of
its class as ``FRAMEWORK``: adding a file adds a framework.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar, NamedTuple

from starlette.concurrency import run_in_threadpool

from stepup_middleware.asgi import Scope
from stepup_middleware.core.binding import Lines
from stepup_middleware.core.refusals import Refusal
from stepup_middleware.request.context import Tag

from .entries import TAG_ATTRIBUTE, Entry, is_async, resource_entries

DECORATOR_ATTRIBUTE = "__stepup_decorator__"  # of what puts a tag on an endpoint
DEPTH = 20  # wrappers, partials and mounts that are looked through


class FoundRoute(NamedTuple):
    """A route as the app has it.

    ``tag`` is None for an untagged one, ``readable`` False for an app without a list; ``fault`` says what stops the
    start, ``kept`` what does if a tag or a rule is before it. ``prepare`` makes the framework hand the endpoint its
    request, where it would not. ``also`` are the paths of a route that has one for each language, as they are in each.
    """

    path: str
    methods: tuple[str, ...]
    name: str
    tag: Tag | None
    readable: bool = True
    endpoint: Any = None
    fault: str = ""
    kept: str = ""
    prepare: Callable[[], None] | None = None
    also: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        """Where a request must come to be of this route: its path, or that of each language."""
        return self.also or (self.path,)


class RequestLine(NamedTuple):
    """The method and the path of a request as the framework's own request object has them."""

    method: str
    path: str


Below = Callable[[Any, str], Iterator[FoundRoute]]


class Framework:
    """One framework.

    ``app_class`` is the name of the class of its apps, ``quiet`` the exception that it answers without taking it for a
    fault, by module and name; that one can be built without arguments.
    """

    name: ClassVar[str] = ""
    app_class: ClassVar[str] = ""
    quiet: ClassVar[tuple[str, str] | None] = None
    empty_parameters: ClassVar[bool] = False  # its router takes nothing between two slashes for a parameter
    keeps_path_parameters: ClassVar[bool] = False  # in the scope, as Starlette does
    keeps_error_handlers: ClassVar[str] = ""  # the attribute of an app that has them, through dots
    routes_by_raw_path: ClassVar[bool] = False  # so that its requests have the path as it came, percent-encoded
    routes_by_whole_path: ClassVar[bool] = False  # also where it is mounted: it takes no root path away
    mounts_are_text: ClassVar[bool] = False  # so that what is mounted at /x is reached by /xy too

    def is_app(self, value: Any) -> bool:
        """Whether an object is an app of the framework, whose routes can be read."""
        return any(
            (each.__module__.partition(".")[0], each.__name__) == (self.name, self.app_class)
            for each in type(value).__mro__
        )

    def is_part(self, app: Any) -> bool:
        """Whether an app is what the framework puts its middleware around, when its first event comes."""
        return False

    def own_root(self, app: Any) -> str:
        """Return the root path that an app gives itself, whatever the server says; empty for none."""
        return ""

    def build(self, app: Any) -> None:
        """Build what an app puts around itself with its first event."""

    def in_hand(self, scope: Scope) -> bool:
        """Whether this framework handles the request, where no request object of its own says so."""
        return False

    def is_reached_in(self, scope: Scope) -> bool:
        """Whether a function that is handed no request was reached in this very scope, and not in a copy of it."""
        return False

    def request_in_hand(self) -> Any:
        """Return the request object of the context, where a framework hands its endpoints none. None: there is none."""
        return None

    def reached(self, request: Any, scope: Scope) -> RequestLine | None:
        """Return by which method and path the endpoint was reached; None where the request object reads the scope."""
        return None

    def cookies(self) -> tuple[bytes, ...]:
        """Return the names of the cookies by which the framework reads what else is in a request."""
        return ()

    def reading(self) -> Lines:
        """Return by what the framework reads values in the request in hand, by name: language, time zone."""
        return ()

    def path_parameters(self, request: Any) -> Mapping[str, Any]:
        """Return the path parameters that a request object of the framework has, if it has any."""
        return {}

    def arguments(self, scope: Scope, kept: Iterable[str]) -> Mapping[str, str]:
        """Return by which arguments an endpoint is handed the path parameters of the scope, by their names there."""
        return {name: name for name in kept}

    def parameter(self, text: str) -> str:
        """Return a path parameter as it is handed to an endpoint, of its text in the path by which is routed."""
        return text

    def page(self, refusal: Refusal) -> Any:
        """Return what an endpoint answers in place of raising, where that is quieter. None: raise."""
        return None

    def keep_nothing(self, request: Any, scope: Scope) -> None:
        """See to it that no cache of the framework keeps the answer of a handler that has asked.

        Raises ``ConfigurationError`` where that cannot be.
        """

    async def run_sync(self, endpoint: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Run a sync endpoint where it does not block the loop."""
        return await run_in_threadpool(endpoint, *args, **kwargs)

    def entries(self, kind: type[Any]) -> dict[str, Entry]:
        """Return the members of a class through which the framework must come, each with how it is guarded.

        None: such a class cannot be guarded as a whole.
        """
        return resource_entries(kind)

    def guards_inside(self, kind: type[Any]) -> bool:
        """Whether a view that was made of a class before it was tagged runs nothing of the class without the guard."""
        return False

    def error_handlers(self, app: Any) -> Iterator[tuple[str, Any]]:
        """Yield the functions that answer for errors, each with what it is registered for."""
        kept = app
        for name in filter(None, self.keeps_error_handlers.split(".")):
            kept = getattr(kept, name, None)
        if kept is not app:
            yield from _functions(kept)

    def routes(self, app: Any, prefix: str, below: Below) -> Iterator[FoundRoute]:
        """Yield the routes of an app of the framework; ``below`` yields those of an app that is mounted in it."""
        return iter(())


def names_a_tag(function: Any) -> bool:
    """Whether a plain function names a decorator of ours, as a global or from around it."""
    if not isinstance(function, types.FunctionType) or hasattr(function, TAG_ATTRIBUTE):
        return False
    named = [function.__globals__.get(name) for name in function.__code__.co_names]
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # empty
            named.append(cell.cell_contents)
    return any(hasattr(type(each), DECORATOR_ATTRIBUTE) or DECORATOR_ATTRIBUTE in _own(each) for each in named)


def _own(value: Any) -> Mapping[str, Any]:
    return vars(value) if isinstance(value, types.FunctionType | type) else {}


def _functions(kept: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    if isinstance(kept, Mapping) and depth < DEPTH:
        for key, value in list(kept.items()):
            yield from _functions(value, getattr(key, "__name__", str(key)), depth + 1)
    elif callable(kept):
        yield name, kept


NEVER_AWAITED = (
    "has a decorator above its tag that is not async, so that nobody would await the question: make it an async one, "
    "or put it below requires_step_up"
)
NO_TAG_INSIDE = (
    "has a guard or dependency that makes or returns a tag, which asks nothing: put @requires_step_up(...) below the "
    "decorator of the route, or write `await require_step_up(request, ...)` in the guard"
)
TWO_GATES = (
    "is behind two gates that ask for different proofs, of which a request brings one: take one of them away, or give "
    "both the same purpose, details and bindings"
)


def behind(route: FoundRoute, outer: Tag | None) -> FoundRoute:
    """Return a route as it is behind a gate around it."""
    if outer is None or outer == route.tag:
        return route
    return route._replace(tag=outer) if route.tag is None else route._replace(fault=route.fault or TWO_GATES)


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
    return tag if isinstance(tag, Tag) else None


def never_awaited(endpoint: Any) -> str:
    """Return what is wrong with a tagged function that is called and not awaited, empty for any other endpoint."""
    is_tagged = inspect.isroutine(endpoint) and tag_of(endpoint) is not None
    return NEVER_AWAITED if is_tagged and not is_async(endpoint) else ""


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
