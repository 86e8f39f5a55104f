"""An app that real clients reach by HTTP, and a terminal in which a program runs."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import signal
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import uvicorn

from stepup_middleware.asgi import ASGIApp
from tests.machine import free_port
from tests.patience import PATIENT

SECONDS = PATIENT.total_seconds() * 2


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an app whose ``StepUp`` has been started; yield its origin."""
    port = free_port()
    config = uvicorn.Config(app, port=port, lifespan="off", log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(SECONDS):
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


class Terminal:
    """A program in a terminal of its own. Its standard output is a pipe, as in ``stepup call … | jq``."""

    def __init__(self, process: asyncio.subprocess.Process, screen: int) -> None:
        self.process = process
        self._screen = screen
        self._shown = ""
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(screen, self._read)

    def _read(self) -> None:
        with suppress(OSError):  # EIO: the program has ended
            if data := os.read(self._screen, 65_536):
                self._shown += data.decode()
                self._news.set()
                return
        asyncio.get_running_loop().remove_reader(self._screen)

    async def shows(self, pattern: str) -> re.Match[str]:
        """Return what is found on the screen, once it is there."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                return await self._shows(pattern)
        raise AssertionError(self._shown)

    async def _shows(self, pattern: str) -> re.Match[str]:
        while (found := re.search(pattern, self._shown)) is None:
            self._news.clear()
            await self._news.wait()
        return found

    def types(self, text: str) -> None:
        os.write(self._screen, text.encode())

    async def ended(self) -> tuple[int, bytes]:
        """Return the exit status and the standard output."""
        async with asyncio.timeout(SECONDS):
            out, _ = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out

    @property
    def shown(self) -> str:
        return self._shown

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._screen)
        os.close(self._screen)


@asynccontextmanager
async def terminal(*arguments: str, columns: int = 100) -> AsyncIterator[Terminal]:
    """Run a Python program in a terminal of so many columns."""
    screen, inside = pty.openpty()
    termios.tcsetwinsize(screen, (40, columns))

    def take_terminal() -> None:
        fcntl.ioctl(inside, termios.TIOCSCTTY, 0)

    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=inside, stderr=inside, stdout=asyncio.subprocess.PIPE,
        start_new_session=True, preexec_fn=take_terminal,
    )  # fmt: skip
    os.close(inside)
    running = Terminal(process, screen)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.communicate()
        running.close()
