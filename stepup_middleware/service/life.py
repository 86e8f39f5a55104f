"""The life of the parts: opened once, whoever asks first, and closed in the order in which nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import TypeVar

from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.logged import get_logger

from . import settings
from .wiring import Parts

T = TypeVar("T")
logger = get_logger("stepup_middleware")


class Life:
    """Opens the store and starts what runs beside the requests; ends both. ``store_seconds`` bounds each request.

    ``fault`` says why the store could not be opened when that was last tried.
    """

    def __init__(self, parts: Parts, *, clock: Callable[[], datetime], store_seconds: float) -> None:
        self.store_seconds = store_seconds
        self.fault = ""
        self._parts = parts
        self._clock = clock
        self._started = False
        self._starting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start, or wait for the start that runs. Raises ``ConfigurationError`` and ``StoreError``."""
        if self._started:
            return
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(self._open(), name="stepup-start")
            self._starting.add_done_callback(_seen)
        await asyncio.shield(self._starting)  # a caller that gives up does not end it for the others

    async def _open(self) -> None:
        try:
            await self._open_all()
        finally:
            self._parts.figures.start()  # where the store cannot be opened, they tell that it is not ready

    async def _open_all(self) -> None:
        settings.check_moment(self._clock())
        await self._parts.store.start()
        try:
            await self._parts.check_keys()
            await self._parts.spool.start()
        except BaseException:
            await self._parts.store.close()
            raise
        self._parts.dispatcher.start()
        signer = self._parts.signer
        self._parts.integration.start(None if signer is None else signer.compare)
        if signer is not None:
            signer.start()
        self._started = True

    async def close(self) -> None:
        """Flush what was handed over, stop the sinks and close the store. Safe to call twice."""
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await self._parts.figures.close()
        if self._started:
            self._started = False
            await self._parts.approvals.watch.close()
            await self._parts.audit.close()
            with suppress(StoreError):
                await self._parts.store.records.append([])  # when this is written, the sinks have all before it
            await self._parts.spool.close()
            if self._parts.signer is not None:
                await self._parts.signer.close()
            await self._parts.integration.close()
            await self._parts.dispatcher.close()
            await self._parts.store.close()

    async def usable(self) -> bool:
        """Start if need be, and say whether the store can be used. Never raises for a store that is down."""
        if self._started:
            return True
        try:
            async with self.in_time():
                await self.start()
        except StoreError as error:
            self.fault = f"the store cannot be opened: {error}"
            logger.error("tagged requests are refused: %s", self.fault)
        except ConfigurationError as error:
            self.fault = str(error)
            logger.critical("tagged requests are refused: %s", self.fault)
        except TimeoutError:
            self.fault = "the store is still being opened"
            logger.error("tagged requests are refused: %s", self.fault)
        return self._started

    def in_time(self) -> asyncio.Timeout:
        """Bound what a request waits for the store, over all its calls: ``TimeoutError`` after ``store_timeout``.

        A call that the store has taken may still take effect; a redemption that does is logged as aborted.
        """
        return asyncio.timeout(self.store_seconds)


async def beside(bound: asyncio.Timeout, work: Awaitable[T]) -> T:
    """Await work with a bound at rest: what was left of it before is left of it afterwards."""
    clock, ends = asyncio.get_running_loop().time, bound.when()
    left = None if ends is None else ends - clock()
    bound.reschedule(None)
    try:
        return await work
    finally:
        bound.reschedule(None if left is None else clock() + left)


def _seen(starting: asyncio.Task[None]) -> None:
    """Take note of how a start ended, so that one that nobody waited for leaves no warning."""
    if not starting.cancelled():
        starting.exception()
