"""A fault of the set-up stops the start, on each server with its documented command, and says why."""

from __future__ import annotations

import http.client
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib import import_module
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from stepup_middleware import ConfigurationError
from tests.machine import free_port

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "uvicorn": ["uvicorn", "--port", "{port}"],
    "hypercorn": ["hypercorn", "--bind", "127.0.0.1:{port}"],
    "granian": ["granian", "--interface", "asgi", "--port", "{port}"],
    "daphne": ["daphne", "-p", "{port}"],
}
FAULTS = {
    "late": "the route /x has its function without the tag",
    "inside": "names the unknown purpose 'webhook_secret_rotatoin'",
    "store": "holds another application's data",
    "folder": "is a folder: name the file that the database is to be in",
}
SECONDS = 60


class Running:
    """A server that was started, and what it says."""

    def __init__(self, server: str, fault: str, folder: Path) -> None:
        self.port = free_port()
        if fault == "store":
            with closing(sqlite3.connect(folder / "stepup.db")) as database:
                database.execute("CREATE TABLE theirs (a)")
        if fault == "folder":
            (folder / "stepup.db").mkdir()
        self.log = folder / "server.log"
        command = [part.format(port=self.port) for part in COMMANDS[server]]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command, "tests.served.faulty:app"],
                cwd=ROOT,
                env={
                    **os.environ,
                    "STEPUP_TEST_DATABASE": str(folder / "stepup.db"),
                    "STEPUP_TEST_FAULT": fault,
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def ended(self) -> bool:
        """Wait until the server has ended, and say whether it has."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(SECONDS)
        return self.process.poll() is not None

    def post(self) -> int:
        """Return the status of an answer, waiting until the server gives one."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            with (
                suppress(OSError),
                closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection,
            ):
                connection.request("POST", "/x")
                return connection.getresponse().status
            time.sleep(0.1)
        raise AssertionError(self.said)


@contextmanager
def running(server: str, fault: str, folder: Path) -> Iterator[Running]:
    """Start a server and end it."""
    started = Running(server, fault, folder)
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            started.process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(started.process.pid, signal.SIGKILL)
        started.process.wait(10)


# U01
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("server", [name for name in COMMANDS if name != "daphne"])
@pytest.mark.sweep()
def test_a_fault_of_the_set_up_stops_the_start_and_is_on_the_console(server: str, fault: str, tmp_path: Path) -> None:
    with running(server, fault, tmp_path) as started:
        assert started.ended(), started.said
        assert FAULTS[fault] in started.said
        assert "appears unsupported" not in started.said
        if server == "uvicorn":  # the others end as if all were well
            assert started.process.returncode != 0


# U02
@pytest.mark.parametrize("fault", FAULTS)
def test_where_a_server_has_no_start_event_nothing_tagged_runs_and_the_log_says_why(fault: str, tmp_path: Path) -> None:
    with running("daphne", fault, tmp_path) as started:
        assert started.post() == 503, started.said
        assert FAULTS[fault] in started.said


# U03
@pytest.mark.slow
@pytest.mark.parametrize("server", COMMANDS)
def test_an_app_without_a_lifespan_is_served_and_the_store_is_open(server: str, tmp_path: Path) -> None:
    with running(server, "none", tmp_path) as started:
        assert started.post() == 401, started.said
        assert (tmp_path / "stepup.db").exists()
        assert "Traceback" not in started.said


@pytest.mark.parametrize("fault", ["late", "inside", "store"])
def test_a_test_client_is_told_of_the_fault_and_does_not_wait(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPUP_TEST_DATABASE", str(tmp_path / "stepup.db"))
    monkeypatch.setenv("STEPUP_TEST_FAULT", fault)
    if fault == "store":
        with closing(sqlite3.connect(tmp_path / "stepup.db")) as database:
            database.execute("CREATE TABLE theirs (a)")
    app = import_module("tests.served.faulty").built(fault)  # it reads its settings when it is imported
    with pytest.raises(ConfigurationError, match=FAULTS[fault]), TestClient(app):
        raise AssertionError("started")
