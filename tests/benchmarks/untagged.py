"""What a request without a tag pays for the middleware: instructions of the server's process, counted by valgrind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from shutil import which

from tests.machine import free_port

from .harness import Benchmark, Figure, Sample, Scale, Side, Sides, Unavailable, at_most, scratch
from .redemption import request_bytes
from .served import running, uvicorn

_WARM = 50  # requests before the first that counts: what is imported and compiled on demand
_COUNTED = 400
_APPS = ("bare", "around", "bare_fastapi", "around_fastapi")


async def _asked(port: int, count: int) -> None:
    """Send so many requests over one connection, one after another."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(count):
        writer.write(request_bytes())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
    writer.close()
    await writer.wait_closed()


async def _control(pid: int, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "callgrind_control", *arguments, str(pid), stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0


def _counted(folder: Path) -> int:
    """Return the instructions of the last dump, and remove it."""
    (dump,) = folder.glob("counts.*")
    total = next(line for line in dump.read_text(encoding="utf-8").splitlines() if line.startswith("totals: "))
    dump.unlink()
    return int(total.split()[1])


async def _instructions(port: int, pid: int, folder: Path, count: int) -> Sample:
    await _control(pid, "--instr=on")
    await _asked(port, count)
    await _control(pid, "--dump")
    await _control(pid, "--instr=off")
    return {"instructions": await asyncio.to_thread(_counted, folder) / count}


@asynccontextmanager
async def _sides(scale: Scale) -> AsyncIterator[Sides]:
    if which("callgrind_control") is None:
        raise Unavailable("no valgrind on this machine (Debian, Ubuntu: apt install valgrind)")
    async with AsyncExitStack() as stack:
        outer = stack.enter_context(scratch())

        async def served(app: str) -> Side:
            port, folder = free_port(), outer / app
            folder.mkdir()
            counting = (
                "valgrind",
                "-q",
                "--tool=callgrind",
                "--instr-atstart=no",
                f"--callgrind-out-file={folder}/counts",
            )
            database = str(outer / f"{app}.db")
            server = running(
                port, uvicorn(f"apps:{app}", port), *counting, BENCHMARK_DATABASE=database, PYTHONHASHSEED="0"
            )
            process = await stack.enter_async_context(server)
            await _asked(port, scale.of(_WARM))
            return lambda: _instructions(port, process.pid, folder, scale.of(_COUNTED))

        yield {app: await served(app) for app in _APPS}


_WHAT = "a request without a tag, instructions, through uvicorn: Starlette; FastAPI"
_BASE = "the app without us"

BENCHMARKS = (
    Benchmark(
        name="untagged",
        sides=_sides,
        figures=(
            Figure(_WHAT, _BASE, at_most(1.02), "instructions", "around", "bare"),
            Figure(_WHAT, _BASE, at_most(1.01), "instructions", "around_fastapi", "bare_fastapi"),
        ),
        rounds=3,
    ),
)
