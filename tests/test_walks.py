"""The two walks of CONTRIBUTING are those of the code as it runs."""

from __future__ import annotations

import re
from pathlib import Path

from tests.walks import AT_MOST, AUTHORIZED, REFUSED, Walk, walks

CONTRIBUTING = Path(__file__).parent.parent / ".github" / "CONTRIBUTING.md"
ON_THE_WAY = ("gate.py", "request/decision.py", "service/redemption.py", "stores/sqlite/log.py")
ONCE_A_SECOND = "stores/sqlite/database.py"  # leaves its mark, in whichever walk


def told() -> list[set[str]]:
    """Return the files that each of the two walks names."""
    page = CONTRIBUTING.read_text(encoding="utf-8").split("## Two walks")[1].split("\nOnce a second")[0]
    return [set(re.findall(r"`([\w/]+\.py)`", walk)) for walk in re.split(r"^\d\. ", page, flags=re.MULTILINE)[1:]]


async def test_each_walk_goes_from_the_gate_to_the_log_and_no_file_comes_twice() -> None:
    gone = await walks()
    assert [walk.name for walk in gone] == [REFUSED, AUTHORIZED]
    for walk, files in zip(gone, told(), strict=True):
        places = [list(walk.steps).index(file) for file in ON_THE_WAY]
        assert places == sorted(places), str(walk)
        assert len(walk.steps) <= AT_MOST[walk.name], str(walk)
        assert walk.steps.keys() - {ONCE_A_SECOND} == files, str(walk)


def test_a_walk_has_the_files_that_lead_on_and_no_helper() -> None:
    walk = Walk("w", entered={"a.py": (1, "f"), "b.py": (2, "g")}, leading={"a.py"})
    assert str(walk) == "w: 1 files, and 1 of helpers\n  a.py:1 f"
