"""The demo on three nodes behind nginx, on PostgreSQL: redeem on one, replay on another, be alerted on the third.

Then one of the three is stopped, and pages are asked for through nginx, which does not know.
``python -m tests.served.nodes`` prints the figures. nginx has the configuration of the guide; every request
goes through it, and its answer names the node that served it.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from demo_app.guide_pages import FOLDER
from demo_app.seed import DEMO_PASSWORD
from stepup_middleware.testing import VirtualAuthenticator
from tests.machine import free_port
from tests.stores.servers import PostgresServer

from .nginx import in_front, trusting
from .processes import SECONDS, serving

NODES = 3
DATABASE = "axis"
_SITE = re.compile(r"^```nginx payday\.conf\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NODE = "x-node"


@dataclass(slots=True)
class Figures:
    """What happened: the nodes of each replay in the order redeemed, replayed, alerted, and how long the alert took."""

    nodes: list[tuple[str, str, str]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)  # seconds, from sending the replay to the alert
    verdicts: list[str] = field(default_factory=list)  # the code of each replay
    beside_stopped: list[float] = field(default_factory=list)  # seconds that a page took while a node was stopped

    @property
    def p99_beside_stopped(self) -> float:
        """The 99th percentile of them, in seconds."""
        return sorted(self.beside_stopped)[int(len(self.beside_stopped) * 0.99)] if self.beside_stopped else 0.0

    def __str__(self) -> str:
        return (
            f"replays {len(self.verdicts)}, told for what they were {self.verdicts.count('STEPUP_TOKEN_REUSED')}, "
            f"on three different nodes {sum(len(set(nodes)) == NODES for nodes in self.nodes)}\n"
            f"alert on the third after {statistics.median(self.latencies) * 1000:.0f} ms (median), "
            f"{max(self.latencies) * 1000:.0f} ms (longest)\n"
            f"with a stopped node {len(self.beside_stopped)} pages, all served: p99 {self.p99_beside_stopped:.2f} s"
        )


class Console:
    """The event stream of the security console, on the node that nginx chose."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.node = answer.headers[_NODE]
        self.alerts: asyncio.Queue[float] = asyncio.Queue()  # when each critical event came
        self._lines = answer.aiter_lines()
        self._task = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        async for line in self._lines:
            if line == "event: critical":
                self.alerts.put_nowait(asyncio.get_running_loop().time())

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Owner:
    """The owner of the workspace, at a browser."""

    def __init__(self, http: httpx2.AsyncClient, origin: str) -> None:
        self.http = http
        self.origin = origin
        self.passkey = VirtualAuthenticator.passkey()
        http.headers.update({"origin": origin, "sec-fetch-site": "same-origin"})

    async def begin(self) -> None:
        """Sign in and enrol a passkey."""
        form = {"email": "owner@axis.example", "password": DEMO_PASSWORD}
        assert (await self.http.post(f"{self.origin}/sign-in", data=form)).status_code == 303
        options = await self.http.post(f"{self.origin}/stepup/factors/webauthn/options", json={"kind": "passkey"})
        created = self.passkey.create(options.json(), origin=self.origin)
        body = {"name": "Laptop", "credential": created}
        done = await self.http.post(f"{self.origin}/stepup/factors/webauthn", json=body)
        assert done.status_code == 201, done.text

    async def action(self) -> str:
        """Return the address of an action that can be repeated."""
        page = (await self.http.get(f"{self.origin}/developers")).text
        found = re.search(r"/developers/webhooks/[^/\"]+/rotate", page)
        assert found, page
        return self.origin + found[0]

    async def token(self, action: str) -> str:
        """Ask for a prompt and prove oneself to it."""
        asked = await self.http.post(action, headers={"accept": "application/json"})
        url = self.origin + asked.headers["stepup-prompt"]
        options = await self.http.post(f"{url}/webauthn/options", json={})
        proved = await self.http.post(f"{url}/webauthn", json=self.passkey.get(options.json(), origin=self.origin))
        return str(proved.json()["token"])

    async def present(self, action: str, token: str) -> httpx2.Response:
        """Present a token."""
        return await self.http.post(action, headers={"stepup-token": token, "accept": "application/json"})

    async def consoles(self, stack: AsyncExitStack) -> dict[str, Console]:
        """Open the security console until each node serves one."""
        found: dict[str, Console] = {}
        while len(found) < NODES:
            stream = self.http.stream("GET", f"{self.origin}/security/events")
            console = Console(await stack.enter_async_context(stream))
            stack.push_async_callback(console.close)
            found.setdefault(console.node, console)
        return found


