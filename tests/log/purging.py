"""Purge a log of a million records while other callers go on redeeming, and print what it took.

``python -m tests.log.purging`` does it on a SQLite file, ``--postgres`` there; ``--records`` says how many are over,
and a tenth of them stay. A process of its own purges, as ``stepup purge`` does. It prints the longest transaction, what
it weighed, how long redemptions took meanwhile, and what the table took on disk before, after, and with as many new
records.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from time import monotonic, process_time
from typing import Any, Protocol

from stepup_middleware.core.decisions import Verdict
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.log.records import entry_text
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.sql.store import SQLStore
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS, OWNER, ask, enrol, grant_for, passkey, shown_for
from tests.stores.servers import running_postgres

PATIENT = timedelta(seconds=30)
LIMIT = 1000  # records a transaction, as the command does
BODY = "x" * 1000
OVER = entry_text("2001-01-01T00:00:00Z", sha256(b"").hexdigest(), "2002-01-01")
KEPT = entry_text("2001-01-01T00:00:00Z", sha256(b"").hexdigest(), "2999-01-01")
AT = int(datetime(2001, 1, 1, tzinfo=UTC).timestamp() * 1_000_000)


@dataclass(kw_only=True)
class Purging:
    """What the process that purges says of it: the seconds of each transaction, and megabytes."""

    purged: int = 0
    steps: list[float] = field(default_factory=list)
    processor: float = 0.0
    at_first: float = 0.0
    at_most: float = 0.0


@dataclass(kw_only=True)
class Figures:
    """What was measured: seconds, and bytes on disk."""

    purging: Purging
    redemptions: list[float]
    before: int
    after: int
    refilled: int


class Database(Protocol):
    """A database that is filled with records, and weighed."""

    def store(self) -> SQLStore:
        """Return a store on it."""
        ...

    async def fill(self, first: int, count: int, entry: str) -> None:
        """Add records with their leaves."""
        ...

    async def size(self) -> int:
        """Return how many bytes the records take."""
        ...


class SQLiteDatabase:
    def __init__(self, address: str) -> None:
        self._path = Path(address)

    def store(self) -> SQLStore:
        return SQLiteStore(self._path, timeout=PATIENT)

    async def fill(self, first: int, count: int, entry: str) -> None:
        values = {"first": first, "count": count, "entry": entry, "at": AT, "body": BODY}
        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN")
            connection.execute(
                """WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :first + :count)
                INSERT INTO audit (id, entry, mac, workspace, subject, event, outcome, purpose, prompt,
                    factor, at, high, body)
                SELECT printf('%012x', i) || lower(hex(randomblob(10))), :entry, zeroblob(36), 'w', 'u-' || (i % 1000),
                    'ACTION_AUTHORIZED', 'success', 'payroll_ach_transmit', printf('%044x', i / 4), 'f', :at, :at, :body
                FROM n""",
                values,
            )
            connection.execute(
                """INSERT INTO leaves (log, idx, record_id, entry)
                SELECT 1, (SELECT coalesce(max(idx) + 1, 0) FROM leaves) + row_number() OVER () - 1, a.id, a.entry
                FROM audit AS a WHERE a.at = :at AND NOT EXISTS (SELECT 1 FROM leaves AS l WHERE l.record_id = a.id)""",
                values,
            )
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    async def size(self) -> int:
        return self._path.stat().st_size


class PostgresDatabase:
    def __init__(self, address: str) -> None:
        self._address = address

    def store(self) -> SQLStore:
        return PostgresStore(self._address, timeout=PATIENT)

    async def _execute(self, *statements: tuple[Any, ...]) -> None:
        import asyncpg

        connection = await asyncpg.connect(self._address)
        try:
            for statement, *values in statements:
                await connection.execute(statement, *values)
        finally:
            await connection.close()

    async def fill(self, first: int, count: int, entry: str) -> None:
        await self._execute(
            (
                """INSERT INTO stepup.audit (id, entry, mac, workspace, subject, event, outcome, purpose, prompt,
                    factor, at, body)
                SELECT lpad(to_hex(i), 12, '0') || substr(md5(i::text || random()), 1, 20), $3::text,
                    decode(repeat('00', 36), 'hex'), 'w', 'u-' || (i % 1000), 'ACTION_AUTHORIZED', 'success',
                    'payroll_ach_transmit', lpad(to_hex(i / 4), 44, '0'), 'f', $4::bigint, $5::text
                FROM generate_series($1::bigint, $1::bigint + $2::bigint - 1) AS i""",
                first, count, entry, AT, BODY,
            ),
            (
                """INSERT INTO stepup.leaves (log, idx, record_id, entry)
                SELECT 1, (SELECT coalesce(max(idx) + 1, 0) FROM stepup.leaves) + row_number() OVER () - 1,
                    a.id, a.entry
                FROM stepup.audit AS a
                WHERE a.at = $1 AND NOT EXISTS (SELECT FROM stepup.leaves AS l WHERE l.record_id = a.id)""",
                AT,
            ),
        )  # fmt: skip

    async def size(self) -> int:
        import asyncpg

        await self._execute(("VACUUM stepup.audit",))  # as the server does by itself, some time later
        connection = await asyncpg.connect(self._address)
        try:
            return int(await connection.fetchval("SELECT pg_total_relation_size('stepup.audit')"))
        finally:
            await connection.close()


def database_at(address: str) -> Database:
    """Return the database at a path, or at the address of a PostgreSQL server."""
    return (PostgresDatabase if address.startswith("postgresql:") else SQLiteDatabase)(address)


def _megabytes(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith(name))


async def purge(address: str) -> Purging:
    """Purge step by step until nothing is over."""
    told, more = Purging(), True
    async with database_at(address).store().use(MACS) as store:
        told.at_first = _megabytes("VmRSS:")
        began_all = process_time()
        while more:
            began = monotonic()
            step = await store.purge(now=datetime.now(UTC), limit=LIMIT, clock_confirmed=True)
            assert not step.anomalies
            told.steps.append(monotonic() - began)
            told.purged, more = told.purged + step.events, step.more
        told.processor = process_time() - began_all
    told.at_most = _megabytes("VmHWM:")
    return told


async def measure(address: str, records: int) -> Figures:
    """Fill a database, and have it purged by another process while this one redeems."""
    database, stays = database_at(address), records // 10
    async with database.store().use(MACS) as store:
        factor = await enrol(store, OWNER, passkey(sign_count=0))
    await database.fill(0, records, OVER)
    await database.fill(records, stays, KEPT)
    before = await database.size()
    redemptions: list[float] = []
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.log.purging", "--purge", address, stdout=asyncio.subprocess.PIPE
    )
    told = asyncio.create_task(process.communicate())
    async with database.store().use(MACS) as store:
        while not told.done():
            prompt = await ask(store, now=datetime.now(UTC))
            reference = await store.issue_token(grant_for(prompt, factor, sign_count=0))
            assert isinstance(reference, TokenReference), reference
            shown = shown_for(prompt, reference)
            began = monotonic()
            answer = await store.redeem(shown)
            redemptions.append(monotonic() - began)
            assert answer.decision.verdict is Verdict.REDEEMED, answer
    out, _ = await told
    assert process.returncode == 0
    purging = Purging(**json.loads(out))
    assert purging.purged == records
    after = await database.size()
    await database.fill(records + stays, records, KEPT)
    return Figures(purging=purging, redemptions=redemptions, before=before, after=after, refilled=await database.size())


def told_of(figures: Figures) -> str:
    """Return the figures as lines of text."""
    purging = figures.purging

    def of(seconds: Sequence[float]) -> str:
        ordered = sorted(seconds)
        late = ordered[int(len(ordered) * 0.99)]
        return f"median {statistics.median(ordered):.3f} s, 99 % {late:.3f} s, longest {ordered[-1]:.3f} s"

    lines = [
        f"{purging.purged} records in {len(purging.steps)} transactions, {sum(purging.steps):.0f} s "
        f"({purging.processor:.0f} s of this process): {of(purging.steps)}",
        f"it weighed {purging.at_first:.1f} MB at first, {purging.at_most:.1f} MB at most",
        f"{len(figures.redemptions)} redemptions meanwhile: {of(figures.redemptions)}",
        f"on disk {figures.before / 1e6:.0f} MB before, {figures.after / 1e6:.0f} MB after, "
        f"{figures.refilled / 1e6:.0f} MB with as many new records",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Print the figures of a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--purge", metavar="ADDRESS", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.purge is not None:
        sys.stdout.write(json.dumps(asdict(asyncio.run(purge(given.purge)))))
    elif given.postgres:
        with running_postgres() as server:
            address = asyncio.run(server.create_database("purged"))
            sys.stdout.write(told_of(asyncio.run(measure(address, given.records))))
    else:
        with tempfile.TemporaryDirectory() as folder:
            sys.stdout.write(told_of(asyncio.run(measure(str(Path(folder) / "log.db"), given.records))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
