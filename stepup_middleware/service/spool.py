"""The local spool: events that nobody waits for (how an action ended) survive an outage of the store.

Each is handed to the store, which writes it with its next transaction. An event that the store could not write comes
here, waits in memory, and in a file where a folder is configured, and is written when the store is back. A store that
answered too late may have written after all: so each event is looked for in the log before it is written again.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.replays import worth_logging
from stepup_middleware.errors import StoreError
from stepup_middleware.logged import get_logger
from stepup_middleware.stores.records import Records

from .spool_files import SpoolFiles

logger = get_logger("stepup_middleware")

MOST_SPOOLED = 10_000  # events; about 10 MB
_AT_ONCE = 200  # events of one transaction
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0  # seconds between attempts to write
_FILED_WITHIN = 0.25  # seconds, in an outage


@dataclass(slots=True, eq=False)
class _Waiting:
    """An event that waits, and whether it is in the file."""

    event: AuditEvent
    filed: bool = False


class EventSpool:
    """Keeps at most 10,000 events until the store takes them; what comes beyond that is lost, counted and told.

    The first event of a workspace that is written after some were lost has their number as ``data["lost_before"]``.
    """

    def __init__(self, *, store: Records, files: SpoolFiles | None) -> None:
        self._store = store
        self._files = files
        self._lock = threading.Lock()
        self._events: deque[_Waiting] = deque()
        self._untold: Counter[str] = Counter()  # lost events by workspace, of which the log does not have the number
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._together = _AT_ONCE  # fewer after a failure: one of them may be what the store cannot write
        self.lost = 0

    @property
    def waiting(self) -> int:
        """How many events wait for the store."""
        return len(self._events)

    async def start(self) -> None:
        """Take over what a process before left in its file. Raises ``ConfigurationError`` for a folder of no use."""
        self._loop, self._closed = asyncio.get_running_loop(), False
        if self._files is None:
            return
        await asyncio.to_thread(self._files.check)
        left = await asyncio.to_thread(self._files.take_over)
        with self._lock:
            self._events.extendleft(_Waiting(event, filed=True) for event in reversed(left))
        if left:
            logger.warning("%d event(s) that a process before could not write are written now", len(left))
            self._begin()

    def take(self, events: Sequence[AuditEvent]) -> None:
        """Take events that the store could not write. Called in any thread; never raises, never waits."""
        with self._lock:
            for event in events:
                if not _is_text(event):
                    self._lose(event, "it is no text")
                elif len(self._events) >= MOST_SPOOLED:
                    self._lose(event, "the spool is full")
                else:
                    self._events.append(_Waiting(event))
            if self._closed:
                self._leave()
        loop = self._loop
        if loop is not None and not self._closed and not loop.is_closed():
            with suppress(RuntimeError):  # the loop was closed just now
                loop.call_soon_threadsafe(self._begin)

    async def close(self, *, seconds: float = 5.0) -> None:
        """Write what waits if the store takes it in time; else leave it in the file, where there is one."""
        if self._events:
            self._begin()
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=seconds)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        with self._lock:
            self._closed = True
            self._leave()

    def _leave(self) -> None:
        """Leave what waits in the file, and say so; without one it is lost."""
        waiting = [each.event for each in self._events]
        fresh = [each.event for each in self._events if not each.filed]
        self._events.clear()
        if waiting and self._files is not None:
            try:
                self._files.append(fresh)
                logger.warning("%d event(s) wait in the spool for the next start", len(waiting))
            except OSError as error:
                logger.error("%d event(s) could not be written, nor spooled: %s", len(fresh), error)
                self.lost += len(fresh)
        elif waiting:
            logger.error("%d event(s) that nobody waited for are lost: the store could not be written", len(waiting))
            self.lost += len(waiting)
        if self._files is not None:
            self._files.close()

    def _begin(self) -> None:
        if not self._closed and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._serve(), name="stepup-spool")

    async def _serve(self) -> None:
        pause = _FIRST_PAUSE
        while self._events:
            try:
                if await self._written():
                    pause = _FIRST_PAUSE
                    continue
            except Exception:
                logger.exception("what waits in the spool could not be written")
            left = pause
            while left > 0:
                await self._file()
                await asyncio.sleep(min(left, _FILED_WITHIN))
                left -= _FILED_WITHIN
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _file(self) -> None:
        """Note in the file what is not there yet."""
        files = self._files
        with self._lock:
            fresh = [each for each in self._events if not each.filed]
        if files is None or not fresh:
            return
        try:
            await asyncio.to_thread(files.append, [each.event for each in fresh])
        except OSError as error:
            logger.error("the spool cannot be written, its events are in memory alone: %s", error)
            return
        with self._lock:
            for each in fresh:
                each.filed = True

    async def _written(self) -> bool:
        """Write the oldest events, those that the log does not have. False: the store did not take them."""
        with self._lock:
            batch = [*self._events][: self._together]
        try:
            await self._store.append([])  # what an earlier attempt had under way is over when this is
            missing = [each for each in batch if not await self._known(each.event)]
        except StoreError as error:
            self._waits(error)
            return False
        self._done([each for each in batch if each not in missing])
        try:
            if missing:
                await self._append(missing)
        except StoreError as error:
            self._waits(error)
            self._together = max(1, self._together // 4)
            if len(missing) == 1:  # perhaps it is this one: it goes behind the others
                self._done(missing)
                with self._lock:
                    self._events.append(missing[0])
            return False
        self._together = min(2 * self._together, _AT_ONCE)
        if self._files is not None and not any(each.filed for each in [*self._events]):
            await asyncio.to_thread(self._files.remove)
        return True

    def _waits(self, error: StoreError) -> None:
        logger.warning("%d event(s) wait in the spool, the store does not take them: %s", len(self._events), error)

    async def _known(self, event: AuditEvent) -> bool:
        """Whether the log has an event: a step-up has one end, all others are told by their moment."""
        if not event.prompt_id:
            return False
        wanted = AuditFilter(event=event.name, prompt=event.prompt_id)
        for record in await self._store.audit_after(event.workspace_id, wanted, after=0, limit=_AT_ONCE):
            if event.name is EventName.ACTION_COMPLETED or record.at == event.at:
                self._told(Counter({event.workspace_id: int(record.data.get("lost_before", 0))}))
                return True
        return False

    async def _append(self, batch: Sequence[_Waiting]) -> None:
        with self._lock:
            untold = Counter(self._untold)
        events, told = list[AuditEvent](), Counter[str]()
        for each in batch:
            event = each.event
            if (lost := untold.pop(event.workspace_id, 0)) > 0:
                told[event.workspace_id] = lost
                event = replace(event, data={**event.data, "lost_before": lost})
            events.append(event)
        await self._store.append(events)
        self._told(told)
        self._done(batch)

    def _told(self, told: Counter[str]) -> None:
        with self._lock:
            self._untold -= told

    def _done(self, batch: Sequence[_Waiting]) -> None:
        over = set(map(id, batch))
        with self._lock:
            self._events = deque(each for each in self._events if id(each) not in over)

    def _lose(self, event: AuditEvent, reason: object) -> None:
        self.lost += 1
        self._untold[event.workspace_id] += 1
        if worth_logging(self.lost):
            logger.error("%d event(s) that nobody waited for are lost: %s", self.lost, reason)


def _is_text(event: AuditEvent) -> bool:
    try:
        event.body().encode()
    except ValueError:
        return False
    return True
