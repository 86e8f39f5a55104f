"""The gates: four ways to tag, one mechanism.

A gate sits where the action is, after all routing, and lets the request through only with a redeemed
proof. What the server or a router did with the path, the method or the host before makes no difference,
and without the middleware there is no exchange in the scope and therefore no way through.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, TypeVar, cast

from starlette.concurrency import run_in_threadpool
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.requests import Request

from stepup_middleware.body import BodyTooLarge, BodyTooSlow, chunks_of, read_body, replaying
from stepup_middleware.core.proof import Proof
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.errors import ConfigurationError, StepUpRequired
from stepup_middleware.exchange import KEY, ASGIApp, DetailsSource, Exchange, Receive, Scope, Send, Tag, current
from stepup_middleware.service.visitor import header
from stepup_middleware.web.answers import send_refusal, starlette_handler

TAG_ATTRIBUTE = "__stepup_tag__"

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def exchange_of(scope: Scope | None) -> Exchange:
    """Return the exchange of a request.

    Raises ``ConfigurationError`` when the middleware is missing, or when the request has ended.
    """
    found = current.get() if scope is None else scope.get(KEY)
    if not isinstance(found, Exchange):
        raise ConfigurationError(
            "a tagged endpoint was reached without StepUpMiddleware around the app; it does not run"
        )
    if found.over:
        raise ConfigurationError("a tagged endpoint was called after its request had ended; it does not run")
    return found


async def require_step_up(
    scope: Scope, purpose: str, *, details: DetailsSource = None, body: bytes | None = None
) -> Proof:
    """Go on only with a redeemed proof for ``purpose``: for a handler that knows what it is about to do.

    ``scope`` is the request's ASGI scope, ``body`` the raw body where the proof shall be bound to it.
    Returns the proof; raises ``StepUpRequired``, which the middleware turns into the answer. Let it pass.
    """
    exchange = exchange_of(scope)
    return _through(exchange, await exchange.admit(purpose, scope=scope, details=details, body=body), scope)


def requires_step_up(
    purpose: str, *, details: DetailsSource = None, bind_body: bool = False
) -> Callable[[Endpoint], Endpoint]:
    """Tag an endpoint: a function (async or not) or a Starlette endpoint class.

    ``details`` are label/value pairs of strings, or a callable of the scope that returns them, sync or
    async. With ``bind_body`` the token is bound to the body as well; the body is then read before the
    endpoint runs, within ``StepUp.max_bound_body``.
    """
    tag = Tag(purpose=purpose, details=details, bind_body=bind_body)

    def decorate(endpoint: Endpoint) -> Endpoint:
        if inspect.isclass(endpoint):
            return cast(Endpoint, _guarded_class(endpoint, tag))
        return cast(Endpoint, _guarded_function(endpoint, tag))

    return decorate


class RequireStepUp:
    """Tag any ASGI callable: a route's middleware, a mount's middleware, or an app of its own."""

    def __init__(self, app: ASGIApp, purpose: str, *, details: DetailsSource = None, bind_body: bool = False) -> None:
        self.app = app
        setattr(self, TAG_ATTRIBUTE, Tag(purpose=purpose, details=details, bind_body=bind_body))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        await run_guarded(self.app, getattr(self, TAG_ATTRIBUTE), scope, receive, send)


async def run_guarded(app: ASGIApp, tag: Tag, scope: Scope, receive: Receive, send: Send) -> None:
    """Run an ASGI app behind a tag, or send the refusal."""
    exchange = exchange_of(scope)
    body = None
    if tag.bind_body:
        body = await _bounded(exchange, scope, chunks_of(receive))
        if isinstance(body, bytes):
            receive = replaying(body, receive)
    verdict: Proof | Refusal
    if isinstance(body, Refusal):
        verdict = exchange.refusal = body
    else:
        verdict = await exchange.admit(tag.purpose, scope=scope, details=tag.details, body=body)
    if isinstance(verdict, Proof):
        await app(scope, receive, send)
    else:
        await send_refusal(exchange, verdict, scope, receive, send)


async def _bounded(exchange: Exchange, scope: Scope, chunks: Any) -> bytes | Refusal:
    try:
        return await read_body(chunks, declared=header(scope, b"content-length"), limit=exchange.stepup.max_bound_body)
    except BodyTooLarge:
        return Refusal(code=RefusalCode.BODY_TOO_LARGE)
    except BodyTooSlow:
        return Refusal(code=RefusalCode.BODY_TIMEOUT)


def _guarded_function(endpoint: Callable[..., Any], tag: Tag) -> Callable[..., Any]:
    is_async = inspect.iscoroutinefunction(endpoint) or inspect.iscoroutinefunction(
        getattr(endpoint, "__call__", None)  # noqa: B004 - an object whose __call__ is async
    )

    @functools.wraps(endpoint)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        scope = _scope_among((*args, *kwargs.values()))
        exchange = exchange_of(scope)
        scope = exchange.scope if scope is None else scope
        body = None
        if tag.bind_body:
            body = await _body_of(exchange, scope, (*args, *kwargs.values()))
        _through(exchange, await exchange.admit(tag.purpose, scope=scope, details=tag.details, body=body), scope)
        if is_async:
            return await endpoint(*args, **kwargs)
        return await run_in_threadpool(endpoint, *args, **kwargs)

    setattr(guarded, TAG_ATTRIBUTE, tag)
    return guarded


def _guarded_class(endpoint: type[Any], tag: Tag) -> type[Any]:
    if not issubclass(endpoint, HTTPEndpoint | WebSocketEndpoint):
        raise ConfigurationError(
            f"{endpoint.__qualname__} is no Starlette endpoint class: tag its methods, or wrap the app in RequireStepUp"
        )
    dispatch = endpoint.dispatch

    async def guarded(self: Any) -> None:
        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            self.scope, self.receive, self.send = scope, receive, send
            await dispatch(self)

        await run_guarded(inner, tag, self.scope, self.receive, self.send)

    tagged = type(
        endpoint.__name__,
        (endpoint,),
        {"dispatch": guarded, "__module__": endpoint.__module__, "__doc__": endpoint.__doc__, TAG_ATTRIBUTE: tag},
    )
    tagged.__qualname__ = endpoint.__qualname__
    return tagged


def _scope_among(values: Iterable[Any]) -> Scope | None:
    """Return the ASGI scope among an endpoint's arguments: a scope itself, or the one of a request object."""
    for value in values:
        for candidate in (value, getattr(value, "scope", None)):
            if isinstance(candidate, MutableMapping) and "type" in candidate and "headers" in candidate:
                return candidate
    return None


