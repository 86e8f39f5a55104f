"""What runs in processes of its own: redeems, and tells what it ran."""

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
from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS

PATIENT = timedelta(seconds=30)
AT_ONCE = 8  # presentations that a worker has under way


async def _ran(store: HotState, shown: Presentation) -> bool:
    answer = await store.redeem(replace(shown, attempt=os.urandom(16)))
    return answer.decision.verdict is Verdict.REDEEMED


async def won_by(store: HotState, shown: Sequence[Presentation], seed: int) -> list[int]:
    """Redeem all tokens at once, in an order of one's own; return the ids of those that ran here."""
    mine = list(shown)
    random.Random(seed).shuffle(mine)  # noqa: S311 - an order, no secret
    ran = await asyncio.gather(*(_ran(store, one) for one in mine))
    return [one.reference.id for one, won in zip(mine, ran, strict=True) if won]


def race(path: Path, shown: Sequence[Presentation], seed: int) -> list[int]:
    """Open the store and redeem all tokens at once; return the ids of those that ran here."""

    async def run() -> list[int]:
        async with SQLiteStore(path, timeout=PATIENT).use(MACS) as store:
            return await won_by(store, shown, seed)

    return asyncio.run(run())


async def present(store: HotState, shown: Sequence[Presentation], seed: int, ledger: Path) -> None:
    """Present every token, in an order of one's own; write down each answer, and each run at once."""
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    waiting = list(shown)
    random.Random(seed).shuffle(waiting)  # noqa: S311 - an order, no secret

    async def one_after_another() -> None:
        while waiting:
            one = waiting.pop()
            try:
                ran = await _ran(store, one)
            except StoreError:
                os.write(file, b"unavailable 0\n")
                continue
            # from here the action runs
            os.write(file, b"%s %d\n" % (b"ran" if ran else b"refused", one.reference.id))

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))


def redeem_over_a_fork(path: Path, shown: Sequence[Presentation]) -> tuple[list[int], list[int]]:
    """Open the store, fork, and redeem all tokens in parent and child; return the ids that ran in each."""

    async def here(store: SQLiteStore) -> list[int]:
        ran = await asyncio.gather(*(_ran(store, one) for one in shown))
        await store.records.last_seq()  # a reader was opened anew as well
        return [one.reference.id for one, won in zip(shown, ran, strict=True) if won]

    async def run() -> tuple[list[int], list[int]]:
        async with SQLiteStore(path, timeout=PATIENT).use(MACS) as store:
            await store.records.last_seq()
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    ran = asyncio.run(in_child(store))
                    os.write(writing, " ".join(map(str, ran)).encode() + b".")
                    status = 0
                finally:
                    os._exit(status)
            os.close(writing)
            mine = await here(store)
            _, status = await asyncio.to_thread(os.waitpid, child, 0)
            if status:
                raise RuntimeError(f"the child ended with {status}")
            with os.fdopen(reading, "rb") as file:
                theirs = file.read().rstrip(b".").split()
            return mine, [int(id_) for id_ in theirs]

    async def in_child(store: SQLiteStore) -> list[int]:
        ran = await here(store)
        await store.close()
        return ran

    return asyncio.run(run())
