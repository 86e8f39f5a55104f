"""A witness: started as the page types it, asked by a log, killed, and asked for what it remembers."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from stepup_middleware.log.checkpoints import Checkpoint
from stepup_middleware.log.keys import LOG_TYPES, read_signing_keys, read_verifier_keys, sign_checkpoint, verify_note
from stepup_middleware.log.merkle import consistency_ranges, root_of
from stepup_middleware.log.notes import Note, read_note
from stepup_middleware.log.witness.client import Outcome, Witness, WitnessClient
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


def test_the_answers_of_the_page_are_those_of_the_witness() -> None:
    page = (Path(__file__).parents[2] / "demo_app/guide/witness.md").read_text()
    listed = {int(status) for row in re.findall(r"^\| ([0-9, ]+) \|", page, re.MULTILINE) for status in row.split(",")}
    package = Path(__file__).parents[2] / "stepup_middleware/log/witness"
    code = "".join(path.read_text() for path in package.glob("*.py"))
    raised = {int(status) for status in re.findall(r"Refusal\((\d{3})", code)} | {200}
    assert listed == raised - {405}  # a wrong method is no answer to a POST
