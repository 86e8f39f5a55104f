"""A flood of requests is no flood of lines: each place in the code writes one a second, and counts the others."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from stepup_middleware import logged
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
