"""What ``python -m tests.differential`` does."""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from .apps import FRAMEWORKS
from .compare import Report, compared
from .mutations import MAY, NEVER
from .sockets import all_presented

PAIRS = 5_000
ENOUGH = 1_000  # pairs that count as one request, among which each kind that may is to be found


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print a line a framework and what was found; return 1 where anything was."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description="Is what is proved what runs?")
    parser.add_argument("frameworks", nargs="*", metavar="FRAMEWORK", help=f"of {', '.join(FRAMEWORKS)}; all")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="pairs a framework that count as one request")
    parser.add_argument("--sockets", type=int, default=0, help="pairs with real tokens over sockets, altogether")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same pairs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="frameworks at once")
    given = parser.parse_args(arguments)
    if unknown := set(given.frameworks) - set(FRAMEWORKS):
        parser.error(f"no such framework: {', '.join(sorted(unknown))}")
    chosen = [name for name in FRAMEWORKS if not given.frameworks or name in given.frameworks]
    context = multiprocessing.get_context("spawn")  # some frameworks keep their settings in the process
    with ProcessPoolExecutor(given.jobs, mp_context=context, max_tasks_per_child=1) as pool:
        waiting = [pool.submit(compared, name, pairs=given.pairs, seed=given.seed) for name in chosen]
        reports = [_shown(each.result()) for each in waiting]
    faults = _by_kind(reports, given.pairs)
    if given.sockets:
        presented = [_shown(each) for each in all_presented(chosen, pairs=given.sockets, seed=given.seed)]
        print(f"{sum(report.pairs for report in presented)} pairs with real tokens")  # noqa: T201 - this is the command
        reports += presented
    faults += sum(len(report.differences) for report in reports)
    print(f"{faults} differences")  # noqa: T201
    return int(faults > 0)


def _shown(report: Report) -> Report:
    """Print the line of a framework and its differences."""
    print(report.told(), flush=True)  # noqa: T201
    for difference in report.differences[:5]:
        print(difference.told(report.seed), flush=True)  # noqa: T201
    return report


def _by_kind(reports: Sequence[Report], pairs: int) -> int:
    """Print the counts by kind of change; return the number of kinds and frameworks of which too little was seen."""
    colliding: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    for report in reports:
        colliding.update(report.colliding)
        tried.update(report.tried)
    lines = ["", "counted as one request, of the pairs with this change:"]
    lines += [f"  {colliding[kind.name]:>8} of {tried[kind.name]:<8} {kind.name}" for kind in MAY]
    lines += ["never to be counted as one request:"]
    lines += [f"  {colliding[kind.name]:>8} of {tried[kind.name]:<8} {kind.name}" for kind in NEVER]
    faults = 0
    for report in reports:
        if report.collided < pairs and not report.differences:
            faults += 1
            lines.append(f"{report.framework}: {report.collided} pairs counted as one request, not {pairs}")
        if report.missing and report.collided >= ENOUGH and not report.differences:
            faults += 1
            lines.append(f"{report.framework}: no pair counted as one request with {', '.join(report.missing)}")
    print("\n".join(lines))  # noqa: T201
    return faults
