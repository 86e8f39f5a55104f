"""Measure, show, and write down."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from . import report
from .harness import Benchmark, Result, Scale, Unavailable, run
from .peers import install
from .suite import SUITE, TABLE

_CLEAR, _END = ("\r\x1b[K", "") if sys.stderr.isatty() else ("", "\n")  # one line that is written over


def _chosen(names: Sequence[str]) -> list[Benchmark]:
    unknown = set(names) - {benchmark.name for benchmark in SUITE}
    if unknown:
        raise SystemExit(f"no such benchmark: {', '.join(sorted(unknown))} (see --list)")
    return [benchmark for benchmark in SUITE if benchmark.name in names] if names else list(TABLE)


def _say(text: str = "", *, end: str = "\n") -> None:
    sys.stderr.write(text + end)
    sys.stderr.flush()


async def _measure(
    chosen: Sequence[Benchmark], rounds: int | None, scale: Scale
) -> tuple[list[Result], dict[str, str]]:
    results: list[Result] = []
    missing: dict[str, str] = {}
    for place, benchmark in enumerate(chosen, 1):
        head = f"[{place}/{len(chosen)}] {benchmark.name}"

        def progress(text: str, head: str = head) -> None:
            _say(f"{_CLEAR}{head}: {text}", end=_END)

        try:
            measured = await run(benchmark, scale=scale, rounds=rounds, progress=progress)
        except Unavailable as reason:
            missing[benchmark.name] = str(reason)
            _say(f"{_CLEAR}{head}: {reason}")
            continue
        results += measured
        for result in measured:
            sides = ", ".join(f"{name} {report.number(value)}" for name, value in result.samples.items())
            mark = "ok   " if result.met else "SHORT"
            _say(
                f"{_CLEAR}{mark} {report.amount(result, result.median)} (goal {report.goal(result)}) "
                f"{result.figure.what} [{result.figure.quantity}: {sides}]"
            )
    return results, missing


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 when a benchmark could not be run."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", help="which; those of the table without a name; `peers` installs what they need"
    )
    parser.add_argument("--list", action="store_true", help="tell the names and end")
    parser.add_argument("--rounds", type=int, help="how often each side is measured")
    parser.add_argument("--json", type=Path, help="write everything to this file")
    parser.add_argument(
        "--of",
        nargs="+",
        type=Path,
        metavar="JSON",
        help="measure nothing: the medians of runs that were written there",
    )
    parser.add_argument("--readme", action="store_true", help="write the table into the README")
    parser.add_argument("--smoke", action="store_true", help="tiny counts: shows that it runs, measures nothing")
    given = parser.parse_args(arguments)
    if given.names == ["peers"]:
        return install()
    if given.list:
        for benchmark in SUITE:
            sys.stdout.write(f"{benchmark.name}: {'; '.join(figure.what for figure in benchmark.figures)}\n")
        return 0
    results: list[Result]
    missing: dict[str, str] = {}
    if given.of:
        written = [path.read_text(encoding="utf-8") for path in given.of]
        results = report.medians_of(written, _chosen(given.names))
    else:
        results, missing = asyncio.run(_measure(_chosen(given.names), given.rounds, Scale(smoke=given.smoke)))
    sys.stdout.write(report.table(results) + "\n\n" + report.machine() + "\n")
    if given.json is not None:
        given.json.write_text(report.as_json(results, missing), encoding="utf-8")
    if given.readme:
        report.write_readme(results, runs=len(given.of) if given.of else 1)
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
