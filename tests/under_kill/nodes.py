"""Nodes that are killed and started again. A request goes to one of them, and to the next where it is cut off."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx2

from stepup_middleware.core.events import EventName
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.log.records import RowMacs
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.testing.contract.values import all_records, assert_records_hold
from tests.machine import free_port
from tests.patience import PATIENT
from tests.served.app import lines_of
from tests.served.processes import ROOT, SECONDS

from .app import Settings, serve

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload([f"{__package__}.ready"])
NODES = 3
LEAST_APART, MOST_APART = 3, 60  # requests between two kills
_PAUSE_SECONDS = 0.02  # before a request that was cut off is sent to the next node


class Node:
    """A process that serves the app, on a port that stays the same.

    It is forked from one that has imported everything, so that a node is back soon after a kill: the sooner, the more
    often nodes can be killed.
    """

    def __init__(self, settings: Settings) -> None:
        self.port = free_port()
        self._settings = settings
        self._process: BaseProcess | None = None

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        process = self._process = FORKS.Process(target=serve, args=(self._settings, self.port), daemon=True)
        await asyncio.to_thread(process.start)
        while not await _accepts(self.port):
            assert process.is_alive(), f"the node ended with {process.exitcode}"
            await asyncio.sleep(0.01)

    async def kill(self) -> None:
        """Kill it as a power failure would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.join)


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


class Nodes:
    """Three nodes on one database, perhaps with a hot store before it, and what was noted of them."""

    def __init__(self, database: str, hot: str, folder: Path) -> None:
        self._database, self._folder, self._key = database, folder, secrets.token_hex(32)
        self.nodes = [Node(Settings(database, hot, str(folder / "runs"), self._key)) for _ in range(NODES)]
        self.kills = self.requests = self.cut_off = 0

    async def start(self) -> None:
        """Start them, the first before the others: it makes the tables."""
        await self.nodes[0].start()
        await asyncio.gather(*(node.start() for node in self.nodes[1:]))

    async def stop(self) -> None:
        await asyncio.gather(*(node.kill() for node in self.nodes))

    @asynccontextmanager
    async def under_fire(self, seed: int) -> AsyncIterator[None]:
        """Kill one node after another at moments of chance and start it again, all the while."""
        task = asyncio.create_task(self._fire(random.Random(seed)))  # noqa: S311 - moments, no secret
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _fire(self, chance: random.Random) -> None:
        while True:
            enough = self.requests + chance.randrange(LEAST_APART, MOST_APART)
            while self.requests < enough:  # noqa: ASYNC110 - any of many requests is the one
                await asyncio.sleep(0.002)
            node = chance.choice(self.nodes)
            await node.kill()
            self.kills += 1
            await node.start()

    async def post(
        self, first: int, http: httpx2.AsyncClient, path: str, **content: Any
    ) -> tuple[httpx2.Response, bool]:
        """Send a request to a node, and to the next one while it is cut off or cannot be decided.

        Return the answer, and whether an earlier attempt may have been carried out.
        """
        cut = False
        async with asyncio.timeout(SECONDS):
            for number in range(first, sys.maxsize):
                self.requests += 1
                try:
                    answer = await http.post(self.nodes[number % NODES].url + path, **content)
                except httpx2.ConnectError:
                    pass  # nobody has heard of it
                except httpx2.TransportError:
                    cut = True
                    self.cut_off += 1
                else:
                    if answer.status_code != 503:
                        return answer, cut
                await asyncio.sleep(_PAUSE_SECONDS)
        raise AssertionError

    # what must agree afterwards

    def runs(self) -> list[tuple[str, str]]:
        """Return the number and the prompt of each action that ran."""
        pairs = (line.split() for line in lines_of(self._folder / "runs"))
        return [(number, prompt) for number, prompt in pairs]

    async def authorized(self) -> dict[str, int]:
        """Return how often the log says of each prompt that its action was authorized, and fail if it does not hold."""
        async with PostgresStore(self._database, timeout=PATIENT).use(RowMacs(KeyRing(self._key))) as store:
            counted: dict[str, int] = {}
            for record in await all_records(store):
                if record.event is EventName.ACTION_AUTHORIZED:
                    counted[record.prompt_id] = counted.get(record.prompt_id, 0) + 1
            await assert_records_hold(store, RowMacs(KeyRing(self._key)))
        return counted

    async def verify_log(self) -> bool:
        """Whether ``stepup audit verify`` finds no fault in the log."""
        key = self._folder / "key"
        key.write_text(self._key)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stepup_middleware", "audit", "verify", "--database", self._database,
            "--secret-key", str(key), "--rp-id", "localhost", "--json", cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        return bool(json.loads(out.splitlines()[-1])["summary"]["faults"] == 0)


@asynccontextmanager
async def running_nodes(database: str, hot: str) -> AsyncIterator[Nodes]:
    """Run three nodes on an empty database, and on a hot store where ``hot`` is its address."""
    with tempfile.TemporaryDirectory() as folder:
        nodes = Nodes(database, hot, Path(folder))
        try:
            await nodes.start()
            yield nodes
        finally:
            await nodes.stop()
