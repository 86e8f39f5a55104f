"""A few of the kills that ``python -m tests.log.killing`` makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from .killing import run


# A02
@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, 6])
def test_who_kills_the_process_at_any_moment_loses_no_record_and_forks_no_log(tmp_path: Path, kills: int) -> None:
    figures = run(str(tmp_path / "db"), tmp_path, kills=kills, seed=20261128)
    assert figures.sound, figures
    assert figures.kills == kills
