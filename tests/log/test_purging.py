"""A small run of ``python -m tests.log.purging``."""

from __future__ import annotations

from pathlib import Path

import pytest

from .purging import LIMIT, measure


# A16
@pytest.mark.slow
async def test_a_purge_goes_in_bounded_steps_beside_redemptions_and_the_file_shrinks(tmp_path: Path) -> None:
    figures = await measure(str(tmp_path / "db"), records=3 * LIMIT)
    assert figures.purging.purged == 3 * LIMIT
    assert len(figures.purging.steps) >= 3
    assert figures.redemptions
    beside = 20_000 * len(figures.redemptions)  # bytes that what is redeemed meanwhile may take
    assert figures.after < figures.before / 2 + beside
    assert figures.refilled < figures.before * 1.3 + beside
