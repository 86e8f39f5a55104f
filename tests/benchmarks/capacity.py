"""The bytes that a record, a factor and a token take on PostgreSQL, and two rates: for the guide's large numbers.

``python -m tests.benchmarks.capacity --records 20000`` prints them. Needs no quiet machine: bytes are bytes, and the
rates are a floor.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from time import perf_counter

import asyncpg

from stepup_middleware.core.events import EventName
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.testing.contract.tree import integrate
from stepup_middleware.testing.contract.values import MACS, ask, enrol, event, grant_for, passkey, shown_for
from tests.stores.servers import PostgresServer, running_postgres

from .long_log import write_long_log
from .minted import PATIENT

_SIZES = """
SELECT c.relname, pg_total_relation_size(c.oid) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'stepup' AND c.relkind = 'r'
"""


async def sizes(dsn: str) -> Mapping[str, int]:
    """Return the bytes of each table with its indexes, once what can be given back is."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("VACUUM FULL")
        return {row[0]: row[1] for row in await connection.fetch(_SIZES)}
    finally:
        await connection.close()


def grown(before: Mapping[str, int], after: Mapping[str, int], names: tuple[str, ...], by: int) -> int:
    """Return by how many bytes some tables have grown for each of so many."""
    return round(sum(after[name] - before[name] for name in names) / by)


async def measure(server: PostgresServer, records: int) -> dict[str, int]:
    """Return the figures by their names."""
    dsn = await server.create_database("capacity")
    async with PostgresStore(dsn, timeout=PATIENT).use(MACS) as store:
        empty, began = await sizes(dsn), perf_counter()
        await write_long_log(store, records)
        written, began = perf_counter() - began, perf_counter()
        await integrate(store)
        leaves, full = perf_counter() - began, await sizes(dsn)

        people = steps = records // 10
        for number in range(people):
            held = passkey(id=f"f-{number}", credential_id=f"{number:032}".encode())
            told = event(EventName.FACTOR_ENROLLED)
            await store.add_webauthn_factor("w", f"u-{number}", held, event=told)
        factor, peopled = await enrol(store, factor=passkey(sign_count=0)), await sizes(dsn)

        for _ in range(steps):
            prompt = await ask(store)
            reference = await store.issue_token(grant_for(prompt, factor, sign_count=0))
            assert isinstance(reference, TokenReference)
            await store.redeem(shown_for(prompt, reference))
        stepped = await sizes(dsn)
    return {
        "a record": grown(empty, full, ("audit",), records),
        "its leaf, for ever": grown(empty, full, ("leaves", "tiles", "trees"), records),
        "a factor": grown(full, peopled, ("factors",), people),
        "a prompt, for an hour": grown(peopled, stepped, ("prompts",), steps),
        "a token, for thirty days": grown(peopled, stepped, ("tokens",), steps),
        "records written a second": round(records / written),
        "leaves a second": round(records / leaves),
    }


def main() -> None:
    """Measure on a server of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=20_000)
    options = parser.parse_args()
    with running_postgres() as server:
        for name, number in asyncio.run(measure(server, options.records)).items():
            print(f"{name}: {number:,}")  # noqa: T201 - a command prints


if __name__ == "__main__":
    main()
