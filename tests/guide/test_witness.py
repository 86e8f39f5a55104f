"""A witness: started as the page types it, asked by a log, killed, and asked for what it remembers."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware.log.checkpoints import Checkpoint
from stepup_middleware.log.keys import (
    LOG_TYPES,
    WITNESS_TYPES,
    SigningKey,
    read_signing_keys,
    read_verifier_keys,
    sign_checkpoint,
    verify_note,
)
from stepup_middleware.log.merkle import consistency_ranges, root_of
from stepup_middleware.log.notes import Note, read_note
from stepup_middleware.log.witness.client import Outcome, Witness, WitnessClient
from tests.log.signing import app, key_text, sign, write
from tests.machine import free_port

from .harness import SECONDS, Ran, shell

LEAVES = [sha256(bytes([0, number])).digest() for number in range(20)]


def signed(folder: Path, size: int, leaves: Sequence[bytes] = LEAVES) -> Note:
    """Return a checkpoint that whoever runs the log signed with the page's keys."""
    keys = read_signing_keys((folder / "log.key").read_text(), LOG_TYPES)
    return sign_checkpoint(Checkpoint(keys[0].name, size, root_of(leaves[:size])), keys, 1_795_000_000)


async def ask(client: WitnessClient, note: Note, size: int) -> Outcome:
    async def prove(old: int) -> list[bytes]:
        return [root_of(LEAVES[start:end]) for start, end in consistency_ranges(old, size)]

    return (await client.cosign(note, prove)).outcome


@asynccontextmanager
async def started(command: str, folder: Path, port: int) -> AsyncIterator[None]:
    """Start what the page types, on a port of this test, and kill it in the end."""
    program, *arguments = shlex.split(command.replace("7080", str(port)))
    with (folder / "errors").open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name(program), *arguments, cwd=folder, stdout=errors, stderr=errors
        )
    try:
        client = WitnessClient(Witness(f"http://127.0.0.1:{port}", (folder / "witness.vkey").read_text()))
        log_keys = read_verifier_keys((folder / "log.vkey").read_text())
        async with asyncio.timeout(SECONDS):
            while True:
                assert process.returncode is None, (folder / "errors").read_text()
                try:
                    await client.latest(log_keys)
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.slow
@pytest.mark.block("install", "serve", "monitor")
async def test_a_witness_of_the_page_cosigns_remembers_and_refuses(ran: Ran, blocks: dict[str, str]) -> None:
    assert "[witness]" in blocks["install"]
    folder, port = ran.folder, free_port()
    assert (folder / "witness.key").stat().st_mode & 0o777 == 0o600
    client = WitnessClient(Witness(f"http://127.0.0.1:{port}", (folder / "witness.vkey").read_text()))
    async with started(blocks["serve"], folder, port):
        assert await ask(client, signed(folder, 5), 5) is Outcome.COSIGNED
        assert await ask(client, signed(folder, 12), 12) is Outcome.COSIGNED
    assert (folder / "witness.key.state").exists()
    async with started(blocks["serve"], folder, port):  # it was killed
        shown = await shell(blocks["monitor"].replace("7080", str(port)), folder)
        keys = [key for name in ("log", "witness") for key in read_verifier_keys((folder / f"{name}.vkey").read_text())]
        note = read_note(shown)
        assert note.text == signed(folder, 12).text
        assert len(verify_note(note, keys)) == 4
        forked = signed(folder, 13, [*LEAVES[:3], *LEAVES[:17]])
        assert await ask(client, forked, 13) is Outcome.FORK
        assert await ask(client, signed(folder, 20), 20) is Outcome.COSIGNED
    errors = (folder / "errors").read_text()
    assert str(forked) in errors
    assert re.search(r"ERROR .*not proved to have grown", errors)
    assert errors.count(" INFO cosigned log.example.com/stepup at size ") == 3


APP = """
from pathlib import Path
from stepup_middleware import StepUpMiddleware
from tests.log.signing import app as made
{block}
async def bare(scope, receive, send): ...
app = StepUpMiddleware(bare, stepup=made(Path("stepup.db"), **(settings | {{"witnesses": [], "quorum": 0}})))
"""


@pytest.mark.slow
@pytest.mark.block("own", "heir")
async def test_a_log_of_the_page_is_signed_and_after_a_restored_copy_another_begins(
    blocks: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {name: [SigningKey.generate(name, type_) for type_ in LOG_TYPES] for name in ("one.example", "two.example")}
    places = {"/run/secrets": str(tmp_path), "/mnt/elsewhere": str(tmp_path)}

    def placed(text: str) -> str:
        for place, here in places.items():
            text = text.replace(place, here)
        return text

    monkeypatch.chdir(tmp_path)
    (tmp_path / "witness.vkey").write_text(str(SigningKey.generate("w.example", WITNESS_TYPES[1]).verifier))
    (tmp_path / "log.key").write_text(key_text(keys["one.example"]))
    (tmp_path / "main.py").write_text(APP.format(block=placed(blocks["own"])))
    values: dict[str, Any] = {}
    exec(placed(blocks["own"]), values)  # noqa: S102 - the program of the page
    settings = values["settings"] | {"witnesses": [], "quorum": 0}
    async with app(tmp_path / "stepup.db", **settings) as stepup:
        await write(stepup, 3)
    shutil.copy(tmp_path / "stepup.db", tmp_path / "older.db")
    async with app(tmp_path / "stepup.db", **settings) as stepup:
        await write(stepup, 2)
    shutil.copy(tmp_path / "older.db", tmp_path / "stepup.db")
    async with app(tmp_path / "stepup.db", **settings) as stepup:
        assert await sign(stepup) is None
        assert "smaller than it was" in (await stepup.health()).log.fault
    (tmp_path / "log.key").write_text(key_text(keys["two.example"]))
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    shown = await shell(placed(blocks["heir"]), tmp_path, **environment)
    assert "the log two.example begins" in shown
    async with app(tmp_path / "stepup.db", **settings) as stepup:
        stored = await sign(stepup)
        assert stored is not None
        assert stored.log == 2
        assert not (await stepup.health()).log.fault


def test_the_answers_of_the_page_are_those_of_the_witness() -> None:
    page = (Path(__file__).parents[2] / "demo_app/guide/witness.md").read_text()
    listed = {int(status) for row in re.findall(r"^\| ([0-9, ]+) \|", page, re.MULTILINE) for status in row.split(",")}
    package = Path(__file__).parents[2] / "stepup_middleware/log/witness"
    code = "".join(path.read_text() for path in package.glob("*.py"))
    raised = {int(status) for status in re.findall(r"NotCosigned\((\d{3})", code)} | {200}
    assert listed == raised - {405}  # a wrong method is no answer to a POST
