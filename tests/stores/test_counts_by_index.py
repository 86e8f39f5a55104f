"""Counting a short time of a long log looks at little besides."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import asyncpg

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.moments import to_micros
from stepup_middleware.stores.base import Store
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS, MINUTE, NOW, event

from .conftest import PATIENT

STEP = timedelta(seconds=10)
IN_AN_HOUR = 360


def log_of(count: int) -> list[AuditEvent]:
    """Make events ten seconds apart, every fifth of another workspace."""
    return [event(at=NOW + STEP * n, workspace_id="w-2" if n % 5 == 0 else "w-1") for n in range(count)]


async def count_an_hour(store: Store, count: int) -> None:
    """Count an hour in the middle of the log."""
    since = NOW + STEP * (count // 2)
    found = await store.count_events("w-1", since=since, until=since + 60 * MINUTE)
    assert sum(found.by_hour.values()) == IN_AN_HOUR * 4 // 5


async def test_an_hour_of_a_sqlite_log_costs_the_same_however_long_the_log(tmp_path: Path) -> None:
    steps = {2_000: 0, 20_000: 0}
    for count in steps:
        async with SQLiteStore(tmp_path / f"{count}.db", timeout=PATIENT).use(MACS) as store:
            await store.append(log_of(count))
            await store.last_seq()  # opens the connection
            connection = store._log._connection
            assert connection is not None

            def tick(count: int = count) -> None:
                steps[count] += 1

            await connection.set_progress_handler(tick, 10)
            await count_an_hour(store, count)
    assert 0 < steps[20_000] < 1.2 * steps[2_000]


async def test_an_hour_of_a_postgresql_log_is_found_by_an_index(postgres_dsn: str) -> None:
    count = 20_000
    async with PostgresStore(postgres_dsn, timeout=PATIENT).use(MACS) as store:
        await store.append(log_of(count))
        connection = await asyncpg.connect(postgres_dsn)
        await connection.execute("ANALYZE stepup.audit")
        await count_an_hour(store, count)
        since = to_micros(NOW + STEP * (count // 2))
        text = f"EXPLAIN (ANALYZE, FORMAT JSON) {store._engine.database.sql['count_events']}"
        plan = json.loads(await connection.fetchval(text, "w-1", since, since + IN_AN_HOUR * 10_000_000, count))
        await connection.close()
    nodes = [plan[0]["Plan"]]
    while "Plans" in nodes[-1]:
        nodes += nodes[-1]["Plans"]
    seen = max(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in nodes)
    assert seen <= IN_AN_HOUR, plan
