"""A flood of requests is no flood of lines: each place in the code writes one a second, and counts the others."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stepup_middleware import logged
from stepup_middleware.core.events import AuditEvent, EventName
from tests.support import TRANSMIT, Browser, house_in


@pytest.fixture(autouse=True)
def as_in_an_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold lines back, as it is but for tests."""
    monkeypatch.setattr(logged, "PAUSE_SECONDS", 1.0)


async def test_a_hundred_refusals_for_one_reason_are_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with house_in(tmp_path, store_timeout=timedelta(milliseconds=5)) as house:
        ada = Browser(house, house.sign_in("ada"))
        caplog.clear()
        with closing(sqlite3.connect(house.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(100):
                assert (await ada.post(TRANSMIT)).status_code == 503
        lines = [record.getMessage() for record in caplog.records if "did not answer in time" in record.getMessage()]
    assert 1 <= len(lines) < 20


def test_the_next_line_says_how_many_were_held_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 100.0
    monkeypatch.setattr(logged, "monotonic", lambda: now)
    logger = logged.get_logger("stepup_middleware.of_a_test")
    assert logged.get_logger("stepup_middleware.of_a_test") is logger

    def warn(what: str) -> None:
        logger.warning("100 %% of %s", what)

    with caplog.at_level(logging.DEBUG):
        for _ in range(5):
            warn("it")
            logger.critical("alarm")
            logger.info("step")
        for witness in range(20):
            warn(f"witness {witness}")
        now += 1.0
        warn("it")
    said = [record.getMessage() for record in caplog.records]
    lines = [line for line in said if "100 %" in line]
    more = "(and %d more like this since the last line)"
    others = [f"100 % of witness {witness}" for witness in range(1, 7)]
    assert lines == ["100 % of it", f"100 % of witness 0 {more % 4}", *others, f"100 % of it {more % 13}"]
    assert said.count("alarm") == said.count("step") == 5  # what is critical, and mere news


def test_what_fails_until_somebody_mends_it_is_told_at_once_and_then_in_five_minutes_with_how_often(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 100.0
    monkeypatch.setattr(logged, "monotonic", lambda: now)
    logger = logged.get_logger("stepup_middleware.of_another_test")
    for _ in range(600):
        logger.error("%s failed", "one", extra=logged.SELDOM)
        now += 1.0
    logger.error("%s failed", "other", extra=logged.SELDOM)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["one failed", "one failed (and 299 more like this since the last line)", "other failed"]


async def test_a_sink_that_fails_at_each_event_is_one_line_and_health_names_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls, all_called = 0, asyncio.Event()

    async def down(event: AuditEvent) -> None:
        nonlocal calls
        calls += 1
        if calls >= 20:
            all_called.set()
        raise OSError("the other side is away")

    async with house_in(tmp_path, on_event=[down]) as house:
        now = datetime.now(UTC)
        event = AuditEvent(at=now, name=EventName.BLOCKED, workspace_id="w", subject_id="s", reason="revoked")
        for _ in range(20):
            await house.store.records.append([event])
        await asyncio.wait_for(all_called.wait(), 30)
        assert "down" in str((await house.stepup.health()).failing_sinks)
    lines = [record.getMessage() for record in caplog.records if "sink" in record.getMessage()]
    assert len(lines) == 1
    assert "down failed; the log has the events" in lines[0]
