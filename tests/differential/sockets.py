"""The comparison over sockets: a token for one request, presented with the other, at real servers."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import httpx2

from tests.binding import bound_request_of
from tests.guide.person import Person
from tests.machine import free_port

from .apps import FRAMEWORKS, ways_of
from .clients import Answer, Http1, Http2, NoAnswer
from .compare import Difference, Report
from .grammar import batch, honest
from .mutations import KINDS, kinds_elsewhere, mutated
from .stack import ORIGIN, STACKS
from .wire import Header, Wire, scope_of

COMMANDS = {
    "h11": ["uvicorn", "--http", "h11", "--loop", "asyncio", "--log-level", "critical", "--no-proxy-headers"],
    "httptools": ["uvicorn", "--http", "httptools", "--log-level", "critical", "--no-proxy-headers"],
    "hypercorn h2": ["hypercorn", "--log-level", "critical"],
}
VARIANTS = 4
GROUPS_A_PERSON = 2
NOT_HERE = frozenset(
    {
        *(kind.name for kind in KINDS.values() if not kind.sockets),
        "another server",
        "content length that is not true",  # the server waits for the rest, or closes
        "content length doubled or spelled otherwise",
    }
)
NOT_IN_HTTP2 = frozenset({b"connection", b"keep-alive", b"te", b"transfer-encoding"})
SECONDS = 120.0  # for a server to come up; the machine may be busy


@contextmanager
def served(name: str, frameworks: Sequence[str]) -> Iterator[int]:
    """Start a server, yield its port when it answers, and end it."""
    port = free_port()
    where = ["--bind", f"127.0.0.1:{port}"] if "hypercorn" in name else ["--host", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryDirectory(prefix="differential-") as folder:
        log = Path(folder) / "log"
        environment = {
            "STEPUP_TEST_DATABASE": str(Path(folder) / "stepup.db"),
            "STEPUP_TEST_FRAMEWORKS": ",".join(frameworks),
        }
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *COMMANDS[name], *where, "tests.differential.served:app"],
                cwd=Path(__file__).parents[2],
                env={**os.environ, **environment},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            until = time.monotonic() + SECONDS
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > until:
                    raise AssertionError(log.read_text(errors="replace")[-3000:])
                time.sleep(0.1)
            yield port
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as way, suppress(OSError):
        way.settimeout(10)
        way.connect(("127.0.0.1", port))
        way.sendall(b"GET / HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n")
        return b" 404 " in way.recv(100)
    return False


class Presenting:
    """Presents tokens at one server to the app of one framework."""

    def __init__(self, server: str, port: int, framework: str, seed: int, ways: Sequence[str]) -> None:
        self.server = server
        self.framework = framework
        self.report = Report(f"{framework} behind {server}", seed)
        self._port = port
        self._ways = ways
        self._client = Http2(port) if "h2" in server else Http1(port)
        self._person: Person | None = None
        self._who = ""

    async def run(self, pairs: int) -> Report:
        """Go on until so many pairs were tried; return what was found."""
        loop = asyncio.get_running_loop()
        began, number = loop.time(), 0
        while self.report.pairs < pairs:
            if number % GROUPS_A_PERSON == 0:
                await self._next_person(number)
            await self._group(number)
            number += 1
        await self._client.close()
        if self._person is not None:
            await self._person.http.aclose()
        self.report.seconds = loop.time() - began
        return self.report

    async def _next_person(self, number: int) -> None:
        if self._person is not None:
            await self._person.http.aclose()
        self._who = f"{self.framework}-{self.report.seed}-{number}"
        person = Person(None, None, origin=ORIGIN)  # type: ignore[arg-type]  # the app is behind a socket
        person.http = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{self._port}",
            headers={
                "host": "localhost:8000",
                "origin": ORIGIN,
                "sec-fetch-site": "same-origin",
                "accept": "application/json",
                "x-echo-app": f"{self.framework}.plain",
                "x-echo-who": self._who,
            },
            timeout=60,
        )
        await person.enrol_passkey()
        self._person = person

    async def _sent(self, wire: Wire, token: str = "") -> Answer | None:
        """Send a request as it is; return None where the server does not take it."""
        self.report.requests += 1
        extra: list[Header] = [
            (b"x-echo-app", f"{self.framework}.{wire.stack}".encode()),
            (b"x-echo-who", self._who.encode()),
        ]
        if token:
            extra.append((b"stepup-token", token.encode()))
        try:
            return await self._client.send(wire, extra)
        except NoAnswer:
            return None

    async def _token(self, wire: Wire) -> tuple[str, str]:
        """Return a token for a request, and what the library bound it by; empty where it does not ask."""
        asked = await self._sent(wire)
        if asked is None or asked.status != 401 or "stepup-prompt" not in asked.headers or self._person is None:
            return "", ""
        token = await self._person.prove(httpx2.Response(401, headers=asked.headers))
        return token, asked.headers["x-echo-bound"]

    async def _group(self, number: int) -> None:
        rng = Random(f"{self.report.seed} {self.report.framework} {number}")  # noqa: S311 - the same pairs again
        stack = rng.choice(STACKS)
        first = batch(rng, self._ways) if stack == "batch" else honest(rng, self._ways, stack)
        first.server = self.server
        if first.framing == (b"chunked" if "h2" in self.server else b"bare"):
            first.framing = b"length"
        token, bound = await self._token(first)
        done = await self._sent(first, token) if token else None
        if done is None or done.headers.get("x-echo-ran") != "1":
            return
        self.report.ran += 1
        if (self.framework, stack) == ("starlette", "plain") and bound_request_of(
            scope_of(first), first.body
        ).digest().hex() != bound:
            self._found("made otherwise in process", number, (), (first, first), (done.body, b""))
        token, without = "", NOT_HERE | kinds_elsewhere(self.framework)
        for _ in range(VARIANTS):
            second, kinds = mutated(rng, first, without=without)
            if second.trailers and "h2" not in self.server and second.framing == b"length":
                second.framing = b"chunked"  # else nobody sends them
            if second.key() == first.key() or ("h2" in self.server and _not_in_http2(second)):
                continue
            if not token:
                token, _ = await self._token(first)
            answer = await self._sent(second, token)
            self.report.pairs += 1
            names = tuple(kind.name for kind in kinds)
            if answer is None:
                continue
            ran, same = answer.headers.get("x-echo-ran") == "1", answer.headers.get("x-echo-bound") == bound
            readings = (done.body, b"%d " % answer.status + answer.body)
            if ran:
                token = ""
                self.report.ran += 1
            if same and ran:
                self.report.collided += 1
                self.report.colliding.update(names)
                if answer.headers["x-echo-read"] != done.headers["x-echo-read"]:
                    self._found("read in two ways", number, names, (first, second), readings)
            elif same or ran:
                what = "ran with a token for another request" if ran else "refused with its own token"
                self._found(what, number, names, (first, second), readings)

    def _found(
        self,
        what: str,
        number: int,
        names: tuple[str, ...],
        pair: tuple[Wire, Wire],
        readings: tuple[bytes, bytes],
    ) -> None:
        self.report.differences.append(Difference(what, number, names, *pair, readings))


def _not_in_http2(wire: Wire) -> bool:
    return any(name.lower() in NOT_IN_HTTP2 for name, _ in wire.lines(wire.body))


def presented(server: str, frameworks: Sequence[str], *, pairs: int, seed: int) -> list[Report]:
    """Present tokens at one server to the apps of several frameworks, ``pairs`` pairs each."""

    async def present(port: int) -> list[Report]:
        each = [Presenting(server, port, name, seed, ways_of(name)) for name in frameworks]
        return list(await asyncio.gather(*(one.run(pairs) for one in each)))

    with served(server, frameworks) as port:
        return asyncio.run(present(port))


def all_presented(frameworks: Sequence[str] = FRAMEWORKS, *, pairs: int, seed: int) -> list[Report]:
    """Present at least ``pairs`` pairs altogether, spread over all servers and frameworks."""
    each = -(-pairs // (len(frameworks) * len(COMMANDS)))
    return [report for server in COMMANDS for report in presented(server, frameworks, pairs=each, seed=seed)]
