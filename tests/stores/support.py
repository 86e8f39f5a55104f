"""What the tests of the stores of this library share beside the values of the contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from stepup_middleware.core.events import EventName
from stepup_middleware.errors import StoreError
from stepup_middleware.log.integrator import SeenTree
from stepup_middleware.stores.base import HotState
from stepup_middleware.testing.contract.tree import assert_tree_holds, integrate
from stepup_middleware.testing.contract.values import ORIGIN, Held, all_records, assert_records_hold


async def assert_each_ran_once(store: HotState, held: Sequence[Held], ran: Sequence[Sequence[int]]) -> None:
    """Assert that of eight processes one ran each token, and that the log tells of each and of its first replay."""
    assert sorted(id_ for ids in ran for id_ in ids) == sorted(one.reference.id for one in held)
    names = [record.event for record in await all_records(store)]
    assert names.count(EventName.ACTION_AUTHORIZED) == len(held)
    assert names.count(EventName.REUSED) == len(held)  # the other six are counted
    await assert_records_hold(store)


async def log_faults(store: HotState) -> int:
    """Give every record its leaf, and return 1 where the log or its tree is not whole then, else 0."""
    try:
        await integrate(store)
        await assert_records_hold(store)
        await assert_tree_holds(store)
        assert all(record.index is not None for record in await all_records(store))
    except AssertionError:
        return 1
    return 0


@asynccontextmanager
async def integrating(store: HotState) -> AsyncIterator[None]:
    """Give records their leaves all the time, as an app does. What cannot be done now is tried again."""

    async def go_on() -> None:
        seen = SeenTree()
        while True:
            with suppress(StoreError):
                step, seen = await store.records.integrate(origin=ORIGIN, seen=seen)
                assert step.alarm is None
            await asyncio.sleep(0.005)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
