"""What runs in processes of its own against a server: redeems, and tells what it ran."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from stepup_middleware.core.decisions import Presentation
from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore
from stepup_middleware.testing.contract.values import MACS

from .support import integrating
from .workers import PATIENT, present, won_by


def open_store(*addresses: str) -> HotState:
    """Return a store that waits longer than a crowd of processes on a small machine takes."""
    *hot, dsn = addresses
    store = PostgresStore(dsn, timeout=PATIENT).use(MACS)
    return RedisHotStore(hot[0], behind=store, timeout=PATIENT) if hot else store


def race(addresses: tuple[str, ...], shown: Sequence[Presentation], seed: int) -> list[int]:
    """Open the store and redeem all tokens at once; return the ids of those that ran here."""

    async def run() -> list[int]:
        async with open_store(*addresses) as store:
            return await won_by(store, shown, seed)

    return asyncio.run(run())


def present_all(addresses: tuple[str, ...], shown: Sequence[Presentation], seed: int, ledger: Path) -> None:
    """Open the store and present every token."""

    async def run() -> None:
        async with open_store(*addresses) as store, integrating(store):
            await present(store, shown, seed, ledger)

    asyncio.run(run())
