"""Kill the process that writes, integrates, signs and purges a log at random moments, again and again.

``python -m tests.log.killing --kills 300`` prints at what each was killed, and what must never be: a record lost that
was acknowledged, a record without a leaf, a fork signed or shown to the witness, a log that does not verify.
``--postgres`` does it there. The witness is a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from stepup_middleware import CheckpointFile, StepUp, Witness
from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.evidence.database import LogVerifier
from stepup_middleware.evidence.report import EvidenceVerdict
from stepup_middleware.evidence.trust import Trust
from stepup_middleware.log.checkpoints import Checkpoint, checkpoint_of
from stepup_middleware.log.records import RowMacs
from stepup_middleware.log.witness.client import WitnessClient
from stepup_middleware.service.assertions import hold
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.stores.servers import running_postgres

from .histories import LOG_KEYS, LOG_VERIFIERS
from .signing import SECRET_KEY, app, key_text, sign
from .witness_process import WitnessProcess

FORKSERVER = get_context("forkserver")  # a clean process to fork from: a worker is up in milliseconds
FORKSERVER.set_forkserver_preload(["tests.log.signing", "stepup_middleware.service.wiring"])
STAGES = ("insert", "integration", "signing", "purge")
PATIENT = timedelta(seconds=30)
LONG_AGO = timedelta(days=500)  # what was written then was to be kept for a year


def opened(address: str, key: str, **settings: Any) -> StepUp:
    """Return the app on a database: a path, or the address of a PostgreSQL server."""
    store: Any = PostgresStore if address.startswith("postgresql:") else SQLiteStore
    return app(Path(), store=store(address, timeout=PATIENT), log_key=key, **settings)


def work(address: str, key: str, file: str, url: str, vkeys: str, ledger: str, seed: int) -> None:
    """Write, integrate, sign and purge until it is killed. The ledger has what was begun, and what is durable."""
    asyncio.run(_work(address, key, file, url, vkeys, Path(ledger), random.Random(seed)))  # noqa: S311 - what is done, no secret


async def _work(address: str, key: str, file: str, url: str, vkeys: str, ledger: Path, chance: random.Random) -> None:
    outside: dict[str, Any] = {"witnesses": [Witness(url, vkeys)], "on_checkpoint": [CheckpointFile(file)]}
    line = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    async with opened(address, key, **outside) as stepup:
        records, integration = stepup._parts.store.records, stepup._parts.integration
        while True:
            stage = chance.choice(STAGES)
            os.write(line, f"{stage}\n".encode())
            if stage == "insert":
                name = os.urandom(8).hex()
                now = datetime.now(UTC)
                new = AuditEvent(at=now, name=EventName.BLOCKED, workspace_id="w", subject_id="s", reason=name)
                old = [replace(new, at=now - LONG_AGO, reason="old")] * chance.randrange(4)
                await records.append([new, *old])
                os.write(line, f"kept {name}\n".encode())
            elif stage == "integration":
                if fault := await integration.catch_up():
                    os.write(line, f"fault {fault.name}\n".encode())
            elif stage == "signing":
                if (stored := await sign(stepup)) is not None:
                    os.write(line, f"signed {stored.size}\n".encode())
                elif integration.fault is not None:
                    os.write(line, f"fault {integration.fault.name}\n".encode())
            else:
                await records.purge(now=datetime.now(UTC), limit=5, clock_confirmed=True)


@dataclass
class Figures:
    """What was done, and what must be zero (from ``records_lost`` on)."""

    killed_at: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    signed: int = 0
    purged: int = 0
    leaves: int = 0
    seconds: float = 0
    records_lost: int = 0
    without_leaf: int = 0
    faults: int = 0
    forks: int = 0
    findings: int = 0

    @property
    def kills(self) -> int:
        return sum(self.killed_at.values())

    @property
    def sound(self) -> bool:
        """Whether everything that must be zero is, and each stage was met."""
        faulty = (self.records_lost, self.without_leaf, self.faults, self.forks, self.findings)
        return not any(faulty) and self.acknowledged > 0 and self.signed > 0


def run(address: str, folder: Path, kills: int, seed: int) -> Figures:
    """Kill so many workers, and judge what they left."""
    chance, figures, began = random.Random(seed), Figures(), monotonic()  # noqa: S311 - moments, no secret
    witness, ledger, file = WitnessProcess(folder), folder / "ledger", folder / "checkpoint"
    witness.start()
    try:
        for number in range(kills):
            before = ledger.stat().st_size if ledger.exists() else 0
            outside = (str(file), witness.witness.url, witness.vkeys)
            arguments = (address, key_text(LOG_KEYS), *outside, str(ledger), chance.randrange(2**32))
            worker = FORKSERVER.Process(target=work, args=arguments)
            worker.start()
            enough = before + chance.randrange(1, 200)  # of what it writes down
            while worker.is_alive() and (not ledger.exists() or ledger.stat().st_size < enough):
                sleep(0.001)
            sleep(chance.uniform(0, 0.02))
            worker.kill()
            worker.join()
            if worker.exitcode != -9:
                figures.faults += 1
            worker.close()
            stages = [text for text in ledger.read_text().splitlines() if text in STAGES]
            figures.killed_at[stages[-1] if stages else "start"] += 1
            if number % 50 == 25:  # the witness may die as well
                witness.kill()
                witness.start()
        lines = [text.split() for text in ledger.read_text().splitlines()]
        asyncio.run(_judge(address, file, witness, lines, figures))
        figures.forks += (folder / "errors").read_text().count("ERROR")
    finally:
        witness.stop()
    figures.seconds = round(monotonic() - began, 1)
    return figures


async def _judge(
    address: str, file: Path, witness: WitnessProcess, lines: Sequence[Sequence[str]], figures: Figures
) -> None:
    kept = {words[1] for words in lines if words[0] == "kept"}
    sizes = [int(words[1]) for words in lines if words[0] == "signed"]
    figures.acknowledged, figures.signed = len(kept), len(set(sizes))
    figures.faults += sum(words[0] == "fault" for words in lines)
    figures.forks += sizes != sorted(sizes)
    latest = await WitnessClient(witness.witness).latest(LOG_VERIFIERS)
    outside: dict[str, Any] = {"witnesses": [witness.witness], "on_checkpoint": [CheckpointFile(file)]}
    async with opened(address, key_text(LOG_KEYS), **outside) as stepup:  # it catches up by itself
        records = stepup._parts.store.records
        last = await sign(stepup)
        figures.faults += last is None or stepup._parts.integration.fault is not None
        found = {record.reason async for record in stepup.audit.stream(None)}
        figures.records_lost = len(kept - found)
        figures.without_leaf = len(await records.records_without_leaf(after=0, until=2**40))
        known: list[Checkpoint] = [] if last is None else [checkpoint_of(last.note)]
        known += [] if latest is None else [latest[0]]
        figures.forks += latest is None or last is None or latest[0].size > last.size

        async def check(assertions: Any) -> list[bool]:
            return hold(assertions)

        trust = Trust(log_keys=LOG_VERIFIERS, checkpoints=known, rp_id="example.com")
        macs = RowMacs(KeyRing(SECRET_KEY))
        verifier = LogVerifier(records, trust, now=datetime.now(UTC), macs=macs, check_assertions=check)
        figures.findings = len([finding async for finding in verifier.run()])
        figures.findings += verifier.summary.verdict is not EvidenceVerdict.VERIFIED
        figures.leaves = (await stepup.health()).log.leaves
        figures.purged = figures.leaves - len([record async for record in stepup.audit.stream(None)])


def main() -> int:
    """Print the figures; 1 when something was not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))  # noqa: S311 - printed, no secret
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)  # noqa: T201 - a command prints
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="stepup-killing-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        address = str(folder / "db")
        if options.postgres:
            address = asyncio.run(stack.enter_context(running_postgres()).create_database("t"))
        figures = run(address, folder, options.kills, options.seed)
    at = ", ".join(f"{stage} {count}" for stage, count in sorted(figures.killed_at.items()))
    rest = {name: value for name, value in vars(figures).items() if name != "killed_at"}
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in rest.items())
    print(f"{figures.kills} kills ({at}): {told}", flush=True)  # noqa: T201 - likewise
    return 0 if figures.sound else 1


if __name__ == "__main__":
    sys.exit(main())
