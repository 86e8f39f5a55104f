"""What can happen to a database file: nothing is decided in anybody's favour, and service comes back by itself."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from stepup_middleware.core.decisions import Flag, Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.errors import ConfigurationError, StoreError, StoreTimeoutError
from stepup_middleware.log.stored import StoredCheckpoint
from stepup_middleware.stores.sql.transaction import Transaction
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.stores.sqlite.database import network_file_system
from stepup_middleware.testing.contract.tree import integrate
from stepup_middleware.testing.contract.values import (
    MACS,
    NOW,
    OWNER,
    all_records,
    assert_records_hold,
    enrol,
    event,
    hold,
    hold_many,
    names_of,
    won,
)
from tests.machine import until

SHORT = timedelta(seconds=0.3)


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as raw, pytest.raises(OSError, match="No space"):
        while True:
            raw.write(bytes(4096))


def ruin(file: Path, content: bytes) -> None:
    file.write_bytes(content)


def content_of(file: Path) -> bytes:
    return file.read_bytes()


def remove(file: Path) -> None:
    file.unlink(missing_ok=True)


def move(file: Path, to: Path) -> None:
    file.replace(to)


def sides(path: Path) -> tuple[Path, Path]:
    """Return the write-ahead log of a database and its index."""
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


async def begun(store: SQLiteStore) -> None:
    """Return when the writer's thread has taken what was handed over."""
    waiting = store._engine.running()._queue
    for _ in iter(waiting.qsize, 0):
        await asyncio.sleep(0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stepup.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteStore]:
    async with SQLiteStore(path).use(MACS) as store:
        yield store


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 4 MiB."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine mounts nothing")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def make_read_only(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)


async def test_a_full_disk_refuses_and_the_token_works_once_there_is_room(small_disk: Path) -> None:
    async with SQLiteStore(small_disk / "stepup.db").use(MACS) as store:  # S07
        held = await hold_many(store, 5)
        filler = small_disk / "filler"
        fill(filler)
        # what room the write-ahead log still has, this does not fit in
        with pytest.raises(StoreError, match=r"is full \(SQLITE_FULL\)"):
            await store.append([event(reason="x" * 50_000) for _ in range(100)])
        before = await store.last_seq()
        for _ in range(3):
            with pytest.raises(StoreError):
                await store.append([event(reason="x" * 50_000) for _ in range(100)])
        remove(filler)
        assert await store.last_seq() == before
        assert won([await store.redeem(one.shown()) for one in held]) == 5
        await assert_records_hold(store)


async def test_a_read_only_disk_stops_the_start(small_disk: Path) -> None:
    database = small_disk / "stepup.db"  # S08
    async with SQLiteStore(database).use(MACS):
        pass
    make_read_only(small_disk)
    with pytest.raises(StoreError):
        await SQLiteStore(database).use(MACS).start()


async def test_a_lock_held_by_somebody_else_is_waited_for_no_longer_than_the_timeout(path: Path) -> None:
    async with SQLiteStore(path, timeout=SHORT).use(MACS) as store:  # S09
        first, second = await hold_many(store, 2)
        loop = asyncio.get_running_loop()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            began = loop.time()
            with pytest.raises(StoreError):
                await store.redeem(first.shown())
            assert loop.time() - began < 2
            assert await store.get_prompt(first.prompt.id, now=NOW) is not None  # reading goes on
            other.execute("ROLLBACK")
        assert won([await store.redeem(second.shown())]) == 1
        answer = await store.redeem(first.shown())
        assert answer.decision.verdict in (Verdict.REDEEMED, Verdict.REUSED)


async def test_what_timed_out_before_it_was_begun_never_happens(path: Path) -> None:
    running, finish = threading.Event(), threading.Event()

    async def take_long(_: Transaction) -> None:
        running.set()
        finish.wait(30)

    async with SQLiteStore(path, timeout=SHORT).use(MACS) as store:
        held = await hold(store)
        before = asyncio.create_task(store._write(take_long))
        await asyncio.to_thread(running.wait, 30)  # its batch is closed: nothing joins it any more
        with pytest.raises(StoreTimeoutError):
            await store.redeem(held.shown())
        finish.set()
        await asyncio.gather(before, return_exceptions=True)
        assert won([await store.redeem(held.shown())]) == 1


async def test_no_more_than_a_bounded_number_of_operations_waits(path: Path) -> None:
    async with SQLiteStore(path).use(MACS) as store:  # D08
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            tasks = [asyncio.create_task(store.append([event()])) for _ in range(11_000)]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            refused = [task for task in done if isinstance(task.exception(), StoreError)]
            assert len(refused) >= 400
            other.execute("ROLLBACK")
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results.count(None) > 9000
        assert results.count(None) == await store.last_seq()


async def test_a_removed_file_is_noticed_and_never_made_anew(path: Path, store: SQLiteStore) -> None:
    held = await hold(store)  # S12
    aside = path.with_name("aside.db")
    move(path, aside)
    for _ in range(3):
        with pytest.raises(StoreError):
            await store.redeem(held.shown())
        with pytest.raises(StoreError):
            await store.get_prompt(held.prompt.id, now=NOW)
    assert list(path.parent.glob(path.name)) == []
    move(aside, path)
    assert won([await store.redeem(held.shown())]) == 1
    assert await store.last_seq() > 0
    await assert_records_hold(store)


