"""Nobody is approved twice and nothing is lost unsaid when nodes die; the full one is a command."""

from __future__ import annotations

import pytest

from .approvals import approve_under_kill
from .batches import confirm_under_kill
from .nodes import running_nodes

RUNS = 12


@pytest.fixture(params=["postgres", "redis+postgres"])
def hot(request: pytest.FixtureRequest) -> str:
    """Return the address of the hot store, "" without one."""
    return "" if request.param == "postgres" else str(request.getfixturevalue("valkey_url"))


# X01
@pytest.mark.exhaustive
async def test_what_is_asked_approved_and_redeemed_on_nodes_that_are_killed_runs_once_or_is_said_not_to_have(
    postgres_dsn: str, hot: str
) -> None:
    async with running_nodes(postgres_dsn, hot) as nodes:
        figures = await approve_under_kill(nodes, RUNS, seed=1)
    assert figures.faults == []
    assert figures.kills > 0


# N43 X01
@pytest.mark.exhaustive
async def test_of_several_that_are_confirmed_on_nodes_that_are_killed_exactly_the_right_ones_run(
    postgres_dsn: str, hot: str
) -> None:
    async with running_nodes(postgres_dsn, hot) as nodes:
        figures = await confirm_under_kill(nodes, batches=2, together=8, seed=1)
    assert figures.faults == []
    assert figures.told["taken out"] == 4
