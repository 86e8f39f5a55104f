"""What runs in processes of its own against a server: redeems, and tells what it ran."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from stepup_middleware.core.decisions import Presentation, Verdict
from stepup_middleware.stores.base import Store
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore

PATIENT = timedelta(seconds=30)


def open_store(*addresses: str) -> Store:
    """Return a store that waits longer than a crowd of processes on a small machine takes."""
    *hot, dsn = addresses
    store = PostgresStore(dsn, timeout=PATIENT)
    return RedisHotStore(hot[0], behind=store, timeout=PATIENT) if hot else store


def race(addresses: tuple[str, ...], shown: Sequence[Presentation], seed: int) -> list[int]:
    """Redeem all tokens at once, in an order of its own; return the ids of those that ran here."""

    async def ran(store: Store, one: Presentation) -> bool:
        answer = await store.redeem(replace(one, attempt=os.urandom(16)))
        return answer.decision.verdict is Verdict.REDEEMED

    async def run() -> list[int]:
        mine = list(shown)
        random.Random(seed).shuffle(mine)  # noqa: S311 - an order, no secret
        async with open_store(*addresses) as store:
            won = await asyncio.gather(*(ran(store, one) for one in mine))
        return [one.reference.id for one, here in zip(mine, won, strict=True) if here]

    return asyncio.run(run())
