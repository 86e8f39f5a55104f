"""Wakes who waits for an approval: at once where it was decided in this process, else within a moment.

So does the end of all that is outstanding, which is one of everything that somebody waits for.

One task of a process asks the store what has changed, for all that wait, and only while somebody does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from heapq import heappop, heappush
from math import ceil
from typing import TypeVar

from stepup_middleware.core.approvals import Approval, ApprovalMark
from stepup_middleware.errors import StoreError
from stepup_middleware.logged import get_logger
from stepup_middleware.stores.records import Records

logger = get_logger("stepup_middleware")

POLL_SECONDS = 0.2  # until a decision of another process is seen …
PAGES_EVERY = 5  # … and so many times that, while nobody but pages waits
_AGAIN_SECONDS = 1.0  # after the store could not be asked
MOST_WAITING = 20_000  # in this process; others are answered at once
MOST_OF_ONE = 4  # who wait for the same, programs for a prompt or pages of a person
EXACT_SECONDS = 0.25  # by which a wait may be longer than it was to be
_BATCH = 500  # changes

T = TypeVar("T")
Look = Callable[[], Awaitable[tuple[T, float]]]  # what was found, and for how many seconds it may be waited for on


class ApprovalWatch:
    """Those who wait, by what for: the approval of a prompt, or any change of the approvals of a person.

    Each is one future in one coroutine: thousands wait at once, most of them for the whole of their time.
    """

    def __init__(self, store: Records) -> None:
        self._store = store
        self._waiting: dict[Hashable, tuple[asyncio.Future[None], ...]] = {}
        self._number = 0
        self._programs = 0  # of them, those that wait for the approval of one prompt
        self._told: ApprovalMark | None = None  # up to where it was told what has changed
        self._task: asyncio.Task[None] | None = None
        self._beginning = asyncio.Lock()
        self._ends = Ends()
        self._closed = False

    async def until(self, key: Hashable, look: Look[T], seconds: float) -> tuple[T, bool]:
        """Look again with each change of what ``key`` names until something came of it, so many seconds at most.

        ``of_prompt`` and ``of_person`` make keys. Returns what was found last, and whether it was waited for: it is not
        where too many wait already. Raises ``StoreError``, and what ``look`` raises.
        """
        clock = asyncio.get_running_loop().time
        seconds += clock()
        while True:
            news = self._enter(key)
            try:
                if news is not None:
                    await self._begin()
                found, left = await look()
                left = min(left, seconds - clock())
                if news is None or left <= 0:
                    return found, news is not None
                self._ends.wake(news, clock() + left)
                await news
            finally:
                if news is not None:
                    self._leave(key, news)

    def _enter(self, key: Hashable) -> asyncio.Future[None] | None:
        mine = self._waiting.get(key, ())
        if self._closed or self._number >= MOST_WAITING or len(mine) >= MOST_OF_ONE:
            return None
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[key] = (*mine, news)
        self._number += 1
        self._programs += isinstance(key, str)
        return news

    def _leave(self, key: Hashable, news: asyncio.Future[None]) -> None:
        news.cancel()  # what is to end it later finds it done
        self._number -= 1
        self._programs -= isinstance(key, str)
        kept = tuple(each for each in self._waiting[key] if each is not news)
        if kept:
            self._waiting[key] = kept
        else:
            del self._waiting[key]

    @property
    def waiting(self) -> int:
        """How many programs and pages wait now, in this process."""
        return self._number

    def changed(self, approval: Approval) -> None:
        """Wake at once who waits in this process."""
        prompt = approval.prompt
        self._tell(prompt.id, prompt.workspace_id, prompt.subject_id)

    async def close(self) -> None:
        """Let everybody go on who waits, and end the task."""
        self._closed = True
        self._wake_all()
        self._ends.close()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _begin(self) -> None:
        async with self._beginning:
            if self._task is None or self._task.done():
                self._told = (await self._store.approval_news(after=None, limit=0)).mark
                self._task = asyncio.create_task(self._watch(), name="stepup-approvals")

    async def _watch(self) -> None:
        while self._waiting:
            for _ in range(PAGES_EVERY):
                await asyncio.sleep(POLL_SECONDS)
                if self._programs or not self._waiting:
                    break
            try:
                news = await self._store.approval_news(after=self._told, limit=_BATCH)
            except StoreError as error:
                logger.warning("the store cannot be asked about approvals, who waits goes on waiting: %s", error)
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            if self._told is None or news.mark.epoch != self._told.epoch:
                self._wake_all()  # what they wait for is over
            self._told = news.mark
            for change in news.changes:
                self._tell(change.prompt_id, change.workspace_id, change.subject_id)

    def _tell(self, prompt_id: str, workspace_id: str, subject_id: str) -> None:
        self._wake(of_prompt(prompt_id))
        self._wake(of_person(workspace_id, subject_id))

    def _wake_all(self) -> None:
        for key in tuple(self._waiting):
            self._wake(key)

    def _wake(self, key: Hashable) -> None:
        for news in self._waiting.get(key, ()):
            _told(news)


class Ends:
    """Wakes futures at the end of their time, up to ``EXACT_SECONDS`` late: one timer for all of them."""

    def __init__(self) -> None:
        self._ends: dict[int, list[asyncio.Future[None]]] = {}  # by the moment, in steps of EXACT_SECONDS
        self._moments: list[int] = []  # a heap
        self._timer: asyncio.TimerHandle | None = None

    def wake(self, news: asyncio.Future[None], when: float) -> None:
        """Wake a future at a time of the clock of the loop, if it is not done by then."""
        moment = ceil(when / EXACT_SECONDS)
        if moment not in self._ends:
            self._ends[moment] = []
            heappush(self._moments, moment)
            if self._moments[0] == moment:
                self._set_timer()
        self._ends[moment].append(news)

    def close(self) -> None:
        """Wake nobody any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self) -> None:
        self.close()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(self._moments[0] * EXACT_SECONDS, self._end) if self._moments else None

    def _end(self) -> None:
        for news in self._ends.pop(heappop(self._moments)):
            _told(news)
        self._set_timer()


def _told(news: asyncio.Future[None]) -> None:
    if not news.done():
        news.set_result(None)


def of_prompt(prompt_id: str) -> Hashable:
    """Return the key of an approval."""
    return prompt_id


def of_person(workspace_id: str, subject_id: str) -> Hashable:
    """Return the key of all approvals of a person."""
    return workspace_id, subject_id
