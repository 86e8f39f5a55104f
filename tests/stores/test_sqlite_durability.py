"""A commit of the SQLite store is on the disk when it returns."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware.stores.sqlite import SQLiteStore

from .support import hold, won


# X01
async def test_the_writer_commits_with_a_full_sync_of_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def watched(*arguments: Any, **settings: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **settings))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", watched)
    async with SQLiteStore(tmp_path / "stepup.db") as store:
        held = await hold(store)
        assert won([await store.redeem(held.shown())]) == 1
        writer = opened[0]
        assert writer.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL: each commit reaches the disk
        assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
