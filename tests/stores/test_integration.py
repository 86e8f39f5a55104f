"""Records without a leaf are found wherever they lie: at the end of the log, and among those that have theirs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from stepup_middleware.core.keys import KeyRing
from stepup_middleware.log.integrator import Fault, SeenTree
from stepup_middleware.log.records import RowMacs
from stepup_middleware.stores.sql import integration
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.tree import assert_tree_holds, integrate
from stepup_middleware.testing.contract.values import MACS, NOW, ORIGIN, Opener, all_records, event

OLD_KEY, NEW_KEY = "the key of before, which is retired, of 32 bytes", "the key of today, which is the first: 32 bytes"


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a look back go over several stretches."""
    monkeypatch.setattr(integration, "STRETCH", 7)


async def test_records_left_at_the_end_by_an_earlier_process_get_their_leaves_in_their_order(
    open_any_store: Opener,
) -> None:
    async with open_any_store() as store:
        await store.records.append([event() for _ in range(20)])
        seen = await integrate(store)
        await store.records.append([event(reason=str(number)) for number in range(30)])
    async with open_any_store() as store:
        await store.records.append([event(reason="newest")])
        seen = await integrate(store, seen, limit=4)
        assert seen.size == 51
        assert [record.index for record in await all_records(store)] == list(range(51))
        await assert_tree_holds(store, seen)


async def test_records_of_a_key_that_was_missing_get_their_leaves_once_the_key_is_back(open_any_store: Opener) -> None:
    before, both = RowMacs(KeyRing(OLD_KEY)), RowMacs(KeyRing([NEW_KEY, OLD_KEY]))
    without, seen = open_any_store(), SeenTree()
    without.records.use(before)
    async with without:
        await without.records.append([event(reason=f"old {number}") for number in range(3)])
    missing = open_any_store()
    missing.records.use(RowMacs(KeyRing(NEW_KEY)))
    async with missing:
        await missing.records.append([event(reason=f"new {number}") for number in range(30)])
        step, seen = await missing.records.integrate(origin=ORIGIN, seen=seen)
        assert set(step.refused.values()) == {Fault.RECORD_MAC}
        assert (len(step.refused), seen.size) == (3, 30)
    back = open_any_store()
    back.records.use(both)
    async with back:
        for _ in range(20):  # one stretch beside each step
            await back.records.append([event()])
            step, seen = await back.records.integrate(origin=ORIGIN, seen=seen)
            assert (step.alarm, step.refused) == (None, {})
        records = await all_records(back)
        assert seen.size == 53
        assert all(record.index is not None and record.refused is None for record in records)


async def test_what_is_still_refused_after_a_restart_is_told_again(open_any_store: Opener) -> None:
    foreign = open_any_store()
    foreign.records.use(RowMacs(KeyRing(OLD_KEY)))
    async with foreign:
        await foreign.records.append([event()])
    seen = SeenTree()
    for _ in range(3):
        store = open_any_store()
        store.records.use(MACS)
        async with store:
            told = 0
            for _ in range(5):
                await store.records.append([event() for _ in range(3)])
                step, seen = await store.records.integrate(origin=ORIGIN, seen=seen)
                told += len(step.refused)
            assert told == 1


async def test_what_waits_is_counted_in_an_older_copy_of_the_log_too(tmp_path: Path) -> None:
    path, older = tmp_path / "x.db", tmp_path / "older.db"
    store = SQLiteStore(path, timeout=timedelta(seconds=30)).use(MACS)
    async with store:
        await store.append([event() for _ in range(20)])
        await integrate(store)
        with closing(sqlite3.connect(path)) as database:
            database.execute("VACUUM INTO ?", (str(older),))
        await store.append([event() for _ in range(40)])
        seen = await integrate(store)
    for end in ("-wal", "-shm"):
        path.with_name(f"x.db{end}").unlink(missing_ok=True)
    older.rename(path)
    async with store:
        for number in range(3):
            await store.append([event()])
            step, _ = await store.integrate(origin=ORIGIN, seen=seen)
            assert step.alarm is Fault.TREE_SHRANK
            assert (await store.backlog(now=NOW, limit=100)).leafless == number + 1
        await integrate(store)  # as one who has not seen the tree that is lost
        assert (await store.backlog(now=NOW, limit=100)).leafless == 0
        assert all(record.index is not None for record in await all_records(store))
