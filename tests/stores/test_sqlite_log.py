"""The log of a file that is only read: sealed, copied, or in use by an app at this moment."""

from __future__ import annotations

import asyncio
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.events import EventName
from stepup_middleware.core.trust import Trust
from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.service.verification import LogFault, LogVerifier
from stepup_middleware.stores.records import AuditLog
from stepup_middleware.stores.sqlite import SQLiteLog, SQLiteStore
from stepup_middleware.testing.contract.values import MACS, NOW, event
from tests.evidence.support import KEY, person, run, signing_house, transmit

TRUST = Trust(head_keys={KEY.key_id: KEY.public_key})


async def judged(log: AuditLog) -> tuple[LogVerifier, list[LogFault]]:
    verifier = LogVerifier(log, TRUST)
    return verifier, [fault async for fault in verifier.run()]


def looks(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return what is in the files of a folder, and when each was changed."""
    return {file.name: (sha256(file.read_bytes()).digest(), file.stat().st_mtime_ns) for file in folder.iterdir()}


async def sealed_copy(folder: Path) -> Path:
    """Play a step-up and return a copy of the database alone, which nobody may write to."""
    async with signing_house(folder) as house:
        await transmit(await person(house, "ada", "passkey"), "passkey")
    target = folder / "sealed"
    target.mkdir()
    shutil.copyfile(folder / "stepup.db", target / "stepup.db")
    (target / "stepup.db").chmod(0o400)
    target.chmod(0o500)
    return target / "stepup.db"


async def test_verifying_changes_nothing_in_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = await sealed_copy(tmp_path)
    before = looks(path.parent)
    async with SQLiteLog(path) as log:
        verifier, faults = await judged(log)
        assert (faults, verifier.summary.proofs) == ([], 1)
        assert await log.signed_chains()
    assert looks(path.parent) == before


async def test_the_commands_read_a_sealed_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = await sealed_copy(tmp_path)
    before = looks(path.parent)
    async with SQLiteLog(path) as log:
        (action,) = await log.audit_after(None, AuditFilter(event=EventName.ACTION_AUTHORIZED), after=0, limit=9)
    for arguments in (["verify", "--all"], ["export"], ["evidence", action.prompt_id]):
        code, _, err = await asyncio.to_thread(run, capsys, "audit", *arguments, "--database", path)
        assert code == 0, err
    assert looks(path.parent) == before


async def test_the_log_of_a_running_app_is_read_while_it_grows(tmp_path: Path) -> None:
    async with signing_house(tmp_path) as house:
        ada = await person(house, "ada", "passkey")
        await transmit(ada, "passkey")
        async with SQLiteLog(tmp_path / "stepup.db") as log:
            first, faults = await judged(log)
            assert (faults, first.summary.proofs) == ([], 1)
            await transmit(ada, "passkey")
            second, faults = await judged(log)
            assert (faults, second.summary.proofs) == ([], 2)


async def test_heads_that_are_signed_during_a_pass_are_no_sign_of_a_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepup_middleware.service.verification._HEADS", 1)
    async with signing_house(tmp_path) as house:
        ada = await person(house, "ada", "passkey")
        keeper = house.stepup._parts.evidence._keeper
        assert keeper is not None
        await transmit(ada, "passkey")
        await keeper.sign()
        await transmit(ada, "passkey")
        verifier = LogVerifier(house.store, TRUST)
        grown = False

        async def grow() -> None:
            await transmit(ada, "passkey")
            await keeper.sign()

        heads_of = house.store.heads

        async def slow_heads(chain: str, *, from_link: int = 0, limit: int = 100):  # type: ignore[no-untyped-def]
            nonlocal grown
            if from_link > 1 and not grown:  # the first head was judged; meanwhile the log grows, and is signed
                grown = True
                await grow()
            return await heads_of(chain, from_link=from_link, limit=limit)

        monkeypatch.setattr(house.store, "heads", slow_heads)
        assert [fault async for fault in verifier.run()] == []
        assert grown


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
