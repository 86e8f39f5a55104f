"""Kill servers, and workers, at random moments under load, again and again, and count what must never be.

``python -m tests.stores.killing --kills 50`` prints the figures of each victim; it fails if a token ran twice, if
an action ran without its durable event, if a record is not as it was sealed, or if the store does not come back by
itself.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

from stepup_middleware.core.decisions import Presentation, Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore
from stepup_middleware.testing.contract.values import (
    MACS,
    all_records,
    ask,
    enrol,
    grant_for,
    hold_many,
    passkey,
    shown_for,
)

from .server_workers import open_store, present_all
from .servers import PostgresServer, ValkeyServer
from .support import integrating, log_faults
from .topologies import SentinelGroup, ValkeyCluster, running

CROWD = 8
KILLS = int(os.environ.get("STEPUP_KILLS", "6"))  # of each victim, in each test
WORKERS = 4
TOKENS = 300  # that the workers share between two judgements
KILLS_A_ROUND = 10
SPAWN = get_context("spawn")


@dataclass(slots=True)
class Figures:
    """What was done, what must be zero (from ``double_runs`` on), and how long it took."""

    kills: int = 0
    presentations: int = 0
    unavailable: int = 0
    runs: int = 0
    seconds: float = 0.0
    double_runs: int = 0
    actions_without_event: int = 0
    double_events: int = 0
    ran_again_afterwards: int = 0
    log_faults: int = 0

    @property
    def sound(self) -> bool:
        """Whether everything that must be zero is, and something ran."""
        names = [each.name for each in fields(self)]
        return self.runs > 0 and not any(getattr(self, name) for name in names[names.index("double_runs") :])


async def judge(
    store: HotState,
    figures: Figures,
    ran: Counter[TokenReference],
    shown: dict[TokenReference, Presentation],
    prompts: dict[TokenReference, str],
) -> None:
    """Compare what ran with what the log tells, and try everything once more."""
    figures.runs = len(ran)
    figures.double_runs = sum(count - 1 for count in ran.values())
    records = await all_records(store)
    authorized = Counter(record.prompt_id for record in records if record.event is EventName.ACTION_AUTHORIZED)
    figures.double_events = sum(count - 1 for count in authorized.values())
    figures.actions_without_event = sum(prompts[reference] not in authorized for reference in ran)
    figures.log_faults = await log_faults(store)
    for reference in ran:
        answer = await store.redeem(replace(shown[reference], attempt=os.urandom(16)))
        figures.ran_again_afterwards += answer.decision.verdict is Verdict.REDEEMED


class Victim(Protocol):
    """What is killed and started again."""

    def kill(self) -> None:
        """Kill it as a power failure would."""

    async def start(self) -> None:
        """Start it again, and wait until it answers."""


class Crowd:
    """People who try again when the store cannot be used, and note what ran."""

    def __init__(self, store: HotState) -> None:
        self._store = store
        self._over = False
        self._ran: Counter[TokenReference] = Counter()
        self._shown: dict[TokenReference, Presentation] = {}
        self._prompts: dict[TokenReference, str] = {}
        self.figures = Figures()

    async def _person(self) -> None:
        """Ask, prove and present each token three times, until it is over."""
        store, figures = self._store, self.figures
        factor = await enrol(store, factor=passkey(sign_count=0))
        while not self._over:
            try:
                prompt = await ask(store)
                reference = await store.issue_token(grant_for(prompt, factor, sign_count=0))
            except StoreError:
                await asyncio.sleep(0.001)  # a client that tries again
                continue
            if not isinstance(reference, TokenReference):
                continue  # a loss ended the epoch while the prompt was open: that costs one more
            shown = self._shown[reference] = shown_for(prompt, reference)
            self._prompts[reference] = prompt.id
            for _ in range(3):
                figures.presentations += 1
                try:
                    answer = await store.redeem(replace(shown, attempt=os.urandom(16)))
                except StoreError:
                    figures.unavailable += 1
                    continue
                self._ran[reference] += answer.decision.verdict is Verdict.REDEEMED
        self._ran = +self._ran

    async def under_fire(self, server: Victim, kills: int, seed: int) -> Figures:
        """Work while the server is killed at random moments and started again; return the figures."""
        async with integrating(self._store):
            return await self._under_fire(server, kills, seed)

    async def _under_fire(self, server: Victim, kills: int, seed: int) -> Figures:
        chance = random.Random(seed)  # noqa: S311 - moments, no secret
        began = monotonic()
        people = [asyncio.create_task(self._person()) for _ in range(CROWD)]
        for _ in range(kills):
            enough = self.figures.presentations + chance.randrange(3, 60)
            while self.figures.presentations < enough:
                await asyncio.sleep(0)
                if any(person.done() for person in people):
                    await asyncio.gather(*people)
            await asyncio.to_thread(server.kill)
            await server.start()
            self.figures.kills += 1
        self._over = True
        await asyncio.gather(*people)
        await judge(self._store, self.figures, self._ran, self._shown, self._prompts)
        self.figures.seconds = round(monotonic() - began, 1)
        return self.figures


async def workers_under_fire(addresses: tuple[str, ...], kills: int, seed: int) -> Figures:
    """Let processes present tokens and kill them at random moments; return the figures."""
    chance = random.Random(seed)  # noqa: S311 - moments, no secret
    figures, began = Figures(), monotonic()
    ran: Counter[TokenReference] = Counter()
    shown: dict[TokenReference, Presentation] = {}
    prompts: dict[TokenReference, str] = {}
    async with open_store(*addresses) as store:
        with tempfile.TemporaryDirectory() as folder:
            while figures.kills < kills:
                held = await hold_many(store, TOKENS)
                shown.update({one.reference: one.shown() for one in held})
                prompts.update({one.reference: one.prompt.id for one in held})
                ledger = Path(folder, str(figures.kills))
                share = [one.shown() for one in held]
                left = min(KILLS_A_ROUND, kills - figures.kills)
                killed, lines = await asyncio.to_thread(_round, addresses, share, ledger, left, chance)
                figures.kills += killed
                by_id = {one.reference.id: one.reference for one in held}
                for line in lines:
                    word, id_ = line.split()
                    figures.presentations += 1
                    figures.unavailable += word == "unavailable"
                    if word == "ran":
                        ran[by_id[int(id_)]] += 1
                await judge(store, figures, ran, shown, prompts)
    figures.seconds = round(monotonic() - began, 1)
    return figures


def _round(
    addresses: tuple[str, ...], shown: list[Presentation], ledger: Path, kills: int, chance: random.Random
) -> tuple[int, list[str]]:
    """Start workers and kill them so often, each in the middle of its work; then let the rest finish.

    Returns how many were killed, and what they wrote down.
    """

    def started() -> BaseProcess:
        worker = SPAWN.Process(target=present_all, args=(addresses, shown, chance.randrange(2**32), ledger))
        worker.start()
        return worker

    killed = 0
    workers = [started() for _ in range(WORKERS)]
    while workers:
        victim = chance.randrange(len(workers))
        before = ledger.stat().st_size if ledger.exists() else 0
        workers[victim].join(chance.uniform(0, 0.2))
        working = ledger.exists() and ledger.stat().st_size > before
        if not workers[victim].is_alive():
            workers.pop(victim).close()
        elif killed < kills and working:
            workers[victim].kill()
            workers[victim].join()
            killed += workers[victim].exitcode == -signal.SIGKILL
            workers[victim] = started()
    return killed, ledger.read_text().splitlines()


@asynccontextmanager
async def postgres() -> AsyncIterator[tuple[PostgresServer, str]]:
    """Run a PostgreSQL server of one's own; give it and the address of an empty database."""
    server = PostgresServer()
    try:
        await asyncio.to_thread(server.create)
        await server.start()
        yield server, await server.create_database("t")
    finally:
        await asyncio.to_thread(server.stop)


