"""The local spool: bounded, exact, nobody else's to write to, and no event of it is in the log twice."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from stepup_middleware import AuditEvent, ConfigurationError, EventName
from stepup_middleware.service.health import Health
from stepup_middleware.service.spool import MOST_SPOOLED
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.machine import until
from tests.support import Browser, House, house_in

IMPATIENT = timedelta(seconds=2)


@contextmanager
def outage(house: House) -> Iterator[None]:
    """Let nobody write to the database meanwhile."""
    with closing(sqlite3.connect(house.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def ended(house: House, number: int, *, workspace: str = "axis", reason: str = "") -> AuditEvent:
    """Return the end of an action."""
    return AuditEvent(
        at=house.clock(),
        name=EventName.ACTION_COMPLETED,
        workspace_id=workspace,
        subject_id="u",
        prompt_id=f"p{number}",
        reason=reason,
        data={"outcome": "returned", "status": 200},
    )


async def empty(house: House) -> None:
    """Return when nothing waits in the spool."""
    await until(lambda: not house.stepup._parts.spool.waiting)


def unwritten(health: Health) -> tuple[int, int]:
    """Return how many events wait in the spool, and how many were lost."""
    return health.spooled, health.lost


def impatient(folder: Path) -> SQLiteStore:
    return SQLiteStore(folder / "stepup.db", timeout=IMPATIENT)


@pytest.mark.slow
async def test_a_full_spool_counts_what_it_loses_and_the_log_says_how_much(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with house_in(tmp_path, store=impatient(tmp_path)) as house:
        spool = house.stepup._parts.spool
        with outage(house):
            spool.take([ended(house, number) for number in range(MOST_SPOOLED + 7)])
            spool.take([ended(house, -1, workspace="elsewhere")])
            assert unwritten(await house.stepup.health()) == (MOST_SPOOLED, 8)
        spool.take([ended(house, -2, workspace="elsewhere")])
        await empty(house)
        spool.take([ended(house, -3, workspace="elsewhere"), ended(house, -4, workspace="elsewhere")])
        await empty(house)
        found = await house.events(EventName.ACTION_COMPLETED)
        told = {record.prompt_id: record.data["lost_before"] for record in found if "lost_before" in record.data}
    assert told == {"p0": 7, "p-3": 2}
    assert Counter(record.prompt_id for record in found) == Counter(
        {f"p{number}" for number in range(MOST_SPOOLED)} | {"p-3", "p-4"}
    )
    assert "1 event(s) that nobody waited for are lost: the spool is full" in caplog.text


async def test_actions_that_end_in_an_outage_have_their_end_in_the_log_afterwards(tmp_path: Path) -> None:
    async with house_in(tmp_path, store=impatient(tmp_path)) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("totp")
        running = [asyncio.create_task(ada.step_up("POST", "/slow", "totp"))]
        await house.entered.wait()
        with outage(house):
            house.gate.set()
            assert [answer.status_code for answer in await asyncio.gather(*running)] == [200]
            await until(lambda: house.stepup._parts.spool.waiting)
        await empty(house)
        (authorized,) = [each for each in await house.events(EventName.ACTION_AUTHORIZED) if each.purpose[0] == "w"]
        completed = [each.prompt_id for each in await house.events(EventName.ACTION_COMPLETED)]
        assert completed.count(authorized.prompt_id) == 1


async def test_what_the_store_had_written_after_all_is_not_written_again(house: House) -> None:
    events = [ended(house, number) for number in range(20)]
    await house.store.records.append(events[::2])
    house.stepup._parts.spool.take(events)
    await empty(house)
    found = await house.events(EventName.ACTION_COMPLETED)
    assert Counter(record.prompt_id for record in found) == Counter(event.prompt_id for event in events)


async def test_an_event_that_is_no_text_is_lost_and_takes_no_other_with_it(house: House) -> None:
    house.stepup._parts.spool.take([ended(house, 1), ended(house, 2, reason="\ud800"), ended(house, 3)])
    await empty(house)
    assert [record.prompt_id for record in await house.events(EventName.ACTION_COMPLETED)] == ["p1", "p3"]
    assert unwritten(await house.stepup.health()) == (0, 1)


async def test_what_a_process_leaves_in_its_file_the_next_one_writes_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    async with house_in(tmp_path, store=impatient(tmp_path), spool=spool) as house:
        await house.stepup._parts.store.close()  # the store goes for good, and the process then ends
        house.stepup._parts.spool.take([ended(house, number) for number in range(3)])
    (left,) = spool.iterdir()
    lines = left.read_bytes().splitlines(keepends=True)
    assert len(lines) == 3
    forged = lines[0].replace(b'"p0"', b'"p9"')
    left.write_bytes(lines[0] + forged + lines[1][:40] + b"\n" + lines[2])
    with caplog.at_level(logging.ERROR):
        async with house_in(tmp_path, spool=spool) as again:
            await empty(again)
            found = [record.prompt_id for record in await again.events(EventName.ACTION_COMPLETED)]
    assert found == ["p0", "p2"]
    assert caplog.text.count("is not what the app wrote") == 2
    assert not list(spool.iterdir())


async def test_a_file_of_a_process_that_lives_is_left_to_it(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    async with house_in(tmp_path, store=impatient(tmp_path), spool=spool) as house:
        with outage(house):
            house.stepup._parts.spool.take([ended(house, 1)])
            await until(lambda: list(spool.iterdir()))
            other = tmp_path / "other"
            other.mkdir()
            async with house_in(other, spool=spool) as neighbour:
                assert unwritten(await neighbour.stepup.health()) == (0, 0)
        await empty(house)
        assert [record.prompt_id for record in await house.events(EventName.ACTION_COMPLETED)] == ["p1"]


async def test_a_spool_that_is_no_folder_stops_the_start(tmp_path: Path) -> None:
    house = House(tmp_path, spool=tmp_path / "missing")
    with pytest.raises(ConfigurationError, match="is no folder"):
        await house.stepup.start()
