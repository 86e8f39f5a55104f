"""``stepup purge``: bounded batches, a clock that must be believed, and how far it has come."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stepup_middleware import EventName
from stepup_middleware.cli import main
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.tree import integrate
from stepup_middleware.testing.contract.values import MACS, all_records, assert_records_hold


async def aged(path: Path, *, days: int, count: int = 30) -> None:
    """Write a log whose records are so old."""
    at = datetime.now(UTC) - timedelta(days=days)
    async with SQLiteStore(path).use(MACS) as store:
        await store.append(
            [AuditEvent(at=at, name=EventName.BLOCKED, workspace_id="w", subject_id="u") for _ in range(count)]
        )
        await integrate(store)


async def left(path: Path) -> int:
    async with SQLiteStore(path).use(MACS) as store:
        await assert_records_hold(store)
        return len(await all_records(store))


def purge(*arguments: object, stderr: int | None = None) -> subprocess.CompletedProcess[str]:
    return stepup("purge", *map(str, arguments), stderr=stderr)


@contextmanager
def watched() -> Iterator[tuple[int, Callable[[], str]]]:
    """Yield a terminal for a command's standard error, and what returns the text that came to it."""
    shown, terminal = pty.openpty()
    os.set_blocking(shown, False)  # a command that shows nothing is an error, no wait
    try:
        yield terminal, lambda: os.read(shown, 65536).decode()
    finally:
        os.close(terminal)
        os.close(shown)


def stepup(*arguments: str, stderr: int | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stepup_middleware", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr or subprocess.PIPE, text=True, check=False)


async def test_a_purge_goes_on_batch_after_batch_and_tells_what_it_removed(tmp_path: Path) -> None:
    path = tmp_path / "stepup.db"
    await aged(path, days=400)
    today = datetime.now(UTC).date()
    done = purge("--database", path, "--batch", 7, "--today", today)
    assert (done.returncode, done.stdout) == (0, "purged 30 events, 0 prompts, 0 tokens\n"), done.stderr
    assert done.stderr == ""  # nobody watches
    assert await left(path) == 0
    again = purge("--database", path)
    assert (again.returncode, again.stdout) == (0, "purged 0 events, 0 prompts, 0 tokens\n")


async def test_a_purge_that_somebody_watches_shows_how_far_it_has_come(tmp_path: Path) -> None:
    path = tmp_path / "stepup.db"
    await aged(path, days=400)
    with watched() as (terminal, text_of):
        done = purge("--database", path, "--batch", 10, "--today", datetime.now(UTC).date(), stderr=terminal)
        text = text_of()
    assert done.returncode == 0
    assert [f"purged {count} events" in text for count in (10, 20, 30)] == [True] * 3


async def test_a_long_command_that_somebody_watches_shows_how_far_it_has_come(tmp_path: Path) -> None:
    path = tmp_path / "stepup.db"
    await aged(path, days=1, count=605)
    arguments = ["--database", str(path), "--output", str(tmp_path / "log")]
    with watched() as (terminal, text_of):
        done = stepup("audit", "export", *arguments, stderr=terminal)
        text = text_of()
    assert done.returncode == 0
    assert "exported 500 of 605" in text


async def test_after_a_long_time_without_a_purge_a_person_must_say_what_day_it_is(tmp_path: Path) -> None:
    path = tmp_path / "stepup.db"  # A12
    await aged(path, days=400)
    refused = purge("--database", path)
    assert refused.returncode == 1
    assert "nothing purged: the clock says" in refused.stderr
    assert f"--today {datetime.now(UTC).date()}" in refused.stderr
    assert await left(path) == 30


def test_a_day_that_the_clock_does_not_show_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["purge", "--database", str(tmp_path / "x.db"), "--today", "2037-11-24"]) == 2
    assert "set it right first" in capsys.readouterr().err
