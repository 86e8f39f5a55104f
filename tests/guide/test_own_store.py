"""The page on a store of one's own: its tests run as it shows them, and what it names is there."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from demo_app.guide_pages import FOLDER

from .harness import blocks_of

TEXT = (FOLDER / "own_store.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_contract_runs_as_the_page_shows_it(tmp_path: Path) -> None:
    (block,) = [block for block in blocks_of("own_store") if block.language == "python"]
    tmp_path.joinpath("test_my_store.py").write_text(block.text, encoding="utf-8")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "test_my_store.py",
            "-k",
            "alert or challenge",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 10  # type: ignore[index]


@pytest.mark.slow
def test_a_subclass_that_opens_nothing_says_what_to_give(tmp_path: Path) -> None:
    text = "from stepup_middleware.testing import StoreContract\nclass TestMine(StoreContract):\n    pass\n"
    tmp_path.joinpath("test_mine.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "test_mine.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert "give a fixture open_store" in done.stdout


def test_every_rule_that_the_page_names_is_where_it_says() -> None:
    rows = re.findall(r"^\|[^|]*\| (`[^|]+) \| `((?:core|log)\.\w+)` \|$", TEXT, re.MULTILINE)
    assert len(rows) == 12
    for names, module in rows:
        found = importlib.import_module(f"stepup_middleware.{module}")
        wanted = [name for name in re.findall(r"`(\w+)`", names) if name != "_STAY"]
        assert wanted
        assert [name for name in wanted if not hasattr(found, name)] == []
