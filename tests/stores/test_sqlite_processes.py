"""Several real processes on one file: each token runs once in total, whatever dies."""

from __future__ import annotations

import os
from multiprocessing import get_context
from pathlib import Path

import pytest

from stepup_middleware.core.events import EventName
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS, all_records, assert_records_hold, hold_many

from .crashes import besieged
from .support import assert_each_ran_once
from .workers import race, redeem_over_a_fork

SPAWN = get_context("spawn")


@pytest.mark.slow
async def test_eight_processes_share_each_token(tmp_path: Path) -> None:
    path = tmp_path / "stepup.db"  # S17: no worker is told that the database was busy, none redeems twice
    async with SQLiteStore(path).use(MACS) as store:
        held = await hold_many(store, 60)
    shown = [one.shown() for one in held]
    with SPAWN.Pool(8) as pool:
        ran = pool.starmap(race, [(path, shown, seed) for seed in range(8)])
    async with SQLiteStore(path).use(MACS) as store:
        assert len(held) == 60
        await assert_each_ran_once(store, held, ran)


@pytest.mark.slow
async def test_killing_workers_anywhere_loses_no_redemption_and_repeats_none(tmp_path: Path) -> None:
    figures = await besieged(tmp_path, kills=30, seed=7)  # X01, X07, A02; more by python -m tests.stores.crashes
    assert figures.kills == 30
    assert figures.runs > 0
    assert figures.sound, figures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
async def test_a_fork_leaves_parent_and_child_with_a_store_that_works(tmp_path: Path) -> None:
    path = tmp_path / "stepup.db"  # S19
    async with SQLiteStore(path).use(MACS) as store:
        held = await hold_many(store, 40)
    shown = [one.shown() for one in held]
    with SPAWN.Pool(1) as pool:
        mine, theirs = pool.apply(redeem_over_a_fork, (path, shown))
    assert sorted(mine + theirs) == sorted(one.reference.id for one in held)
    async with SQLiteStore(path).use(MACS) as store:
        await assert_records_hold(store)
        names = [record.event for record in await all_records(store)]
        assert names.count(EventName.ACTION_AUTHORIZED) == 40
