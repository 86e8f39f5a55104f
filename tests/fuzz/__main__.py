"""Fuzz every target for a while: ``python -m tests.fuzz --seconds N [TARGET ...]``.

Prints for each target how many inputs were tried, and the input that broke a promise if there was one; the
exit status is then 1. The time is shared by all targets. What was found worth keeping is kept nowhere: a
finding becomes a test, an input that reaches further goes into ``corpus`` by hand.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import spellings
from .targets import CORPUS, TARGETS

ROOT = Path(__file__).parent.parent.parent
NAMES = (*sorted(TARGETS), "request")
SPELLINGS = "spellings"


@dataclass(frozen=True, slots=True)
class Result:
    """How a target fared: the number of inputs, and what broke a promise (empty: nothing did)."""

    target: str
    inputs: int
    finding: str


def fuzz(target: str, seconds: int) -> Result:
    """Run one target under the engine."""
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{target}-") as scratch:
        grown, found = Path(scratch) / "grown", Path(scratch) / "found"
        grown.mkdir()
        found.mkdir()
        options = [
            f"-max_total_time={seconds}",
            f"-artifact_prefix={found}/",
            "-timeout=20",
            "-rss_limit_mb=2048",
            "-max_len=16384",
            "-print_final_stats=1",
        ]
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.harness", target, *options, str(grown), str(CORPUS / target)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        told = done.stdout + done.stderr
        tried = re.search(r"stat::number_of_executed_units:\s+(\d+)", told)
        broken = [path.read_bytes() for path in sorted(found.iterdir())]
        finding = ""
        if done.returncode or broken or tried is None:
            finding = "\n".join([*(repr(data) for data in broken), told[-3000:]])
        return Result(target, int(tried.group(1)) if tried else 0, finding)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz, print the results, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Hostile input at every door.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join((*NAMES, SPELLINGS))}")
    parser.add_argument("--seconds", type=int, default=120, help="for all targets together")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args(arguments)
    targets = given.targets or [*NAMES, SPELLINGS]
    engine = [target for target in targets if target != SPELLINGS]
    if engine and importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed: pip install --group fuzz")
    each = max(1, given.seconds * given.jobs // len(targets))
    results = []
    with ThreadPoolExecutor(given.jobs) as pool:
        for result in pool.map(lambda target: fuzz(target, each), engine):
            results.append(result)
            _tell(result)
    if SPELLINGS in targets:
        for framework, (tried, finding) in spellings.run(each).items():
            results.append(Result(f"{SPELLINGS}: {framework}", tried, finding))
            _tell(results[-1])
    broken = [result for result in results if result.finding]
    print(  # noqa: T201 - this is the command
        f"{sum(result.inputs for result in results)} inputs tried, {len(broken)} got past or failed inside"
    )
    return int(bool(broken))


def _tell(result: Result) -> None:
    print(f"{result.inputs:10}  {result.target}", flush=True)  # noqa: T201
    if result.finding:
        print(result.finding, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
