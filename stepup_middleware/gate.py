"""The gates: four ways to tag, one mechanism.

A gate sits where the action is, after all routing, and lets the request through only with a redeemed
proof. It makes no difference what the server or a router did with the path, the method or the host before,
and without the middleware there is no context in the scope and therefore no way through.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakSet

from stepup_middleware.asgi import AnyASGIApp, ASGIApp, Receive, Scope, Send
from stepup_middleware.core.proof import Proof
from stepup_middleware.core.refusals import Refusal, RefusalCode, StepUpRequired
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.frameworks import (
    ANY,
    framework_in_hand,
    framework_of,
    identity_of_request,
    in_a_thread,
    is_made_of_a_function,
    keep_path_parameters,
    plain_page,
    reached,
    refusing,
    scope_among,
    scope_in_hand,
    stands_in,
)
from stepup_middleware.frameworks.base import DECORATOR_ATTRIBUTE, Framework
from stepup_middleware.frameworks.classes import guard_class
from stepup_middleware.frameworks.entries import TAG_ATTRIBUTE, is_async, mark_async
from stepup_middleware.frameworks.fence import fence, is_guard, let_through
from stepup_middleware.request.asked import Asked
from stepup_middleware.request.context import (
    DetailsSource,
    GuardedRequest,
    Tag,
    guarded_request,
    logger,
    note_unused_tag,
)
from stepup_middleware.request.decision import Gate, admit, given_token
from stepup_middleware.tags import NOTHING, always, check_inside, name_of, parameters_of, tagged_with
from stepup_middleware.uncached import kept_nowhere, uncached
from stepup_middleware.web.answers import problem_body, send_refusal, starlette_handler
from stepup_middleware.web.pages import texts_of

if TYPE_CHECKING:
    from stepup_middleware.core.purposes import Purpose
    from stepup_middleware.service.admin import Words


Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def require_step_up(
    scope: Scope | Any,
    purpose: str,
    *,
    details: DetailsSource = None,
    body: bytes | None = None,
    token: str | bytes | None = None,
    bind_body: bool = True,
    bind_headers: Iterable[str] = (),
) -> Coroutine[Any, Any, Proof]:
    """Go on only with a redeemed proof for ``purpose``: for a handler that knows what it is about to do.

    ``scope`` is the request's ASGI scope, or the framework's request or WebSocket that has it as ``scope``. ``body``
    are the bytes to which the proof is bound; without it, those of the request, unless ``bind_body`` is False.
    ``bind_headers`` names further headers that are bound.

    One proof answers one question: the token that came with the request answers the first of it. Each further question
    in the same request or on the same WebSocket brings its own as ``token``.

    Awaited, it returns the proof, or raises ``StepUpRequired``, which the middleware turns into the answer. Let it
    pass, or send its ``problem`` by what way you like. Where it was called and never awaited, the answer is replaced by
    ``STEPUP_NEVER_ASKED``, for the action may have run unasked.
    """
    request, scope = scope, scope_among([scope])
    if scope is None:
        raise ConfigurationError(
            f"the first argument of require_step_up is {type(request).__name__}, which is no ASGI scope and has none: "
            'write require_step_up(request, "the_purpose"). Nothing is let through'
        )
    tag = tagged_with(purpose, details, bind_body, bind_headers)
    of = framework_in_hand(scope, [request])
    gate = _gate(of, [request], scope)._replace(body=body, token=given_token(token), hands_on=False)
    guarded = guarded_request(scope)
    of.keep_nothing(request, scope)
    asked = Asked()
    asked.coroutine = _answer(asked, guarded, tag, scope, gate, request)
    guarded.questions.note(asked)
    return asked.coroutine


mark_async(require_step_up)


async def _answer(asked: Asked, guarded: GuardedRequest, tag: Tag, scope: Scope, gate: Gate, request: Any) -> Proof:
    verdict = await admit(guarded, tag, scope=scope, gate=gate)
    asked.settle(verdict)
    return _through(verdict, guarded, scope, [request])


async def hold_to(request: Any, tag: Tag, body: bytes) -> Proof:
    """Return the proof of what a program asks for in a request that carries more than that: a call of a tool.

    ``body`` is all of it, and what the person has approved of it is redeemed here, so that the program has no token.
    Raises ``StepUpRequired`` as ``require_step_up`` does.
    """
    scope, guarded = request.scope, guarded_request(request.scope)
    gate = _gate(framework_in_hand(scope, [request]), [request], scope)._replace(body=body, hands_on=False, held=True)
    return _through(await admit(guarded, tag, scope=scope, gate=gate), guarded, scope, [request])


async def prove(scope: Scope, purpose: Purpose, details: Words, token: str | bytes | None) -> Proof:
    """Return a proof of one of the library's own purposes, for what a service does only by one.

    ``details`` are worded in the language of the person. Raises ``StepUpRequired`` as ``require_step_up`` does.
    """
    guarded = guarded_request(scope)
    gate = _gate(framework_in_hand(scope), [scope], scope)._replace(token=given_token(token), hands_on=False)
    tag = Tag(purpose.id, lambda asked: details(texts_of(asked, guarded.stepup)))
    return _through(await admit(guarded, tag, scope=scope, purpose=purpose, gate=gate), guarded, scope, [scope])


def requires_step_up(
    purpose: str, *, details: DetailsSource = None, bind_body: bool = True, bind_headers: Iterable[str] = ()
) -> Callable[[Endpoint], Endpoint]:
    """Tag an endpoint of any framework: a function (async or not), a class, or a class of handlers.

    Put it below the framework's own decorator, so that the framework registers what the tag returns.

    ``details`` are label/value pairs of strings, or a callable of the scope that returns them, sync or
    async. The token is bound to the body as well, which is taken in whole before the endpoint runs, within
    ``StepUp.max_bound_body``; ``bind_body=False`` is for streams. ``bind_headers`` names further headers that are
    bound: those by which the endpoint decides what it does.
    """
    return _Tagging(tagged_with(purpose, always(details), bind_body, bind_headers))


setattr(requires_step_up, DECORATOR_ATTRIBUTE, True)


class _Tagging:
    """What puts a tag on endpoints. One that goes without having been put on any is told: it guards nothing."""

    __slots__ = ("_is_used", "_tag")
    __stepup_decorator__ = True

    def __init__(self, tag: Tag) -> None:
        self._tag = tag
        self._is_used = False

    def __call__(self, endpoint: Endpoint) -> Endpoint:
        self._is_used = True
        check_inside(endpoint, self._tag)
        if inspect.isclass(endpoint):
            guard_class(endpoint, _ClassGuard(self._tag), framework_of(endpoint) or ANY)
            return endpoint
        if not callable(endpoint) or is_made_of_a_function(endpoint):
            raise ConfigurationError(
                f"{type(endpoint).__name__} is no function: put requires_step_up below the decorator that registers it"
            )
        return cast(Endpoint, _guarded_function(endpoint, self._tag))

    def __del__(self) -> None:
        if not self._is_used and not sys.is_finalizing():
            note_unused_tag(self._tag.purpose)


class RequireStepUp:
    """Tag any ASGI callable: a route's middleware, a mount's middleware, or an app of its own."""

    __stepup_decorator__ = True

    __stepup_inner__ = "app"

    def __init__(
        self,
        app: AnyASGIApp,
        purpose: str,
        *,
        details: DetailsSource = None,
        bind_body: bool = True,
        bind_headers: Iterable[str] = (),
    ) -> None:
        self.app = app
        setattr(self, TAG_ATTRIBUTE, tagged_with(purpose, always(details), bind_body, bind_headers))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        await run_guarded(self.app, getattr(self, TAG_ATTRIBUTE), scope, receive, send)


async def run_guarded(app: ASGIApp, tag: Tag, scope: Scope, receive: Receive, send: Send) -> None:
    """Run an ASGI app behind a tag, or send the refusal."""
    guarded = guarded_request(scope)
    verdict = await admit(guarded, tag, scope=scope)
    if isinstance(verdict, Proof):
        with guarded.handing_on(), let_through(tag):
            await app(scope, receive, uncached(send))
    else:
        await send_refusal(guarded, verdict, scope, receive, send)


def _guarded_function(endpoint: Callable[..., Any], tag: Tag, guard: _ClassGuard | None = None) -> Callable[..., Any]:
    """Return an endpoint behind its tag; with a guard, that of a class, which asks once for a request."""
    called = getattr(endpoint, "__call__", None)  # noqa: B004 - an object whose __call__ is a generator
    for kind in (endpoint, called):
        if inspect.isasyncgenfunction(kind) or inspect.isgeneratorfunction(kind):
            raise ConfigurationError(
                f"{name_of(endpoint)} is a generator, which runs after it was called: tag an endpoint that returns a "
                "streaming response around it"
            )
    awaited, names = is_async(endpoint), parameters_of(endpoint)
    passage = fence(endpoint, tag, _reached_itself) if guard is None else (tag,)

    async def run(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        with let_through(*passage):
            answer = await endpoint(*args, **kwargs) if awaited else await in_a_thread(endpoint, args, kwargs)
            if inspect.isawaitable(answer):
                answer = await answer  # a sync way to an async handler
        return kept_nowhere(answer)

    @functools.wraps(endpoint)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        values = (*args, *kwargs.values())
        if guard is not None and guard.passed(*values):
            return await run(args, kwargs)
        try:
            admitted = await _admitted(tag, values, {**dict(zip(names, args, strict=False)), **kwargs})
        except StepUpRequired as required:
            if (page := plain_page(required.refusal, values)) is None:
                raise
            return page
        with admitted.handing_on(), nullcontext() if guard is None else guard.passing(values):
            return await run(args, kwargs)

    setattr(guarded, TAG_ATTRIBUTE, tag)
    is_guard(guarded)
    return guarded


def _reached_itself(function: Callable[..., Any], values: tuple[Any, ...]) -> Exception:
    """Refuse the request that has reached a tagged function past its tag, and return what says so."""
    error = ConfigurationError(
        f"{name_of(function)} was reached past its tag; it does not run. Put requires_step_up below whatever registers "
        "it, and hand on what the tag returns"
    )
    logger.critical("%s", error)
    with suppress(ConfigurationError):  # outside of any request
        guarded = guarded_request(scope_among(values) or scope_in_hand())
        guarded.refusal, guarded.firm = Refusal(code=RefusalCode.UNAVAILABLE), True
    return error


async def _admitted(tag: Tag, values: tuple[Any, ...], named: Mapping[str, Any] = NOTHING) -> GuardedRequest:
    """Return the request that an endpoint's arguments belong to, let through, or raise ``StepUpRequired``."""
    scope = scope_among(values) or scope_in_hand()
    guarded = guarded_request(scope)
    if scope is None and not tag.bind_body:
        # the middleware's scope is that of the whole request: of a batch, say, whose items only the body tells apart
        raise ConfigurationError(
            "bind_body=False needs an endpoint that is handed its request: add a parameter such as request: Request"
        )
    if scope is None:
        scope = guarded.scope
        if not stands_in(scope):
            raise ConfigurationError(
                "a tagged endpoint that is handed no request was reached through something that copies the scope, so "
                "that nobody knows by which path: add a parameter such as request: Request. It does not run"
            )
    of = framework_in_hand(scope, values)
    gate = _gate(of, values, scope, keep_path_parameters(of, scope, values, named))
    _through(await admit(guarded, tag, scope=scope, gate=gate), guarded, scope, values)
    return guarded


