"""What was measured, as a table, as JSON and in the README."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from .harness import TIMES, Benchmark, Result

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- benchmarks: written by `python -m tests.benchmarks --readme` -->", "<!-- /benchmarks -->"


def number(value: float) -> str:
    """Return a number with three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def amount(result: Result, value: float) -> str:
    """Return a value with the unit of its figure."""
    unit = result.figure.unit
    return f"{number(value)}{TIMES}" if unit == TIMES else f"{number(value)} {unit}".rstrip()


def goal(result: Result) -> str:
    """Return the goal of a figure."""
    wanted = result.figure.goal
    return f"{'≥' if wanted.upwards else '≤'} {amount(result, wanted.limit)}"


def machine() -> str:
    """Say in one line what it was measured on."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return (
        f"{os.cpu_count()} cores of {cpu}, {platform.system()}, "
        f"{platform.python_implementation()} {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def table(results: Sequence[Result]) -> str:
    """Return the Markdown table: figures of the same words share a row, a semicolon between them."""
    rows = ["| what | against, in the same run | goal | measured |", "|---|---|---|---|"]
    for what, given in groupby(results, lambda result: result.figure.what.strip()):
        figures = list(given)
        baselines = dict.fromkeys(result.figure.baseline for result in figures)
        rows.append(f"| {what} | {'; '.join(baselines)} | {_each(goal, figures)} | {_each(_measured, figures)} |")
    return "\n".join(rows)


def _each(say: Callable[[Result], str], figures: Sequence[Result]) -> str:
    return "; ".join(map(say, figures))


def _measured(result: Result) -> str:
    """Say the median, between which values the rounds were, and whether it falls short of the goal."""
    low, high = number(min(result.values)), number(max(result.values))
    spread = f" ({low} to {high})" if low != high else ""
    beside = result.samples.get(result.figure.beside or "")
    said = "" if beside is None else f", beside {amount(result, beside)}"
    return f"{amount(result, result.median)}{spread}{said}{'' if result.met else ', short'}"


def as_json(results: Sequence[Result], missing: dict[str, str]) -> str:
    """Return everything, the values of each round included."""
    entries: list[dict[str, Any]] = [
        {
            "benchmark": result.benchmark,
            "what": result.figure.what,
            "baseline": result.figure.baseline,
            "of": result.figure.of,
            "quantity": result.figure.quantity,
            "unit": result.figure.unit,
            "goal": {("at_least" if result.figure.goal.upwards else "at_most"): result.figure.goal.limit},
            "median": result.median,
            "met": result.met,
            "rounds": result.values,
            "medians_of_sides": result.samples,
        }
        for result in results
    ]
    head = {"machine": machine(), "at": datetime.now(UTC).isoformat(timespec="seconds")}
    return json.dumps({**head, "figures": entries, "missing": missing}, indent=2, ensure_ascii=False) + "\n"


def medians_of(written: Sequence[str], suite: Sequence[Benchmark]) -> list[Result]:
    """Return the figures of a suite over several runs, each given by its ``as_json``: the median of each
    run, or of one run its rounds.

    Raises ``ValueError`` for a figure that one of them lacks.
    """
    runs = [json.loads(text)["figures"] for text in written]
    results = []
    for benchmark in suite:
        measured = [[entry for entry in run if entry["benchmark"] == benchmark.name] for run in runs]
        for place, figure in enumerate(benchmark.figures):  # figures that share a row have one text: their place tells
            named = (figure.what, figure.baseline, figure.of)
            entries = [run[place] for run in measured if place < len(run)]
            if len(entries) < len(runs) or any(named != (e["what"], e["baseline"], e["of"]) for e in entries):
                raise ValueError(f"not every run has the figure {figure.what!r} of {benchmark.name}")
            medians = entries[0]["rounds"] if len(entries) == 1 else [entry["median"] for entry in entries]
            results.append(Result(benchmark.name, figure, medians, entries[-1]["medians_of_sides"]))
    return results


def write_readme(results: Sequence[Result], path: Path = README, *, runs: int = 1) -> None:
    """Put the table of so many runs between the marks of the README. Raises ``ValueError`` when there are none."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no marks for the table")
    today = datetime.now(UTC).date().isoformat()
    of_runs = f", and of {runs} runs of the suite" if runs > 1 else ""
    said = f"Measured on {today}: {machine()}. Medians of alternating rounds{of_runs}."
    written = f"\n\n{table(results)}\n\n{said}\n\n"
    path.write_text(before + begin + written + end + after, encoding="utf-8")
