"""Servers and their client, each a process on a core of its own where there are two."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.machine import free_port

from .harness import Sample, Scale

CONNECTIONS = 64
SECONDS = 1.5
ROOT = Path(__file__).parents[2]


def _cores() -> tuple[int, int]:
    """Return the core of the servers and the one of the client."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[-1]


def to_the_client(pid: int) -> None:
    """Put a process and what it starts on the client's core: a database server, which is no part of the app's."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, {_cores()[1]})


def _pin(client: bool) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {_cores()[client]})


async def load(
    port: int,
    requests: Sequence[bytes],
    scale: Scale,
    *,
    status: int,
    repeat: bool,
    connections: int = CONNECTIONS,
    seconds: float = SECONDS,
) -> Sample:
    """Send requests from a process of its own; return how many a second were answered as they should be."""
    given = {
        "port": port,
        "connections": connections,
        "seconds": scale.seconds(seconds),
        "requests": requests,
        "repeat": repeat,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.load",
        cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, preexec_fn=lambda: _pin(True),
    )  # fmt: skip
    out, _ = await process.communicate(pickle.dumps(given))
    answer = json.loads(out)
    if set(answer["statuses"]) != {str(status)}:
        raise AssertionError(f"answers other than {status}: {answer['statuses']}")
    return {"requests/s": answer["statuses"][str(status)] / answer["seconds"], "p99 ms": answer["p99 ms"]}


async def ended(process: asyncio.subprocess.Process) -> None:
    """End a process that has not ended by itself."""
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 15)
        except TimeoutError:
            process.kill()
            await process.wait()


def uvicorn(app: str, port: int) -> list[str]:
    """Return the command that serves an app of a module here, such as ``apps:bare``."""
    return [
        "uvicorn", "--factory", f"tests.benchmarks.{app}", "--port", str(port),
        "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning",
    ]  # fmt: skip


@asynccontextmanager
async def running(
    port: int, module: Sequence[str], *before: str, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a module that serves on a port, until it accepts connections; ``before`` is a command to run it with."""
    process = await asyncio.create_subprocess_exec(
        *before, sys.executable, "-m", *module,
        cwd=ROOT, env={**os.environ, **environment}, preexec_fn=lambda: _pin(False),
    )  # fmt: skip
    try:
        async with asyncio.timeout(180):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    if process.returncode is not None:
                        raise AssertionError(f"{' '.join(module)} ended with {process.returncode}") from None
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    break
        yield process
    finally:
        await ended(process)


@asynccontextmanager
async def serving(app: str, database: str | Path) -> AsyncIterator[int]:
    """Run an app under uvicorn, as the deploy page does; give its port."""
    port = free_port()
    settings = {
        "BENCHMARK_APP": app,
        "BENCHMARK_DATABASE": str(database),
        "BENCHMARK_ORIGIN": f"http://localhost:{port}",
    }
    async with running(port, uvicorn("deployed:app", port), **settings):
        yield port
