"""Sides measured in turn, figures as medians over the rounds."""

from __future__ import annotations

import gc
import math
import statistics
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import thread_time

TIMES = "\N{MULTIPLICATION SIGN}"

Sample = Mapping[str, float]
Side = Callable[[], Awaitable[Sample]]
Sides = Mapping[str, Side]


class Unavailable(Exception):
    """What a benchmark needs (a browser, a server) is not on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much a side does at once: all of it, or just enough to see that it works."""

    smoke: bool = False

    def of(self, count: int) -> int:
        """Return how many of ``count`` to do: a thousandth in a smoke test, but a few at least."""
        return max(min(count, 16), count // 1000) if self.smoke else count

    def seconds(self, seconds: float) -> float:
        """Return how long to keep at it."""
        return min(seconds, 0.1) if self.smoke else seconds


Open = Callable[[Scale], AbstractAsyncContextManager[Sides]]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure must reach."""

    limit: float
    upwards: bool

    def met(self, value: float) -> bool:
        return value >= self.limit if self.upwards else value <= self.limit


def at_most(limit: float) -> Goal:
    return Goal(limit, upwards=False)


def at_least(limit: float) -> Goal:
    return Goal(limit, upwards=True)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    ``of`` is the side that is judged, ``over`` the baseline: their ``quantity`` is divided, or subtracted where
    the goal is an amount above the baseline. Without ``over`` the quantity itself is judged, and that of ``beside`` is
    said with it.
    """

    what: str
    baseline: str
    goal: Goal
    quantity: str
    of: str
    over: str | None = None
    unit: str = TIMES  # anything else: an amount, and ``over`` is subtracted
    beside: str | None = None

    def value(self, samples: Mapping[str, Sample]) -> float:
        """Return the figure of one round."""
        value = samples[self.of][self.quantity]
        if self.over is None:
            return value
        baseline = samples[self.over][self.quantity]
        return value / baseline if self.unit == TIMES else value - baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Sides that are measured together, and the figures that are made of them."""

    name: str
    sides: Open
    figures: tuple[Figure, ...]
    rounds: int = 5


@dataclass(slots=True)
class Result:
    """What came of a figure: the value of each round."""

    benchmark: str
    figure: Figure
    values: list[float] = field(default_factory=list)
    samples: dict[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def met(self) -> bool:
        return self.figure.goal.met(self.median)


Progress = Callable[[str], None]


async def run(
    benchmark: Benchmark, *, scale: Scale, rounds: int | None = None, progress: Progress = lambda _: None
) -> list[Result]:
    """Measure a benchmark: each side once a round, in an order that turns with every round.

    Raises ``Unavailable`` when this machine lacks what it needs.
    """
    results = [Result(benchmark.name, figure) for figure in benchmark.figures]
    kept: list[dict[str, Sample]] = []
    progress("preparing")
    async with benchmark.sides(scale) as sides:
        for number in range(1, (rounds or benchmark.rounds) + 1):
            samples: dict[str, Sample] = {}
            for name, side in _turned(sides, number):
                progress(f"round {number} of {rounds or benchmark.rounds}: {name}")
                gc.collect()
                samples[name] = await side()
            kept.append(samples)
            for result in results:
                result.values.append(result.figure.value(samples))
    for result in results:
        figure = result.figure
        for name in filter(None, (figure.of, figure.over, figure.beside)):
            result.samples[name] = statistics.median(samples[name][figure.quantity] for samples in kept)
        assert all(map(math.isfinite, result.values)), f"{figure.what}: {result.values}"
    return results


def _turned(sides: Sides, number: int) -> Iterator[tuple[str, Side]]:
    entries = list(sides.items())
    yield from entries if number % 2 else reversed(entries)


def per_call(call: Callable[[], object], count: int) -> Sample:
    """Return the seconds of the processor that one call takes, over so many in a row."""
    repeat = range(count)
    began = thread_time()
    for _ in repeat:
        call()
    return {"seconds": (thread_time() - began) / count}


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder that is gone afterwards."""
    with TemporaryDirectory(prefix="stepup-benchmark-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
