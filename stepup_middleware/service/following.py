"""The followers of the log: one reader for all of a process, and slots for a bounded number of followers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from itertools import takewhile
from typing import Self
from weakref import WeakSet

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.errors import StoreError, TooManyFollowers
from stepup_middleware.stores.records import Records

MOST_FOLLOWERS = 1_000  # at once, in this process
MOST_OF_ONE = 8  # followers of one person at once
_BATCH = 500  # records
_RECENT = 2 * _BATCH  # records that are kept for the followers; a follower further behind reads the store
_POLL_SECONDS = 0.25  # seconds until records of another process are seen, where the store does not notify


class LogFeed:
    """Reads what is new in the log once for all followers, for as long as there are any.

    However many there are, the store is asked by one task; each record is read and decoded once. Nothing is queued
    for anybody: a slow follower falls behind what is kept and reads the store at its own pace.
    """

    def __init__(self, store: Records) -> None:
        self.store = store
        self.newest: int = 0  # every record up to this sequence number was seen
        self._floor = 0  # those above this one are in _recent
        self._recent: deque[AuditRecord] = deque(maxlen=_RECENT)
        self._followers: WeakSet[Follower] = WeakSet()
        self._news = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    @property
    def followers(self) -> int:
        """How many follow now."""
        return len(self._followers)

    def follower(
        self, workspace_id: str | None, wanted: AuditFilter | None, after: int | None, by: str | None
    ) -> Follower:
        """Return a follower that has a slot. Raises ``TooManyFollowers`` where there is none left."""
        if len(self._followers) >= MOST_FOLLOWERS:
            raise TooManyFollowers("the log has as many followers as one process serves")
        if by is not None and sum(each.by == by for each in self._followers) >= MOST_OF_ONE:
            raise TooManyFollowers("this person follows the log in as many places as one person may")
        made = Follower(self, workspace_id, wanted, after, by)
        self._followers.add(made)
        return made

    def leave(self, follower: Follower) -> None:
        """Give the slot of a follower back, and wake it if it waits; the reader ends soon after the last one left."""
        self._followers.discard(follower)
        self._wake()

    async def close(self) -> None:
        """End every follower, and wait for the reader."""
        for follower in tuple(self._followers):
            await follower.aclose()
        if self._reading is not None:
            await asyncio.wait((self._reading,))

    def recent(self, after: int) -> Sequence[AuditRecord] | None:
        """Return the records above ``after`` in order; None when they reach further back than what is kept."""
        if after < self._floor:
            return None
        return [*takewhile(lambda record: record.seq > after, reversed(self._recent))][::-1]

    async def news(self, position: int) -> None:
        """Return when there may be records above ``position``. Raises ``StoreError`` when the log cannot be read."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(), name="stepup-follow")
            self._reading.add_done_callback(_seen)
        if self.newest > position:
            return
        reading, news = self._reading, asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait((reading, news), return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
        if reading.done() and not reading.cancelled() and (fault := reading.exception()) is not None:
            raise StoreError("the log cannot be followed now") from fault

    async def _read(self) -> None:
        self._recent.clear()
        self.newest = self._floor = await self._look()
        self._wake()
        while self._followers:
            newest = await self._look()
            if newest <= self.newest:
                await self.store.wait_for_audit(self.newest, seconds=_POLL_SECONDS)
                continue
            batch = await self.store.audit_after(None, AuditFilter(), after=self.newest, limit=_BATCH)
            complete = len(batch) < _BATCH or batch[-1].seq > newest
            for record in batch:
                if record.seq > newest:
                    break  # what comes before it may still be under way
                if len(self._recent) == _RECENT:
                    self._floor = self._recent[0].seq
                self._recent.append(record)
            self.newest = newest if complete else batch[-1].seq
            self._wake()

    async def _look(self) -> int:
        """Return up to where the log goes. Nobody waits beyond: an older copy of the database may have come back."""
        followers = tuple(self._followers)  # what others ask for may be newer than the answer
        newest = await self.store.last_seq()
        if newest < self.newest:
            self._recent.clear()
            self.newest = self._floor = newest
        for follower in followers:
            follower.go_back_to(newest)
        return newest

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


class Follower(AsyncIterator[AuditRecord]):
    """Yields records as they are written, for as long as its caller listens. It holds a slot until it is closed.

    Let it go, or ``aclose()`` it, and the slot is free.
    """

    __slots__ = ("__weakref__", "_ahead", "_closed", "_feed", "_position", "_wanted", "_workspace", "by")

    def __init__(
        self, feed: LogFeed, workspace_id: str | None, wanted: AuditFilter | None, after: int | None, by: str | None
    ) -> None:
        self._feed = feed
        self._workspace = workspace_id
        self._wanted = wanted
        self._position = after
        self._ahead: deque[AuditRecord] = deque()  # read and not yet yielded
        self._closed = False
        self.by: str | None = by

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AuditRecord:
        """Return the next record, however long it takes. Raises ``StoreError`` when the log cannot be read."""
        while not self._ahead:
            if self._closed:
                raise StopAsyncIteration
            if self._position is None:
                self._position = await self._feed.store.last_seq()
            await self._feed.news(self._position)
            if self._feed.newest > self._position:
                await self._advance(self._position)
        return self._ahead.popleft()

    def go_back_to(self, newest: int) -> None:
        """Wait for what comes after this record, where it was to be one that the log does not have."""
        if self._position is not None and self._position > newest:
            self._position = newest

    async def aclose(self) -> None:
        """Give the slot back; one that still waits for a record is told of the end."""
        self._closed = True
        self._ahead.clear()
        self._feed.leave(self)

    async def _advance(self, position: int) -> None:
        """Take what there is above a position: what was read for all, or what this one has to read by itself."""
        newest = self._feed.newest
        recent = self._feed.recent(position) if self._wanted is None else None
        if recent is not None:
            self._ahead.extend(record for record in recent if self._workspace in (None, record.workspace_id))
            self._position = newest
            return
        wanted = self._wanted or AuditFilter()
        batch = await self._feed.store.audit_after(self._workspace, wanted, after=position, limit=_BATCH)
        self._ahead.extend(record for record in batch if record.seq <= newest)
        self._position = batch[-1].seq if len(batch) == _BATCH and batch[-1].seq <= newest else newest


def _seen(reading: asyncio.Task[None]) -> None:
    """Take note of how reading ended, so that an end that nobody waited for leaves no warning."""
    if not reading.cancelled():
        reading.exception()