@asynccontextmanager
async def valkey(**settings: str) -> AsyncIterator[ValkeyServer]:
    """Run a Valkey server of one's own."""
    server = ValkeyServer(**settings)
    try:
        await server.start()
        yield server
    finally:
        await asyncio.to_thread(server.stop)


async def kill_postgres(kills: int, seed: int) -> Figures:
    """Kill PostgreSQL under a crowd."""
    async with postgres() as (server, dsn), PostgresStore(dsn).use(MACS) as store:
        return await Crowd(store).under_fire(server, kills, seed)


async def kill_valkey(kills: int, seed: int) -> Figures:
    """Kill Valkey, which loses up to a second of what it was told, under a crowd."""
    async with (
        postgres() as (_, dsn),
        valkey(appendfsync="everysec") as server,
        RedisHotStore(server.url(), behind=PostgresStore(dsn).use(MACS)) as store,
    ):
        return await Crowd(store).under_fire(server, kills, seed)


class AnyMaster:
    """The masters of a cluster as one victim: a random one of them at a time."""

    def __init__(self, cluster: ValkeyCluster, seed: int) -> None:
        self._cluster = cluster
        self._chance = random.Random(seed)  # noqa: S311 - which one, no secret
        self._victim = cluster.masters[0]

    def kill(self) -> None:
        """Kill one of them."""
        self._victim = self._chance.choice(self._cluster.masters)
        self._victim.kill()

    async def start(self) -> None:
        """Start it again, and wait until all are a whole again."""
        await self._victim.start()
        await self._cluster.until_whole()


