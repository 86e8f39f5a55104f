"""What a process costs: to start, after many redemptions, and with many prompts open."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from stepup_middleware import StepUpMiddleware
from tests.machine import free_port
from tests.support import call, scope_of

from .apps import PATH, SESSION, macs, subject, tagged
from .harness import Benchmark, Figure, Sample, Scale, Sides, Unavailable, at_most, scratch
from .minted import mint_in
from .redemption import minting, request_bytes
from .served import ROOT, load, running, uvicorn

_TICKS = 100.0 if sys.platform == "win32" else float(os.sysconf("SC_CLK_TCK"))
_PER_SESSION = 20  # a session with many open prompts is a flood
_AT_ONCE = 64
_REDEMPTIONS = 10_000
_PROMPTS = 100_000


def resident_megabytes(pid: int | str = "self") -> float:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    raise AssertionError("no VmRSS")


def own_megabytes(pid: int | str = "self") -> float:
    """Return the memory that a process has to itself: no file that is mapped, and nothing that it shares."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1000
    raise AssertionError("no RssAnon")


def cpu_milliseconds(pid: int) -> float:
    """Return what a process has used of the processor since it began."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS * 1e3


async def _first_answer(app: str, database: Path, compiled: Path) -> Sample:
    """Start a server, ask it for its first answer, and return what both took."""
    port = free_port()
    settings = {
        "BENCHMARK_DATABASE": str(database),
        "PYTHONPYCACHEPREFIX": str(compiled),
        "PYTHONDONTWRITEBYTECODE": "",
    }
    async with running(port, uvicorn(f"apps:{app}", port), **settings) as process:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes())
        assert (await reader.read(12)).startswith(b"HTTP/1.1 ")
        took = cpu_milliseconds(process.pid)
        writer.close()
        return {"ms": took}


@asynccontextmanager
async def _starts(scale: Scale) -> AsyncIterator[Sides]:
    _need_proc()
    with scratch() as folder:
        await mint_in(folder / "ours.db", macs=macs())
        compiled = folder / "compiled"
        await _first_answer("tagged", folder / "ours.db", compiled)  # once: everything is compiled, as pip leaves it
        yield {
            "ours": lambda: _first_answer("tagged", folder / "ours.db", compiled),
            "bare": lambda: _first_answer("bare", folder / "ours.db", compiled),
        }


async def _after_many(scale: Scale) -> Sample:
    """Redeem many tokens at a server and return what it weighs then."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(scratch())
        minted, port = await minting(folder / "ours.db"), free_port()
        server = running(port, uvicorn("apps:tagged", port), BENCHMARK_DATABASE=str(folder / "ours.db"))
        process = await stack.enter_async_context(server)
        tokens = await minted(scale.of(_REDEMPTIONS))
        requests = [request_bytes(("stepup-token", token)) for token in tokens]
        await load(port, requests, scale, status=200, repeat=False, seconds=60)
        return {"MB": resident_megabytes(process.pid)}


async def _bare() -> Sample:
    port = free_port()
    async with running(port, uvicorn("apps:bare", port)) as process:
        return {"MB": resident_megabytes(process.pid)}


async def _ask(app: StepUpMiddleware, places: Iterator[int]) -> None:
    for place in places:
        session = f"{SESSION}-{place // _PER_SESSION}"
        answer = await call(app, scope_of("POST", PATH, ip="127.0.0.1", headers=[("cookie", f"session={session}")]))
        assert answer.status == 401, answer.body


async def weigh(count: int) -> float:
    """Ask so many prompts through the whole app, 64 at a time; return the megabytes that they took."""
    app = tagged()
    async with app.stepup:
        await _ask(app, iter(range(_AT_ONCE)))
        idle = resident_megabytes()
        places = iter(range(_AT_ONCE, _AT_ONCE + count))
        await asyncio.gather(*(_ask(app, places) for _ in range(_AT_ONCE)))
        return resident_megabytes() - idle


async def _with_prompts(scale: Scale) -> Sample:
    with scratch() as folder:
        await mint_in(folder / "prompts.db", subject(SESSION), macs=macs())
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.benchmarks.starting", str(scale.of(_PROMPTS)),
            cwd=ROOT, env={**os.environ, "BENCHMARK_DATABASE": str(folder / "prompts.db")},
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        assert process.returncode == 0
        return {"MB": float(out)}


@asynccontextmanager
async def _weights(scale: Scale) -> AsyncIterator[Sides]:
    _need_proc()
    yield {"redemptions": lambda: _after_many(scale), "prompts": lambda: _with_prompts(scale), "bare": _bare}


def _need_proc() -> None:
    if sys.platform != "linux":
        raise Unavailable(f"no /proc/PID/stat on {sys.platform}")


_WHAT = "start: CPU from exec to the first answer; memory after 10,000 redemptions; of 100,000 open prompts"
_BASE = "a bare Starlette; the same; the idle process"

BENCHMARKS = (
    Benchmark(
        name="start",
        sides=_starts,
        figures=(Figure(_WHAT, _BASE, at_most(320), "ms", "ours", None, "ms", beside="bare"),),
        rounds=11,
    ),
    Benchmark(
        name="memory",
        sides=_weights,
        figures=(
            Figure(_WHAT, _BASE, at_most(60), "MB", "redemptions", None, "MB", beside="bare"),
            Figure(_WHAT, _BASE, at_most(20), "MB", "prompts", None, "MB"),
        ),
        rounds=1,
    ),
)

if __name__ == "__main__":
    sys.stdout.write(str(asyncio.run(weigh(int(sys.argv[1])))))
