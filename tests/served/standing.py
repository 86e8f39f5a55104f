"""Where the tasks of a process stand: asked for by a signal, told in a file of the folder that it writes to."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SECONDS = 3.0  # within which a process that is asked has told


def tell_when_asked(folder: Path) -> None:
    """Let this process tell on SIGUSR1 where its tasks stand, and on SIGUSR2, though its loop is stuck, its threads."""
    file = told_file(folder, os.getpid())
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: file.write_text("\n".join(stacks())))
    threads = file.with_suffix(".threads").open("w")  # open as long as the process lives
    faulthandler.register(signal.SIGUSR2, file=threads, all_threads=True)


def told_file(folder: Path, pid: int) -> Path:
    """Return where a process tells its tasks; beside it, with the ending ``.threads``, its threads."""
    return folder / f"standing-{pid}"


async def standing_of(folder: Path, pid: int) -> str:
    """Ask a process of this app where it stands, and return what it told."""
    tasks = told_file(folder, pid)
    tasks.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    os.kill(pid, signal.SIGUSR2)
    await asyncio.sleep(SECONDS)
    told = tasks.read_text() if tasks.exists() else "its loop does not turn"
    return f"{told}\n{tasks.with_suffix('.threads').read_text()}"


def stacks() -> Iterator[str]:
    """Yield each task of the running loop with what it awaits, from its first frame to the innermost."""
    for task in sorted(asyncio.all_tasks(), key=lambda each: each.get_name()):
        yield f"{task.get_name()}: {' > '.join(_frames(task.get_coro()))}"


def _frames(awaited: Any) -> Iterator[str]:
    while awaited is not None:
        frame = _first(awaited, ("cr_frame", "gi_frame", "ag_frame"))
        if frame is not None:
            yield f"{frame.f_code.co_name} ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})"
        awaited = _first(awaited, ("cr_await", "gi_yieldfrom", "ag_await"))


def _first(of: Any, names: Sequence[str]) -> Any:
    return next((found for name in names if (found := getattr(of, name, None)) is not None), None)
