"""What holds of a store whose schema was migrated, whichever database it is in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from stepup_middleware.core.decisions import Verdict
from stepup_middleware.stores.base import Store
from stepup_middleware.testing.contract.values import assert_records_hold, event, hold, hold_many, won


async def assert_all_write(stores: Sequence[Store]) -> None:
    """Check that each of several stores on one database writes, then close them."""
    await asyncio.gather(*(store.append([event()]) for store in stores))
    await assert_records_hold(stores[0])
    await asyncio.gather(*(store.close() for store in stores))


async def assert_side_by_side(before: Store, newer: Store, again: Callable[[], Store]) -> None:
    """Check that two versions redeem each token once between them, and that the one before can start again."""
    held = await hold_many(before, 40)
    async with newer as after:
        answers = await asyncio.gather(*(store.redeem(one.shown()) for one in held for store in (before, after)))
        assert won(answers) == 40
        assert sum(answer.decision.verdict is Verdict.REUSED for answer in answers) == 40
        async with again() as restarted:
            assert won([await restarted.redeem((await hold(restarted)).shown())]) == 1
        await assert_records_hold(after)
