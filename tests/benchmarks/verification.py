"""How long the whole audit log takes to verify, and how much memory.

``python -m tests.benchmarks.verification`` measures on a log of a million events, or of ``--events``; ``--database``
keeps the log for the next time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from time import perf_counter, process_time

from stepup_middleware.core.heads import HeadKey
from stepup_middleware.core.trust import Trust
from stepup_middleware.service.assertions import signature_holds
from stepup_middleware.service.heads import HeadKeeper
from stepup_middleware.service.verification import LogVerifier
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS

from .harness import Benchmark, Figure, Sample, Scale, Sides, at_most, scratch
from .long_log import write_long_log
from .memory import most_megabytes, resident_megabytes
from .minted import PATIENT
from .served import ROOT

KEY = HeadKey(bytes(range(7, 39)))
PLAIN = "SHA-256 of its texts"
_AT_ONCE = 1000  # records read at a time


async def write(database: Path, events: int) -> None:
    """Write a log of so many events, and a signed head for each of its chains."""
    async with SQLiteStore(database, timeout=PATIENT).use(MACS) as store:
        await write_long_log(store, events)
        interval = timedelta(minutes=1)
        await HeadKeeper(store=store, key=KEY, clock=lambda: datetime.now(UTC), interval=interval).sign()


def texts(database: Path) -> Iterator[list[bytes]]:
    """Yield the texts that the chains hash, in the order of the log, some at a time."""
    with closing(sqlite3.connect(database)) as connection:
        last = 0
        while rows := connection.execute(
            "SELECT seq, body FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (last, _AT_ONCE)
        ).fetchall():
            last = rows[-1][0]
            yield [body.encode() for _, body in rows]


def hashed(database: Path) -> Sample:
    """Hash each text once, and do nothing else. Reading is not counted."""
    cpu, count, size = 0.0, 0, 0
    for batch in texts(database):
        began = process_time()
        for text in batch:
            sha256(text).digest()
        cpu += process_time() - began
        count, size = count + len(batch), size + sum(map(len, batch))
    return {"cpu_us": cpu / count * 1e6, "bytes": size / count}


async def verified(database: Path, *, proofs: bool) -> Sample:
    """Verify the log in this process, with its heads; ``proofs`` tells whether with its proofs too."""
    async with SQLiteStore(database, timeout=PATIENT).use(MACS) as store:
        signature_holds(-7, b"", b"", b"", b"")  # loads the ceremonies: their code is no memory of verifying
        verifier = LogVerifier(store, Trust(head_keys={KEY.key_id: KEY.public_key}), proofs=proofs)
        idle, began, worked = resident_megabytes(), perf_counter(), process_time()
        faults = [fault async for fault in verifier.run()]
        seconds, cpu = perf_counter() - began, process_time() - worked
    assert faults == [], faults[0]
    count = verifier.summary.records
    assert verifier.summary.heads > 0 and verifier.summary.beyond_heads == 0
    assert (verifier.summary.proofs > 0) is proofs
    return {
        "us": seconds / count * 1e6,
        "cpu_us": cpu / count * 1e6,
        "events/s": count / seconds,
        "proofs": verifier.summary.proofs,
        "MB": most_megabytes() - idle,
    }


async def apart(database: Path, *arguments: str) -> Sample:
    """Verify the log in a process of its own, so that its memory is its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.verification", "--verify", str(database), *arguments,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0
    sample: Sample = json.loads(out)
    return sample


@asynccontextmanager
async def _sides(scale: Scale) -> AsyncIterator[Sides]:
    with scratch() as folder:
        database = folder / "log.db"
        await write(database, scale.of(50_000))

        async def with_proofs() -> Sample:
            return await apart(database)

        async def chains_alone() -> Sample:
            return await apart(database, "--chains-only")

        async def plain() -> Sample:
            return hashed(database)

        yield {"proofs": with_proofs, "chains": chains_alone, "hashed": plain}


BENCHMARKS = (
    Benchmark(
        name="verification",
        sides=_sides,
        figures=(
            Figure("audit log verified, with its proofs", PLAIN, at_most(150), "cpu_us", "proofs", "hashed"),
            Figure("audit log verified, its chains alone", PLAIN, at_most(60), "cpu_us", "chains", "hashed"),
            Figure("memory of verifying an audit log", "the idle process", at_most(40), "MB", "proofs", None, "MB"),
        ),
        rounds=3,
    ),
)


def measure(database: Path, events: int) -> None:
    """Write the log if it is not there, verify it, and tell."""
    if not database.exists():
        say(f"writing {events:,} events")
        asyncio.run(write(database, events))
    plain = hashed(database)
    say(f"SHA-256 of {plain['bytes']:.0f} bytes each: {plain['cpu_us']:.2f} us of CPU an event")
    for name, arguments in (("chains alone", ["--chains-only"]), ("proofs too", [])):
        sample = asyncio.run(apart(database, *arguments))
        times = sample["cpu_us"] / plain["cpu_us"]
        say(f"verified, {name}: {sample['events/s']:,.0f} events/s, {sample['proofs']:,.0f} proofs")
        say(f"  {sample['cpu_us']:.1f} us of CPU an event, {times:.0f} times plain SHA-256, {sample['MB']:.1f} MB")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--database", type=Path)
    parser.add_argument("--verify", type=Path, help="verify this log, and print what it took as JSON")
    parser.add_argument("--chains-only", action="store_true")
    given = parser.parse_args()
    if given.verify is not None:
        sys.stdout.write(json.dumps(asyncio.run(verified(given.verify, proofs=not given.chains_only))))
        return 0
    with scratch() as folder:
        measure(given.database or folder / "log.db", given.events)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
