"""A real witness process: killed with -9 while it cosigns, started again, and shown forks."""

from __future__ import annotations

import asyncio
import http.client
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from stepup_middleware.cli import main
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.log.checkpoints import Checkpoint
from stepup_middleware.log.keys import (
    LOG_TYPES,
    WITNESS_TYPES,
    SigningKey,
    read_signing_keys,
    read_verifier_keys,
    verify_note,
)
from stepup_middleware.log.notes import Note, NoteError, read_signatures
from stepup_middleware.log.witness.client import Outcome, Prove, Witness, WitnessClient, WitnessGroup
from tests.log.histories import AT, LOG_KEYS, LOG_VERIFIERS, WITNESS_VERIFIERS, History
from tests.log.support import leaves
from tests.log.witness_process import WitnessProcess

TRUE = History(leaves(3000))
KILLS = 8


def prove(history: History, size: int) -> Prove:
    async def proof(old: int) -> Sequence[bytes]:
        return history.proof(old, size)

    return proof


@pytest.mark.slow
def test_a_witness_that_is_killed_remembers_all_that_it_cosigned_and_never_signs_a_fork(tmp_path: Path) -> None:
    """A log posts as fast as it can, forks in between; the witness is killed in the midst of it, again and again."""
    chance = random.Random(20261128)  # noqa: S311 - moments of a test
    witness = WitnessProcess(tmp_path)
    cosigned: list[Checkpoint] = []
    keys = witness.verifiers
    for _ in range(KILLS):
        witness.start()
        enough = threading.Event()

        def kill_soon(enough: threading.Event = enough, delay: float = chance.uniform(0, 0.004)) -> None:
            enough.wait()
            threading.Event().wait(delay)  # some moment within the next request or two
            witness.kill()

        killer = threading.Thread(target=kill_soon, daemon=True)
        killer.start()
        before, answered = len(cosigned), 0
        while True:
            known = cosigned[-1].size if cosigned else 0
            lying = chance.random() < 0.3 and known > 1
            history = TRUE.fork(chance.randrange(known)) if lying else TRUE
            size = known + chance.randrange(1, 4)
            try:
                status, body = witness.add(history.request(known, size))
                if status == 409:  # it kept what it could not answer any more
                    size = int(body)
                    assert size > known
                    status, body = witness.add(TRUE.request(size, size))
                    assert status == 200
                    lying = False
            except (OSError, http.client.HTTPException):
                break
            assert status == (422 if lying else 200)
            if not lying:
                checkpoint = TRUE.checkpoint(size)
                assert len(verify_note(Note(checkpoint.text, read_signatures(body)), keys)) == 2
                cosigned.append(checkpoint)
            answered += 1
            if answered == chance.randrange(5, 12) or answered > 12:
                enough.set()
        killer.join()
        assert len(cosigned) > before
    witness.start()
    last = cosigned[-1].size
    status, body = witness.add(TRUE.request(0, last))
    assert status == 409
    assert int(body) >= last  # what it cosigned, or the one whose answer the kill took
    fork = TRUE.fork(last - 1)
    assert witness.add(fork.request(int(body), int(body) + 5))[0] == 422
    assert witness.add(TRUE.request(int(body), int(body) + 5))[0] == 200
    witness.stop()