_passing: ContextVar[tuple[tuple[Any, ...], ...]] = ContextVar("stepup_middleware_passing", default=())


class _ClassGuard:
    """A tag as its framework puts it at the entries of a class."""

    def __init__(self, tag: Tag) -> None:
        self.tag = tag
        self._made: WeakSet[Any] = WeakSet()

    def function(self, endpoint: Callable[..., Any]) -> Callable[..., Any]:
        made = _guarded_function(endpoint, self.tag, self)
        self._made.add(made)
        return made

    def made(self, value: Any) -> bool:
        return value in self._made

    def passed(self, *values: Any) -> bool:
        request, *line = identity_of_request(values)
        return any(guard is self and passing is request and rest == line for guard, passing, *rest in _passing.get())

    @contextmanager
    def passing(self, values: tuple[Any, ...]) -> Iterator[None]:
        """Let the entries of the class know, while the request is being handled, that it was let through."""
        token = _passing.set((*_passing.get(), (self, *identity_of_request(values))))
        try:
            yield
        finally:
            _passing.reset(token)

    async def admit(self, *values: Any) -> None:
        await _admitted(self.tag, values)

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await run_guarded(app, self.tag, scope, receive, send)


def _gate(of: Framework, values: Iterable[Any], scope: Scope, shown: Scope | None = None) -> Gate:
    line = reached(of, values, scope) if scope["type"] == "http" else None
    return Gate(framework=line, reading=of.reading(), shown=shown)


def _through(verdict: Proof | Refusal, guarded: GuardedRequest, scope: Scope, values: Iterable[Any]) -> Proof:
    """Return the proof, or raise ``StepUpRequired`` so that the framework does not log it as a fault of the app.

    Starlette and FastAPI look for a handler by the exception's class in the scope; ours is put beside the
    app's own, and renders the answer in place. Elsewhere the middleware replaces the framework's page.
    """
    if isinstance(verdict, Proof):
        return verdict
    handlers = scope.get("starlette.exception_handlers")
    if handlers is not None:
        handlers[0].setdefault(StepUpRequired, starlette_handler)
    error = refusing(verdict, scope, values)
    error._make_problem = functools.partial(problem_body, verdict, guarded.stepup, dict(scope))  # as it is now
    raise error
