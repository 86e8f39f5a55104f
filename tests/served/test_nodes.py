"""Three nodes of the demo behind nginx on PostgreSQL are one."""

from __future__ import annotations

from pathlib import Path

import pytest

from .nodes import NODES, replayed


@pytest.mark.slow
async def test_a_replay_on_another_node_is_known_and_the_third_is_alerted(tmp_path: Path, postgres_dsn: str) -> None:
    figures = await replayed(tmp_path, postgres_dsn, replays=3)  # T06, T33, A07
    assert figures.verdicts == ["STEPUP_TOKEN_REUSED"] * 3
    assert [len(set(nodes)) for nodes in figures.nodes] == [NODES] * 3