async def test_a_group_gets_its_quorum_and_learns_of_forks_and_larger_trees(tmp_path: Path) -> None:
    up = WitnessProcess(tmp_path)
    down = Witness("http://127.0.0.1:9", str(SigningKey.generate("down.example", WITNESS_TYPES[1]).verifier))
    await asyncio.to_thread(up.start)
    try:
        group = WitnessGroup([up.witness, down], quorum=1)
        asked: list[int] = []

        async def proof(old: int) -> Sequence[bytes]:
            asked.append(old)
            return TRUE.proof(old, 200)

        first = await group.cosign(TRUE.note(100), prove(TRUE, 100))
        assert first.has_quorum
        assert [answer.outcome for answer in first.answers] == [Outcome.COSIGNED, Outcome.UNREACHABLE]
        assert len(verify_note(first.note, [*LOG_VERIFIERS, *up.verifiers])) == 4
        second = await group.cosign(TRUE.note(200), proof)
        assert second.has_quorum
        assert asked == [100]  # it remembers, so one call is enough
        assert not (await WitnessGroup([up.witness, down], quorum=2).cosign(TRUE.note(200), proof)).has_quorum

        newly_started = WitnessGroup([up.witness], quorum=1)  # another process of the log, which remembers nothing
        assert (await newly_started.cosign(TRUE.note(250), prove(TRUE, 250))).has_quorum
        assert (await group.cosign(TRUE.note(260), prove(TRUE, 260))).has_quorum

        behind = await newly_started.cosign(TRUE.note(180), prove(TRUE, 180))  # an older copy of the database
        assert not behind.has_quorum
        assert [answer.outcome for answer in behind.alarms] == [Outcome.LARGER]
        assert "260 leaves" in behind.alarms[0].problem
        fork = TRUE.fork(90)
        forked = await newly_started.cosign(fork.note(270), prove(fork, 270))
        assert [answer.outcome for answer in forked.alarms] == [Outcome.FORK]
        assert not forked.note.signatures[2:]

        latest = await WitnessClient(up.witness).latest(LOG_VERIFIERS)
        assert latest is not None
        assert latest[0] == TRUE.checkpoint(260)
        with pytest.raises(NoteError):
            await WitnessClient(Witness(up.witness.url, down.vkey)).latest(LOG_VERIFIERS)
        other = [SigningKey.generate("other.example", LOG_KEYS[0].verifier.type)]
        assert await WitnessClient(up.witness).latest([key.verifier for key in other]) is None
        with pytest.raises(OSError, match=r"127\.0\.0\.1:9"):
            await WitnessClient(down).latest(LOG_VERIFIERS)
        unknown = Note(TRUE.note(300).text, (LOG_KEYS[0].sign(TRUE.checkpoint(301), AT),))
        assert (await group.cosign(unknown, prove(TRUE, 300))).answers[0].outcome is Outcome.UNKNOWN_LOG

        await asyncio.to_thread(up.stop)
        (tmp_path / "witness.example.key.state").unlink()
        await asyncio.to_thread(up.start)
        forgot = await group.cosign(TRUE.note(300), prove(TRUE, 300))
        assert [answer.forgot for answer in forgot.answers] == [True, False]
    finally:
        await asyncio.to_thread(up.stop)


