"""Wakes who waits for an approval: at once where it was decided in this process, else within a moment.

So does the end of all that is outstanding, which is one of everything that somebody waits for.

One task of a process asks the store what has changed, for all that wait, and only while somebody does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, suppress

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
_BATCH = 500  # changes

News = "asyncio.Future[None]"


class ApprovalWatch:
    """Those who wait, by what for: the approval of a prompt, or any change of the approvals of a person."""

    def __init__(self, store: Records) -> None:
        self._store = store
        self._waiting: dict[Hashable, set[asyncio.Future[None]]] = {}
        self._number = 0
        self._programs = 0  # of them, those that wait for the approval of one prompt
        self._told: ApprovalMark | None = None  # up to where it was told what has changed
        self._task: asyncio.Task[None] | None = None
        self._beginning = asyncio.Lock()
        self._closed = False

    @asynccontextmanager
    async def waiting_for(self, key: Hashable) -> AsyncIterator[asyncio.Future[None] | None]:
        """Yield a future that is done when what ``key`` names has changed since; None: too many wait already.

        ``of_prompt`` and ``of_person`` make keys. Look at the approval after it was yielded, then wait. Raises
        ``StoreError``.
        """
        mine = self._waiting.get(key, ())
        if self._closed or self._number >= MOST_WAITING or len(mine) >= MOST_OF_ONE:
            yield None
            return
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, set()).add(news)
        self._number += 1
        self._programs += isinstance(key, str)
        try:
            await self._begin()
            yield news
        finally:
            self._number -= 1
            self._programs -= isinstance(key, str)
            kept = self._waiting[key]
            kept.discard(news)
            if not kept:
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


async def within(news: asyncio.Future[None], seconds: float) -> None:
    """Return once there is news, or the time is over. It weighs less than ``asyncio.wait``."""
    end = asyncio.get_running_loop().call_later(max(0.0, seconds), _told, news)
    try:
        await news
    finally:
        end.cancel()


def _told(news: asyncio.Future[None]) -> None:
    if not news.done():
        news.set_result(None)


def of_prompt(prompt_id: str) -> Hashable:
    """Return the key of an approval."""
    return prompt_id


def of_person(workspace_id: str, subject_id: str) -> Hashable:
    """Return the key of all approvals of a person."""
    return workspace_id, subject_id
