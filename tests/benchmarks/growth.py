"""Redemption in tables that grew for years, at the store: SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from time import perf_counter
from typing import Any

from stepup_middleware.core.decisions import Presentation, Verdict
from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS
from tests.stores.servers import PostgresServer

from .grown import SUBJECTS, WORKSPACES, grow
from .harness import Benchmark, Figure, Sample, Scale, Side, Sides, at_most, scratch
from .minted import PATIENT, mint_in
from .postgres import mint_on, server_of

CALLERS = 64
_MANY = 5_000_000
_TOKENS = f"""
INSERT INTO stepup.tokens (
    nonce, epoch, state, prompt, workspace, subject, session, ip, purpose, requirement, policy_version,
    request_digest, details_digest, factor, factor_kind, issued_at, expires_at, mac, attempt, redeemed_at
)
SELECT decode(md5(i::text), 'hex'), t.epoch, 'redeemed', lpad(to_hex(i), 12, '0') || md5('p' || i),
    'w-' || (i % {WORKSPACES}), 'u-' || (i % {SUBJECTS}), t.session, t.ip, t.purpose, t.requirement,
    t.policy_version, t.request_digest, t.details_digest, t.factor, t.factor_kind,
    t.issued_at, t.expires_at, t.mac, decode(md5('a' || i), 'hex'), t.issued_at
FROM generate_series(1, $1::bigint) AS i, (SELECT * FROM stepup.tokens ORDER BY id LIMIT 1) AS t
"""  # noqa: S608 - constants
_AUDIT = f"""
INSERT INTO stepup.audit (
    id, entry, mac, workspace, subject, event, outcome, purpose, prompt, factor, at, body
)
SELECT lpad(to_hex(i), 12, '0') || left(md5('r' || i), 20), a.entry, a.mac, 'w-' || (i % {WORKSPACES}),
    'u-' || (i % {SUBJECTS}), a.event, a.outcome, a.purpose, lpad(to_hex(i), 12, '0') || md5('p' || i), a.factor,
    a.at + i, a.body
FROM generate_series(1, $1::bigint) AS i,
    (SELECT * FROM stepup.audit WHERE prompt <> '' ORDER BY seq LIMIT 1) AS a
"""  # noqa: S608 - constants
_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'stepup' AND tablename = 'audit'
    AND indexname NOT IN ('audit_pkey', 'audit_id_key')
"""


async def grow_on(server: PostgresServer, database: str, rows: int) -> None:
    """Add so many redeemed tokens and audit rows. There must be one of each.

    The indexes of the log are made anew at the end, which takes a fraction of the time.
    """
    import asyncpg

    connection: asyncpg.Connection[Any] = await asyncpg.connect(server.dsn(database))
    try:
        await connection.execute("SET synchronous_commit = off; SET maintenance_work_mem = '512MB'")
        indexes = await connection.fetch(_INDEXES)
        for name, _ in indexes:
            await connection.execute(f"DROP INDEX stepup.{name}")
        await connection.execute(_TOKENS, rows)
        await connection.execute(_AUDIT, rows)
        for _, definition in indexes:
            await connection.execute(definition)
        for statement in ("VACUUM ANALYZE stepup.tokens", "VACUUM ANALYZE stepup.audit", "CHECKPOINT"):
            await connection.execute(statement)
    finally:
        await connection.close()


async def redeem_all(store: HotState, shown: Sequence[Presentation]) -> Sample:
    """Redeem with 64 callers; return the seconds that each redemption took of the whole."""
    waiting = iter(shown)

    async def caller() -> None:
        for one in waiting:
            assert (await store.redeem(one)).decision.verdict is Verdict.REDEEMED

    began = perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return {"seconds": (perf_counter() - began) / len(shown)}


def _side(store: HotState, minted: Callable[[int], Awaitable[Sequence[Presentation]]], count: int) -> Side:
    async def side() -> Sample:
        return await redeem_all(store, await minted(count))

    return side


@asynccontextmanager
async def _on_sqlite(scale: Scale) -> AsyncIterator[Sides]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(scratch())
        sides: dict[str, Side] = {}
        for name, rows in (("small", 1_000), ("grown", scale.of(_MANY))):
            mint = await mint_in(folder / f"{name}.db")
            await asyncio.to_thread(grow, mint.path, rows)
            store = await stack.enter_async_context(SQLiteStore(mint.path, timeout=PATIENT).use(MACS))

            async def minted(count: int, mint: Any = mint) -> Sequence[Presentation]:
                return await asyncio.to_thread(mint.presentations, count)

            sides[name] = _side(store, minted, scale.of(10_000))
        yield sides


@asynccontextmanager
async def _on_postgres(scale: Scale) -> AsyncIterator[Sides]:
    async with AsyncExitStack() as stack:
        # nothing but what is measured shall happen while it is: no checkpoint, no vacuum
        quiet = {"max_wal_size": "32GB", "checkpoint_timeout": "1h", "autovacuum": "off"}
        server = await stack.enter_async_context(server_of(**quiet))
        sides: dict[str, Side] = {}
        for name, rows in (("small", 1_000), ("grown", scale.of(_MANY))):
            mint = await mint_on(await server.create_database(name))
            await mint.presentations(1)
            await grow_on(server, name, rows)
            store = await stack.enter_async_context(PostgresStore(server.dsn(name), timeout=PATIENT).use(MACS))
            sides[name] = _side(store, mint.presentations, scale.of(10_000))
        yield sides


_WHAT = "redemption with 5,000,000 rows in the tables, at the store: SQLite; PostgreSQL"
_FIGURE = Figure(_WHAT, "with 1,000", at_most(1.1), "seconds", "grown", "small")
BENCHMARKS: Sequence[Benchmark] = (
    Benchmark(name="growth-sqlite", sides=_on_sqlite, figures=(_FIGURE,)),
    Benchmark(name="growth-postgres", sides=_on_postgres, figures=(_FIGURE,)),
)
