"""What the gates know of frameworks. Each is one file of this package; ``base.py`` has the protocol.

No framework is imported here that the app has not imported itself. Other frameworks work too: the scope is found by the
context of the request, and the middleware replaces whatever page the framework makes of ``StepUpRequired``. Such a
framework may log the refusal as a fault of the app, no more.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from datetime import date, time
from decimal import Decimal
from pathlib import PurePath
from typing import Any
from uuid import UUID

from stepup_middleware.asgi import KEY, Scope
from stepup_middleware.core.binding import joined
from stepup_middleware.core.refusals import Refusal, StepUpRequired
from stepup_middleware.request.context import RequestContext, current

from .base import Framework, RequestLine
from .search import within

_SHARED = ("base", "classes", "entries", "fence", "search")
KNOWN = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _SHARED))
ANY = Framework()  # of which nothing is known
# as routers convert the parameters of a path
PLAIN = (str, int, float, Decimal, UUID, date, time, PurePath)


@functools.cache
def framework(name: str) -> Framework:
    """Return a known framework by its name."""
    found = importlib.import_module(f"{__name__}.{name}").FRAMEWORK
    assert isinstance(found, Framework)  # noqa: S101 - the protocol of this package
    return found


def framework_of(kind: type[Any]) -> Framework | None:
    """Return the framework that a class is of or derived from, if it is a known one."""
    for each in kind.__mro__:
        name = each.__module__.partition(".")[0]
        if name in KNOWN:
            return framework(name)
    return None


def is_made_of_a_function(value: Any) -> bool:
    """Whether a framework has made an object of a function, which it keeps in it and calls past whatever is tagged."""
    if type(value).__module__.partition(".")[0] not in KNOWN:
        return False
    try:
        inspect.signature(value).bind({}, None, None)
    except (TypeError, ValueError):
        return True
    kinds = {each.kind for each in inspect.signature(value).parameters.values()}
    return inspect.Parameter.VAR_POSITIONAL in kinds  # which an ASGI app has not


def apps_within(app: Any) -> Iterator[tuple[Any, Framework, tuple[Any, ...]]]:
    """Yield the apps of known frameworks in an ASGI callable, each with its framework and with what is around it."""
    for found, around in within(app, lambda value: _app_of(value) is not None):
        of = _app_of(found)
        assert of is not None  # noqa: S101 - it was wanted for that
        yield found, of, around


def _app_of(value: Any) -> Framework | None:
    found = framework_of(type(value))
    return found if found is not None and found.is_app(value) else None


def framework_around(app: Any) -> Framework | None:
    """Return the framework of an app, through whatever middleware is put around it."""
    return next((of for _, of, _ in apps_within(app)), None)


def in_use() -> Iterator[Framework]:
    """Yield the known frameworks that the app has imported."""
    return (framework(name) for name in KNOWN if name in sys.modules)


def deciding_cookies() -> tuple[bytes, ...]:
    """Return the names of the cookies by which the frameworks that the app has imported read a request."""
    return tuple(name for each in in_use() for name in each.cookies())


def framework_in_hand(scope: Scope, values: Iterable[Any] = ()) -> Framework:
    """Return the framework that handles a request: that of a request object among the values, if there is one.

    Else the one that keeps a request by the context: the others may have left their marks in the scope of an app that
    is mounted in theirs.
    """
    for value in values:
        found = framework_of(type(value))
        if found is not None:
            return found
    for each in in_use():
        if each.request_in_hand() is not None:
            return each
    for each in in_use():
        if each.in_hand(scope):
            return each
    context = scope.get(KEY)
    installation = context.installation if isinstance(context, RequestContext) else None
    around = None if installation is None else installation.framework
    return around if isinstance(around, Framework) else ANY


def scope_among(values: Iterable[Any]) -> Scope | None:
    """Return the ASGI scope among an endpoint's arguments: that of a request object, or a scope itself.

    A mapping is a scope only if the middleware was there: another one may be a body that the client wrote.
    """
    for value in values:
        if isinstance(value, MutableMapping) and isinstance(value.get(KEY), RequestContext):
            return value
        scope = getattr(value, "scope", None)
        if isinstance(scope, MutableMapping) and "type" in scope and "headers" in scope:
            return scope
    return None


def scope_in_hand() -> Scope | None:
    """Return the scope of the request that a framework keeps by the context: inside a batch not the outer one."""
    for each in in_use():
        scope = getattr(each.request_in_hand(), "scope", None)
        if isinstance(scope, MutableMapping) and isinstance(scope.get(KEY), RequestContext):
            return scope
    return None


def identity_of_request(values: Iterable[Any]) -> tuple[Any, ...]:
    """Return what makes a request the very same one: its object, and its line where that object may be used again."""
    for value in values:
        if isinstance(value, MutableMapping) and isinstance(value.get(KEY), RequestContext):
            return _with_line(value)
        if isinstance(getattr(value, "scope", None), MutableMapping):
            return (value,)
    for each in in_use():
        if (request := each.request_in_hand()) is not None:
            return (request,)
    scope = current.get()
    return (None,) if scope is None else _with_line(scope)


def _with_line(scope: Scope) -> tuple[Any, ...]:
    return (scope, *(scope.get(name) for name in ("method", "path", "raw_path", "query_string")))


def reached(of: Framework, values: Iterable[Any], scope: Scope) -> RequestLine | None:
    """Return by which method and path an endpoint was reached, as the framework's own request object has them.

    ``of`` is the framework in hand: its request object counts where none is among the values.

    None where that is what the scope says. The path begins with the ``root_path``; it is in the framework's own
    spelling: Sanic and BlackSheep keep it as it came on the wire, percent-encoded, the others decoded.
    """
    for value in values:
        found = framework_of(type(value))
        there = None if found is None else found.reached(value, scope)
        if found is not None and there is not None:
            return _unlike(there, found, scope)
    request = of.request_in_hand()
    there = None if request is None else of.reached(request, scope)
    return None if there is None else _unlike(there, of, scope)


def _unlike(there: RequestLine, of: Framework, scope: Scope) -> RequestLine | None:
    path = (scope.get("raw_path") or b"").decode("latin-1") if of.routes_by_raw_path else scope["path"]
    said = RequestLine(scope["method"], joined(scope.get("root_path", ""), path))
    return None if there == said else there


def refusing(refusal: Refusal, scope: Scope, values: Iterable[Any] = ()) -> StepUpRequired:
    """Return the exception that the framework in hand answers without logging a fault of the app."""
    quiet = framework_in_hand(scope, values).quiet
    return StepUpRequired(refusal) if quiet is None else _quiet(*quiet)(refusal)


@functools.cache
def _quiet(module: str, name: str) -> type[StepUpRequired]:
    native: type[Exception] = getattr(importlib.import_module(module), name)

    def begin(self: StepUpRequired, refusal: Refusal) -> None:
        native.__init__(self)
        self.refusal = refusal

    return type(StepUpRequired.__name__, (StepUpRequired, native), {"__init__": begin, "__module__": __name__})


def keep_path_parameters(of: Framework, scope: Scope, values: Iterable[Any], named: Mapping[str, Any]) -> Scope:
    """Put the path parameters where ``details`` look for them, if the framework hands them to the endpoint alone.

    ``named`` are the endpoint's arguments by name: what it is handed counts, before what its request object says, and
    before the parameters of the mount that its app is in. Returns the scope for ``details``: a copy, where the
    framework's own has another spelling than what the endpoint is handed (``007`` for 7), which the app may read.
    """
    if of is ANY:
        return scope
    if of.keeps_path_parameters:
        kept = scope.get("path_params")
        if not kept:
            return scope
        handed = ((name, named.get(argument)) for name, argument in of.arguments(scope, kept).items() if name in kept)
        other = {name: _alike(value, kept[name]) for name, value in handed if isinstance(value, PLAIN)}
        return {**scope, "path_params": {**kept, **other}} if other else scope
    found: dict[str, Any] = {}
    for value in (*values, of.request_in_hand()):
        found |= of.path_parameters(value) or {}
    found |= {name: value for name, value in named.items() if isinstance(value, PLAIN)}
    scope["path_params"] = {**(scope.get("path_params") or {}), **found}
    return scope


def _alike(handed: Any, kept: Any) -> Any:
    """Return what an endpoint is handed as text, where the framework keeps text."""
    return kept if handed == kept else str(handed) if isinstance(kept, str) else handed


def stands_in(scope: Scope) -> bool:
    """Whether an endpoint that was handed no request has been reached in this very scope.

    A layer inside the app may have handed a copy on, with another path, which nobody could see here.
    """
    known = [each for each in in_use() if each.in_hand(scope)]
    return any(each.is_reached_in(scope) for each in known) or (not known and framework_in_hand(scope) is ANY)


def plain_page(refusal: Refusal, values: Iterable[Any]) -> Any:
    """Return what an endpoint answers, in place of raising, where that is quieter; the middleware replaces it.

    None: raise.
    """
    for value in values:
        found = framework_of(type(value))
        if found is not None and (page := found.page(refusal)) is not None:
            return page
    return None


async def in_a_thread(endpoint: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Run a sync endpoint where it does not block the loop, and where its framework wants it."""
    found = (framework_of(type(value)) for value in args[:2])
    return await next((each for each in found if each is not None), ANY).run_sync(endpoint, args, kwargs)
