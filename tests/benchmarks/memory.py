"""What 100,000 open prompts weigh in the process that asked them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from stepup_middleware import StepUpMiddleware
from tests.support import call, scope_of

from .apps import PATH, SESSION, macs, tagged
from .harness import Benchmark, Figure, Sample, Scale, Sides, Unavailable, at_most, scratch
from .minted import mint_in
from .served import ROOT

_STATUS = Path("/proc/self/status")
_PER_SESSION = 20  # a session with many open prompts is a flood
_AT_ONCE = 64


def resident_megabytes() -> float:
    """Return the resident memory of this process."""
    return _status("VmRSS:")


def most_megabytes() -> float:
    """Return the most that was ever resident of this process."""
    return _status("VmHWM:")


def megabytes_of(process: int) -> float:
    """Return the resident memory of another process."""
    return _status("VmRSS:", Path(f"/proc/{process}/status"))


def _status(name: str, file: Path = _STATUS) -> float:
    for line in file.read_text(encoding="ascii").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1000
    raise AssertionError(f"{file} does not tell {name}")


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


@asynccontextmanager
async def _sides(scale: Scale) -> AsyncIterator[Sides]:
    if sys.platform != "linux":
        raise Unavailable(f"no {_STATUS} on {sys.platform}")

    async def asking() -> Sample:
        with scratch() as folder:
            await mint_in(folder / "prompts.db", macs=macs())
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.benchmarks.memory", str(scale.of(100_000)),
                cwd=ROOT, env={**os.environ, "BENCHMARK_DATABASE": str(folder / "prompts.db")},
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, _ = await process.communicate()
            assert process.returncode == 0
            return {"MB": float(out)}

    yield {"asking": asking}


BENCHMARKS = (
    Benchmark(
        name="memory",
        sides=_sides,
        figures=(
            Figure("memory of 100,000 open prompts", "the idle process", at_most(20), "MB", "asking", None, "MB"),
        ),
        rounds=1,
    ),
)

if __name__ == "__main__":
    sys.stdout.write(str(asyncio.run(weigh(int(sys.argv[1])))))
