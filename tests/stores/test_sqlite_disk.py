"""A disk that is slow, that fails, or that returns something else than was written."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stepup_middleware.core.decisions import Presentation, Verdict
from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.tree import integrate
from stepup_middleware.testing.contract.values import MACS, all_records, assert_records_hold, event, hold_many, won
from tests.machine import program

from .crashes import Siege
from .support import log_faults

PAGE = 4096


async def present(siege: Siege, shown: Sequence[Presentation], fault: str, *, seconds: float) -> None:
    """Present the tokens from a process whose system calls meet a fault."""
    tokens = siege.path.with_name("shown")
    tokens.write_bytes(pickle.dumps(list(shown)))
    process = await asyncio.create_subprocess_exec(
        program("strace"), "-f", "-qq", "-o", os.devnull, "-e", "trace=fdatasync", "-e", f"inject=fdatasync:{fault}",
        sys.executable, "-m", "tests.stores.presenting", siege.path, tokens, siege.ledger, str(seconds),
        stderr=subprocess.DEVNULL,  # it logs each fault
    )  # fmt: skip
    async with asyncio.timeout(120):
        assert await process.wait() == 0


@pytest.mark.slow
async def test_on_a_slow_disk_everybody_is_served(tmp_path: Path) -> None:
    siege = Siege(tmp_path)
    shown = await siege.mint(60)
    await present(siege, shown, "delay_enter=50000", seconds=30)  # microseconds
    await siege.judge(shown)
    assert siege.figures.runs == 60
    assert siege.figures.sound, siege.figures


@pytest.mark.slow
async def test_on_a_disk_too_slow_to_wait_for_nothing_runs_twice(tmp_path: Path) -> None:
    siege = Siege(tmp_path)  # S03
    shown = await siege.mint(24)
    await present(siege, shown, "delay_enter=700000:when=4+", seconds=0.3)
    await siege.judge(shown)
    assert siege.figures.refused_unavailable > 0
    assert siege.figures.sound, siege.figures


@pytest.mark.slow
async def test_a_disk_that_fails_now_and_then_loses_no_redemption_and_repeats_none(tmp_path: Path) -> None:
    siege = Siege(tmp_path)  # S03, S06
    shown = await siege.mint(300)
    await present(siege, shown, "error=EIO:when=8+3", seconds=5)
    await siege.judge(shown)
    assert siege.figures.refused_unavailable > 0
    assert siege.figures.runs > 0
    assert siege.figures.sound, siege.figures


@pytest.mark.slow
async def test_a_corrupt_page_is_an_error_and_never_a_second_run(tmp_path: Path) -> None:
    path = tmp_path / "stepup.db"  # S11
    async with SQLiteStore(path).use(MACS) as store:
        held = await hold_many(store, 20)
        for one in held[:5]:
            await store.redeem(one.shown())
    whole = content(path)
    errors = 0
    for page in range(len(whole) // PAGE):
        damaged = bytearray(whole)
        damaged[page * PAGE : (page + 1) * PAGE] = bytes(byte ^ 0x5A for byte in whole[page * PAGE : (page + 1) * PAGE])
        folder = tmp_path / str(page)
        folder.mkdir()
        (folder / "stepup.db").write_bytes(damaged)
        errors += await damaged_answers(folder / "stepup.db", [one.shown() for one in held])
    assert errors > 10
    async with SQLiteStore(path).use(MACS) as store:
        assert won([await store.redeem(one.shown()) for one in held]) == 15
        await assert_records_hold(store)


async def damaged_answers(path: Path, shown: Sequence[Presentation]) -> int:
    """Present each token twice to a damaged database; fail if one runs that may not, and count the errors."""
    errors = 0
    try:
        async with SQLiteStore(path).use(MACS) as store:
            for place, one in enumerate(shown):
                runs = 0
                for _ in range(2):
                    try:
                        answer = await store.redeem(presented_anew(one))
                    except StoreError:
                        errors += 1
                    else:
                        runs += answer.decision.verdict is Verdict.REDEEMED
                assert runs <= (place >= 5)
    except (StoreError, ConfigurationError):
        errors += 1
    return errors


def presented_anew(shown: Presentation) -> Presentation:
    return replace(shown, attempt=os.urandom(16))


def content(path: Path) -> bytes:
    """Return a database's file, with its log merged."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


@pytest.mark.slow
async def test_a_purge_that_is_killed_leaves_a_whole_tree_and_the_next_one_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "stepup.db"  # X08
    now = datetime.now(UTC)
    async with SQLiteStore(path).use(MACS) as store:
        await store.append([event(at=now - timedelta(days=400)) for _ in range(3000)])
        await integrate(store)
        command: list[str | Path] = [
            "-m",
            "stepup_middleware",
            "purge",
            "--batch",
            "1",
            "--today",
            str(now.date()),
            "--database",
            path,
        ]
        purging = await asyncio.create_subprocess_exec(sys.executable, *command)
        async with asyncio.timeout(60):
            while len(await store.stored_records(after=0, limit=3000)) == 3000:
                assert purging.returncode is None
        purging.send_signal(signal.SIGKILL)
        await purging.wait()
        left = len(await all_records(store))
        assert 0 < left < 3000
        await assert_records_hold(store)
        assert won([await store.redeem(one.shown()) for one in await hold_many(store, 3)]) == 3
        await store.purge(now=now, limit=10_000, clock_confirmed=True)
        assert len(await all_records(store)) < left
        assert await log_faults(store) == 0