class Liar(BaseHTTPRequestHandler):
    """Answers what the test says."""

    status = 200
    body = b""
    headers_sent: ClassVar[dict[str, str]] = {}

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.status)
        for name, value in {"Content-Length": str(len(self.body)), **self.headers_sent}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(self.body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, b"", Outcome.UNREACHABLE),
        (200, b"\xff", Outcome.UNREACHABLE),
        (200, "— witness.example AAAAAAAA\n".encode(), Outcome.UNREACHABLE),
        (200, b"x" * 300_000, Outcome.UNREACHABLE),
        (200, "".join(map(str, TRUE.note(50).signatures)).encode(), Outcome.UNREACHABLE),
        (201, b"", Outcome.UNREACHABLE),
        (302, b"", Outcome.UNREACHABLE),
        (409, b"17\n", Outcome.UNREACHABLE),
        (409, b"017\n", Outcome.UNREACHABLE),
        (409, b"many\n", Outcome.UNREACHABLE),
        (409, b"51\n", Outcome.LARGER),
        (422, b"\x1b[2Jno", Outcome.FORK),
        (404, b"who?", Outcome.UNKNOWN_LOG),
        (503, b"", Outcome.UNREACHABLE),
    ],
)
async def test_a_witness_that_answers_anything_else_takes_nothing_and_breaks_nothing(
    status: int, body: bytes, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Liar, "status", status)
    monkeypatch.setattr(Liar, "body", body)
    monkeypatch.setattr(Liar, "headers_sent", {"Location": "http://127.0.0.1:9/"} if status == 302 else {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        key = "\n".join(map(str, WITNESS_VERIFIERS))
        client = WitnessClient(Witness(f"http://127.0.0.1:{server.server_port}", key))
        answer = await client.cosign(TRUE.note(50), prove(TRUE, 50))
        assert answer.outcome is outcome
        assert answer.signatures == ()
        assert "\x1b" not in answer.problem
    finally:
        await asyncio.to_thread(server.shutdown)
        serving.join()
        server.server_close()


async def test_a_witness_that_says_nothing_is_given_up_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        before = threading.active_count()
        witness = Witness(f"http://127.0.0.1:{silent.getsockname()[1]}/", str(WITNESS_VERIFIERS[0]))
        client = WitnessClient(witness, seconds=0.2)
        answer = await asyncio.wait_for(client.cosign(TRUE.note(5), prove(TRUE, 5)), 20)
        assert answer.outcome is Outcome.UNREACHABLE
        assert threading.active_count() <= before + 1  # of the client's own, not of the loop's


@pytest.mark.parametrize(
    "url",
    [
        "",
        "witness.example",
        "ftp://witness.example",
        "file:///etc/passwd",
        "http://",
        "http://user:secret@witness.example",
        "https://witness.example/?a=b",
        "https://witness.example/#a",
        "https://witness.example:0",
        "https://witness.example:x",
        "https://witness.example/a b",
        "https://witness.example/\r\nx: y",
    ],
)
def test_what_is_no_address_of_a_witness_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="the address of a witness"):
        Witness(url, str(WITNESS_VERIFIERS[0]))


def test_a_group_that_cannot_have_its_quorum_is_refused() -> None:
    one = Witness("https://one.example", str(WITNESS_VERIFIERS[0]))
    for quorum in (-1, 2):
        with pytest.raises(ConfigurationError, match="quorum"):
            WitnessGroup([one], quorum=quorum)
    with pytest.raises(ConfigurationError, match="at most 30"):
        many = [SigningKey.generate(f"w{number}.example", WITNESS_TYPES[0]) for number in range(31)]
        WitnessGroup([Witness("https://w.example", str(key.verifier)) for key in many], quorum=1)
    with pytest.raises(ConfigurationError, match="one name"):
        WitnessGroup([one, Witness("https://two.example", str(WITNESS_VERIFIERS[1]))], quorum=1)
    with pytest.raises(ConfigurationError, match="the vkey of the witness"):
        Witness("https://one.example", "nonsense")
    with pytest.raises(ConfigurationError, match="have one name"):
        Witness("https://one.example", f"{WITNESS_VERIFIERS[0]}\n{LOG_VERIFIERS[0]}")


def test_keys_are_written_for_their_owner_alone_and_never_over_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    key = tmp_path / "log.key"
    assert main(["keygen", "--log", "log.example.com/stepup", "--output", "log.key"]) == 0
    assert key.stat().st_mode & 0o777 == 0o600
    printed = capsys.readouterr().out
    assert "PRIVATE" not in printed
    keys = read_signing_keys(key.read_text(), LOG_TYPES)
    assert read_verifier_keys(printed) == tuple(each.verifier for each in keys)
    before = key.read_text()
    assert main(["keygen", "--witness", "witness.example", "--output", "log.key"]) == 2
    assert "never overwritten" in capsys.readouterr().err
    assert key.read_text() == before
    for wrong in (["--log", "a name", "--output", "x"], ["--log", "log.example"], ["--witness", ""]):
        assert main(["keygen", *wrong]) == 2, wrong
    assert [each.name for each in tmp_path.iterdir()] == ["log.key"]


def test_a_secret_key_is_written_for_its_owner_alone_and_never_over_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    key = tmp_path / "secret.key"
    previous = os.umask(0o000)  # of an operator who has none
    try:
        assert main(["keygen", "--output", "secret.key"]) == 0
    finally:
        os.umask(previous)
    assert key.stat().st_mode & 0o777 == 0o600
    assert capsys.readouterr().out == ""
    before = key.read_text()
    assert len(before.strip()) >= 32
    assert main(["keygen", "--output", "secret.key"]) == 2
    assert "never overwritten" in capsys.readouterr().err
    assert key.read_text() == before


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"--listen": "7080"}, "HOST:PORT"),
        ({"--listen": "127.0.0.1:99999"}, "HOST:PORT"),
        ({"--key": "log.key"}, "of type 0x04 or 0x06"),
        ({"--key": "absent"}, "absent"),
        ({"--log": "absent"}, "absent"),
        ({"--log": "log.key"}, "private key"),
        ({"--log": "log.example+00000000+AAAA"}, "type 0x00"),
        ({"--log": "witness.vkey"}, "both called"),
        ({"--state": "log.vkey"}, "not the state of a witness"),
    ],
)
def test_a_witness_that_is_called_wrongly_says_why_and_does_not_start(
    tmp_path: Path,
    changes: dict[str, str],
    problem: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in ("log", "witness"):
        assert main(["keygen", f"--{kind}", f"{kind}.example", "--output", f"{kind}.key"]) == 0
        Path(f"{kind}.vkey").write_text(capsys.readouterr().out)
    options = {"--listen": "127.0.0.1:0", "--key": "witness.key", "--log": "log.vkey", **changes}
    assert main(["audit", "witness", *(word for pair in options.items() for word in pair)]) == 2
    assert problem in capsys.readouterr().err


def test_a_witness_whose_address_is_taken_says_so_and_could_not_do_its_work(tmp_path: Path) -> None:
    process = WitnessProcess(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = ["audit", "witness", "--listen", address, "--key", str(process.key), "--log", str(process.log_file)]
        done = subprocess.run(
            [sys.executable, "-m", "stepup_middleware", *command], capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr.endswith(f"stepup: the witness could not be served at {address}: the lines above say why\n")
