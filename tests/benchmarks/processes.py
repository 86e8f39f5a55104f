"""Four processes that redeem on one SQLite file, with turns taken and with ``busy_timeout`` alone."""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import perf_counter

from stepup_middleware.core.decisions import Presentation, Verdict
from stepup_middleware.stores.sqlite import SQLiteStore, fencing
from stepup_middleware.testing.contract.values import MACS

from .harness import Benchmark, Figure, Sample, Scale, Sides, at_least, at_most, scratch
from .minted import PATIENT, Mint, mint_in
from .served import ROOT, ended

PROCESSES = 4
CALLERS = 16  # in each process


async def work(path: Path, shown: Sequence[Presentation], seconds: float) -> tuple[int, float]:
    """Redeem for so long once a line comes in; return how many, and the 99th percentile in milliseconds."""
    async with SQLiteStore(path, timeout=PATIENT).use(MACS) as store:
        waiting = iter(shown)
        took: list[float] = []
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.buffer.readline()
        end = perf_counter() + seconds

        async def caller() -> None:
            while (began := perf_counter()) < end and (one := next(waiting, None)) is not None:
                answer = await store.redeem(one)
                assert answer.decision.verdict is Verdict.REDEEMED
                if (now := perf_counter()) <= end:
                    took.append(now - began)

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        took.sort()
        return len(took), took[int(len(took) * 0.99)] * 1e3 if took else seconds * 1e3


async def _together(mint: Mint, *, turns: bool, seconds: float, each: int) -> Sample:
    async with AsyncExitStack() as stack:
        processes = []
        for _ in range(PROCESSES):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.benchmarks.processes", cwd=ROOT,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            stack.push_async_callback(ended, process)
            assert process.stdin is not None
            process.stdin.write(pickle.dumps((mint.path, mint.presentations(each), seconds, turns)))
            await process.stdin.drain()
            processes.append(process)
        for process in processes:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
        answers = [json.loads((await process.communicate())[0]) for process in processes]
    counts = [count for count, _ in answers]
    return {
        "slowest/fastest": min(counts) / max(counts),
        "redemptions/s": sum(counts) / seconds,
        "p99 ms": max(p99 for _, p99 in answers),
    }


@asynccontextmanager
async def _sides(scale: Scale) -> AsyncIterator[Sides]:
    with scratch() as folder:
        turns, busy = await mint_in(folder / "turns.db"), await mint_in(folder / "busy.db")
        seconds, each = scale.seconds(2.5), scale.of(20_000)

        async def taking_turns() -> Sample:
            return await _together(turns, turns=True, seconds=seconds, each=each)

        async def busy_timeout() -> Sample:
            return await _together(busy, turns=False, seconds=seconds, each=each)

        yield {"turns": taking_turns, "busy_timeout": busy_timeout}


_WHAT = "four processes on one SQLite file"
_BUSY = "the same with `busy_timeout` alone"

BENCHMARKS = (
    Benchmark(
        name="processes",
        sides=_sides,
        figures=(
            Figure(f"{_WHAT}: slowest/fastest", "each other", at_least(0.95), "slowest/fastest", "turns", None, ""),
            Figure(f"{_WHAT}: worst p99", _BUSY, at_most(0.1), "p99 ms", "turns", "busy_timeout"),
            Figure(f"{_WHAT}: total", _BUSY, at_least(1.0), "redemptions/s", "turns", "busy_timeout"),
        ),
        rounds=9,  # the 99th percentile of a few seconds spreads widely
    ),
)


if __name__ == "__main__":
    path, shown, seconds, turns = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by the benchmark
    if not turns:
        setattr(fencing, "fcntl", None)  # noqa: B010 - as on a platform without flock: SQLite's own lock decides
    sys.stdout.write(json.dumps(asyncio.run(work(path, shown, seconds))))
