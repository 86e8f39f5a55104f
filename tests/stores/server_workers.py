"""What runs in processes of its own against a server: redeems, and tells what it ran."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from stepup_middleware.core.decisions import Presentation, Verdict
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.base import Store
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore

PATIENT = timedelta(seconds=30)
AT_ONCE = 8  # presentations that a worker has under way


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


def present_all(addresses: tuple[str, ...], shown: Sequence[Presentation], seed: int, ledger: Path) -> None:
    """Present every token, in an order of one's own; write down each answer, and each run at once."""
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    mine = list(shown)
    random.Random(seed).shuffle(mine)  # noqa: S311 - an order, no secret

    async def present(store: Store, waiting: list[Presentation]) -> None:
        while waiting:
            one = waiting.pop()
            try:
                answer = await store.redeem(replace(one, attempt=os.urandom(16)))
            except StoreError:
                os.write(file, b"unavailable 0\n")
                continue
            # from here the action runs
            word = b"ran" if answer.decision.verdict is Verdict.REDEEMED else b"refused"
            os.write(file, b"%s %d\n" % (word, one.reference.id))

    async def run() -> None:
        async with open_store(*addresses) as store:
            await asyncio.gather(*(present(store, mine) for _ in range(AT_ONCE)))

    asyncio.run(run())
