"""Server processes: started, asked and stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Self

import httpx2

from stepup_middleware.testing import VirtualAuthenticator
from tests.machine import free_port

from .app import ORIGIN, POLL_SECONDS, there

SECONDS = 60  # for anything that must happen; the machine may be busy
ROOT = Path(__file__).parent.parent.parent
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody: to read the usual certificates takes long, each time


class Server:
    """A process that serves an app on a port of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def terminate(self) -> None:
        """Ask it to stop, as a service manager does."""
        self.process.send_signal(signal.SIGTERM)

    async def stopped(self) -> int:
        """Return its exit status, once it has ended by itself."""
        async with asyncio.timeout(SECONDS):
            return await self.process.wait()


@asynccontextmanager
async def serving(*arguments: str, port: int, folder: Path | None = None, **environment: str) -> AsyncIterator[Server]:
    """Run a command that serves on a port; wait until it answers, and see it off in the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, cwd=folder or ROOT, env={**os.environ, **environment}
    )
    try:
        await answers(port, process)
        yield Server(process, port)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def uvicorn(folder: Path, keys: Sequence[str], *, graceful: int = 30) -> AbstractAsyncContextManager[Server]:
    """Serve ``tests.served.app`` on a folder."""
    port = free_port()
    return serving(
        "uvicorn", "--factory", "tests.served.app:make", "--port", str(port), "--log-level", "warning",
        "--timeout-graceful-shutdown", str(graceful), "--ws", "none",
        port=port, SERVED_FOLDER=str(folder), SERVED_KEYS=",".join(keys),
    )  # fmt: skip


async def answers(port: int, process: asyncio.subprocess.Process) -> None:
    """Return when somebody accepts connections on a port."""
    async with asyncio.timeout(SECONDS):
        while True:
            if process.returncode is not None:
                raise RuntimeError(f"the server ended with {process.returncode}")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(POLL_SECONDS)
            else:
                writer.close()
                return


async def appears(file: Path) -> None:
    """Return when a file is there."""
    async with asyncio.timeout(SECONDS):
        await there(file)


class Person:
    """Somebody with a passkey, who talks to any of several servers."""

    def __init__(self, name: str) -> None:
        self.passkey = VirtualAuthenticator.passkey()
        self.http = httpx2.AsyncClient(
            headers={
                "host": ORIGIN.removeprefix("http://"),  # one site, whichever node answers: a token is bound to it
                "x-user": name,
                "origin": ORIGIN,
                "sec-fetch-site": "same-origin",
                "accept": "application/json",
            },
            timeout=SECONDS,
            verify=PLAIN,
            limits=httpx2.Limits(max_keepalive_connections=0),  # a new connection each time, as behind a balancer
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def enrol(self, url: str) -> None:
        """Enrol the passkey."""
        options = await self.http.post(f"{url}/stepup/factors/webauthn/options", json={"kind": "passkey"})
        credential = self.passkey.create(options.json(), origin=ORIGIN)
        done = await self.http.post(f"{url}/stepup/factors/webauthn", json={"name": "k", "credential": credential})
        assert done.status_code == 201, done.text

    async def ask(self, url: str, path: str = "/act") -> str:
        """Ask for a prompt and return its path."""
        asked = await self.http.post(url + path)
        assert asked.status_code == 401, asked.text
        return str(asked.headers["stepup-prompt"])

    async def prove(self, url: str, prompt: str) -> str:
        """Prove oneself to a prompt and return the token."""
        options = await self.http.post(f"{url}{prompt}/webauthn/options", json={})
        assert options.status_code == 200, options.text
        assertion = self.passkey.get(options.json(), origin=ORIGIN)
        answer = await self.http.post(f"{url}{prompt}/webauthn", json=assertion)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    async def token(self, url: str, path: str = "/act") -> str:
        """Ask, prove, and return the token."""
        return await self.prove(url, await self.ask(url, path))

    async def present(self, url: str, token: str, path: str = "/act") -> httpx2.Response:
        """Present a token."""
        return await self.http.post(url + path, headers={"stepup-token": token})