class WatchedMaster:
    """The master of the moment as a victim: a replica takes over, and the killed one comes back as a replica."""

    def __init__(self, group: SentinelGroup) -> None:
        self._group = group

    def kill(self) -> None:
        """Kill the master."""
        self._group.master.kill()

    async def start(self) -> None:
        """Wait until the replica is the master, and start the killed one again."""
        await self._group.until_taken_over()


async def kill_masters_of_a_cluster(kills: int, seed: int) -> Figures:
    """Kill masters of a cluster, which lose up to a second of what they were told, under a crowd."""
    async with (
        postgres() as (_, dsn),
        running(ValkeyCluster(appendonly="yes", appendfsync="everysec")) as cluster,
        RedisHotStore(cluster.url(), behind=PostgresStore(dsn).use(MACS)) as store,
    ):
        return await Crowd(store).under_fire(AnyMaster(cluster, seed), kills, seed)


async def kill_watched_masters(kills: int, seed: int) -> Figures:
    """Kill the master that Sentinels watch, so that a replica that lags behind takes over, under a crowd."""
    async with (
        postgres() as (_, dsn),
        running(SentinelGroup()) as group,
        RedisHotStore(group.url(), behind=PostgresStore(dsn).use(MACS)) as store,
    ):
        return await Crowd(store).under_fire(WatchedMaster(group), kills, seed)


async def kill_postgres_behind_valkey(kills: int, seed: int) -> Figures:
    """Kill the database behind Valkey under a crowd."""
    async with (
        postgres() as (server, dsn),
        valkey() as hot,
        RedisHotStore(hot.url(), behind=PostgresStore(dsn).use(MACS)) as store,
    ):
        return await Crowd(store).under_fire(server, kills, seed)


async def kill_workers_on_postgres(kills: int, seed: int) -> Figures:
    """Kill processes that redeem on PostgreSQL."""
    async with postgres() as (_, dsn):
        return await workers_under_fire((dsn,), kills, seed)


async def kill_workers_on_valkey(kills: int, seed: int) -> Figures:
    """Kill processes that redeem on Valkey before PostgreSQL."""
    async with postgres() as (_, dsn), valkey() as hot:
        return await workers_under_fire((hot.url(), dsn), kills, seed)


VICTIMS: dict[str, Callable[[int, int], Coroutine[Any, Any, Figures]]] = {
    "postgres": kill_postgres,
    "valkey": kill_valkey,
    "masters-of-a-cluster": kill_masters_of_a_cluster,
    "watched-masters": kill_watched_masters,
    "postgres-behind-valkey": kill_postgres_behind_valkey,
    "workers-on-postgres": kill_workers_on_postgres,
    "workers-on-valkey": kill_workers_on_valkey,
}


def main() -> int:
    """Print the figures of each victim; 1 when something was not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("victims", nargs="*", choices=[[], *VICTIMS], default=[], help="all without a name")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))  # noqa: S311 - printed, no secret
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)  # noqa: T201 - a command prints
    sound = True
    for name in options.victims or VICTIMS:
        figures = asyncio.run(VICTIMS[name](options.kills, options.seed))
        sound &= figures.sound
        counts = [f"{each.name.replace('_', ' ')} {getattr(figures, each.name)}" for each in fields(figures)]
        print(f"{name}: {', '.join(counts)}", flush=True)  # noqa: T201 - likewise
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
