"""How long a record waits for its leaf, while two thousand a second are written: the latest of all."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

from stepup_middleware.core.events import EventName
from stepup_middleware.service.integrating import Integration
from stepup_middleware.service.tampering import TamperAlarm
from stepup_middleware.stores.base import Store
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS, ORIGIN, event

from .harness import Benchmark, Figure, Sample, Scale, Sides, at_most, scratch
from .minted import PATIENT
from .postgres import server_of

PER_SECOND = 2000
SECONDS = 10.0
TICK_SECONDS = 0.02
CALLERS = 20  # at every tick, each with its share of the records
LOOK_SECONDS = 0.004  # how exactly the moment of a leaf is known


async def latest_leaf(store: Store, seconds: float) -> Sample:
    """Write records at the rate, as callers do, and return the milliseconds until the latest and the median leaf.

    A record waits from the moment in which its caller heard that it is durable.
    """
    records = store.records
    alarm = TamperAlarm(store=records, clock=lambda: datetime.now(UTC))
    integration = Integration(store=records, origin=ORIGIN, is_named=True, macs=MACS, alarm=alarm)
    loop = asyncio.get_running_loop()
    durable: deque[tuple[int, float]] = deque()  # how many records were written by when
    waited: list[float] = []
    ended = asyncio.Event()

    async def follow() -> None:
        while durable or not ended.is_set():
            while durable and durable[0][0] <= integration.seen.size:
                waited.append(loop.time() - durable.popleft()[1])
            await asyncio.sleep(LOOK_SECONDS)

    share = [event(EventName.BLOCKED)] * int(PER_SECOND * TICK_SECONDS / CALLERS)
    integration.start()
    following = asyncio.create_task(follow())
    began, written = loop.time(), 0
    for tick in range(1, round(seconds / TICK_SECONDS) + 1):
        await asyncio.gather(*(records.append(share) for _ in range(CALLERS)))
        written += CALLERS * len(share)
        durable.append((written, loop.time()))
        await asyncio.sleep(max(0.0, began + tick * TICK_SECONDS - loop.time()))
    rate = written / (loop.time() - began)
    ended.set()
    await asyncio.wait_for(following, PATIENT.total_seconds())
    await integration.close()
    assert integration.fault is None and integration.seen.size == written
    return {"ms": 1000 * max(waited), "median": 1000 * sorted(waited)[len(waited) // 2], "per second": rate}


@asynccontextmanager
async def _sides(scale: Scale) -> AsyncIterator[Sides]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(scratch())
        server = await stack.enter_async_context(server_of())
        number = 0

        async def measured(store: Store) -> Sample:
            async with store.use(MACS):
                return await latest_leaf(store, scale.seconds(SECONDS))

        async def sqlite() -> Sample:
            nonlocal number
            number += 1
            return await measured(SQLiteStore(folder / f"{number}.db", timeout=PATIENT))

        async def postgres() -> Sample:
            nonlocal number
            number += 1
            return await measured(PostgresStore(await server.create_database(f"log{number}"), timeout=PATIENT))

        yield {"sqlite": sqlite, "postgres": postgres}


_FIGURES = tuple(
    Figure(f"{what} of a record, {PER_SECOND:,} written a second on {name}", "the act that wrote it",
           at_most(250), quantity, side, unit="ms")
    for side, name in (("sqlite", "SQLite"), ("postgres", "PostgreSQL"))
    for what, quantity in (("the latest leaf", "ms"), ("the median leaf", "median"))
)  # fmt: skip
FURTHER = (Benchmark(name="leaves", sides=_sides, figures=_FIGURES),)
