"""Starts the site on a real server in a process of its own, and sends it requests of every kind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

from tests.guide.person import Person
from tests.machine import free_port

from .apps import LACKING
from .site import ORIGIN

ROOT = Path(__file__).parents[2]
APP = "tests.frameworks.served:app"
COMMANDS = {
    "uvicorn (h11)": ["uvicorn", "--http", "h11", "--loop", "asyncio", "--log-level", "warning"],
    "uvicorn (httptools)": ["uvicorn", "--http", "httptools", "--loop", "uvloop", "--log-level", "warning"],
    "hypercorn": ["hypercorn", "--keep-alive", "120"],
    "granian": ["granian", "--interface", "asgi", "--no-access-log"],
    "daphne": ["daphne", "-v", "0"],
}
HTTP2 = "hypercorn (HTTP/2)"
SERVERS = ("uvicorn (h11)", "uvicorn (httptools)", "hypercorn", HTTP2, "granian", "daphne")
# daphne leaves out the scope's optional ``scheme``, without which Quart opens no WebSocket at all
NO_SOCKETS = {("quart", "daphne")}
SECONDS = 90  # for a server to come up; the machine may be busy


@dataclass
class Served:
    """A running server. ``url`` is where it listens; a Unix socket is at ``socket``."""

    name: str
    log: Path
    port: int = 0
    socket: str = ""
    clients: list[httpx2.AsyncClient] = field(default_factory=list)

    def client(self, framework: str, session: str | None = None, *, http2: bool = False) -> httpx2.AsyncClient:
        """Return somebody's browser at the app of one framework."""
        headers = {
            "host": f"{framework}.localhost:8000",
            "origin": ORIGIN,
            "sec-fetch-site": "same-origin",
            "accept": "application/json",
        }
        if session is not None:
            headers["cookie"] = f"session={session}"
        transport = httpx2.AsyncHTTPTransport(uds=self.socket or None, http1=not http2, http2=http2)
        return httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port or 80}",
            headers=headers,
            transport=transport,
            timeout=60,
            event_hooks={"request": [_ends_with_its_headers]},
        )

    def person(self, framework: str, session: str, *, http2: bool = False) -> Person:
        """Return somebody who is signed in to the app of one framework."""
        person = Person(None, None, origin=ORIGIN)  # type: ignore[arg-type]  # the app is behind a socket
        person.http = self.client(framework, session, http2=http2)
        return person

    async def runs(self) -> dict[str, int]:
        """Return how often each endpoint ran."""
        async with self.client("any") as http:
            found: dict[str, int] = (await http.get("/-/runs")).json()
            return found

    async def raw(self, request: bytes, *, leave: bool = False) -> bytes:
        """Send bytes and return what is answered until the server closes; with ``leave`` hang up at once."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            await writer.drain()
            return b"" if leave else await asyncio.wait_for(reader.read(), 60)
        except ConnectionError:
            return b""
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def websocket(self, framework: str, path: str, **headers: str) -> int:
        """Open a WebSocket; return 101 if it was accepted, else the status of the refusal."""
        given = {
            "cookie": headers.pop("cookie", ""),
            **{key.replace("_", "-"): value for key, value in headers.items()},
        }
        try:
            async with connect(
                f"ws://{framework}.localhost:8000{path}",
                host="127.0.0.1",
                port=self.port,
                origin=ORIGIN,  # type: ignore[arg-type]
                additional_headers=given,
                open_timeout=60,
                proxy=None,
            ):
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code
        except InvalidHandshake:
            return 0


async def _ends_with_its_headers(request: httpx2.Request) -> None:
    """Send no empty body: hypercorn 0.18 loses an HTTP/2 connection whose stream is answered before it ends."""
    if request.headers.get("content-length") == "0":
        del request.headers["content-length"]


@contextmanager
def serving(name: str, folder: Path, *extra: str, uds: bool = False, **environment: str) -> Iterator[Served]:
    """Start a server, wait until it answers, and end it."""
    served = Served(name=name, log=folder / "server.log")
    command = [sys.executable, "-m", *COMMANDS[name], *extra]
    if uds:
        served.socket = str(folder / "server.sock")
        command += ["--uds", served.socket]
    else:
        served.port = free_port()
        command += {
            "hypercorn": ["--bind", f"127.0.0.1:{served.port}"],
            "daphne": ["-b", "127.0.0.1", "-p", str(served.port)],
        }.get(name, ["--host", "127.0.0.1", "--port", str(served.port)])
    with served.log.open("wb") as log:
        process = subprocess.Popen(
            [*command, APP],
            cwd=ROOT,
            env={**os.environ, "STEPUP_TEST_DATABASE": str(folder / "stepup.db"), **environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait(served, process)
        yield served
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(served: Served, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, served.log.read_text(errors="replace")
        if b" 200 " in _asked(served):
            return
        time.sleep(0.1)
    raise AssertionError(served.log.read_text(errors="replace"))


def _asked(served: Served) -> bytes:
    """Return the beginning of an answer of the server, if there is one."""
    family = socket.AF_UNIX if served.socket else socket.AF_INET
    with socket.socket(family) as way, suppress(OSError):
        way.settimeout(30)
        way.connect(served.socket or ("127.0.0.1", served.port))
        way.sendall(b"GET /-/runs HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n")
        return way.recv(100)
    return b""


@dataclass(frozen=True)
class Outcome:
    """What one framework does on one server. ``websocket`` is None where the framework has none."""

    refused: bool
    ran: bool
    replay_refused: bool
    websocket_refused: bool | None

    def __str__(self) -> str:
        return " ".join(
            {True: "✓", False: "✗", None: "n/a"}[each]
            for each in (self.refused, self.ran, self.replay_refused, self.websocket_refused)
        )

    @property
    def green(self) -> bool:
        """Whether nothing is wrong."""
        return "✗" not in str(self)


async def outcome(served: Served, framework: str, *, http2: bool = False) -> Outcome:
    """Go through the main flow at a tagged function, a handler that asks itself and a route that a rule names."""
    session = f"{'h2' if http2 else 'h1'}-{framework}"
    person = served.person(framework, session, http2=http2)
    async with person.http:
        await person.enrol_passkey()
        before = await served.runs()
        refused, ran, replayed = [], [], []
        for path in ("/function", "/inside", "/ruled/x"):
            name = f"{framework}/{path.split('/')[1]}"
            asked = await person.http.post(path)
            refused.append(_is_problem(asked, 401, "STEPUP_REQUIRED") and await served.runs() == before)
            token = await person.prove(asked)
            done = await person.http.post(path, headers={"stepup-token": token})
            after = await served.runs()
            ran.append(done.status_code == 200 and after == {**before, name: before.get(name, 0) + 1})
            again = await person.http.post(path, headers={"stepup-token": token})
            replayed.append(_is_problem(again, 403, "STEPUP_TOKEN_REUSED") and await served.runs() == after)
            before = after
        socket = None
        if (framework, served.name) not in NO_SOCKETS and "/socket" not in LACKING.get(framework, ()):
            status = await served.websocket(framework, "/socket", cookie=f"session={session}")
            socket = status in (401, 403) and await served.runs() == before
        return Outcome(all(refused), all(ran), all(replayed), socket)


def _is_problem(answer: httpx2.Response, status: int, code: str) -> bool:
    kind, cached = answer.headers["content-type"], answer.headers["cache-control"]
    found = (answer.status_code, kind, cached, answer.json()["code"])
    return found == (status, "application/problem+json", "no-store", code)
