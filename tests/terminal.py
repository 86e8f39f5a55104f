"""A terminal: commands typed into a shell in a folder, as a reader types them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


@asynccontextmanager
async def typed(commands: str, folder: Path, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Type commands into a shell in a folder; what is still running in the end is ended."""
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", commands, cwd=folder, env={**clean, **environment}, start_new_session=True,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)
            await process.communicate()


async def output_of(commands: str, folder: Path) -> str:
    async with typed(commands, folder) as process, asyncio.timeout(600):
        out, _ = await process.communicate()
        assert process.returncode == 0, out.decode()
        return out.decode()


async def said(process: asyncio.subprocess.Process, words: bytes) -> None:
    """Return once a program has said something."""
    assert process.stdout is not None
    async with asyncio.timeout(120):
        heard = b""
        while not re.search(words, heard):
            line = await process.stdout.readline()
            assert line, heard.decode()
            heard += line
