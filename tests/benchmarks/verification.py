"""What it costs to verify a log, in time and memory, and to purge one."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from time import perf_counter

from stepup_middleware.evidence.assertions import CheckAssertions
from stepup_middleware.evidence.database import LogVerifier
from stepup_middleware.evidence.trust import Trust
from stepup_middleware.log.integrator import SeenTree
from stepup_middleware.log.merkle import hash_leaf
from stepup_middleware.log.records import TREE_STATE, entry_text
from stepup_middleware.log.tiles import TiledTree
from stepup_middleware.service.assertions import assertions_checked
from stepup_middleware.stores.sqlite import SQLiteLog, SQLiteStore
from stepup_middleware.testing.contract.values import MACS

from .harness import Benchmark, Figure, Sample, Scale, Sides, Unavailable, at_most, scratch
from .long_log import write_long_log
from .minted import PATIENT, connected
from .served import ROOT

ORIGIN = "log.example.com/benchmark"
_LEAVES = 10_000_000
_AT_ONCE = 50_000  # leaves
_OVER = entry_text("2001-01-01T00:00:00Z", sha256(b"").hexdigest(), "2002-01-01")
_LEAF = "INSERT INTO leaves (log, idx, record_id, entry) VALUES (1, ?, ?, ?)"
_TILE = "INSERT INTO tiles VALUES (1, ?, ?, ?) ON CONFLICT (log, level, number) DO UPDATE SET hashes = excluded.hashes"
_RECORDS = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :rows)
INSERT INTO audit (id, entry, mac, workspace, subject, event, outcome, purpose, prompt, factor, at, high, body)
SELECT printf('%012x', i) || lower(hex(randomblob(10))), :entry, zeroblob(36), 'w', 'u-' || (i % 1000),
    'ACTION_AUTHORIZED', 'success', 'payroll_ach_transmit', printf('%044x', i / 4), 'f', :at, :at, :body FROM n
"""
_OF_RECORDS = "INSERT INTO leaves SELECT 1, seq - 1, id, entry FROM audit"


# time


async def _verified(path: Path, check: CheckAssertions | None = None) -> float:
    """Return the seconds that a record took, of the clock."""
    gc.set_threshold(100_000)  # as the command does
    began = perf_counter()
    async with SQLiteLog(path) as log:
        verifier = LogVerifier(log, Trust(), now=datetime.now(UTC), check_assertions=check)
        async for finding in verifier.run():
            assert finding.unverifiable, finding
    took = perf_counter() - began
    gc.set_threshold(700)
    return took / verifier.summary.records


def _hashed(path: Path) -> float:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT body, entry FROM audit").fetchall()
    began = perf_counter()
    for body, entry in rows:
        sha256(body.encode()).digest()
        sha256(b"\0" + entry.encode()).digest()
    return (perf_counter() - began) / len(rows)


@asynccontextmanager
async def _times(scale: Scale) -> AsyncIterator[Sides]:
    with scratch() as folder:
        path = folder / "log.db"
        async with SQLiteStore(path).use(MACS) as store:
            await write_long_log(store, max(200, scale.of(40_000)))
            step, seen = await store.records.integrate(origin=ORIGIN, seen=SeenTree())
            while step.indexes:
                step, seen = await store.records.integrate(origin=ORIGIN, seen=seen)

        async def verified() -> Sample:
            return {"seconds": await _verified(path)}

        async def with_proofs() -> Sample:
            async with assertions_checked() as check:
                await check([(-7, b"", b"", b"", b"")] * 1000)  # starts the processes
                return {"seconds": await _verified(path, check)}

        async def hashed() -> Sample:
            return {"seconds": await asyncio.to_thread(_hashed, path)}

        yield {"verified": verified, "with proofs": with_proofs, "hashed": hashed}


# memory


