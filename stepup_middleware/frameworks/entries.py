"""The entries of classes: the members through which a framework must come, each with how it is guarded."""

from __future__ import annotations

import asyncio.coroutines
import functools
import inspect
import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

from stepup_middleware.asgi import ASGIApp, Receive, Scope, Send
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.request.context import Tag

TAG_ATTRIBUTE = "__stepup_tag__"
TOOL_ATTRIBUTE = "__stepup_tool__"  # of a tagged tool of an MCP server: its purpose
GUARD_ATTRIBUTE = "__stepup_guard__"  # of a tagged class, and of each entry that is behind its guard
# what Falcon and others take for a handler by its name, if it is not async
_RESPONDER = re.compile(
    r"on_(?:get|head|post|put|patch|delete|options|trace|connect|query|websocket|request)(?:_\w*)?", re.ASCII
)
_building: ContextVar[bool] = ContextVar("stepup_middleware_building", default=False)


class Guard(Protocol):
    """A tag as a framework puts it at the ways into a class."""

    tag: Tag

    def function(self, endpoint: Callable[..., Any]) -> Callable[..., Any]:
        """Return an async function that runs the endpoint with a proof alone.

        It asks no second time for the very request that this guard has let through: a method may call another.
        """

    def made(self, value: Any) -> bool:
        """Whether a function is one of those that ``function`` returned."""

    def passed(self, *values: Any) -> bool:
        """Whether the request among the values was let through by this guard and is still being handled."""

    async def admit(self, *values: Any) -> None:
        """Return if the request among the values may run; raises ``StepUpRequired``."""

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Run an ASGI app, or send the refusal."""


# takes a class, the name of a member, what is there now and the guard; returns what takes its place
Entry = Callable[[type[Any], str, Any, Guard], Any]


def plain_method(kind: type[Any], name: str, present: Any, guard: Guard) -> Any:
    """Guard a method that is called with the request."""
    if not inspect.isfunction(present):
        raise ConfigurationError(f"{kind.__qualname__}.{name} is no plain method, which alone can be guarded")
    return guard.function(present)


def maker(kind: type[Any], name: str, present: Any, guard: Guard) -> Any:
    """Guard what a class method such as ``as_view`` returns: the function that the framework registers."""
    if not isinstance(present, classmethod):
        raise ConfigurationError(f"{kind.__qualname__}.{name} is no class method, which alone can be guarded")
    make = present.__func__

    @functools.wraps(make)
    def making(cls: type[Any], *args: Any, **kwargs: Any) -> Any:
        view = make(cls, *args, **kwargs)
        if not callable(view):
            raise ConfigurationError(
                f"{cls.__qualname__}.{name} returned {type(view).__name__}, which cannot be guarded"
            )
        return view if guard.made(view) else guard.function(view)

    return type(present)(making)


def checked(kind: type[Any], name: str, present: Any, guard: Guard) -> Any:
    """Let a sync method run for a request alone that came through the guard."""
    if not inspect.isfunction(present):
        raise ConfigurationError(f"{kind.__qualname__}.{name} is no plain method, which alone can be guarded")

    @functools.wraps(present)
    def checking(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not guard.passed(*args, *kwargs.values()):
            raise ConfigurationError(
                f"{type(self).__qualname__}.{name} was reached without the guard of its class; it does not run. Tag "
                "the class where it is written, before as_view() is called"
            )
        return present(self, *args, **kwargs)

    return checking


def attributes(kind: type[Any], name: str, present: Any, guard: Guard) -> Any:
    """Guard the responders that are fetched from an instance, wherever they come from (``on_post``)."""

    def fetching(self: Any, attribute: str) -> Any:
        value = present(self, attribute)
        if attribute.startswith("on_") and callable(value) and _responds(attribute, value) and not guard.made(value):
            return guard.function(value)
        return value

    return functools.wraps(present)(fetching)


def _responds(attribute: str, value: Any) -> bool:
    return inspect.iscoroutinefunction(value) or _RESPONDER.fullmatch(attribute) is not None


def construction(kind: type[Any], name: str, present: Any, guard: Guard) -> Any:
    """Guard a class that is an ASGI app itself: it is built after the gate, so nothing of it runs before."""
    make = present.__func__ if isinstance(present, staticmethod) else present

    def building(cls: type[Any], *args: Any, **kwargs: Any) -> Any:
        if _building.get():  # a derived class calls super()
            return make(cls) if make is object.__new__ else make(cls, *args, **kwargs)
        return _Guarded(functools.partial(building, cls), cls, guard, args, kwargs)

    return staticmethod(building)


class _Guarded:
    """A future instance of an ASGI app class: when it is awaited, it asks, is built, and runs."""

    def __init__(
        self, make: Callable[..., Any], cls: type[Any], guard: Guard, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._make, self._cls, self._guard = make, cls, guard
        self._bound = inspect.signature(_asgi).bind(*args, **kwargs).args

    def __await__(self) -> Any:
        return self._guard.run(self._app, *self._bound).__await__()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = _building.set(True)
        try:
            instance = self._make(scope, receive, send)
            if isinstance(instance, self._cls):
                instance.__init__(scope, receive, send)  # as type.__call__ does
        finally:
            _building.reset(token)
        await instance


async def _asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """Have the signature of an ASGI app."""


def mark_async(kind: Any) -> None:
    """Let ``iscoroutinefunction`` say of a function, or of the instances of a class, that a call is to be awaited."""
    for module, name in ((inspect, "_is_coroutine_mark"), (asyncio.coroutines, "_is_coroutine")):
        if hasattr(module, name):
            setattr(kind, name, getattr(module, name))


def is_async(endpoint: Any) -> bool:
    """Whether a call of an endpoint is to be awaited, judged as the frameworks do."""
    called = getattr(endpoint, "__call__", None)  # noqa: B004 - an object whose __call__ is async
    marked = getattr(endpoint, "_is_coroutine", None) is not None
    return marked or inspect.iscoroutinefunction(endpoint) or inspect.iscoroutinefunction(called)


def generic_entries(kind: type[Any]) -> dict[str, Entry]:
    """Return the entries of a class of whatever framework."""
    found: dict[str, Entry] = {}
    if inspect.isfunction(getattr(kind, "__await__", None)):
        found["__new__"] = construction
    if "__call__" in {name for each in kind.__mro__ for name in vars(each)}:
        found["__call__"] = plain_method
    return found


def resource_entries(kind: type[Any]) -> dict[str, Entry]:
    """Return the entries of a class whose instances have handlers by name, as Falcon's resources: now or later."""
    found = generic_entries(kind)
    if found or any(name.startswith("on_") and callable(getattr(kind, name, None)) for name in dir(kind)):
        found["__getattribute__"] = attributes
        if hasattr(kind, "__getattr__"):
            found["__getattr__"] = attributes
    return found


def view_entries(kind: type[Any]) -> dict[str, Entry]:
    """Return the entries of a view class of Quart or Sanic."""
    found = generic_entries(kind)
    if hasattr(kind, "as_view") and hasattr(kind, "dispatch_request"):
        return {"as_view": maker, "dispatch_request": plain_method, **found}
    return found


def builds_nothing(kind: type[Any]) -> bool:
    """Whether nothing of the app's own runs before ``dispatch_request``: no ``__init__``, no decorator."""
    own = {name for each in kind.__mro__[:-1] for name in vars(each)} & {"__init__", "__new__"}
    return not own and not getattr(kind, "decorators", ())