@pytest.mark.parametrize("clean", [True, False])
async def test_another_database_in_the_place_of_ours_is_refused(path: Path, store: SQLiteStore, clean: bool) -> None:
    held = await hold(store)
    other = path.with_name("other.db")
    async with SQLiteStore(other).use(MACS):
        pass
    move(path, path.with_name("aside.db"))
    move(other, path)
    if clean:
        for side in sides(path):
            remove(side)
    for _ in range(3):
        with pytest.raises(StoreError):
            await store.redeem(held.shown())
        with pytest.raises(StoreError):
            await store.list_factors(OWNER.workspace_id, OWNER.id)


def copy_of(path: Path) -> Path:
    """Make a consistent copy, as a backup does."""
    copy = path.with_name("backup.db")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


async def test_a_backup_put_back_while_running_ends_the_tokens_it_calls_issued(path: Path, store: SQLiteStore) -> None:
    held = await hold(store)  # S13
    copy = copy_of(path)
    assert won([await store.redeem(held.shown())]) == 1
    move(copy, path)
    for _ in range(3):
        with pytest.raises(StoreError):  # our own log lies beside it still, and does not belong to it
            await store.redeem(held.shown())
    for side in sides(path):
        remove(side)
    answer = await store.redeem(held.shown())
    assert (answer.decision.verdict, answer.decision.flags) == (Verdict.REQUIRED, (Flag.REVOKED,))
    fresh = await hold(store, factor=await enrol(store))
    assert won([await store.redeem(fresh.shown())]) == 1


async def test_a_backup_put_back_between_two_runs_ends_the_tokens_it_calls_issued(path: Path) -> None:
    async with SQLiteStore(path).use(MACS) as store:  # S13, S14
        held = await hold(store)
        copy = copy_of(path)
        assert won([await store.redeem(held.shown())]) == 1
    move(copy, path)
    async with SQLiteStore(path).use(MACS) as store:
        answer = await store.redeem(held.shown())
        assert (answer.decision.verdict, answer.decision.flags) == (Verdict.REQUIRED, (Flag.REVOKED,))


async def test_a_restart_alone_ends_no_token(path: Path) -> None:
    async with SQLiteStore(path).use(MACS) as store:
        held = await hold_many(store, 2)
    for one in held:
        async with SQLiteStore(path).use(MACS) as store:
            assert won([await store.redeem(one.shown())]) == 1


@pytest.mark.parametrize("content", [b"", os.urandom(8192), b"hello", b"SQLite format 3\0" + bytes(4096)])
async def test_a_ruined_file_stops_the_start_and_is_left_as_it_is(path: Path, content: bytes) -> None:
    async with SQLiteStore(path).use(MACS) as store:  # S11
        await hold(store)
    ruin(path, content)
    with pytest.raises((StoreError, ConfigurationError)):
        await SQLiteStore(path).use(MACS).start()
    assert content_of(path) == content


async def test_another_applications_file_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE t (x)")
        other.commit()
    with pytest.raises(ConfigurationError, match="own file"):
        await SQLiteStore(path).use(MACS).start()


async def test_a_schema_from_the_future_is_refused(path: Path) -> None:
    async with SQLiteStore(path).use(MACS):  # S33
        pass
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 999")
        other.execute("UPDATE meta SET oldest = 999")
        other.commit()
    with pytest.raises(ConfigurationError, match="newer"):
        await SQLiteStore(path).use(MACS).start()


async def test_a_file_made_empty_beforehand_is_a_new_database(path: Path) -> None:
    ruin(path, b"")
    async with SQLiteStore(path).use(MACS) as store:
        assert won([await store.redeem((await hold(store)).shown())]) == 1


async def test_a_missing_folder_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        await SQLiteStore(tmp_path / "nowhere" / "stepup.db").use(MACS).start()


@pytest.mark.parametrize("name", [":memory:", "", "file:stepup.db?mode=memory"])
def test_a_database_in_memory_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):  # S18
        SQLiteStore(name).use(MACS)


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_timeout_is_positive(path: Path, seconds: int) -> None:
    with pytest.raises(ConfigurationError):
        SQLiteStore(path, timeout=timedelta(seconds=seconds)).use(MACS)


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/srv/a/b.db", None),
        ("/srv/share/b.db", "nfs4"),
        ("/srv/share/local/b.db", None),
        ("/srv/sharedness/b.db", None),
        ("/mnt/with space/b.db", "cifs"),
    ],
)
def test_a_network_file_system_is_known_by_its_mount(place: str, kind: str | None) -> None:
    mounts = (  # S18
        "/dev/vda / ext4 rw 0 0\n"
        "server:/x /srv/share nfs4 rw 0 0\n"
        "/dev/vdb /srv/share/local xfs rw 0 0\n"
        "//server/y /mnt/with\\040space cifs rw 0 0\n"
        "short line\n"
    )
    assert network_file_system(Path(place), mounts) == kind


