"""The log of a file that is only read: sealed, copied, or in use by an app at this moment."""

from __future__ import annotations

import asyncio
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.log.tiles import read_root
from stepup_middleware.stores.audit_log import AuditLog
from stepup_middleware.stores.sqlite import SQLiteLog, SQLiteStore
from stepup_middleware.testing.contract.values import MACS, NOW, event
from tests.evidence.support import person, run, transmit
from tests.support import house_in


def looks(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return what is in the files of a folder, and when each was changed."""
    return {file.name: (sha256(file.read_bytes()).digest(), file.stat().st_mtime_ns) for file in folder.iterdir()}


async def sealed_copy(folder: Path) -> Path:
    """Play a step-up and return a copy of the database alone, which nobody may write to."""
    async with house_in(folder) as house:
        await transmit(await person(house, "ada", "passkey"), "passkey")
        await house.stepup._parts.integration.catch_up()
    target = folder / "sealed"
    target.mkdir()
    shutil.copyfile(folder / "stepup.db", target / "stepup.db")
    (target / "stepup.db").chmod(0o400)
    target.chmod(0o500)
    return target / "stepup.db"


async def read_through(log: AuditLog) -> int:
    """Read everything that a log has, and return how many records there are."""
    tree = (await log.trees())[0]
    leaves = await log.leaves(first=0, limit=1000)
    assert await read_root(log, tree.size) == tree.root
    stored = await log.stored_records(after=0, limit=1000)
    assert (
        {record.id for record in stored}
        >= {leaf.record_id for leaf in leaves}
        == set(await log.leaves_of([record.id for record in stored]))
    )
    assert await log.last_checkpoint() is None
    assert await log.records_without_leaf(after=0, until=await log.last_seq()) == ()
    return len(stored)


async def test_reading_changes_nothing_in_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = await sealed_copy(tmp_path)
    before = looks(path.parent)
    async with SQLiteLog(path) as log:
        assert await read_through(log) == await log.last_seq() > 4
    assert looks(path.parent) == before


async def test_the_commands_read_a_sealed_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = await sealed_copy(tmp_path)
    before = looks(path.parent)
    code, _, err = await asyncio.to_thread(run, capsys, "audit", "export", "--database", path)
    assert code == 0, err
    assert looks(path.parent) == before


async def test_the_log_of_a_running_app_is_read_while_it_grows(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        ada = await person(house, "ada", "passkey")
        async with SQLiteLog(tmp_path / "stepup.db") as log:
            counts = []
            for _ in range(2):
                await transmit(ada, "passkey")
                await house.stepup._parts.integration.catch_up()
                counts.append(await read_through(log))
            assert counts[1] == counts[0] + 4


async def test_a_file_that_was_opened_for_writing_meanwhile_makes_the_reading_worthless(tmp_path: Path) -> None:
    path = tmp_path / "stepup.db"
    async with SQLiteStore(path).use(MACS) as store:
        await store.append([event()])
    with pytest.raises(StoreError, match="opened for writing"):
        async with SQLiteLog(path) as log:
            assert await log.last_seq() == 1
            async with SQLiteStore(path).use(MACS) as store:
                await store.append([event(at=NOW)])


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
async def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.db"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError):
        async with SQLiteLog(path):
            pass
    assert looks(tmp_path).keys() == {"other.db"}
