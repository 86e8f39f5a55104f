"""The start and the end of an app (ASGI lifespan), and how a start is refused.

The library opens its store before the app starts and closes it after the app has stopped, whether or not the app itself
has a lifespan. A fault of the set-up is reported to the server as ``lifespan.startup.failed`` with its sentence:
servers then stop. Where a server has no lifespan or ignores it, nothing of the app is served past a fault of the
tags.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from stepup_middleware.asgi import ASGIApp, Message, Receive, Scope, Send
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.request.context import logger
from stepup_middleware.service.stepup import StepUp
from stepup_middleware.web.answers import WS_POLICY_VIOLATION, answer

Step = Callable[[], Awaitable[None]]


async def live(app: ASGIApp, scope: Scope, receive: Receive, send: Send, *, start: Step, close: Step) -> None:
    """Live the lifespan of an app, between ``start`` and ``close``, and in the app's place where it has none.

    ``start`` raises ``ConfigurationError`` for what must not be served.
    """
    startup = await receive()
    try:
        await start()
    except ConfigurationError as error:
        logger.critical("the app does not start: %s", error)
        await close()
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        raise  # servers know by now; a test client would wait for ever
    await _Life(receive, send, close, startup).live(app, scope)


class _Life:
    """The lifespan of one app after the library has started."""

    def __init__(self, receive: Receive, send: Send, close: Step, startup: Message) -> None:
        self._receive, self._send, self._close = receive, send, close
        self._startup: Message | None = startup
        self._answered = self._closed = False

    async def live(self, app: ASGIApp, scope: Scope) -> None:
        try:
            await app(scope, self._next, self._pass_on)
            if not self._answered:
                await self._without(None)
        except Exception as error:
            if self._answered:
                raise
            await self._without(error)
        finally:
            if not self._closed:
                await self._close()

    async def _next(self) -> Message:
        if self._startup is not None:
            message, self._startup = self._startup, None
            return message
        return await self._receive()

    async def _pass_on(self, message: Message) -> None:
        self._answered = True
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            self._closed = True
            await self._close()
        await self._send(message)

    async def _without(self, error: Exception | None) -> None:
        """Answer in the place of an app that has no lifespan: an exception says so (ASGI, lifespan protocol)."""
        if self._startup is None and error is not None:
            logger.warning("the app failed over its start-up event and is served as one without", exc_info=error)
        await self._send({"type": "lifespan.startup.complete"})
        while (await self._receive())["type"] != "lifespan.shutdown":
            pass
        await self._pass_on({"type": "lifespan.shutdown.complete"})


def closed(stepup: StepUp, fault: ConfigurationError) -> ASGIApp:
    """Return an app that refuses every request with 503, and says in the log what is wrong."""

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        logger.critical("the app is not served: %s", fault)
        if scope["type"] == "websocket":
            await send(
                {"type": "websocket.close", "code": WS_POLICY_VIOLATION, "reason": RefusalCode.UNAVAILABLE.value}
            )
            return
        await answer(Refusal(code=RefusalCode.UNAVAILABLE), stepup, scope)(scope, receive, send)

    return refusing
