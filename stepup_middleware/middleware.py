"""The outer middleware: places the exchange, serves the library's routes, answers refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.errors import StepUpRequired, StoreError
from stepup_middleware.exchange import KEY, ASGIApp, Exchange, Message, Receive, Scope, Send, current, logger
from stepup_middleware.gate import run_guarded
from stepup_middleware.inspection import check_tags
from stepup_middleware.rules import Rule, RuleTable
from stepup_middleware.service.stepup import StepUp
from stepup_middleware.web.answers import answer, send_refusal
from stepup_middleware.web.pages import prepare
from stepup_middleware.web.routes import library_router


class StepUpMiddleware:
    """Pure ASGI middleware around a whole app.

    Untagged requests pass untouched: no header is read, nothing is buffered. ``rules`` tag routes of an
    app that one cannot edit. The store is opened at the app's start-up, or with the first request that
    needs it where the server has no start-up event.
    """

    def __init__(self, app: ASGIApp, *, stepup: StepUp, rules: Iterable[Rule] = ()) -> None:
        self.app = app
        self.stepup = stepup
        self.rules = RuleTable(rules)
        self._library = library_router(stepup.prefix)
        self._prefix = stepup.prefix + "/"
        check_tags(self)
        prepare()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind in ("http", "websocket"):
            present = scope.get(KEY)
            if isinstance(present, Exchange) and present.stepup is self.stepup:
                await self.app(scope, receive, send)  # installed twice: the outer one does the work
                return
            await self._request(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            raise RuntimeError(f"StepUpMiddleware does not know the ASGI scope type {kind!r} and refuses it")

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(self.stepup, scope, receive, send, _replace_page)
        scope[KEY] = exchange
        current.set(exchange)
        try:
            if scope["type"] == "http" and self._is_ours(scope):
                await self._library(scope, receive, exchange.send)
            elif self.rules and (found := self.rules.match(scope)) is not None:
                rule, parameters = found
                scope.setdefault("path_params", parameters)
                await run_guarded(self.app, rule.tag, scope, exchange.receive, exchange.send)
            else:
                await self.app(scope, exchange.receive, exchange.send)
        except StepUpRequired as required:
            # no framework in between made an answer of it
            if exchange.answered or exchange.status is not None or exchange.swapped:
                raise
            await send_refusal(
                exchange, required.refusal, scope, _nothing if exchange.body_taken else receive, exchange.send_plain
            )
            self._ended(exchange, None)
        except BaseException as error:
            self._ended(exchange, error)
            raise
        else:
            self._ended(exchange, None)
        finally:
            exchange.over = True

    def _is_ours(self, scope: Scope) -> bool:
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :]
        return path.startswith(self._prefix)

    def _ended(self, exchange: Exchange, error: BaseException | None) -> None:
        """Log how an authorized action ended: its status, its exception's class, or that the client left."""
        if exchange.proof is None or exchange.visitor is None or exchange.purpose is None:
            return
        outcome: dict[str, object] = {"status": exchange.status}
        if isinstance(error, asyncio.CancelledError):
            outcome["outcome"] = "aborted"
        elif error is not None:
            outcome["outcome"] = "raised"
            outcome["exception"] = type(error).__name__
        else:
            outcome["outcome"] = "returned" if exchange.status is not None else "no_response"
        self.stepup.completed(exchange.visitor, exchange.proof, exchange.purpose, outcome)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Open the store before the app starts and close it after the app has stopped."""
        started = stopped = False

        async def starting() -> Message:
            nonlocal started
            message = await receive()
            if message["type"] == "lifespan.startup" and not started:
                started = True
                await self._start()
            return message

        async def stopping(message: Message) -> None:
            nonlocal stopped
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                stopped = True
                await self.stepup.close()
            await send(message)

        try:
            await self.app(scope, starting, stopping)
        finally:
            if not stopped:
                await self.stepup.close()

    async def _start(self) -> None:
        check_tags(self)  # once more: routes may have been added since
        try:
            await self.stepup.start()
        except StoreError:
            logger.exception("the store cannot be opened; tagged routes answer 503 until it can")


async def _replace_page(exchange: Exchange) -> None:
    """Send the library's answer in place of a page that a framework made of our refusal."""
    refusal = exchange.refusal or Refusal(code=RefusalCode.UNAVAILABLE)
    exchange.answered = True
    response = answer(refusal, exchange.stepup, exchange.scope)
    await response(exchange.scope, _nothing, exchange.send_plain)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
