"""What slips on the command line cost: nothing that is there, no round without an end, no page of a traceback."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stepup_middleware.cli import main
from tests.test_purge_command import aged, left, stepup

Captured = pytest.CaptureFixture[str]


async def test_an_export_is_not_written_over_a_database(tmp_path: Path) -> None:
    path = tmp_path / "stepup.db"
    await aged(path, days=1)
    for arguments in (["--output", str(path)], ["--output", str(tmp_path / "log"), "--manifest", str(path)]):
        done = stepup("audit", "export", "--database", str(path), *arguments)
        assert done.returncode == 2
        assert "is a database, which is not written over" in done.stderr
    assert await left(path) == 30


@pytest.mark.parametrize("command", [["purge"], ["revoke-all"], ["audit", "verify"], ["audit", "export"]])
@pytest.mark.parametrize("content", [b"", b"no database"])
def test_what_is_no_database_is_told_and_stays_what_it_is(
    tmp_path: Path, command: list[str], content: bytes, capsys: Captured
) -> None:
    path = tmp_path / "stepup.db"
    path.write_bytes(content)
    assert main([*command, "--database", str(path)]) == 2
    assert capsys.readouterr().err == f"stepup: {path} is no database of this library\n"
    assert path.read_bytes() == content


async def test_where_a_key_of_the_app_was_not_given_that_is_told(tmp_path: Path) -> None:
    path, key = tmp_path / "stepup.db", tmp_path / "secret.key"
    await aged(path, days=1)
    key.write_text("the key of another installation, 32 bytes or more".replace(" ", "_"))
    done = stepup("audit", "verify", "--database", str(path), "--secret-key", str(key))
    assert done.returncode == 1
    assert "no MAC of this installation: by a key that was not given, so give all keys of the app" in done.stdout


@pytest.mark.parametrize("batch", ["0", "-5", "many"])
def test_a_batch_is_at_least_one(batch: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["purge", "--database", "stepup.db", f"--batch={batch}"])
    assert ended.value.code == 2
    assert "is no number of at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["--log", "--witness"])
def test_keys_of_a_name_that_is_empty_are_no_secret_key(what: str, tmp_path: Path, capsys: Captured) -> None:
    assert main(["keygen", what, "", "--output", str(tmp_path / "key")]) == 2
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", [".", ".."])
def test_a_folder_in_the_place_of_a_file_is_called_one(folder: str, capsys: Captured) -> None:
    assert main(["audit", "verify", folder]) == 2
    assert "Is a directory" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["localhost", "example.com/x", "ftp://example.com/x", "http:///x"])
def test_a_url_that_is_not_whole_is_told(url: str, capsys: Captured) -> None:
    assert main(["call", "POST", url]) == 2
    assert "the URL is a whole one" in capsys.readouterr().err


def test_where_nothing_was_sent_nothing_was_done(capsys: Captured) -> None:
    assert main(["call", "POST", "http://localhost:1/x"]) == 1
    assert capsys.readouterr().err.endswith(" Nothing was done.\n")


def test_who_has_read_enough_is_told_nothing(tmp_path: Path) -> None:
    path = tmp_path / "stepup.db"
    asyncio.run(aged(path, days=1, count=1000))  # more than a pipe holds
    command = [sys.executable, "-m", "stepup_middleware", "audit", "export", "--database", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 2


def test_an_interruption_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "stepup.db"
    asyncio.run(aged(path, days=400, count=3000))
    shown, terminal = pty.openpty()
    today = str(datetime.now(UTC).date())
    command = ["purge", "--database", str(path), "--batch", "1", "--today", today]
    # as in a terminal, also where the tests were started in the background
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen([sys.executable, "-m", "stepup_middleware", *command], stderr=terminal)
    finally:
        signal.signal(signal.SIGINT, before)
    os.close(terminal)
    text = os.read(shown, 65_536)  # it has begun
    process.send_signal(signal.SIGINT)
    try:
        process.wait(60)
    finally:
        process.kill()
    while b"stopped" not in text:
        text += os.read(shown, 65_536)
    os.close(shown)
    assert process.returncode == 130
    assert b"Traceback" not in text
    assert text.endswith(b"stepup: stopped before it was done\r\n")
