"""Judge the deliberate faults: each is put into a copy of the project, and its tests must fail.

Those that no test notices are printed, and the exit status is 1. Words pick the faults whose name has one of them.

The tests run in forks of this process, which has loaded the libraries already: most of what a short test
run takes is the import of them.
"""

from __future__ import annotations

import argparse
import compileall
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from py_compile import PycInvalidationMode

import pytest

from .faults import ROOT, Mutant, listed

COPIED = ("stepup_middleware", "demo_app", "tests", "static", "pyproject.toml", "README.md", "LICENSE")
LOADED = (
    "aiosqlite",
    "blockbuster",
    "httpx2",
    "hypothesis.strategies",
    "jinja2",
    "pyotp",
    "pytest_asyncio.plugin",
    "python_multipart",
    "starlette.applications",
    "starlette.endpoints",
    "starlette.formparsers",
    "uvicorn",
    "webauthn",
)
SECONDS = 300.0  # a fault that makes the tests hang is noticed as well


class Outcome(StrEnum):
    KILLED = "killed"
    SURVIVED = "survived"
    INVALID = "invalid"  # the tests did not come to run


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a fault, and what the tests printed."""

    mutant: Mutant
    outcome: Outcome
    told: str


def copy_of_project(folder: Path) -> Path:
    """Copy what the tests need into a folder, compiled so that a changed file is known by its content."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.db*"))
        else:
            shutil.copy(source, folder / name)
    compileall.compile_dir(folder / "stepup_middleware", quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    return folder


def _run_tests(folder: Path, tests: Sequence[str], log: Path) -> int:
    """Run tests of a copy in this process, which is a fork and ends with them; return pytest's exit status."""
    os.setsid()
    with log.open("wb") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "stepup_middleware")]:
        del sys.modules[name]
    options = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", "--rootdir", str(folder), "-c", "pyproject.toml"]
    options += ["--tb=native"]  # Python 3.11 cannot always parse a source again while deep coroutines unwind
    options += ["-k", "not postgres and not redis"]  # a server for each run would cost more than it shows
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # plugins are loaded already
    return int(pytest.main([*options, *tests]))


def _begin(mutant: Mutant, folder: Path) -> tuple[int, Path]:
    """Put a fault into a copy and start its tests; return their process and the changed file.

    Raises ``ValueError`` when it cannot be put there.
    """
    path, text = mutant.applied_to(folder / "stepup_middleware")
    path.write_text(text, "utf-8")
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            status = _run_tests(folder, mutant.tests, folder / "log")
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return pid, path.relative_to(folder)


def _ended(pid: int, deadline: float) -> Outcome | None:
    """Return what came of a test run, None while it goes on."""
    done, status = os.waitpid(pid, os.WNOHANG)
    if done == 0:
        if time.monotonic() < deadline:
            return None
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return Outcome.KILLED
    return {0: Outcome.SURVIVED, 1: Outcome.KILLED}.get(os.waitstatus_to_exitcode(status), Outcome.INVALID)


def judge(mutants: Sequence[Mutant], *, jobs: int) -> Iterator[Verdict]:
    """Yield the verdict on each fault, ``jobs`` of them at a time, as they end."""
    for name in LOADED:
        importlib.import_module(name)
    waiting = list(reversed(mutants))
    running: dict[int, tuple[Mutant, Path, Path, float]] = {}
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        sound = copy_of_project(Path(scratch) / "sound")
        free = [shutil.copytree(sound, Path(scratch) / str(number)) for number in range(jobs)]
        while waiting or running:
            while waiting and free:
                mutant, folder = waiting.pop(), free.pop()
                try:
                    pid, changed = _begin(mutant, folder)
                    running[pid] = mutant, folder, changed, time.monotonic() + SECONDS
                except ValueError as error:
                    free.append(folder)
                    yield Verdict(mutant, Outcome.INVALID, str(error))
            for pid, (mutant, folder, changed, deadline) in list(running.items()):
                if (outcome := _ended(pid, deadline)) is not None:
                    del running[pid]
                    told = (folder / "log").read_text("utf-8", "replace")
                    shutil.copy(sound / changed, folder / changed)
                    free.append(folder)
                    yield Verdict(mutant, outcome, told)
            time.sleep(0.02)


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge the faults, print what became of each that was not noticed, and the count."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Are deliberate faults noticed?")
    parser.add_argument("words", nargs="*", help="judge only the faults whose name has one of these")
    parser.add_argument("--list", type=Path, action="append", help="a list to judge (default: all below tests/)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(arguments)
    mutants = [one for one in listed(given.list) if not given.words or any(word in one.name for word in given.words)]
    killed = 0
    for verdict in judge(mutants, jobs=given.jobs):
        if verdict.outcome is Outcome.KILLED:
            killed += 1
            continue
        print(f"{verdict.outcome}: {verdict.mutant.name} ({verdict.mutant.at})", flush=True)  # noqa: T201
        if verdict.outcome is Outcome.INVALID:
            print(verdict.told[-2000:], flush=True)  # noqa: T201
    print(f"{killed} of {len(mutants)} mutants killed")  # noqa: T201 - this is the command
    return int(killed < len(mutants))


if __name__ == "__main__":
    sys.exit(main())
