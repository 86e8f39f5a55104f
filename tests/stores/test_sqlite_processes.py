"""Several real processes on one file: each token runs once in total, whatever dies."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from multiprocessing import get_context
from pathlib import Path

import pytest

from stepup_middleware.core.decisions import Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.stores.sqlite import SQLiteStore

from .support import all_records, assert_chains_hold, hold_many
from .workers import race, redeem_over_a_fork, redeem_until_killed

SPAWN = get_context("spawn")


@pytest.mark.slow
async def test_eight_processes_share_each_token(tmp_path: Path) -> None:
    path = tmp_path / "stepup.db"
    async with SQLiteStore(path) as store:
        held = await hold_many(store, 60)
    shown = [one.shown() for one in held]
    with SPAWN.Pool(8) as pool:
        ran = pool.starmap(race, [(path, shown, seed) for seed in range(8)])
    assert sorted(id_ for ids in ran for id_ in ids) == sorted(one.reference.id for one in held)
    async with SQLiteStore(path) as store:
        names = [record.event for record in await all_records(store)]
        assert names.count(EventName.ACTION_AUTHORIZED) == 60
        assert names.count(EventName.REUSED) == 60
        await assert_chains_hold(store)


@pytest.mark.slow
async def test_killing_the_writer_anywhere_loses_no_redemption_and_repeats_none(tmp_path: Path) -> None:
    path, ledger = tmp_path / "stepup.db", tmp_path / "ledger"  # X01, A02
    async with SQLiteStore(path) as store:
        held = await hold_many(store, 1500)
    shown = [one.shown() for one in held]
    order = random.Random(7)  # noqa: S311 - an order, no secret
    kills = 0
    for _ in range(24):
        process = SPAWN.Process(target=redeem_until_killed, args=(path, shown, ledger))
        process.start()
        enough = _size(ledger) + order.randrange(1, 150)
        while process.is_alive() and _size(ledger) < enough:
            process.join(0.001)
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
    assert kills >= 20
    ran = [int(line) for line in ledger.read_text().split()]
    assert len(ran) == len(set(ran))
    prompts = {one.reference.id: one.prompt.id for one in held}
    async with SQLiteStore(path) as store:
        records = await all_records(store)
        authorized = [record.prompt_id for record in records if record.event is EventName.ACTION_AUTHORIZED]
        assert len(authorized) == len(set(authorized))
        assert {prompts[id_] for id_ in ran} <= set(authorized)
        await assert_chains_hold(store)
        for one in held:
            answer = await store.redeem(one.shown())
            assert (answer.decision.verdict is Verdict.REUSED) is (one.prompt.id in authorized)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def _size(ledger: Path) -> int:
    return ledger.stat().st_size if ledger.exists() else 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
async def test_a_fork_leaves_parent_and_child_with_a_store_that_works(tmp_path: Path) -> None:
    path = tmp_path / "stepup.db"  # S19
    async with SQLiteStore(path) as store:
        held = await hold_many(store, 40)
    shown = [one.shown() for one in held]
    with SPAWN.Pool(1) as pool:
        mine, theirs = pool.apply(redeem_over_a_fork, (path, shown))
    assert sorted(mine + theirs) == sorted(one.reference.id for one in held)
    async with SQLiteStore(path) as store:
        await assert_chains_hold(store)
        names = [record.event for record in await all_records(store)]
        assert names.count(EventName.ACTION_AUTHORIZED) == 40
