"""A flood from one session leaves a bounded number of rows and no memory behind; the full one is a command."""

from __future__ import annotations

import pytest

from stepup_middleware.core.prompts import OPEN_PROMPTS_PER_SESSION
from tests import flood

REQUESTS = 1000
MEGABYTES = 20_000_000


# D01 D02 D07 D09
@pytest.mark.slow
@pytest.mark.parametrize("kind", flood.KINDS)
def test_a_flood_leaves_few_rows_and_no_memory_and_others_are_served(kind: str) -> None:
    found = flood.in_a_process(kind, REQUESTS)
    assert found.runs == 0
    assert sum(found.statuses.values()) == REQUESTS
    assert not [status for status in found.statuses if not 400 <= int(status) < 500]
    assert found.rows.get("prompts", 0) <= OPEN_PROMPTS_PER_SESSION
    assert found.rows.get("audit", 0) <= 200
    assert sum(found.rows.values()) <= 300
    assert found.grown < MEGABYTES
