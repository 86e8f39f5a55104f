"""What counts as one request is one to every framework; the suite itself finds what it is there to find."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from .apps import FRAMEWORKS, ways_of
from .compare import core
from .grammar import honest
from .mutations import KINDS, MAY, NEVER
from .wire import Multipart, Wire, scope_of

PAIRS, SOCKETS = 500, 48  # of which .ci/run takes more, by the command


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own: some frameworks keep their settings in the process."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.differential", "--jobs", "1", *arguments]
    return subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)


@pytest.mark.sweep(one_in=4)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_two_requests_that_count_as_one_are_read_alike(framework: str) -> None:
    done = run("--pairs", str(PAIRS), framework)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["0 differences"]), done.stdout + done.stderr


@pytest.mark.slow
def test_a_token_for_one_request_runs_another_only_where_both_are_read_alike() -> None:
    done = run("--pairs", "1", "--sockets", str(SOCKETS))
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["0 differences"]), done.stdout + done.stderr


def test_each_kind_of_change_is_made_and_none_is_made_twice_alike() -> None:
    rng, made = Random(1), Counter[str]()  # noqa: S311 - the same requests again
    for _ in range(600):
        first = honest(rng, ("body", "form"), rng.choice(("layered", "outside")))
        for kind in KINDS.values():
            second = first.copy()
            if kind.change(rng, second) and second.key() != first.key():
                made[kind.name] += 1
    assert set(made) == set(KINDS)
    assert {kind.name for kind in MAY} | {kind.name for kind in NEVER} == set(KINDS)


def test_what_must_not_be_counted_as_the_same_request_differs_in_what_decides_how_it_is_read() -> None:
    rng = Random(2)  # noqa: S311
    for _ in range(200):
        first = honest(rng, ("body",), "plain")
        for kind in NEVER:
            second = first.copy()
            if kind.change(rng, second) and second.key() != first.key():
                try:
                    assert core(second) != core(first), kind.name
                except UnicodeError:
                    assert not second.target.isascii()


def test_a_form_is_written_as_browsers_write_it() -> None:
    rng = Random(3)  # noqa: S311
    wire = honest(rng, ways_of("starlette"), "plain")
    while not isinstance(wire.content, Multipart) or len(wire.content.parts) != 1:
        wire = honest(rng, ways_of("starlette"), "plain")
    body, boundary = wire.body, wire.content.boundary
    assert body.startswith(b"--" + boundary + b"\r\nContent-Disposition: form-data; name=")
    assert body.endswith(b"\r\n--" + boundary + b"--\r\n")


def test_the_scope_is_that_of_the_server() -> None:
    wire = Wire(b"GET", b"/x/a%2Fb?q=%2F", [(b"Host", b"h")])
    scope = scope_of(wire)
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/x/a/b", b"/x/a%2Fb", b"q=%2F")
    assert scope["headers"] == [(b"host", b"h")]
    wire.target, wire.server = b"http://elsewhere/x/a?q", "httptools"
    assert scope_of(wire)["raw_path"] == b"/x/a"
    wire.server = "h11"
    assert scope_of(wire)["raw_path"] == b"http://elsewhere/x/a"


def test_the_guide_names_the_command_and_the_frameworks_that_are_compared() -> None:
    guide = (Path(__file__).parents[2] / "demo_app" / "guide" / "details.md").read_text(encoding="utf-8")
    section = guide.partition("## How this is tested")[2].partition("\n## ")[0].lower()
    assert "`python -m tests.differential`" in section
    assert all(framework in section for framework in FRAMEWORKS)
