"""A leaf that the app did not write, in the way of its own: integration stops, and says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stepup_middleware.core.events import EventName
from stepup_middleware.log.integrator import Fault
from stepup_middleware.testing.contract.values import ORIGIN
from tests.log.histories import LOG_KEYS
from tests.log.signing import alarms, app, key_text, sign, write

from .raw import Raw, RawPostgres, RawSQLite
from .test_live import Live


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def raw(request: pytest.FixtureRequest, tmp_path: Path) -> Raw:
    if request.param == "sqlite":
        return RawSQLite(tmp_path / "db")
    return RawPostgres(request.getfixturevalue("postgres_dsn"))


# A22
@pytest.mark.parametrize("place", [(1, 1), (1, 7), (1, -3), (2, 0), (0, 0)], ids=str)
async def test_a_leaf_that_no_tree_has_is_found_wherever_it_lies_and_whichever_record_it_names(
    raw: Raw, place: tuple[int, int]
) -> None:
    live = Live(raw)
    async with live.store:
        await live.grow()
        await live.integrate()
        waiting = await live.grow()
        honest = await raw.rows("leaves")
        for record_id in ("f" * 32, waiting["id"]):
            log, index = place
            foreign = {"log": log, "idx": index, "record_id": record_id, "entry": waiting["entry"]}
            assert await raw.put("leaves", [*honest, foreign])
            step, _ = await live.store.integrate(origin=ORIGIN, seen=live.seen)
            assert step.alarm is Fault.LEAVES_AHEAD
            assert await live.store.leaf_ahead() == place
            assert await raw.put("leaves", honest)
        assert await live.store.leaf_ahead() is None
        assert await live.integrate() == 0
        assert live.seen.size == 2


# A22
async def test_a_foreign_leaf_is_an_alarm_until_it_is_taken_away(raw: Raw) -> None:
    async with app(Path(), store=raw.store(), log_key=key_text(LOG_KEYS)) as stepup:
        await write(stepup, 3)
        stored = await sign(stepup)
        assert stored is not None
        honest = await raw.rows("leaves")
        foreign = {**honest[0], "idx": stored.size, "record_id": "f" * 32}
        assert await raw.put("leaves", [*honest, foreign])
        await write(stepup, 1)
        assert await sign(stepup) is None
        assert await alarms(stepup) == ["leaves_ahead"]
        assert "no tree has" in (await stepup.health()).log.fault
        health = await stepup.health()
        assert health.is_ready  # actions go on
        assert any("leaves that no tree has" in warning for warning in health.warnings)
        assert await raw.put("leaves", honest)
        healed = await sign(stepup)
        assert healed is not None
        assert healed.size > stored.size
        assert not (await stepup.health()).log.fault
        told = [each async for each in stepup.audit.stream(None) if each.event is EventName.DATABASE_ALTERED]
        assert "audit verify" in json.loads(told[0].body)["data"]["what"]
