"""Testing: the tests of the page pass, find a missing tag, and the list of untagged routes is what it says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from .harness import Ran, running, shell


@pytest.mark.block("pytest")
async def test_the_tests_of_the_page_pass_and_fail_without_the_tag(blocks: dict[str, str], tmp_path: Path) -> None:
    async with running("testing", tmp_path):
        pass
    assert "2 passed" in await shell(blocks["pytest"], tmp_path)
    main = tmp_path / "main.py"
    tag = '@requires_step_up("webhook_secret_rotation", details=rotation_details)\n'
    assert tag in main.read_text(encoding="utf-8")
    main.write_text(main.read_text(encoding="utf-8").replace(tag, ""), encoding="utf-8")
    assert "2 failed" in await shell(f"({blocks['pytest']}) || true", tmp_path)


def test_the_clock_of_the_page_has_moved(ran: Ran) -> None:
    assert ran.names["clock"]() == datetime(2026, 11, 24, 12, 1, 1, tzinfo=UTC)


def test_the_untagged_routes_are_listed(ran: Ran) -> None:
    assert (ran.folder / "untagged.txt").read_text().split("\n") == ["GET,HEAD /", "POST /sign-in", ""]
