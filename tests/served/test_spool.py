"""How an action ended is in the log after an outage of the store, also where the process died in the middle of it."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import pytest

from stepup_middleware import AuditFilter, EventName
from stepup_middleware.stores.sqlite import SQLiteLog
from tests.machine import until

from .app import lines_of, note
from .processes import Person, Server, uvicorn

ACTIONS = 6


@contextmanager
def taken(database: Path) -> Iterator[None]:
    """Hold the lock of a database: nobody writes meanwhile."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def ends(folder: Path) -> Counter[str]:
    """Return how many ends of actions the log has, by prompt."""
    async with SQLiteLog(folder / "stepup.db") as log:
        records = await log.audit_after(None, AuditFilter(event=EventName.ACTION_COMPLETED), after=0, limit=1_000)
    return Counter(record.prompt_id for record in records)


async def entered(server: Server, person: Person, folder: Path) -> list[asyncio.Task[httpx2.Response]]:
    """Let actions begin, and return what waits for their ends."""
    tokens = [await person.token(server.url, "/slow") for _ in range(ACTIONS)]
    running = [asyncio.create_task(person.present(server.url, token, "/slow")) for token in tokens]
    await until(lambda: len(lines_of(folder / "runs")) == ACTIONS)
    return running


def spooled(spool: Path) -> int:
    """Return how many events the files have."""
    return sum(len(file.read_bytes().splitlines()) for file in spool.glob("*.spool"))


@pytest.mark.slow
@pytest.mark.parametrize("killed", [True, False])
async def test_the_ends_of_actions_outlive_an_outage_and_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    spool, keys = tmp_path / "spool", [secrets.token_urlsafe(48)]
    spool.mkdir()
    monkeypatch.setenv("SERVED_SPOOL", str(spool))
    async with uvicorn(tmp_path, keys) as server, Person("ada") as ada:
        await ada.enrol(server.url)
        running = await entered(server, ada, tmp_path)
        with taken(tmp_path / "stepup.db"):
            note(tmp_path / "go", "yes")
            answers = await asyncio.gather(*running)
            assert [answer.status_code for answer in answers] == [200] * ACTIONS  # nobody waits for the log
            await until(lambda: spooled(spool) == ACTIONS)
            for file in spool.iterdir():
                assert file.stat().st_mode & 0o777 == 0o600
            if killed:
                server.process.kill()
                await server.process.wait()
        if not killed:
            await until(lambda: not list(spool.iterdir()))
    if killed:
        assert not await ends(tmp_path)
        async with uvicorn(tmp_path, keys):
            await until(lambda: not list(spool.iterdir()))
    found = await ends(tmp_path)
    assert set(found) == set(lines_of(tmp_path / "runs"))
    assert set(found.values()) == {1}
