"""Who can write to every table of the log, and has no key, alters nothing undetected but what decides nothing.

By default a part of the alterations is tried; ``-m exhaustive`` tries all, and ``python -m tests.attackers`` prints the
table.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from stepup_middleware.evidence.report import EvidenceVerdict
from stepup_middleware.testing.contract.values import MACS
from tests.stores.servers import DATABASE, running_postgres

from .alterations import at_the_end, every
from .attacked import Attacked, AttackedPostgres, AttackedSQLite, attack, honest

WHOLE = pytest.param(1, id="all", marks=pytest.mark.exhaustive)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)], scope="module")
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    if request.param == "sqlite":
        yield AttackedSQLite(Path(tmp_path_factory.mktemp("log")) / "log.db")
        return
    with running_postgres() as server:
        asyncio.run(server.create_database(DATABASE))
        yield AttackedPostgres(asyncio.run(server.empty_database(DATABASE)))


# A20
@pytest.mark.parametrize("every_nth", [pytest.param(97, id="part"), WHOLE])
async def test_nothing_that_is_written_to_the_tables_without_a_key_passes(database: Attacked, every_nth: int) -> None:
    base = await honest(database)
    assert sum(1 for _ in every(base.tables, base.earlier)) > 2000
    for with_key in (True, False):
        verdict, findings = await database.found(base.trust(), base.now, with_key=with_key)
        assert (verdict, findings) == (EvidenceVerdict.VERIFIED, [])
    tallies = await attack(database, base, every_nth=every_nth)
    assert {kind: tally.undetected for kind, tally in tallies.items() if tally.undetected} == {}
    assert sum(tally.found for tally in tallies.values()) > 100


# A21
async def test_with_no_checkpoint_from_elsewhere_no_log_is_called_whole(tmp_path: Path) -> None:
    database = AttackedSQLite(tmp_path / "log.db")
    base = await honest(database)
    verdict, findings = await database.found(base.trust(kept=()), base.now)
    assert verdict is EvidenceVerdict.NOT_VERIFIABLE
    assert ["no checkpoint from outside" in finding.problem for finding in findings] == [True]
    for size, older in base.earlier.items():
        await database.write(older)
        assert (await database.found(base.trust(kept=()), base.now))[0] is EvidenceVerdict.NOT_VERIFIABLE
        known_then = [kept for kept in base.kept if kept.size <= size]
        assert (await database.found(base.trust(kept=known_then), base.now))[0] is EvidenceVerdict.VERIFIED
        assert (await database.found(base.trust(), base.now))[0] is EvidenceVerdict.FAILED


# A20
async def test_that_every_checkpoint_is_gone_is_told(tmp_path: Path) -> None:
    database = AttackedSQLite(tmp_path / "log.db")
    base = await honest(database)
    await database.write({"checkpoints": []})
    verdict, findings = await database.found(base.trust(), base.now)
    assert (verdict, [finding.field for finding in findings]) == (EvidenceVerdict.NOT_VERIFIABLE, ["checkpoints"])


# A20
@pytest.mark.parametrize("table", ["leaves", "tiles", "trees", "checkpoints"])
async def test_a_row_of_a_tree_without_a_number_is_told(tmp_path: Path, table: str) -> None:
    database = AttackedSQLite(tmp_path / "log.db")  # which takes any value in any column
    base = await honest(database)
    for value in ("x", b"\x01", 1.5):
        first, *rest = base.tables[table]
        await database.write({table: [{**first, "log": value}, *rest]})
        verdict, _ = await database.found(base.trust(), base.now)
        assert verdict is EvidenceVerdict.FAILED


# A20
async def test_only_what_is_of_this_minute_is_too_young_for_a_checkpoint(tmp_path: Path) -> None:
    database = AttackedSQLite(tmp_path / "log.db")
    base = await honest(database)
    now, chance = base.now, random.Random(20)  # noqa: S311 - numbers of forged records, no secret
    tomorrow, long_ago = now + timedelta(days=1), now - timedelta(days=10)
    for moments, fields in (
        ([now], []),
        ([tomorrow], ["entry"]),
        ([now, long_ago], ["checkpoint"]),  # behind a younger one
        ([tomorrow, long_ago, now], ["checkpoint", "entry"]),
    ):
        await database.write(at_the_end(base.tables, moments, chance))
        _, findings = await database.found(base.trust(), now, with_key=False)
        assert [finding.field for finding in findings if finding.unverifiable] == fields
        assert {finding.field for finding in findings if not finding.unverifiable} <= {"seq"}  # not in their order
        assert (await database.found(base.trust(), now))[0] is EvidenceVerdict.FAILED  # no MAC


# A20
async def test_a_record_that_waits_for_its_leaf_is_granted_a_minute_and_no_future(tmp_path: Path) -> None:
    database = AttackedSQLite(tmp_path / "log.db")
    base = await honest(database)
    chance = random.Random(20)  # noqa: S311 - numbers of records, no secret
    for late, verdict in (
        (timedelta(0), EvidenceVerdict.VERIFIED),
        (timedelta(minutes=-3), EvidenceVerdict.NOT_VERIFIABLE),
        (timedelta(days=1), EvidenceVerdict.NOT_VERIFIABLE),
    ):
        tables = at_the_end(base.tables, [base.now + late], chance, leaves=False)
        row = tables["audit"][-1]
        row["mac"] = MACS.make_for_record(row["id"], row["entry"])  # the app itself wrote it
        await database.write(tables)
        assert (await database.found(base.trust(), base.now))[0] is verdict
