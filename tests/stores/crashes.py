"""Kill workers on one SQLite file at random moments under load, again and again, and count what must never be.

``python -m tests.stores.crashes --kills 200`` prints the figures; it fails if a token ran twice, if an action
ran without its durable event, if a record is not as it was sealed, or if the store does not answer again by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic, sleep

from stepup_middleware.core.decisions import Presentation, Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS, Held, all_records, ask, enrol, grant_for, passkey

from .support import integrating, log_faults
from .workers import present

FORKSERVER = get_context("forkserver")  # a clean process to fork from: a worker is up in milliseconds
WORKERS = 4
TOKENS = 600  # a round
KILLS_A_ROUND = 10
PAUSE_SECONDS = 0.3  # how long a stopped worker, which may hold the lock, stays stopped
TIMEOUT = timedelta(seconds=2)


@dataclass(slots=True)
class Figures:
    """What was done, what must be zero (from ``double_runs`` on), and how long it took."""

    kills: int = 0
    pauses: int = 0
    tokens: int = 0
    presentations: int = 0
    runs: int = 0
    refused_unavailable: int = 0
    seconds: float = 0.0
    double_runs: int = 0
    actions_without_event: int = 0
    double_events: int = 0
    reverted_tokens: int = 0
    log_faults: int = 0
    integrity_errors: int = 0
    unanswered: int = 0

    @property
    def sound(self) -> bool:
        """Whether everything that must be zero is."""
        names = [each.name for each in fields(self)]
        return not any(getattr(self, name) for name in names[names.index("double_runs") :])


def present_all(
    path: Path, shown: Sequence[Presentation], seed: int, ledger: Path, timeout: timedelta = TIMEOUT
) -> None:
    """Open the store and present every token."""

    async def run() -> None:
        async with SQLiteStore(path, timeout=timeout).use(MACS) as store, integrating(store):
            await present(store, shown, seed, ledger)

    asyncio.run(run())


class Siege:
    """One database, its workers, and the one who kills them."""

    def __init__(self, folder: Path, *, workers: int = WORKERS, seed: int = 1) -> None:
        self.path = folder / "stepup.db"
        self.ledger = folder / "ledger"
        self._workers = workers
        self._chance = random.Random(seed)  # noqa: S311 - moments, no secret
        self.figures = Figures()
        self._prompts: dict[int, str] = {}

    async def mint(self, count: int) -> list[Presentation]:
        """Issue tokens and return an honest presentation of each."""
        async with SQLiteStore(self.path, timeout=timedelta(seconds=30)).use(MACS) as store:
            factor = await enrol(store, factor=passkey(sign_count=0))

            async def one() -> Held:
                prompt = await ask(store)
                reference = await store.issue_token(grant_for(prompt, factor, sign_count=0))
                assert isinstance(reference, TokenReference)
                return Held(prompt=prompt, factor=factor, reference=reference)

            held = await asyncio.gather(*(one() for _ in range(count)))
        self.figures.tokens += count
        self._prompts.update({each.reference.id: each.prompt.id for each in held})
        return [each.shown() for each in held]

    def besiege(self, shown: Sequence[Presentation], kills: int) -> None:
        """Let the workers present the tokens, kill and pause them, start them anew, until they have done."""
        workers = [self._start(shown) for _ in range(self._workers)]
        while workers:
            victim = self._chance.randrange(len(workers))
            workers[victim].join(self._chance.uniform(0, 0.25))
            if not workers[victim].is_alive():
                workers.pop(victim).close()
            elif self._chance.random() < 0.1:
                self._pause(workers[victim])
            elif kills:
                kills -= 1
                self._kill(workers[victim])
                workers[victim] = self._start(shown)

    def _start(self, shown: Sequence[Presentation]) -> BaseProcess:
        seed = self._chance.randrange(2**32)
        worker = FORKSERVER.Process(target=present_all, args=(self.path, shown, seed, self.ledger))
        worker.start()
        return worker

    def _kill(self, worker: BaseProcess) -> None:
        worker.kill()
        worker.join()
        self.figures.kills += worker.exitcode == -signal.SIGKILL
        worker.close()

    def _pause(self, worker: BaseProcess) -> None:
        """Stop a worker where it stands, with the lock or without, and let it go on (X07), if it has not ended yet."""
        assert worker.pid is not None
        with suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGSTOP)
            sleep(PAUSE_SECONDS)  # the fault itself
            os.kill(worker.pid, signal.SIGCONT)
            self.figures.pauses += 1

    async def judge(self, shown: Sequence[Presentation]) -> None:
        """Look at what the round has left, with the store that the killed ones left behind."""
        figures = self.figures
        lines = self.ledger.read_text().splitlines() if self.ledger.exists() else []
        answers = [line.split() for line in lines]
        ran = Counter(int(id_) for verdict, id_ in answers if verdict == "ran")
        figures.presentations, figures.runs = len(answers), len(ran)
        figures.refused_unavailable = sum(verdict == "unavailable" for verdict, _ in answers)
        figures.double_runs = sum(count - 1 for count in ran.values())
        async with SQLiteStore(self.path).use(MACS) as store:
            records = await all_records(store)
            authorized = Counter(record.prompt_id for record in records if record.event is EventName.ACTION_AUTHORIZED)
            figures.double_events = sum(count - 1 for count in authorized.values())
            figures.actions_without_event = sum(self._prompts[id_] not in authorized for id_ in ran)
            figures.log_faults = await log_faults(store)
            for one in shown:
                answer = await store.redeem(replace(one, attempt=os.urandom(16)))
                spent = self._prompts[one.reference.id] in authorized
                figures.reverted_tokens += spent and answer.decision.verdict is not Verdict.REUSED
                figures.unanswered += not spent and answer.decision.verdict is not Verdict.REDEEMED
        with closing(sqlite3.connect(self.path)) as connection:
            checked = connection.execute("PRAGMA integrity_check").fetchall()
            figures.integrity_errors += checked != [("ok",)]


async def besieged(folder: Path, *, kills: int, workers: int = WORKERS, seed: int = 1) -> Figures:
    """Kill so many workers and return the figures."""
    siege = Siege(folder, workers=workers, seed=seed)
    began = monotonic()
    FORKSERVER.set_forkserver_preload([__name__])
    while siege.figures.kills < kills and siege.figures.sound:
        shown = await siege.mint(TOKENS)
        wanted = min(KILLS_A_ROUND, kills - siege.figures.kills)
        await asyncio.to_thread(siege.besiege, shown, wanted)
        await siege.judge(shown)
        siege.figures.seconds = round(monotonic() - began, 1)
    return siege.figures


def main() -> int:
    """Print the figures; 1 when something was not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))  # noqa: S311 - printed, no secret
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.workers} workers", flush=True)  # noqa: T201 - a command prints
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(besieged(Path(folder), kills=options.kills, workers=options.workers, seed=options.seed))
    for each in fields(figures):
        print(f"{each.name.replace('_', ' '):<24}{getattr(figures, each.name)}")  # noqa: T201 - likewise
    return 0 if figures.sound else 1


if __name__ == "__main__":
    sys.exit(main())
