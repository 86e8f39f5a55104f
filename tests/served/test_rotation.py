"""The secret key changes on every node in turn, and nobody who steps up meanwhile notices."""

from __future__ import annotations

from pathlib import Path

import pytest

from .rotation import NODES, rotated


@pytest.mark.slow
async def test_a_rolling_rotation_under_load_fails_nobody_and_lets_no_forgery_through(tmp_path: Path) -> None:
    figures = await rotated(tmp_path)  # Y04
    assert figures.restarts == 3 * NODES
    assert figures.step_ups > 0
    assert figures.forgeries_tried > 0
    assert figures.sound, figures
