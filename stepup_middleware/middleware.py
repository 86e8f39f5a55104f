"""The outer middleware: places the context, serves the library's routes, answers refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from stepup_middleware.asgi import KEY, AnyASGIApp, ASGIApp, Message, Receive, Scope, Send
from stepup_middleware.core.refusals import StepUpRequired
from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.frameworks import deciding_cookies, framework_around
from stepup_middleware.gate import prove
from stepup_middleware.inspection import check_tags, is_inside
from stepup_middleware.lifespan import closed, live
from stepup_middleware.request.bound import wire_of
from stepup_middleware.request.context import (
    ENDED,
    GuardedRequest,
    Installation,
    RequestContext,
    current,
    logger,
)
from stepup_middleware.ruled import Ruled
from stepup_middleware.rules import Rule, checked_rules
from stepup_middleware.web.answers import replace_page
from stepup_middleware.web.cors import CrossOrigin, RelatedOrigins
from stepup_middleware.web.pages import prepare

if TYPE_CHECKING:
    from stepup_middleware.service.stepup import StepUp


class StepUpMiddleware:
    """Pure ASGI middleware around a whole app.

    Untagged requests pass untouched: no header is read, nothing is buffered. ``rules`` tag routes of an
    app that one cannot edit. The store is opened at the app's start-up, or with the first request that
    needs it where the server has no start-up event.
    """

    __stepup_inner__ = "app"

    def __init__(self, app: AnyASGIApp, *, stepup: StepUp, rules: Iterable[Rule] = ()) -> None:
        # the routes load every service: only a built app needs them, not each module that tags a route
        from stepup_middleware.web.routes import library_router

        if not callable(app) or not hasattr(stepup, "prefix"):
            raise ConfigurationError(
                "StepUpMiddleware goes around an ASGI app and takes what StepUp(...) made: "
                f"StepUpMiddleware(app, stepup=stepup), and not {type(app).__name__} and {type(stepup).__name__}"
            )
        self.app = app
        self.stepup = stepup
        self.rules: tuple[Rule, ...] = checked_rules(rules)
        self._app: ASGIApp = Ruled(app, self.rules) if self.rules else app
        self._guarded: ASGIApp = self._first
        self._library: ASGIApp = CrossOrigin(
            library_router(stepup.prefix, health=bool(stepup._health)), stepup.relying_party
        )
        self._related = RelatedOrigins(stepup.relying_party) if stepup.relying_party.related_origins else None
        self._prefix = stepup.prefix + "/"
        self._installation = Installation(stepup, framework_around(app), replace_page, prove, deciding_cookies())
        self.fault: ConfigurationError | None = None
        try:
            self._check()
        except ConfigurationError as fault:
            if not is_inside(app):
                raise
            # built with the first event, in which an exception would be taken for an app without a lifespan
            self._close_for(fault)
        prepare(stepup)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # every untagged request comes this way: no header is read and no coroutine put around send
        if KEY in scope and self._is_inner(scope):
            await self._guarded(scope, receive, send)  # installed twice: the outer one does all but our rules
            return
        app, kind = self._guarded, scope["type"]
        if kind == "lifespan":
            await live(self.app, scope, receive, send, start=self._start, close=self.stepup.close)
            return
        if kind not in ("http", "websocket"):
            raise RuntimeError(f"StepUpMiddleware does not know the ASGI scope type {kind!r} and refuses it")
        context = RequestContext(self._installation, wire_of(scope), scope, receive, send)
        if kind == "http":
            if self._prefix in scope["path"] and self._is_ours(scope):
                app = self._library
            elif self._related is not None and self._related.is_asked(scope):
                app = self._related
            receive = context.receive
        else:
            context.send = _noticed_accept(send, context)
        scope[KEY] = context
        current.set(scope)
        error: BaseException | None = None
        try:
            await app(scope, receive, context)
        except StepUpRequired as required:
            error = required
            if not await self._answered(context):
                raise
        except Exception as raised:
            error = raised
            await self._answered(context)  # where a framework failed over our refusal
            raise
        except BaseException as raised:
            error = raised
            raise
        else:
            if context.guarded is not None and not context.accepted:
                await self._answered(context)  # where a framework made nothing of our refusal
        finally:
            scope[KEY] = ENDED  # the context kept there would close a cycle: scope, context, server's request, scope
            if context.guarded is not None:
                context.guarded.questions.are_forgotten()
                self._ended(context.guarded, error)
            context.end()
            error = None  # and this one: the exception, its traceback, this frame, the exception

    def _is_inner(self, scope: Scope) -> bool:
        present = scope[KEY]
        installation = present.installation if isinstance(present, RequestContext) else None
        return installation is not None and installation.stepup is self.stepup

    def _is_ours(self, scope: Scope) -> bool:
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :]
        return path.startswith(self._prefix)

    @staticmethod
    async def _answered(context: RequestContext) -> bool:
        """Answer a refusal that no framework in between has answered; False where an answer began."""
        guarded = context.guarded
        began = guarded is not None and (
            guarded.status is not None or (guarded.began and guarded.scope["type"] == "http")
        )
        if guarded is None or guarded.refusal is None or guarded.answered or began:
            return False
        await replace_page(guarded)
        return True

    @staticmethod
    def _ended(guarded: GuardedRequest, error: BaseException | None) -> None:
        """Log how an authorized action ended: its status, its exception's class, or that the client left."""
        outcome: dict[str, object] = {"status": guarded.status}
        if isinstance(error, asyncio.CancelledError):
            outcome["outcome"] = "aborted"
        elif error is not None:
            outcome["outcome"] = "raised"
            outcome["exception"] = type(error).__name__
            if guarded.status is None and guarded.scope["type"] == "http":
                outcome["status"] = 500  # which the server sends for it
        else:
            outcome["outcome"] = "returned" if guarded.status is not None else "no_response"
        if not guarded.apart:
            guarded.completed(outcome)

    async def _start(self) -> None:
        """Open the store. Raises ``ConfigurationError`` for what must not be served."""
        try:
            self._check()  # once more: routes may have been added since
            self._guarded = self._app
            await self.stepup.start()
        except ConfigurationError as fault:
            self._close_for(fault)  # for a server that goes on all the same
            raise
        except StoreError as error:
            logger.error("tagged routes answer 503 until the store can be opened: %s", error)

    async def _first(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle the first request of an app whose server sends no start-up event."""
        try:
            self._check()
        except ConfigurationError as fault:
            self._close_for(fault)
        else:
            self._guarded = self._app
        await self._guarded(scope, receive, send)

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault
        for route in check_tags(self, self.rules, self.stepup.purposes, self.stepup.prefix):
            if route.prepare is not None:
                route.prepare()

    def _close_for(self, fault: ConfigurationError) -> None:
        self.fault = fault
        self._guarded = self._library = closed(self.stepup, fault)


def _noticed_accept(send: Send, context: RequestContext) -> Send:
    """Return a ``send`` that notes when the app accepts a WebSocket."""

    async def noticing(message: Message) -> None:
        context.accepted = context.accepted or message["type"] == "websocket.accept"
        await send(message)

    return noticing
