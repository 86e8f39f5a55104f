"""A commit of the SQLite store is on the disk when it returns, and the file survives its writers."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware.stores.sqlite import SQLiteStore, database
from stepup_middleware.testing.contract.values import MACS, hold, won


# X01
async def test_the_writer_commits_with_a_full_sync_of_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def watched(*arguments: Any, **settings: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **settings))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", watched)
    async with SQLiteStore(tmp_path / "stepup.db").use(MACS) as store:
        held = await hold(store)
        assert won([await store.redeem(held.shown())]) == 1
        writer = opened[0]
        assert writer.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL: each commit reaches the disk
        assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# S16
@pytest.mark.parametrize(
    ("version", "turns", "warned"), [((3, 51, 2), False, True), ((3, 51, 3), False, False), ((3, 40, 1), True, False)]
)
def test_where_nobody_takes_turns_an_sqlite_that_may_corrupt_the_file_is_warned_of(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    version: tuple[int, int, int],
    turns: bool,
    warned: bool,
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    monkeypatch.setattr(database, "LOCKS", turns)
    database.check_place(tmp_path / "stepup.db")
    assert ("use one process" in caplog.text) is warned
