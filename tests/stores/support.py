"""What the tests of the stores of this library share beside the values of the contract."""

from __future__ import annotations

from collections.abc import Sequence

from stepup_middleware.core.events import EventName
from stepup_middleware.stores.base import HotState
from stepup_middleware.testing.contract.values import Held, all_records, assert_chains_hold


async def assert_each_ran_once(store: HotState, held: Sequence[Held], ran: Sequence[Sequence[int]]) -> None:
    """Assert that of eight processes one ran each token, and that the log tells of each and of its first replay."""
    assert sorted(id_ for ids in ran for id_ in ids) == sorted(one.reference.id for one in held)
    names = [record.event for record in await all_records(store)]
    assert names.count(EventName.ACTION_AUTHORIZED) == len(held)
    assert names.count(EventName.REUSED) == len(held)  # the other six are counted
    await assert_chains_hold(store)
