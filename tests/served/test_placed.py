"""Wherever the middleware was put, each server starts it by its documented command, asks, and tells of a fault."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.machine import free_port
from tests.test_placements import HEAD, PLACEMENTS

SECONDS = 60
COMMANDS = {
    "uvicorn": ["-m", "uvicorn", "main:app", "--port", "{port}"],
    "hypercorn": ["-m", "hypercorn", "--bind", "127.0.0.1:{port}", "main:app"],
    "granian": ["-m", "granian", "--interface", "asgi", "--port", "{port}", "main:app"],
    "daphne": ["-m", "daphne", "-p", "{port}", "main:app"],
    "fastapi run": ["-m", "fastapi", "run", "--port", "{port}", "main.py"],
}
FACTORY = {
    "uvicorn": [*COMMANDS["uvicorn"], "--factory"],
    "hypercorn": [*COMMANDS["hypercorn"][:-1], "main:app()"],
    "granian": [*COMMANDS["granian"], "--factory"],
}
OFTEN = ("wrapped", "add_middleware", "a factory")  # the others differ by nothing that a server sees
CASES = [("uvicorn", placement) for placement in PLACEMENTS if placement not in OFTEN]
CASES += [
    (server, placement)
    for server in COMMANDS
    for placement in OFTEN
    if not (placement == "a factory" and server not in FACTORY)
    # it serves an object of the class FastAPI, which add_middleware leaves the app to be
    and not (server == "fastapi run" and placement != "add_middleware")
]
MISSPELT = "the unknown purpose 'webhook_secret_rotatoin'"


class Started:
    """A server in a folder of its own, and what it says."""

    def __init__(self, server: str, placement: str, folder: Path, head: str = HEAD) -> None:
        if server == "fastapi run":
            pytest.importorskip("fastapi_cli", reason="fastapi run needs fastapi-cli")
        (folder / "main.py").write_text(head + PLACEMENTS[placement] + "\n", encoding="utf-8")
        self.port, self.log = free_port(), folder / "server.log"
        command = FACTORY[server] if placement.startswith("a factory") else COMMANDS[server]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *(part.format(port=self.port) for part in command)],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(folder)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def post(self) -> int | None:
        """Return the status of an answer, None where the server has ended instead."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            with (
                suppress(OSError),
                closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection,
            ):
                connection.request("POST", "/act")
                return connection.getresponse().status
            time.sleep(0.1)
        if self.process.poll() is None:
            raise AssertionError(self.said)
        return None


@pytest.mark.slow
@pytest.mark.parametrize(("server", "placement"), CASES)
def test_a_server_starts_the_app_wherever_the_middleware_was_put_and_it_asks(
    server: str, placement: str, tmp_path: Path
) -> None:
    with Started(server, placement, tmp_path) as started:
        assert started.post() == 401, started.said
        assert (tmp_path / "stepup.db").exists() or server == "daphne"  # which has no start of an app


@pytest.mark.slow
@pytest.mark.parametrize(
    ("server", "placement"), [case for case in CASES if case[1] in OFTEN and case != ("fastapi run", "wrapped")]
)
def test_a_misspelt_purpose_is_told_by_every_server_wherever_the_middleware_was_put(
    server: str, placement: str, tmp_path: Path
) -> None:
    head = HEAD.replace('"webhook_secret_rotation"', '"webhook_secret_rotatoin"')
    with Started(server, placement, tmp_path, head) as started:
        assert started.post() == (503 if (server, placement) == ("daphne", "add_middleware") else None)
        assert MISSPELT in started.said
