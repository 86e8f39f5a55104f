"""People step up on three nodes before Redis and PostgreSQL, while any of the five is killed and comes back.

``python -m tests.served.chaos --runs 10000`` prints the figures, and fails if an action ran twice or without
ACTION_AUTHORIZED, if the log does not verify, if an answer was a 5xx other than 503, or if an ACTION_COMPLETED is
missing of a process that lived. Meanwhile it tells on standard error, each minute, what went on, and where everybody
stands when for a minute no action ran.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import secrets
import sys
import tempfile
from collections import Counter
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import httpx2

from stepup_middleware.core.events import EventName
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.log.records import RowMacs
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.testing.contract.values import all_records
from tests.machine import free_port
from tests.stores.servers import PostgresServer, ValkeyServer

from .app import ORIGIN, lines_of
from .processes import PLAIN, ROOT, Person, Server, serving
from .standing import stacks, standing_of

NODES = 3
PEOPLE = 12
_INTERRUPTIONS = 20  # of one person: as many prompts may be open, of 64
_BETWEEN = (20, 80)  # runs from one kill to the next
_AWAY = (0.0, 1.5)  # seconds that a server is gone
_TELL_SECONDS = 60.0  # from one line to the next; without a run for so long, everybody is asked where they stand
_SETTLED_SECONDS = 60  # within which what was spooled is written, and the last record has its leaf


class Interrupted(Exception):
    """The step-up got no further: a server was gone."""


@dataclass(slots=True)
class Figures:
    """What happened, and from ``doubled`` on what must not."""

    runs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0  # connections that were refused or broke
    authorized_never_ran: int = 0  # the process died, or the answer of the database was lost
    ends_unknown: int = 0  # no ACTION_COMPLETED, of a process that was killed
    seconds: float = 0.0
    doubled: int = 0
    without_authorized: int = 0
    ends_missing: int = 0
    other_5xx: int = 0
    log_exit: int = 0  # of `stepup audit verify`: 3 is that nothing is wrong and nobody signed

    @property
    def sound(self) -> bool:
        faults = self.doubled or self.without_authorized or self.ends_missing or self.other_5xx
        return self.runs > 0 and not faults and self.log_exit == 3

    def __str__(self) -> str:
        kills = ", ".join(f"{what} {count}" for what, count in sorted(self.kills.items()))
        answers = ", ".join(f"{status} {count}" for status, count in sorted(self.answers.items()))
        return (
            f"{self.runs} runs in {self.seconds:.0f} s; killed: {kills}; answers: {answers}; unanswered "
            f"{self.unanswered}\nran twice {self.doubled}; without ACTION_AUTHORIZED {self.without_authorized}; "
            f"5xx other than 503 {self.other_5xx}; ACTION_COMPLETED missing of living ones {self.ends_missing}, "
            f"of killed ones {self.ends_unknown}; authorized and never run {self.authorized_never_ran}; "
            f"`stepup audit verify` {self.log_exit}"
        )


class Chaos:
    """Nodes, databases and people, and what came of it."""

    def __init__(self, folder: Path, postgres: PostgresServer, redis: ValkeyServer, dsn: str, seed: int) -> None:
        self.figures = Figures()
        self._folder = folder
        self._postgres = postgres
        self._redis = redis
        self._dsn = dsn
        self._chance = random.Random(seed)  # noqa: S311 - when and what is killed
        self._key = secrets.token_urlsafe(48)
        self._health = secrets.token_urlsafe(24)
        self._doing = "starting nodes"  # what is killed or comes back
        self._nodes: list[Server] = []
        self._killed: set[int] = set()
        self._over = asyncio.Event()
        self._stack = AsyncExitStack()

    async def run(self, runs: int, minutes: float) -> Figures:
        """Go on until so many actions ran or the time is over; then judge."""
        began = monotonic()
        (self._folder / "spool").mkdir(mode=0o700)
        async with self._stack:
            self._nodes = [await self._node() for _ in range(NODES)]
            async with asyncio.TaskGroup() as group:
                for number in range(PEOPLE):
                    group.create_task(self._live(number), name=f"person-{number}")
                group.create_task(self._kill(), name="kill")
                group.create_task(self._tell(), name="tell")
                group.create_task(self._stop(runs, minutes), name="stop")
            self.figures.seconds = monotonic() - began
            await self._judge()
        return self.figures

    async def _node(self) -> Server:
        port = free_port()
        server = serving(
            "uvicorn", "--factory", "tests.served.app:make", "--port", str(port),
            "--log-level", "critical", "--ws", "none",
            port=port, SERVED_FOLDER=str(self._folder), SERVED_KEYS=self._key, SERVED_DATABASE=self._dsn,
            SERVED_HOT=self._redis.url(), SERVED_SPOOL=str(self._folder / "spool"), SERVED_HEALTH=self._health,
        )  # fmt: skip
        return await self._stack.enter_async_context(server)

    def _ran(self) -> int:
        return len(lines_of(self._folder / "runs"))

    async def _until(self, runs: int) -> None:
        while self._ran() < runs and not self._over.is_set():  # noqa: ASYNC110 - other processes write it
            await asyncio.sleep(0.2)

    async def _stop(self, runs: int, minutes: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(minutes * 60):
                await self._until(runs)
        self._over.set()

    # people

    async def _live(self, number: int) -> None:
        """Step up again and again, as a person after another: who is interrupted often has many prompts open."""
        again = 0
        while not self._over.is_set():
            again += 1
            async with Person(f"person-{number}-{again}") as person:
                enrolled, left = False, _INTERRUPTIONS
                for _ in range(200):
                    if self._over.is_set() or not left:
                        break
                    try:
                        await (self._step_up if enrolled else self._enrol)(person)
                        enrolled = True
                    except Interrupted:
                        left -= 1 if enrolled else left  # whether a factor is there is not known
                        await asyncio.sleep(0.05)

    async def _post(self, person: Person, path: str, wanted: int, **request: object) -> httpx2.Response:
        node = self._chance.choice(self._nodes)
        try:
            answer = await person.http.post(node.url + path, **request)  # type: ignore[arg-type]
        except httpx2.TransportError:
            self.figures.unanswered += 1
            raise Interrupted from None
        self.figures.answers[answer.status_code] += 1
        if answer.status_code >= 500 and answer.status_code != 503:
            self.figures.other_5xx += 1
        if answer.status_code != wanted:
            raise Interrupted
        return answer

    async def _enrol(self, person: Person) -> None:
        options = await self._post(person, "/stepup/factors/webauthn/options", 200, json={"kind": "passkey"})
        created = person.passkey.create(options.json(), origin=ORIGIN)
        await self._post(person, "/stepup/factors/webauthn", 201, json={"name": "k", "credential": created})

    async def _step_up(self, person: Person) -> None:
        prompt = (await self._post(person, "/act", 401)).headers["stepup-prompt"]
        options = await self._post(person, f"{prompt}/webauthn/options", 200, json={})
        assertion = person.passkey.get(options.json(), origin=ORIGIN)
        token = (await self._post(person, f"{prompt}/webauthn", 200, json=assertion)).json()["token"]
        try:
            await self._post(person, "/act", 200, headers={"stepup-token": token})
        except Interrupted:
            await self._post(person, "/act", 403, headers={"stepup-token": token})  # it may have run: once is enough

    # what is killed

    async def _kill(self) -> None:
        while not self._over.is_set():
            self._doing = "nothing is killed"
            await self._until(self._ran() + self._chance.randint(*_BETWEEN))
            what = self._chance.choice(("node", "node", "Redis", "PostgreSQL"))
            self.figures.kills[what] += 1
            self._doing = f"{what} is killed and comes back"
            if what == "node":
                place = self._chance.randrange(NODES)
                gone = self._nodes[place]
                self._killed.add(gone.process.pid)
                gone.process.kill()
                await gone.process.wait()
                self._nodes[place] = await self._node_at_last()
            else:
                server = self._redis if what == "Redis" else self._postgres
                await asyncio.to_thread(server.kill)
                await asyncio.sleep(self._chance.uniform(*_AWAY))
                server.launch()
                await self._ready_at_last(server)

    async def _ready_at_last(self, server: PostgresServer | ValkeyServer) -> None:
        while True:  # what is judged in the end is in it
            with suppress(TimeoutError):  # the machine may be busy: `_tell` says what it waits for
                await server.until_ready()
                return

    async def _node_at_last(self) -> Server:
        while True:
            try:
                return await self._node()
            except (RuntimeError, TimeoutError):  # the database was not there yet, or the machine is busy
                await asyncio.sleep(0.2)

    # what goes on

    async def _tell(self) -> None:
        """Say each minute what was done in it; where no action ran, what each node says, and where all tasks stand."""
        before, ran = Counter(self._counts()), self._ran()
        while not await self._over_within(_TELL_SECONDS):
            now, runs = Counter(self._counts()), self._ran()
            done = ", ".join(f"{what} +{count}" for what, count in sorted((now - before).items()))
            load = f"{os.getloadavg()[0]:.0f} processes want a processor"
            _say(f"{runs} runs (+{runs - ran}); {done or 'nothing'}; {self._doing}; {load}")
            if runs == ran:
                for line in stacks():
                    _say(f"  here: {line}")
                await asyncio.gather(*map(self._ask_where, self._nodes))
            before, ran = now, runs

    def _counts(self) -> dict[str, int]:
        figures = self.figures
        answers = {f"answers {status}": count for status, count in figures.answers.items()}
        kills = {f"kills of {what}": count for what, count in figures.kills.items()}
        return {**answers, **kills, "unanswered": figures.unanswered}

    async def _over_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()
        return self._over.is_set()

    async def _ask_where(self, node: Server) -> None:
        pid = node.process.pid
        headers = {"authorization": f"Bearer {self._health}"}
        async with httpx2.AsyncClient(verify=PLAIN, timeout=10.0, headers=headers) as http:
            try:
                said = (await http.get(f"{node.url}/stepup/health")).text
            except httpx2.TransportError as error:
                said = repr(error)
        stands = "it has ended" if node.process.returncode is not None else await standing_of(self._folder, pid)
        _say(f"  node {pid} at {node.port}: {said}\n{stands}")

    # what came of it

    async def _judge(self) -> None:
        ran = Counter(lines_of(self._folder / "runs"))
        of_killed = {prompt for pid in self._killed for prompt in lines_of(self._folder / f"runs-{pid}")}
        self.figures.runs = len(ran)
        self.figures.doubled = sum(count > 1 for count in ran.values())
        store = PostgresStore(self._dsn).use(RowMacs(KeyRing([self._key])))
        until = monotonic() + _SETTLED_SECONDS
        async with store:
            while True:
                events: dict[str, Counter[EventName]] = {}
                for record in await all_records(store):
                    events.setdefault(record.prompt_id, Counter())[record.event] += 1
                unended = {prompt for prompt in ran if not events.get(prompt, Counter())[EventName.ACTION_COMPLETED]}
                if unended <= of_killed or monotonic() > until:
                    break
                await asyncio.sleep(1)
        authorized = {prompt for prompt, seen in events.items() if seen[EventName.ACTION_AUTHORIZED]}
        self.figures.doubled += sum(seen[EventName.ACTION_AUTHORIZED] > 1 for seen in events.values())
        self.figures.without_authorized = len(ran.keys() - authorized)
        self.figures.authorized_never_ran = len(authorized - ran.keys())
        self.figures.ends_missing = len(unended - of_killed)
        self.figures.ends_unknown = len(unended & of_killed)
        key = self._folder / "secret.key"
        key.write_text(self._key, encoding="utf-8")
        command = ("stepup_middleware", "audit", "verify", "--database", self._dsn, "--secret-key", str(key))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *command, cwd=ROOT, stdout=sys.stderr, env=os.environ
        )
        self.figures.log_exit = await process.wait()


def _say(line: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", file=sys.stderr, flush=True)  # noqa: T201 - a command tells


async def measure(runs: int, minutes: float, seed: int) -> Figures:
    """Start the databases besides, and return the figures."""
    postgres, redis = PostgresServer(), ValkeyServer()
    try:
        postgres.create()
        await postgres.start()
        await redis.start()
        with tempfile.TemporaryDirectory() as folder:
            dsn = await postgres.create_database("chaos")
            return await Chaos(Path(folder), postgres, redis, dsn, seed).run(runs, minutes)
    finally:
        redis.stop()
        postgres.stop()


def main() -> int:
    """Print the figures; 1 when something happened that must not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=60.0, help="after which it ends with what ran")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10_000))
    options = parser.parse_args()
    figures = asyncio.run(measure(options.runs, options.minutes, options.seed))
    print(f"seed {options.seed}: {figures}")  # noqa: T201 - a command prints
    return 0 if figures.sound else 1


if __name__ == "__main__":
    sys.exit(main())
