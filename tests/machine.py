"""What tests need of the machine they run on: programs that are installed, ports that are free, what a call costs."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import thread_time_ns
from types import FrameType
from typing import IO, Any

import pytest

ROOT = Path(__file__).parent.parent
PORTS = range(20_000, 32_000)
_TAKEN: list[IO[str]] = []  # open, so locked, while this process lives


def program(name: str) -> str:
    """Return the path of a program; without it the test is skipped, except in continuous integration."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return found


def wheel_in(folder: Path) -> Path:
    """Build the wheel of this checkout, as an index would get it, and return its path."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=300)
    (built,) = folder.glob("*.whl")
    return built


def free_port() -> int:
    """Return a port of the loopback interface that is this process's own until it ends.

    It lies below the ports that the system gives to connections and to whoever asks for any, and other processes of
    the tests see by a lock on a file that it is taken: between its choice and its server's start nobody can come.
    """
    folder = Path(tempfile.gettempdir()) / f"ports-of-tests-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        port = secrets.choice(PORTS)
        taken = (folder / str(port)).open("w")
        try:
            fcntl.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            taken.close()
        else:
            _TAKEN.append(taken)
            return port


async def until(condition: Callable[[], object], *, seconds: float = 60) -> None:
    """Return when a condition holds that nobody can wait for: of another process, or of a thread."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)


def steps(do: Callable[[], object]) -> int:
    """Return how many instructions of the interpreter a call takes: as many on a busy machine as on an idle one."""
    taken = 0

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any]:
        nonlocal taken
        frame.f_trace_opcodes = True
        taken += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        do()
    finally:
        sys.settrace(before)
    return taken


def growth(do: Callable[[int], object], size: int) -> float:
    """Return how many times as long a call takes for four times the size: 4 where it goes by size, 16 by its square."""

    def least(of: int) -> int:
        spent = []
        for _ in range(5):
            began = thread_time_ns()
            do(of)
            spent.append(thread_time_ns() - began)
        return min(spent) + 10_000  # of a short one nothing can be said

    return least(4 * size) / least(size)
