"""The run under kills tells what goes on, and where a process stands in which nothing does."""

from __future__ import annotations

import secrets
from pathlib import Path

import httpx2
import pytest

from tests.machine import free_port

from .chaos import measure
from .processes import PLAIN, serving
from .standing import standing_of

SECRET = "0123456789abcdef"


@pytest.mark.slow
async def test_a_process_tells_where_its_tasks_and_its_threads_stand(tmp_path: Path) -> None:
    port = free_port()
    server = serving(
        "uvicorn", "--factory", "tests.served.app:make", "--port", str(port), "--log-level", "warning", "--ws", "none",
        port=port, SERVED_FOLDER=str(tmp_path), SERVED_KEYS=secrets.token_urlsafe(48), SERVED_HEALTH=SECRET,
    )  # fmt: skip
    async with server as node, httpx2.AsyncClient(verify=PLAIN) as http:
        for _ in range(2):  # each time anew
            told = await standing_of(tmp_path, node.process.pid)
            assert "stepup-integration: _serve (integrating.py:" in told
            assert "Thread 0x" in told
        answer = await http.get(f"{node.url}/stepup/health", headers={"authorization": f"Bearer {SECRET}"})
        assert answer.json()["fault"] == ""


@pytest.mark.slow
async def test_nothing_runs_twice_or_unlogged_while_nodes_and_databases_are_killed() -> None:
    figures = await measure(60, 5.0, seed=7)
    assert figures.sound, str(figures)
    assert sum(figures.kills.values()) >= 1
