"""Following the log: one reader for all, every record once and in order, and a bounded number of places."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware import AuditEvent, AuditFilter, AuditRecord, EventName, StoreError, TooManyFollowers
from stepup_middleware.service.audit import AuditService
from stepup_middleware.service.following import MOST_FOLLOWERS, MOST_OF_ONE
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)


class CountingStore(SQLiteStore):
    """A store that counts how often the log is read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, timeout=timedelta(seconds=30))
        self.reads: Counter[str] = Counter()

    async def last_seq(self) -> int:
        self.reads["last_seq"] += 1
        return await super().last_seq()

    async def audit_after(self, *arguments: Any, **named: Any) -> tuple[AuditRecord, ...]:
        self.reads["audit_after"] += 1
        return await super().audit_after(*arguments, **named)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CountingStore]:
    made = CountingStore(tmp_path / "x.db")
    made.use(MACS)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def audit(store: CountingStore) -> AsyncIterator[AuditService]:
    made = AuditService(store=store, clock=lambda: datetime.now(UTC))
    yield made
    await made.close()


def event(number: int, workspace: str = "axis", name: EventName = EventName.BLOCKED) -> AuditEvent:
    return AuditEvent(at=AT, name=name, workspace_id=workspace, subject_id="ada", purpose="x", reason=str(number))


async def write(store: CountingStore, numbers: Sequence[int], workspace: str = "axis", **fields: Any) -> None:
    for start in range(0, len(numbers), 100):
        await store.append([event(number, workspace, **fields) for number in numbers[start : start + 100]])


async def take(followed: AsyncIterator[AuditRecord], count: int) -> list[int]:
    async with asyncio.timeout(30):
        return [int((await anext(followed)).reason) for _ in range(count)]


async def test_a_follower_hears_every_record_from_the_end_on_once_and_in_order(
    store: CountingStore, audit: AuditService
) -> None:
    await write(store, range(5))
    followed = audit.follow("axis")
    first = asyncio.ensure_future(anext(followed))
    number = 4
    while not first.done():  # whenever it begins to listen: from then on it hears everything
        number += 1
        await write(store, [number])
    began = int((await first).reason)
    assert began >= 5
    for later in range(number + 1, number + 15):
        await write(store, [later])
        await write(store, [-later], workspace="other")
    assert await take(followed, number + 14 - began) == list(range(began + 1, number + 15))


async def test_a_follower_from_the_beginning_of_a_long_log_loses_nothing_while_more_is_written(
    store: CountingStore, audit: AuditService
) -> None:
    await write(store, range(2600))
    slow, filtered = audit.follow("axis", after=0), audit.follow(None, AuditFilter(event=EventName.FAILED), after=0)
    assert await take(slow, 10) == list(range(10))
    await write(store, range(2600, 4000))
    await write(store, [7], workspace="other", name=EventName.FAILED)
    assert await take(slow, 3990) == list(range(10, 4000))
    assert await take(filtered, 1) == [7]
    await write(store, [4000])
    assert await take(slow, 1) == [4000]


async def test_hundreds_of_followers_read_the_store_as_often_as_one(store: CountingStore, audit: AuditService) -> None:
    followers = [audit.follow("axis", after=0) for _ in range(300)]
    waiting = [asyncio.ensure_future(anext(each, None)) for each in followers]
    for number in range(10):
        await write(store, [number])
        assert {record and int(record.reason) for record in await asyncio.gather(*waiting)} == {number}
        waiting = [asyncio.ensure_future(anext(each, None)) for each in followers]
    assert store.reads["audit_after"] <= 300 + 10, (
        "one read each at most, for what was there before; then each record once"
    )
    assert store.reads["last_seq"] < 300
    await audit.close()
    assert set(await asyncio.gather(*waiting)) == {None}


# Z04
async def test_one_person_has_a_bounded_number_of_followers_and_takes_none_from_another(audit: AuditService) -> None:
    mine = [audit.follow("axis", by="ada") for _ in range(MOST_OF_ONE)]
    with pytest.raises(TooManyFollowers):
        audit.follow("axis", by="ada")
    assert audit.follow("axis", by="bob")
    await mine[0].aclose()
    again = audit.follow("axis", by="ada")
    with pytest.raises(TooManyFollowers):
        audit.follow("axis", by="ada")
    del again, mine[1]
    assert audit.follow("axis", by="ada") is not audit.follow("axis", by="ada")  # both let go are free again


# Z04
async def test_one_process_has_a_bounded_number_of_followers(audit: AuditService) -> None:
    followers = [audit.follow("axis", by=f"person {number}") for number in range(MOST_FOLLOWERS)]
    with pytest.raises(TooManyFollowers):
        audit.follow("axis")
    await followers.pop().aclose()
    assert audit.follow("axis")


async def test_a_closed_follower_ends_and_with_the_last_one_the_store_is_left_alone(
    store: CountingStore, audit: AuditService
) -> None:
    followed = audit.follow("axis", after=0)
    await write(store, [1])
    assert await take(followed, 1) == [1]
    waiting = asyncio.ensure_future(anext(followed, None))
    await asyncio.sleep(0)
    await followed.aclose()
    assert await waiting is None
    with pytest.raises(StopAsyncIteration):
        await anext(followed)
    async with asyncio.timeout(30):
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "stepup-follow"))


async def test_a_log_that_cannot_be_read_ends_every_follower_with_the_error_of_the_store(
    store: CountingStore, audit: AuditService
) -> None:
    followers = [audit.follow("axis", after=0) for _ in range(3)]
    await write(store, [1])
    assert [await take(each, 1) for each in followers] == [[1]] * 3
    waiting = [asyncio.ensure_future(anext(each)) for each in followers]
    await asyncio.sleep(0)
    await store.close()
    for heard in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(heard, StoreError)


async def test_a_follower_hears_what_is_written_after_an_older_copy_of_the_log_came_back(
    store: CountingStore, audit: AuditService, tmp_path: Path
) -> None:
    await write(store, range(3))
    older = tmp_path / "older.db"
    with closing(sqlite3.connect(tmp_path / "x.db")) as database:
        database.execute("VACUUM INTO ?", (str(older),))
    followed = audit.follow("axis", after=0)
    await write(store, range(3, 40))
    assert await take(followed, 40) == list(range(40))
    waiting = asyncio.ensure_future(anext(followed))
    await asyncio.sleep(0)
    await store.close()
    with pytest.raises(StoreError):
        await waiting
    for end in ("", "-wal", "-shm"):
        (tmp_path / f"x.db{end}").unlink(missing_ok=True)
    older.rename(tmp_path / "x.db")
    await store.start()
    again = audit.follow("axis", after=40)  # where it was, as a browser says that comes back
    heard = [asyncio.ensure_future(take(each, 1)) for each in (followed, again)]
    number = 100
    while not all(each.done() for each in heard):  # they begin to listen one after the other
        await write(store, [number := number + 1])
        assert await store.last_seq() < 40, "nobody hears what is new before the log is as long as it was"
        await asyncio.sleep(0.1)
    assert all(first > 100 for each in heard for first in each.result())
