"""A witness as its own process, started by the command, to be killed and started again."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from stepup_middleware.log.keys import WITNESS_TYPES, VerifierKey, read_signing_keys
from stepup_middleware.log.witness.client import Witness
from stepup_middleware.log.witness.decision import AddCheckpoint
from tests.log.histories import LOG_VERIFIERS
from tests.machine import free_port

SECONDS = 60.0  # for a start; the machine may be busy


class WitnessProcess:
    """A witness in a folder, with keys of its own. It can be started again after it ended."""

    def __init__(self, folder: Path, name: str = "witness.example") -> None:
        self.folder = folder
        self.key = folder / f"{name}.key"
        command = [sys.executable, "-m", "stepup_middleware", "keygen", "--witness", name, "--output", str(self.key)]
        self.vkeys = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
        self.log_file = folder / "log.vkey"
        self.log_file.write_text("".join(f"{key}\n" for key in LOG_VERIFIERS))
        self.port = free_port()
        self.process: subprocess.Popen[str] | None = None

    @property
    def witness(self) -> Witness:
        return Witness(f"http://127.0.0.1:{self.port}", self.vkeys)

    @property
    def verifiers(self) -> list[VerifierKey]:
        return [key.verifier for key in read_signing_keys(self.key.read_text(), WITNESS_TYPES)]

    def start(self) -> None:
        """Start it, and wait until it answers."""
        listen = f"127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "stepup_middleware", "audit", "witness", "--listen", listen]
        command += ["--key", str(self.key), "--log", str(self.log_file)]
        errors = (self.folder / "errors").open("a")
        self.process = subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=errors, text=True, process_group=0
        )
        errors.close()
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.folder / "errors").read_text()
            try:
                self.call("GET", "/")
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the witness did not start")

    def call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def add(self, request: AddCheckpoint) -> tuple[int, bytes]:
        return self.call("POST", "/add-checkpoint", str(request).encode())

    def kill(self) -> None:
        """End it at once, in the midst of whatever it does."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def stop(self) -> None:
        """End it as a service manager does."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(SECONDS)
            self.process = None
