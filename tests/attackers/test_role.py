"""Who has the app's own role in PostgreSQL, or runs statements on its SQLite file, and has no key: nothing passes.

Each statement is stopped by the database, or found by the app or by verifying, or changes nothing that anybody is
answered, or is granted in the guide. By default a part is tried; ``-m exhaustive`` tries all.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stepup_middleware.core.events import EventName
from stepup_middleware.core.topics import Topic
from stepup_middleware.testing.contract.values import MACS, event
from tests.stores.servers import DATABASE, PostgresServer

from . import file, role
from .attacked import table_of, total
from .raw import Raw
from .test_state import raw

__all__ = ["raw"]

WHOLE = pytest.param(1, id="all", marks=pytest.mark.exhaustive)


# A17
@pytest.mark.slow
@pytest.mark.parametrize("every_nth", [pytest.param(151, id="part"), WHOLE])
async def test_no_statement_of_a_role_of_the_guide_passes(postgres_server: PostgresServer, every_nth: int) -> None:
    tallies = await role.sweep(postgres_server, DATABASE, every_nth=every_nth, first=every_nth // 2)
    of_all = total(tallies)
    assert of_all.undetected == [], table_of(tallies)
    assert of_all.tried * every_nth > 5000
    assert of_all.stopped > of_all.tried / 3
    assert of_all.found > 0


# A17
@pytest.mark.parametrize("every_nth", [pytest.param(61, id="part"), WHOLE])
async def test_no_statement_on_the_file_of_an_app_passes(tmp_path: Path, every_nth: int) -> None:
    tallies = await file.sweep(tmp_path, every_nth=every_nth, first=every_nth // 2)
    of_all = total(tallies)
    assert of_all.undetected == [], table_of(tallies)
    assert of_all.tried * every_nth > 2000
    assert of_all.found > of_all.tried / 5


# A17
async def test_a_trigger_is_passed_by_replacing_a_row_and_verifying_tells_of_it(tmp_path: Path) -> None:
    made = file.File(tmp_path)
    await made.make()
    replaced = [each for each in file.statements(made.rows, made.keys()) if each.verb == "OR REPLACE"]
    (body,) = [each for each in replaced if (each.table, each.column) == ("audit", "body")][:1]
    assert made.tried(body)  # SQLite fires no trigger for the row that makes way
    _, found, _ = await made.answers()
    assert any("body" in each for each in found)


# A22
@pytest.mark.parametrize("had", ["", "no JSON", "7", "null", '{"a": 1}', "[" * 100_000, "[[], 1, null]"])
async def test_a_delivery_that_somebody_spoilt_goes_to_all_and_keeps_no_other_from_its_sinks(
    raw: Raw, had: str
) -> None:
    async with raw.store().use(MACS) as store:
        await store.append([event(EventName.DATABASE_ALTERED), event(EventName.DATABASE_ALTERED)])
        rows = sorted(await raw.rows("deliveries"), key=lambda row: row["seq"])
        assert await raw.put("deliveries", [{**rows[0], "had": had}, {**rows[1], "had": json.dumps(["pager"])}])
        topics = (Topic.ALERT, Topic.NOTICE)
        claimed = await store.records.claim_deliveries(topics, now=role.LATER, until=role.LATER, limit=100)
        assert [delivery.had for delivery in claimed] == [(), ("pager",)]
