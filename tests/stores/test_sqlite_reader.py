"""The connection that reads: whatever is cancelled, and whichever loop has ended, its thread ends without a word."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware.stores.sqlite import SQLiteStore, reader
from stepup_middleware.testing.contract.values import MACS


class SlowlyOpened(reader.WatchedConnection):
    """A file that opens slowly, as on a disk that others keep busy."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        time.sleep(0.2)
        super().__init__(*arguments, **options)


@pytest.fixture
def unhandled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What threads raised that nobody took."""
    raised: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: raised.append(repr(arguments.exc_value)))
    before = set(threading.enumerate())
    yield raised
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
    assert raised == []


def readers_of(store: SQLiteStore) -> tuple[reader.SQLiteReader, ...]:
    """Both connections of a store that read."""
    return store._engine.state, store._engine.log


@pytest.mark.parametrize("closed", [True, False], ids=["the store is closed", "the process just ends"])
def test_a_read_cancelled_while_its_file_opens_leaves_no_thread_that_speaks_to_a_loop_that_ended(
    closed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unhandled: list[str]
) -> None:
    monkeypatch.setattr(reader, "WatchedConnection", SlowlyOpened)

    async def main() -> None:
        async with SQLiteStore(tmp_path / "stepup.db").use(MACS) as store:
            reads = [asyncio.create_task(each.fetch("SELECT 1")) for each in readers_of(store)]
            await asyncio.sleep(0.1)
            for read in reads:
                read.cancel()
            if closed:
                return
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*reads)
            assert await store.records.last_seq() == 0

    asyncio.run(main())
    assert unhandled == []


async def test_all_who_read_at_once_share_one_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[sqlite3.Connection] = []

    class Counted(SlowlyOpened):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            opened.append(self)

    monkeypatch.setattr(reader, "WatchedConnection", Counted)
    async with SQLiteStore(tmp_path / "stepup.db").use(MACS) as store:
        state, _ = readers_of(store)
        assert await asyncio.gather(*(state.fetch("SELECT 1") for _ in range(20))) == [[(1,)]] * 20
    assert len(opened) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_fork_after_the_loop_has_ended_closes_what_is_open_without_speaking_to_the_loop(
    tmp_path: Path, unhandled: list[str]
) -> None:
    store = SQLiteStore(tmp_path / "stepup.db").use(MACS)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(store.start())
        loop.run_until_complete(store.records.last_seq())
        loop.close()
        store._engine.suspend()  # as os.fork() calls it
        store._engine.resume()
        assert unhandled == []
    finally:
        asyncio.set_event_loop(None)
    asyncio.run(store.close())
