"""The tamper matrix of a whole log: each alteration at each record is found, and the place and the field are named."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from stepup_middleware.core.trust import Trust
from stepup_middleware.service.verification import LogFault, LogVerifier
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS

from .log_tampering import every_alteration_of_a_log, read_log, sealed, write_log
from .support import KEY, Witness, person, signing_house, transmit


async def played(folder: Path) -> Trust:
    """Play a few step-ups of two retentions, signed twice, and return what an auditor trusts."""
    witness = Witness(folder / "heads.ndjson")
    async with signing_house(folder, on_head=[witness]) as house:
        ada = await person(house, "ada", "passkey")
        bob = await person(house, "bob", "hardware_key")
        for somebody, kind in ((ada, "passkey"), (bob, "hardware_key"), (ada, "passkey")):
            await transmit(somebody, kind)
        await house.stepup._parts.evidence._keeper.sign()  # type: ignore[union-attr]  # as the interval would
        await ada.step_up("POST", "/bound-mount/x", "passkey")
    return Trust(
        head_keys={KEY.key_id: KEY.public_key},
        witnessed={(head.chain, head.link): head.hash for head in witness.heads},
    )


async def faults(database: Path, trust: Trust) -> list[LogFault]:
    async with SQLiteStore(database).use(MACS) as store:
        return [fault async for fault in LogVerifier(store, trust).run()]


@pytest.mark.parametrize("heads", [True, False], ids=["heads in the database", "heads kept elsewhere alone"])
async def test_every_deletion_exchange_truncation_insertion_and_fork_is_found_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], heads: bool
) -> None:  # A16
    trust = await played(tmp_path)
    if heads:
        trust = Trust(head_keys=trust.head_keys)
    source, rows = tmp_path / "stepup.db", read_log(tmp_path / "stepup.db")
    assert sealed(rows) == rows
    assert len({row.chain for row in rows}) >= 2
    genuine = tmp_path / "genuine.db"
    write_log(source, genuine, rows, heads=heads)
    assert await faults(genuine, trust) == []
    tried: Counter[str] = Counter()
    for number, altered in enumerate(every_alteration_of_a_log(rows)):
        target = tmp_path / f"{number}.db"
        write_log(source, target, altered.rows, heads=heads)
        found = await faults(target, trust)
        target.unlink()
        assert found, (altered.how, altered.chain, altered.link)
        assert all(fault.field and fault.problem for fault in found)
        # the place itself, or the head over it
        assert any(fault.chain == altered.chain for fault in found), (altered.how, found)
        if not altered.how.endswith("sealed anew") and altered.how.startswith(("altered", "exchanged")):
            assert any((fault.chain, fault.link) == (altered.chain, altered.link) for fault in found), found
        tried[altered.how] += 1
    with capsys.disabled():
        sys.stdout.write(f"\n{tried.total()} alterations of a log of {len(rows)}, none undetected: {dict(tried)}\n")
    assert tried.total() > 150