def site_of_the_guide(ports: list[int]) -> str:
    """Return the configuration of the guide, for these ports."""
    found = _SITE.search((FOLDER / "deploy.md").read_text(encoding="utf-8"))
    assert found
    site = found[1]
    for documented, actual in zip((8001, 8002, 8003), ports, strict=True):
        site = site.replace(str(documented), str(actual))
    return site


async def replayed(folder: Path, dsn: str, *, replays: int, pages: int = 0) -> Figures:
    """Run three nodes on a database, replay so many tokens, ask for pages beside a stopped node; return the figures."""
    figures, ports, outer = Figures(), [free_port() for _ in range(NODES)], free_port()
    origin = f"https://localhost:{outer}"
    nodes = []
    async with AsyncExitStack() as stack:
        for port in ports:
            command = ("demo_app", "--port", str(port), "--database", dsn, "--tables", str(folder / "axis.db"))
            node = serving(*command, port=port, AXIS_ORIGIN=origin, AXIS_TRUSTED_PROXIES="127.0.0.1")
            nodes.append(await stack.enter_async_context(node))
        named = f"add_header {_NODE} $upstream_addr always;\n"
        await stack.enter_async_context(in_front(folder, site_of_the_guide(ports), outer, extra=named))
        owner = Owner(await stack.enter_async_context(trusting(folder)), origin)
        await owner.begin()
        action = await owner.action()
        consoles = await owner.consoles(stack)
        async for redeemed, replay, sent in _replays(owner, action, replays):
            third = (consoles.keys() - {redeemed.headers[_NODE], replay.headers[_NODE]}).pop()
            async with asyncio.timeout(SECONDS):
                heard = await consoles[third].alerts.get()
            for other in consoles.keys() - {third}:
                await consoles[other].alerts.get()
            figures.nodes.append((redeemed.headers[_NODE], replay.headers[_NODE], third))
            figures.latencies.append(heard - sent)
            figures.verdicts.append(replay.json()["code"])
        nodes[0].process.send_signal(signal.SIGSTOP)
        for _ in range(pages):
            began = asyncio.get_running_loop().time()
            assert (await owner.http.get(f"{origin}/developers")).status_code == 200
            figures.beside_stopped.append(asyncio.get_running_loop().time() - began)
        nodes[0].process.send_signal(signal.SIGCONT)
    return figures


async def _replays(
    owner: Owner, action: str, count: int
) -> AsyncIterator[tuple[httpx2.Response, httpx2.Response, float]]:
    """Redeem and replay tokens; yield both answers and when the replay was sent."""
    for _ in range(count):
        token = await owner.token(action)
        redeemed = await owner.present(action, token)
        assert redeemed.status_code == 200, redeemed.text
        sent = asyncio.get_running_loop().time()
        yield redeemed, await owner.present(action, token), sent


async def measure(replays: int, pages: int) -> Figures:
    """Start a PostgreSQL server besides, and return the figures."""
    server = PostgresServer()
    try:
        server.create()
        await server.start()
        with tempfile.TemporaryDirectory() as folder:
            return await replayed(Path(folder), await server.create_database(DATABASE), replays=replays, pages=pages)
    finally:
        server.stop()


def main() -> int:
    """Print the figures; 1 when an alert took longer than a second, or a page beside a stopped node than three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replays", type=int, default=20)
    parser.add_argument("--pages", type=int, default=120)
    options = parser.parse_args()
    figures = asyncio.run(measure(options.replays, options.pages))
    print(figures)  # noqa: T201 - a command prints
    return 0 if max(figures.latencies) <= 1 and figures.p99_beside_stopped < 3 else 1


if __name__ == "__main__":
    sys.exit(main())