async def mint_leaves(path: Path, count: int, *, origin: str = ORIGIN) -> None:
    """Make a log of so many leaves whose records were purged, in a new database."""
    async with SQLiteStore(path).use(MACS):
        pass
    tree = TiledTree()
    with connected(path) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for first in range(0, count, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, count))
            entries = [entry_text("2001-01-01T00:00:00Z", f"{number:064x}", "2002-01-01") for number in numbers]
            tree, written = tree.append([hash_leaf(entry.encode()) for entry in entries])
            connection.execute("BEGIN")
            ids = (f"{number:032x}" for number in numbers)
            connection.executemany(_LEAF, zip(numbers, ids, entries, strict=True))
            connection.executemany(_TILE, [(tile.level, tile.number, hashes) for tile, hashes in written.items()])
            connection.execute("COMMIT")
        mac = MACS.make(TREE_STATE, {"origin": origin, "size": tree.size, "root": tree.root()})
        connection.execute("INSERT INTO trees VALUES (1, ?, ?, ?, ?)", (origin, tree.size, tree.root(), mac))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@asynccontextmanager
async def _weights(scale: Scale) -> AsyncIterator[Sides]:
    if sys.platform != "linux":
        raise Unavailable(f"no /proc/self/status on {sys.platform}")
    with scratch() as folder:
        path = folder / "log.db"
        await mint_leaves(path, scale.of(_LEAVES))

        async def verifying() -> Sample:
            told = folder / "weighed"
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.benchmarks.weighed", str(told), "audit", "verify", "--database", str(path),
                cwd=ROOT, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, _ = await process.communicate()
            assert process.returncode == 3, out  # nothing is wrong; it was not signed
            megabytes, seconds = map(float, (await asyncio.to_thread(told.read_text, "ascii")).split())
            return {"MB": megabytes, "seconds": seconds}

        yield {"verifying": verifying}


# purge


@asynccontextmanager
async def _purges(scale: Scale) -> AsyncIterator[Sides]:
    async def purging() -> Sample:
        with scratch() as folder:
            path = folder / "log.db"
            async with SQLiteStore(path).use(MACS):
                pass
            values = {"rows": scale.of(1_000_000), "entry": _OVER, "body": "x" * 1000}
            at = int(datetime(2001, 1, 1, tzinfo=UTC).timestamp() * 1_000_000)
            with connected(path) as connection:
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("BEGIN")
                connection.execute(_RECORDS, {**values, "at": at})
                connection.execute(_OF_RECORDS)
                connection.execute("COMMIT")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            before = path.stat().st_size
            longest, purged, more = 0.0, 0, True
            async with SQLiteStore(path, timeout=PATIENT).use(MACS) as store:
                while more:
                    began = perf_counter()
                    step = await store.purge(now=datetime.now(UTC), limit=1000, clock_confirmed=True)
                    longest = max(longest, perf_counter() - began)
                    purged, more = purged + step.events, step.more
            assert purged == values["rows"]
            return {"seconds": longest, "size": path.stat().st_size / before}

    yield {"purging": purging}


_WHAT = "audit log verified: without proofs; with them, on all cores"
_BASE = "SHA-256 of its bodies and entries"

BENCHMARKS = (
    Benchmark(
        name="verification",
        sides=_times,
        figures=(
            Figure(_WHAT, _BASE, at_most(12), "seconds", "verified", "hashed"),
            Figure(_WHAT, _BASE, at_most(60), "seconds", "with proofs", "hashed"),
        ),
    ),
)  # fmt: skip
FURTHER = (
    Benchmark(
        name="deep-log",
        sides=_weights,
        figures=(Figure("verifying 10,000,000 leaves", "memory", at_most(60), "MB", "verifying", None, "MB"),),
        rounds=1,
    ),
    Benchmark(
        name="purge",
        sides=_purges,
        figures=(
            Figure(
                "the longest step of a purge of 1,000,000 records", "1,000 at once", at_most(0.5), "seconds",
                "purging", None, "s",
            ),
            Figure("the file after it", "the file before it", at_most(0.6), "size", "purging", None, "of it"),
        ),
        rounds=1,
    ),
)  # fmt: skip
