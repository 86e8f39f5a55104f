"""What tests need of the machine they run on: programs that are installed, ports that are free."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def program(name: str) -> str:
    """Return the path of a program; without it the test is skipped, except in continuous integration."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return found


def wheel_in(folder: Path) -> Path:
    """Build the wheel of this checkout, as an index would get it, and return its path."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=300)
    (built,) = folder.glob("*.whl")
    return built


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def until(condition: Callable[[], object], *, seconds: float = 60) -> None:
    """Return when a condition holds that nobody can wait for: of another process, or of a thread."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)
