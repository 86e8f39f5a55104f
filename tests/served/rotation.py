"""Rotate the secret key on several nodes, one after another, while people step up on all of them.

``python -m tests.served.rotation`` prints the figures: every honest step-up must succeed, no forgery may.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path
from time import monotonic

import httpx2

from stepup_middleware.core.keys import KeyRing
from stepup_middleware.core.tokens import TokenCodec, TokenReference

from .app import lines_of
from .processes import ROOT, Person, Server, uvicorn

NODES = 3
PEOPLE = 5


@dataclass(slots=True)
class Figures:
    """What happened, and from ``honest_failures`` on what must not."""

    restarts: int = 0
    step_ups: int = 0
    retried_elsewhere: int = 0
    forgeries_tried: int = 0
    seconds: float = 0.0
    honest_failures: int = 0
    forgeries_accepted: int = 0
    double_runs: int = 0

    @property
    def sound(self) -> bool:
        return not (self.honest_failures or self.forgeries_accepted or self.double_runs)


class Cluster:
    """Nodes on one database. A request goes to the next node, and to another where nobody accepts it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._nodes: list[Server] = []
        self._stack = AsyncExitStack()
        self._turn = count()
        self.figures = Figures()

    async def __aenter__(self) -> Cluster:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def start(self, keys: Sequence[str]) -> None:
        """Start the nodes, all with the same keys."""
        for _ in range(NODES):
            self._nodes.append(await self._stack.enter_async_context(uvicorn(self._folder, keys)))

    async def roll(self, keys: Sequence[str]) -> None:
        """Restart one node after another with other keys, as a rolling deployment does: the new one first."""
        for _ in range(NODES):
            fresh = await self._stack.enter_async_context(uvicorn(self._folder, keys))
            leaving = self._nodes.pop(0)
            self._nodes.append(fresh)
            leaving.terminate()
            await leaving.stopped()
            self.figures.restarts += 1

    async def reencrypt(self, keys: Sequence[str]) -> None:
        """Put all that is kept under the first key, as an operator does while the nodes serve."""
        environment = {"SERVED_FOLDER": str(self._folder), "SERVED_KEYS": ",".join(keys)}
        command = (sys.executable, "-m", "stepup_middleware", "reencrypt", "tests.served.app:make")
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env={**os.environ, **environment})
        if await process.wait() != 0:
            raise RuntimeError("what is kept was not put under the first key")

    async def post(self, person: Person, path: str, **request: object) -> httpx2.Response:
        """Send a request to the next node that takes it."""
        while True:
            node = self._nodes[next(self._turn) % len(self._nodes)]
            try:
                return await person.http.post(node.url + path, **request)  # type: ignore[arg-type]
            except httpx2.TransportError:
                self.figures.retried_elsewhere += 1

    async def step_up(self, person: Person) -> None:
        """Ask, prove and act, each time on another node."""
        asked = await self.post(person, "/act")
        prompt = asked.headers.get("stepup-prompt", "")
        options = await self.post(person, f"{prompt}/webauthn/options", json={})
        if options.status_code != 200:
            raise RuntimeError(f"{asked.status_code} {asked.text}, {options.status_code} {options.text}")
        assertion = person.passkey.get(options.json(), origin="http://localhost:8000")
        proved = await self.post(person, f"{prompt}/webauthn", json=assertion)
        acted = await self.post(person, "/act", headers={"stepup-token": proved.json().get("token", "")})
        self.figures.step_ups += 1
        if (asked.status_code, options.status_code, proved.status_code, acted.status_code) != (401, 200, 200, 200):
            self.figures.honest_failures += 1

    async def forge(self, person: Person) -> None:
        """Present a token of a key that no node has, for the rows that there are."""
        codec = TokenCodec(KeyRing([secrets.token_urlsafe(48)]).derive("token"))
        token = codec.write(TokenReference(self.figures.forgeries_tried + 1, secrets.token_bytes(16)))
        # in a session of its own: what is refused takes places of the session's limit
        headers = {"stepup-token": token, "x-user": secrets.token_hex(8)}
        answer = await self.post(person, "/act", headers=headers)
        self.figures.forgeries_tried += 1
        self.figures.forgeries_accepted += answer.status_code == 200


async def rotated(folder: Path) -> Figures:
    """Rotate from one key to another under load and return the figures."""
    old, new = secrets.token_urlsafe(48), secrets.token_urlsafe(48)
    began, over = monotonic(), asyncio.Event()
    async with Cluster(folder) as cluster, AsyncExitStack() as stack:
        figures = cluster.figures
        await cluster.start([old])
        people = [await stack.enter_async_context(Person(f"person-{number}")) for number in range(PEOPLE)]
        for person in people:
            await person.enrol(cluster._nodes[0].url)

        async def live(person: Person) -> None:
            while not over.is_set():
                await cluster.step_up(person)
                await cluster.forge(person)

        living = asyncio.gather(*(live(person) for person in people))
        try:
            await cluster.roll([old, new])  # every node learns the new key before any signs with it
            await cluster.roll([new, old])
            await cluster.reencrypt([new, old])
            # what was signed with the old key has been used when everybody has stepped up twice more; a token
            # that is not used expires within five minutes
            wanted = figures.step_ups + 3 * PEOPLE
            while figures.step_ups < wanted and not living.done():  # noqa: ASYNC110 - a count, no event
                await asyncio.sleep(0.05)
            await cluster.roll([new])
        finally:
            over.set()
            await living
    figures.double_runs = sum(times - 1 for times in Counter(lines_of(folder / "runs")).values())
    figures.honest_failures += figures.step_ups != len(lines_of(folder / "runs"))
    figures.seconds = round(monotonic() - began, 1)
    return figures


def main() -> int:
    """Print the figures; 1 when something was not as it must be."""
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(rotated(Path(folder)))
    for each in fields(figures):
        print(f"{each.name.replace('_', ' '):<24}{getattr(figures, each.name)}")  # noqa: T201 - a command prints
    return 0 if figures.sound else 1


if __name__ == "__main__":
    sys.exit(main())