async def test_nobody_but_the_owner_reads_the_files(path: Path, store: SQLiteStore) -> None:
    await hold(store)
    await store.last_seq()
    files = sorted(path.parent.glob(path.name + "*"))
    assert len(files) == 5
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


async def test_a_store_that_is_not_open_answers_with_an_error(path: Path) -> None:
    store = SQLiteStore(path).use(MACS)  # P12
    for _ in range(2):
        with pytest.raises(StoreError):
            await store.last_time_step("w", "u")
        with pytest.raises(StoreError):
            await store.append([event()])
        store.append_soon(event())  # never raises
        await store.start()
        await store.start()
        await store.append([event()])
        await store.close()
        await store.close()


async def test_closing_finishes_what_was_handed_over(path: Path) -> None:
    store = SQLiteStore(path).use(MACS)  # X02
    await store.start()
    held = await hold_many(store, 20)
    waiting = [asyncio.create_task(store.redeem(one.shown())) for one in held]
    await asyncio.sleep(0)
    store.append_soon(event(EventName.ACTION_COMPLETED))
    await store.close()
    assert won(await asyncio.gather(*waiting)) == 20
    async with SQLiteStore(path).use(MACS) as again:
        names = await names_of(again)
    assert names.count(EventName.ACTION_AUTHORIZED) == 20
    assert names.count(EventName.ACTION_COMPLETED) == 1


async def test_a_redemption_that_was_abandoned_while_it_was_written_is_told_as_aborted(path: Path) -> None:
    async with SQLiteStore(path).use(MACS) as store:  # X04
        held = await hold(store)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            task = asyncio.create_task(store.redeem(held.shown()))
            await asyncio.sleep(0)
            await begun(store)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            before = await store.last_seq()
            other.execute("ROLLBACK")
        assert task.cancelled()
        await store.wait_for_audit(before + 1, seconds=5)
        authorized, completed = (await all_records(store))[-2:]
        assert authorized.event is EventName.ACTION_AUTHORIZED
        assert (completed.event, completed.data) == (EventName.ACTION_COMPLETED, {"outcome": "aborted"})
        assert completed.prompt_id == authorized.prompt_id == held.prompt.id
        assert (await store.redeem(held.shown())).decision.verdict is Verdict.REUSED


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET body = '{}' WHERE seq = 1",
        "UPDATE audit SET seq = 99 WHERE seq = 1",
        "UPDATE audit SET refused = 'forged', body = 'x'",
        "DELETE FROM audit WHERE seq = 1",
        "DELETE FROM audit",
        "UPDATE leaves SET entry = entry",
        "DELETE FROM leaves",
        "REPLACE INTO leaves SELECT * FROM leaves",
        "UPDATE tiles SET hashes = x'00'",
        "UPDATE tiles SET hashes = substr(hashes, 1, length(hashes) - 32)",
        "DELETE FROM tiles",
        "UPDATE trees SET size = size - 1",
        "UPDATE trees SET root = zeroblob(32)",
        "DELETE FROM trees",
        "UPDATE checkpoints SET note = 'x'",
        "DELETE FROM checkpoints",
        "REPLACE INTO audit SELECT * FROM audit WHERE seq = 1",
        "UPDATE tokens SET state = 'issued' WHERE state = 'redeemed'",
        "UPDATE tokens SET state = 'revoked' WHERE state = 'redeemed'",
    ],
)
async def test_the_database_itself_refuses_to_rewrite_what_happened(
    path: Path, store: SQLiteStore, statement: str
) -> None:
    held = await hold(store)  # A17
    await store.redeem(held.shown())
    await integrate(store)
    await store.add_checkpoint(StoredCheckpoint(log=1, size=1, note="signed"))
    before = await all_records(store)
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA recursive_triggers = ON")
        with pytest.raises(sqlite3.IntegrityError):
            other.execute(statement)
    assert await all_records(store) == before


async def test_two_processes_that_create_the_file_at_once_share_one_database(path: Path) -> None:
    stores = [SQLiteStore(path).use(MACS) for _ in range(4)]
    await asyncio.gather(*(store.start() for store in stores))
    await asyncio.gather(*(store.append([event()]) for store in stores))
    assert len(await all_records(stores[0])) == 4
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_store_that_is_closed_while_it_is_read_leaves_no_thread_that_keeps_the_process(tmp_path: Path) -> None:
    async def read(store: SQLiteStore) -> None:
        while True:
            await asyncio.gather(store.list_factors("axis", "ada"), store.last_seq())

    before = set(threading.enumerate())
    for _ in range(20):
        store = SQLiteStore(tmp_path / "stepup.db").use(MACS)
        await store.start()
        reading = asyncio.create_task(read(store))
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(StoreError):
            await reading

    def left() -> list[threading.Thread]:
        new = set(threading.enumerate()) - before
        return [thread for thread in new if not thread.daemon and not thread.name.startswith("asyncio_")]

    await until(lambda: not left())