async def _body_of(exchange: Exchange, scope: Scope, values: Iterable[Any]) -> bytes:
    """Return the body of a Starlette request among the arguments, and leave it readable for the endpoint."""
    request = next((value for value in values if isinstance(value, Request)), None)
    if request is None:
        raise ConfigurationError(
            "bind_body needs the endpoint to take the Starlette request; elsewhere wrap the app in RequireStepUp"
        )
    body = await _bounded(exchange, scope, request.stream())
    if isinstance(body, Refusal):
        exchange.refusal = body
        _through(exchange, body, scope)
        raise AssertionError("a refusal does not pass")
    request._body = body  # where Starlette itself keeps a body that was read, so that form() and json() find it
    return body


def _through(exchange: Exchange, verdict: Proof | Refusal, scope: Scope) -> Proof:
    """Return the proof, or raise ``StepUpRequired`` so that the framework does not log it as a fault of the app.

    Starlette and FastAPI look for a handler by the exception's class in the scope; ours is put beside the
    app's own, and renders the answer in place. Elsewhere the middleware replaces the framework's page.
    """
    if isinstance(verdict, Proof):
        return verdict
    handlers = scope.get("starlette.exception_handlers")
    if handlers is not None:
        handlers[0].setdefault(StepUpRequired, starlette_handler)
    raise StepUpRequired(verdict)
