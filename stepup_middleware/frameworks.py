"""What the gates know of frameworks: where a request keeps its scope and its body, and how to refuse quietly.

No framework is imported here that the app has not imported itself. What is not listed works too: the scope
is found by the context of the request, and the middleware replaces whatever page the framework makes of
``StepUpRequired``. It is only that such a framework may log the refusal as a fault of the app.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any
from uuid import UUID

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from stepup_middleware.body import BodyTooLarge, check_declared, read_body
from stepup_middleware.core.refusals import Refusal
from stepup_middleware.errors import ConfigurationError, StepUpRequired
from stepup_middleware.exchange import KEY, Passage, Scope
from stepup_middleware.headers import header

# the exception that each framework answers without taking it for a fault; each can be built without arguments
_QUIET = {
    "django": ("django.core.exceptions", "PermissionDenied"),
    "quart": ("werkzeug.exceptions", "Unauthorized"),
    "litestar": ("litestar.exceptions", "NotAuthorizedException"),
    "falcon": ("falcon", "HTTPUnauthorized"),
    "blacksheep": ("blacksheep.exceptions", "Unauthorized"),
    "sanic": ("sanic.exceptions", "Unauthorized"),
}
_NAMES = frozenset({"request", "req", "scope", "connection", "websocket", "socket", "ws"})
_TYPES = frozenset(
    {"Request", "HTTPConnection", "WebSocket", "Websocket", "Scope", "ASGIConnection", "HttpRequest", "ASGIRequest"}
)


def scope_among(values: Iterable[Any]) -> Scope | None:
    """Return the ASGI scope among an endpoint's arguments: that of a request object, or a scope itself.

    A mapping is a scope only if the middleware was there: another one may be a body that the client wrote.
    """
    for value in values:
        if isinstance(value, MutableMapping) and isinstance(value.get(KEY), Passage):
            return value
        scope = getattr(value, "scope", None)
        if isinstance(scope, MutableMapping) and "type" in scope and "headers" in scope:
            return scope
    return None


def is_handed_a_request(endpoint: Callable[..., Any]) -> bool:
    """Whether an endpoint has a parameter that will be its request or scope, judged by name and annotation."""
    try:
        parameters = inspect.signature(endpoint).parameters
    except (TypeError, ValueError):  # compiled code may have none that can be read
        return False
    for parameter in parameters.values():
        annotation = parameter.annotation
        if annotation is parameter.empty:
            if parameter.name in _NAMES:
                return True
            continue
        name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
        if name.strip("'\"").partition("[")[0].rpartition(".")[2] in _TYPES:
            return True
    return False


def framework_of(kind: type[Any]) -> str | None:
    """Return the framework that a class is of or derived from, if it is a known one."""
    names = (each.__module__.partition(".")[0] for each in kind.__mro__)
    return next((name for name in names if name in _QUIET or name == "starlette"), None)


def framework_around(app: Any) -> str | None:
    """Return the framework of an app, through whatever middleware is put around it."""
    while app is not None:
        found = framework_of(type(app))
        if found is not None:
            return None if found == "starlette" else found
        app = getattr(app, "app", None)
    return None


def refusing(refusal: Refusal, scope: Scope, values: Iterable[Any] = ()) -> StepUpRequired:
    """Return the exception that the framework in hand answers without logging a fault of the app."""
    framework = _framework(scope, values)
    return StepUpRequired(refusal) if framework is None else _quiet(framework)(refusal)


def _framework(scope: Scope, values: Iterable[Any]) -> str | None:
    for value in values:
        name = framework_of(type(value))
        if name is not None:
            return None if name == "starlette" else name
    quart = sys.modules.get("quart")
    if quart is not None and (quart.has_request_context() or quart.has_websocket_context()):
        return "quart"
    if "litestar_app" in scope:
        return "litestar"
    if "starlette.exception_handlers" in scope:
        return None
    passage = scope.get(KEY)
    installation = passage.installation if isinstance(passage, Passage) else None
    return None if installation is None else installation.framework


@functools.cache
def _quiet(framework: str) -> type[StepUpRequired]:
    module, name = _QUIET[framework]
    native: type[Exception] = getattr(importlib.import_module(module), name)

    def begin(self: StepUpRequired, refusal: Refusal) -> None:
        native.__init__(self)
        self.refusal = refusal

    return type(StepUpRequired.__name__, (StepUpRequired, native), {"__init__": begin, "__module__": __name__})


def keep_path_parameters(scope: Scope, values: Iterable[Any], named: Mapping[str, Any]) -> None:
    """Put the path parameters where ``details`` look for them, for a framework that hands them to the endpoint alone.

    Starlette, FastAPI and Litestar keep them in the scope themselves.
    """
    if _framework(scope, values) in (None, "litestar"):
        return
    found = {name: value for name, value in named.items() if isinstance(value, str | int | UUID)}
    for value in values:
        found |= getattr(value, "route_values", None) or {}  # of BlackSheep's request
    scope["path_params"] = {**found, **(scope.get("path_params") or {})}


def plain_page(refusal: Refusal, values: Iterable[Any]) -> Any:
    """Return what an endpoint answers, in place of raising, where that is quieter; the middleware replaces it.

    Django logs every exception with its traceback, and an answer with its path. None: raise.
    """
    if "django" not in {framework_of(type(value)) for value in values}:
        return None
    from django.http import HttpResponse

    return HttpResponse(status=refusal.status)


async def in_a_thread(endpoint: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Run a sync endpoint where it does not block the loop; a Django view in the one thread that Django wants."""
    if "django" in {framework_of(type(value)) for value in args[:2]}:
        from asgiref.sync import sync_to_async

        return await sync_to_async(endpoint, thread_sensitive=True)(*args, **kwargs)
    return await run_in_threadpool(endpoint, *args, **kwargs)


async def body_among(values: Iterable[Any], scope: Scope, *, limit: int) -> bytes:
    """Return the body of the request among an endpoint's arguments, and leave it readable for the endpoint.

    Raises ``BodyTooLarge`` or ``BodyTooSlow``, and ``ConfigurationError`` where it cannot be read within bounds.
    """
    declared = header(scope, b"content-length")
    check_declared(declared, limit)
    for value in values:
        if isinstance(value, Request):
            body = await read_body(value.stream(), declared=declared, limit=limit)
            value._body = body  # where Starlette keeps a body that was read, so that form() and json() find it
            return body
        framework = _framework({}, [value])
        if framework in ("django", "sanic") and isinstance(getattr(value, "body", None), bytes):
            return _bounded(value.body, limit)  # read before the view by the framework, within its own bound
        if framework == "litestar":
            return _bounded(await value.body(), limit)  # bounded by Litestar's request_max_body_size
    raise ConfigurationError(
        "bind_body reads the body of a Starlette, FastAPI, Litestar, Django or Sanic request among the endpoint's "
        "arguments; elsewhere use RequireStepUp or a Rule with bind_body=True"
    )


def _bounded(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise BodyTooLarge
    return body
