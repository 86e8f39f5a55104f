"""Signs heads of the audit chains at an interval and hands them to the app's own keepers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from stepup_middleware.core.heads import HeadKey, SignedHead, public_text
from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.stores.records import Records

logger = logging.getLogger("stepup_middleware")

HeadSink = Callable[[SignedHead], Awaitable[None]]

SINK_TIMEOUT_SECONDS = 10.0
CLOSE_SECONDS = 5.0
_WAITING = 1000  # heads that no sink has taken yet; the oldest go first, the store has them all


class HeadKeeper:
    """Signs one head for every chain that grew since its last one.

    Before it signs, it looks whether the log still has what it signed last: a history that was rewritten
    gets no new signature, only a critical line in the program's log. ``interval`` is how often it looks,
    ``sinks`` are async callables that are handed each head, for a place that the database's owner cannot
    write to.
    """

    def __init__(
        self,
        *,
        store: Records,
        key: HeadKey,
        clock: Callable[[], datetime],
        interval: timedelta,
        sinks: Sequence[HeadSink] = (),
    ) -> None:
        if interval < timedelta(seconds=1):
            raise ConfigurationError("head_interval must be at least a second")
        self.key = key
        self._store = store
        self._clock = clock
        self._interval = interval
        self._sinks = tuple(sinks)
        self._last: dict[str, tuple[int, bytes]] = {}
        self._refused: set[str] = set()
        self._lock = asyncio.Lock()
        self._queue: asyncio.Queue[SignedHead] = asyncio.Queue(_WAITING)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def public_key(self) -> str:
        """The public key of what is signed here, as ``stepup audit verify --head-key`` reads it."""
        return public_text(self.key.public_key)

    def start(self) -> None:
        """Start signing on the running loop."""
        if not self._tasks:
            # made anew with each start: both belong to one loop
            self._lock = asyncio.Lock()
            self._queue = asyncio.Queue(_WAITING)
            self._tasks = [asyncio.create_task(self._tick(), name="stepup-heads")]
            if self._sinks:
                self._tasks.append(asyncio.create_task(self._hand_over(), name="stepup-head-sinks"))

    async def close(self) -> None:
        """Sign what the log has now, give the sinks a few seconds, and stop. Never raises for a store that is down."""
        if not self._tasks:
            return
        ticking, *handing = self._tasks
        self._tasks = []
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
        try:
            await self._store.append([])  # when this is written, so is what was handed over before it
            await self.sign()
        except StoreError:
            logger.exception("the last heads could not be signed")
        if handing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._queue.join()
        for task in handing:
            task.cancel()
        await asyncio.gather(*handing, return_exceptions=True)

    async def sign(self) -> tuple[SignedHead, ...]:
        """Sign a head for every chain that grew, keep them, and return them. Raises ``StoreError``."""
        async with self._lock:
            signed = []
            for record in await self._store.chain_heads():
                if not await self._grew(record.chain, record.link, record.hash):
                    continue
                at = self._clock()
                head = SignedHead(
                    chain=record.chain,
                    link=record.link,
                    hash=record.hash,
                    at=at,
                    key_id=self.key.key_id,
                    signature=self.key.sign(chain=record.chain, link=record.link, hash_=record.hash, at=at),
                )
                await self._store.add_head(head)
                self._last[record.chain] = (record.link, record.hash)
                signed.append(head)
                self._queue_up(head)
            return tuple(signed)

    async def _grew(self, chain: str, link: int, hash_: bytes) -> bool:
        """Whether a chain is longer than its last head says, and still the one that was signed."""
        if chain not in self._last and (found := await self._last_head(chain, link)) is not None:
            self._last[chain] = (found.link, found.hash)
        last = self._last.get(chain)
        if last is None:
            return True
        if (link, hash_) == last:
            return False
        if not await self._holds(chain, *last):
            if chain not in self._refused:
                self._refused.add(chain)
                logger.critical(
                    "audit chain %s no longer has what was signed at link %d: the log was rewritten; no head is "
                    "signed for it",
                    chain,
                    last[0],
                )
            return False
        self._refused.discard(chain)
        # another node may have been here already
        newer = await self._store.heads(chain, from_link=link, limit=1)
        return not newer

    async def _holds(self, chain: str, link: int, hash_: bytes) -> bool:
        """Whether the log still has this hash at this link, or was purged up to it."""
        records = await self._store.audit_segment(chain, link, link)
        if records:
            return records[0].hash == hash_
        starts = {start.chain: start for start in await self._store.chain_starts()}
        start = starts.get(chain)
        if start is None or start.link < link:
            return False
        return start.link > link or start.hash == hash_

    async def _last_head(self, chain: str, link: int) -> SignedHead | None:
        """Return the newest kept head of a chain, found by halving: heads can only be read from a link upwards."""
        newest: SignedHead | None = None
        low, high = 0, link
        while low <= high:
            middle = (low + high + 1) // 2
            found = await self._store.heads(chain, from_link=middle, limit=1)
            if found:
                newest, low = found[0], found[0].link + 1
            else:
                high = middle - 1
        return newest

    def _queue_up(self, head: SignedHead) -> None:
        if not self._sinks:
            return
        if self._queue.full():
            self._queue.get_nowait()
            self._queue.task_done()
            logger.error("the head sinks are too slow: a head was not handed over (the store has it)")
        self._queue.put_nowait(head)

    async def _tick(self) -> None:
        while True:
            try:
                await self.sign()
            except StoreError as error:
                logger.warning("no head was signed, the store cannot be used: %s", error)
            except Exception:
                logger.exception("no head was signed")
            await asyncio.sleep(self._interval.total_seconds())

    async def _hand_over(self) -> None:
        while True:
            head = await self._queue.get()
            try:
                await asyncio.gather(*(self._hand(sink, head) for sink in self._sinks))
            finally:
                self._queue.task_done()

    @staticmethod
    async def _hand(sink: HeadSink, head: SignedHead) -> None:
        try:
            async with asyncio.timeout(SINK_TIMEOUT_SECONDS):
                await sink(head)
        except Exception:
            logger.exception("a head sink failed on %s at link %d; the store has the head", head.chain, head.link)
