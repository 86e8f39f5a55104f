"""Hands each checkpoint to the app's own keepers, again and again until each of them took it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Protocol, runtime_checkable

from stepup_middleware.log.checkpoints import checkpoint_of
from stepup_middleware.log.notes import with_signatures_of
from stepup_middleware.logged import SELDOM, get_logger

try:
    import fcntl
except ImportError:  # Windows: there one process at a time uses the file
    fcntl = None  # type: ignore[assignment]

logger = get_logger("stepup_middleware")

CheckpointSink = Callable[[str], Awaitable[None]]

SINK_SECONDS = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # seconds until it is tried again


@runtime_checkable
class CheckpointMemory(Protocol):
    """A sink that can say what it has: compared with the tree before anything is signed over it."""

    async def latest(self) -> str | None:
        """Return the last checkpoint that it took, as a note; None when it has none. Raises ``OSError``."""


class CheckpointFile:
    """Keeps the last checkpoint in a file: on another disk than the database, best on another machine.

    Several processes may share it. It never goes back: an older checkpoint of the same log is not written over a newer
    one; of the same one, cosignatures that come later are added. When another log begins, the last checkpoint of the
    one before stays beside it, under the file's name with a part of the hash of that log's origin.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)

    async def __call__(self, note: str) -> None:
        await asyncio.to_thread(self._keep, note)

    async def latest(self) -> str | None:
        """Return the checkpoint in the file, None where there is none. Raises ``OSError`` where its folder is away."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> str | None:
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            self.path.parent.stat()  # of a folder that is away, such as a share that is not mounted, nobody knows
            return None

    def _keep(self, note: str) -> None:
        new = checkpoint_of(note)
        lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            kept = self._read()
            if kept is not None:
                old = checkpoint_of(kept)
                if old.origin == new.origin and old.size >= new.size:
                    if (signed := with_signatures_of(kept, note)) != kept:
                        self._write(self.path, signed)
                    return
                if old.origin != new.origin:
                    beside = self.path.with_name(f"{self.path.name}.{sha256(old.origin.encode()).hexdigest()[:16]}")
                    self._write(beside, kept)
            self._write(self.path, note)
        finally:
            os.close(lock)

    @staticmethod
    def _write(path: Path, note: str) -> None:
        new = path.with_name(f"{path.name}.new")
        with new.open("w", encoding="utf-8") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def __repr__(self) -> str:
        return f"CheckpointFile({str(self.path)!r})"


class _Keeper:
    """One sink with the checkpoint that it is to have next: always the newest, which commits to all before it."""

    def __init__(self, sink: CheckpointSink) -> None:
        self.sink = sink
        self.waiting: str | None = None
        self.news = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()

    def give(self, note: str) -> None:
        self.waiting = note
        self.idle.clear()
        self.news.set()

    async def serve(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            await self.news.wait()
            self.news.clear()
            note = self.waiting
            if note is None:
                continue
            try:
                async with asyncio.timeout(SINK_SECONDS):
                    await self.sink(note)
            except Exception:
                what = "a checkpoint was not taken by %r: it is handed over again"
                logger.exception(what, self.sink, extra=SELDOM)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self.news.wait()
                self.news.set()
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            if self.waiting is note:
                self.waiting = None
                self.idle.set()


class Handover:
    """Every sink of ``on_checkpoint``, each with a task of its own.

    A sink gets each checkpoint at least once, and after a time in which it took none the newest alone. A checkpoint
    that was not taken when the process ended is handed over by the next one: it begins with the last checkpoint of the
    store.
    """

    def __init__(self, sinks: Sequence[CheckpointSink]) -> None:
        asked: list[object] = list(sinks)
        self.memories = tuple(sink for sink in asked if isinstance(sink, CheckpointMemory))
        self._sinks = tuple(sinks)
        self._keepers: tuple[_Keeper, ...] = ()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def untaken(self) -> int:
        """How many sinks have not taken the newest checkpoint yet."""
        return sum(keeper.waiting is not None for keeper in self._keepers)

    def start(self) -> None:
        """Start on the running loop."""
        self._keepers = tuple(map(_Keeper, self._sinks))
        self._tasks = [asyncio.create_task(keeper.serve(), name="stepup-checkpoint-sink") for keeper in self._keepers]

    def give(self, note: str) -> None:
        """Hand a checkpoint to every sink."""
        for keeper in self._keepers:
            keeper.give(note)

    async def close(self, *, seconds: float) -> None:
        """Give the sinks some time for the last checkpoint, then stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for keeper in self._keepers:
                    await keeper.idle.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks, self._keepers = [], ()
