"""The health page tells the truth: whether an action can be authorized now, and what somebody should look at."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client import CollectorRegistry

from stepup_middleware import ConfigurationError
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.retention import DELIVERIES_LATE
from stepup_middleware.metrics.prometheus import PrometheusMetrics
from stepup_middleware.service import figures
from stepup_middleware.service import health as service
from stepup_middleware.testing.contract.values import event as audit_event
from tests.support import TRANSMIT, Browser, House, house_in

SECRET = "0123456789abcdef"


def caller(house: House, **headers: str) -> httpx2.AsyncClient:
    """Return a program that watches: it has no cookie."""
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=house.app), base_url="http://localhost", headers=headers
    )


async def soon(house: House, wanted: Callable[[service.Health], object]) -> service.Health:
    """Return how it is, once it is as wanted."""
    async with asyncio.timeout(60):
        while True:
            found = await house.stepup.health()
            if wanted(found):
                return found
            await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def looked_at_each_time(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Let nobody wait a second for what is new."""
    if "once_a_second" not in request.node.name:
        monkeypatch.setattr(service, "AT_MOST_EVERY", 0.0)


async def test_there_is_no_health_page_unless_somebody_wants_one(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house, caller(house) as http:
        for path in ("/stepup/health", "/stepup/health/live"):
            assert (await http.get(path)).status_code == 404


@pytest.mark.parametrize("setting", [True, SECRET])
async def test_without_the_secret_it_says_yes_or_no_and_nothing_more(tmp_path: Path, setting: Any) -> None:
    async with house_in(tmp_path, health=setting) as house:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {SECRET}"}):
            async with caller(house, **headers) as http:
                answer = await http.get("/stepup/health")
                assert (answer.status_code, answer.json()) == (200, {"ready": True})
                assert answer.headers["cache-control"] == "no-store"


async def test_whoever_has_the_secret_is_told_the_figures(tmp_path: Path) -> None:
    async with house_in(tmp_path, health=SECRET) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        async with caller(house, authorization=f"bearer {SECRET}") as http:
            told = (await http.get("/stepup/health")).json()
    assert (told["ready"], told["fault"], told["warnings"]) == (True, "", [])
    assert told["store"]["transactions"] >= 2
    assert told["log"]["leaves"] + told["log"]["records_without_leaf"] >= 1
    assert told["events"] == {
        "undelivered": {"alert": 0, "notice": 0},
        "dropped": 0,
        "failing_sinks": [],
        "followers": 0,
        "approvals_awaited": 0,
        "queued": 0,
        "lost": 0,
        "spooled": 0,
    }


@pytest.mark.slow
async def test_no_action_can_be_authorized_and_the_page_says_so_while_the_process_lives(tmp_path: Path) -> None:
    async with house_in(tmp_path, health=SECRET, store_timeout=timedelta(seconds=0.3)) as house, caller(house) as http:
        full = {"authorization": f"Bearer {SECRET}"}
        with closing(sqlite3.connect(house.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = await http.get("/stepup/health", headers=full)
            assert (answer.status_code, answer.json()["ready"]) == (503, False)
            assert answer.json()["fault"] == "the store does not answer in time"
            ada = Browser(house, house.sign_in("ada"))
            assert (await ada.post(TRANSMIT)).status_code == 503
            assert (await http.get("/stepup/health/live")).json() == {"live": True}
        await soon(house, lambda found: found.is_ready)
        assert (await http.get("/stepup/health")).status_code == 200


async def test_a_store_that_takes_the_probe_and_no_request_is_not_ready_until_it_serves_one(tmp_path: Path) -> None:
    async with house_in(tmp_path, health=True) as house, caller(house) as http:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")

        def alter(statement: str) -> None:
            with closing(sqlite3.connect(house.path, isolation_level=None)) as other:
                other.execute(statement)

        # as on a disk with room for the one page of the probe, and not for those of a record
        alter("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
        assert (await http.get("/stepup/health")).status_code == 200  # nobody was refused yet
        assert (await ada.post(TRANSMIT)).status_code == 503
        await house.store.probe()
        answer = await http.get("/stepup/health")
        assert (answer.status_code, answer.json()) == (503, {"ready": False})
        assert "the disk is full" in (await house.stepup.health()).fault
        alter("DROP TRIGGER full")
        assert (await ada.post(TRANSMIT)).status_code == 401
        assert (await http.get("/stepup/health")).status_code == 200


async def test_what_waits_is_counted_where_the_store_takes_no_probe(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        await house.stepup._parts.integration.close()
        await house.store.append([audit_event() for _ in range(3)])
        with closing(sqlite3.connect(house.path, isolation_level=None)) as other:  # as if the hot store were away
            other.execute(
                "CREATE TRIGGER away BEFORE UPDATE OF purged_at ON meta BEGIN SELECT RAISE(ABORT, 'away'); END"
            )
        told = await house.stepup.health()
        assert "away" in told.fault
        assert told.backlog.leafless == 3


async def test_a_refusal_does_not_count_for_ever_where_nobody_asks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house_in(tmp_path) as house:
        house.stepup._parts.figures.store_error(TimeoutError())
        assert (await house.stepup.health()).fault == "the store does not answer in time"
        monkeypatch.setattr(figures, "REFUSED_SECONDS", 0.0)
        assert (await house.stepup.health()).is_ready


async def test_a_store_that_was_never_opened_is_not_ready(tmp_path: Path) -> None:
    house = House(tmp_path / "nowhere", health=True)
    async with caller(house) as http:
        assert (await http.get("/stepup/health")).status_code == 503
        assert (await http.get("/stepup/health/live")).status_code == 200
    fault = (await house.stepup.health()).fault
    assert fault.startswith("the store cannot be opened: ")
    assert "nowhere" in fault, "it says what is wrong"


async def test_whoever_asks_how_often_a_row_is_written_once_a_second(tmp_path: Path) -> None:
    async with house_in(tmp_path, health=True) as house, caller(house) as http:
        before = (await house.stepup.health()).load.transactions
        answers = await asyncio.gather(*(http.get("/stepup/health") for _ in range(100)))
        assert {answer.status_code for answer in answers} == {200}
        assert house.store.records.load.transactions - before <= 3


async def test_an_outage_hides_nothing_that_the_process_knows_and_counts_nothing_twice(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    meter = PrometheusMetrics(registry)

    def figure(name: str) -> float:
        return registry.get_sample_value(f"stepup_{name}") or 0

    async with house_in(tmp_path, metrics=[meter], store_timeout=timedelta(seconds=0.3)) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        await house.stepup._parts.integration.close()  # the task of the leaves has died
        await ada.post(TRANSMIT)
        meter.health(await house.stepup.health())
        done, leafless = figure("store_operations_total"), figure("log_records_without_leaf")
        with closing(sqlite3.connect(house.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert not (await house.stepup.health()).is_ready  # the writer tries to write that
            late = asyncio.ensure_future(house.store.records.append([audit_event()] * 3))
            meter.health(await house.stepup.health())
            assert figure("ready") == 0
            assert figure("store_waiting") >= 1
            assert figure("store_operations_total") == done
            assert figure("log_records_without_leaf") == leafless > 0
            other.execute("ROLLBACK")
        await late
        meter.health(await soon(house, lambda found: found.is_ready))
        assert done < figure("store_operations_total") < 2 * done


async def test_what_the_process_knows_by_itself_is_told_as_it_is_now(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(service, "AT_MOST_EVERY", 3600.0)
    async with house_in(tmp_path) as house:
        assert (await house.stepup.health()).followers == 0
        stream = house.stepup.audit.follow("axis")
        assert (await house.stepup.health()).followers == 1
        del stream


async def test_a_sink_that_fails_and_an_alert_that_it_did_not_take_are_warnings(tmp_path: Path) -> None:
    works = asyncio.Event()

    async def pager(event: AuditEvent) -> None:
        if not works.is_set():
            raise OSError("nobody answers")

    async with house_in(tmp_path, on_event=[pager]) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        for _ in range(2):
            await ada.post(TRANSMIT, token=token)
        house.clock.advance(DELIVERIES_LATE.total_seconds() + 1)
        found = await soon(house, lambda found: found.failing_sinks)
        assert found.is_ready
        assert "1 alert(s) did not reach every sink" in found.warnings
        works.set()
        await ada.post(TRANSMIT)
        await soon(house, lambda found: not found.failing_sinks)


async def test_a_record_without_its_leaf_is_late_after_ten_seconds(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        await house.stepup._parts.integration.close()  # the task of the leaves has died
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        assert (await house.stepup.health()).warnings == ()
        house.clock.advance(11)
        found = await house.stepup.health()
        assert found.behind == timedelta(seconds=11)
        assert found.warnings == ("the oldest record without a leaf is 11 s old",)


@pytest.mark.parametrize("setting", ["short", "ä" * 20, 1, None])
def test_a_secret_that_can_be_guessed_stops_the_start(tmp_path: Path, setting: Any) -> None:
    with pytest.raises(ConfigurationError, match="health is True, or a secret of 16 ASCII characters or more"):
        House(tmp_path, health=setting)
