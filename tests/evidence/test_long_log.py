"""A log that is longer than what a pass remembers: the same judgement, flat memory, and progress for who watches."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from itertools import islice
from pathlib import Path

import pytest

from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.core.trust import Trust
from stepup_middleware.service import verification
from stepup_middleware.service.verification import LogFault, LogVerifier
from stepup_middleware.stores.base import Store
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS
from tests.benchmarks.long_log import PEOPLE, long_log

EVENTS = 10_000  # the first progress is told here


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "stepup.db"

    async def write() -> None:
        async with SQLiteStore(path).use(MACS) as store:
            await append(store, list(islice(long_log(), EVENTS)))

    asyncio.run(write())
    return path


async def append(store: Store, events: list[AuditEvent]) -> None:
    for first in range(0, len(events), 500):
        await store.append(events[first : first + 500])


async def judged(store: Store) -> tuple[LogVerifier, list[LogFault]]:
    verifier = LogVerifier(store, Trust())
    return verifier, [fault async for fault in verifier.run()]


@pytest.mark.slow
async def test_a_pass_remembers_a_bounded_number_of_prompts_and_judges_every_proof(database: Path) -> None:
    async with SQLiteStore(database).use(MACS) as store:
        verifier, faults = await judged(store)
    assert faults == []
    assert verifier.summary.records == EVENTS
    assert verifier.summary.proofs == (EVENTS - PEOPLE) // 4
    assert verifier.summary.beyond_heads == EVENTS
    assert len(verifier._prompts._kept) <= verification._REMEMBERED < verifier.summary.proofs


async def test_a_proof_long_after_its_prompt_and_its_enrolment_is_judged_with_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "_REMEMBERED", 3)
    events = list(islice(long_log(), PEOPLE + 4 * 30))
    enrolled, steps = events[:PEOPLE], events[PEOPLE:]
    # everybody is asked before anybody proves, and everybody proves before anything runs
    ordered = [*enrolled, *(each for place in range(4) for each in steps[place::4])]
    assert ordered[PEOPLE + 29].name is EventName.CHALLENGE_REQUESTED
    async with SQLiteStore(tmp_path / "stepup.db").use(MACS) as store:
        await append(store, ordered)
        verifier, faults = await judged(store)
        assert (verifier.summary.proofs, faults) == (30, [])
    wrong = [*ordered[: PEOPLE + 30], ordered[PEOPLE + 31], *ordered[PEOPLE + 60 :]]  # most prove nothing, all run
    async with SQLiteStore(tmp_path / "wrong.db").use(MACS) as store:
        await append(store, wrong)
        _, faults = await judged(store)
        assert len([fault for fault in faults if "without ACCOUNT_STEPUP_VERIFIED" in fault.problem]) >= 29


@pytest.mark.slow
def test_progress_is_told_on_a_terminal_and_nowhere_else(database: Path) -> None:
    command = [sys.executable, "-m", "stepup_middleware", "audit", "verify", "--all", "--database", str(database)]
    read, write = pty.openpty()

    async def watched() -> int:
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL, stderr=write)
        return await process.wait()

    assert asyncio.run(watched()) == 0
    os.close(write)
    told = b""
    while chunk := _rest(read):
        told += chunk
    os.close(read)
    assert b"verified 10000 of 10000" in told

    async def unwatched() -> bytes:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        _, error = await process.communicate()
        return error

    assert asyncio.run(unwatched()) == b""


def _rest(descriptor: int) -> bytes:
    """Return what is there to read; nothing when the other end is closed."""
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""
