"""The two walks of CONTRIBUTING are those of the code as it runs."""

from __future__ import annotations

from tests.walks import AUTHORIZED, REFUSED, Walk, walks

# files, and none more: the goal stands in tests.walks. Once a second, the database writes its mark on the way
NOW = {REFUSED: 21, AUTHORIZED: 17}
ON_THE_WAY = ("gate.py", "request/decision.py", "service/redemption.py", "stores/sqlite/log.py")


async def test_each_walk_goes_from_the_gate_to_the_log_and_no_file_comes_twice() -> None:
    gone = await walks()
    assert [walk.name for walk in gone] == [REFUSED, AUTHORIZED]
    for walk in gone:
        places = [list(walk.steps).index(file) for file in ON_THE_WAY]
        assert places == sorted(places), str(walk)
        assert len(walk.steps) <= NOW[walk.name], str(walk)


def test_a_walk_has_the_files_that_lead_on_and_no_helper() -> None:
    walk = Walk("w", entered={"a.py": (1, "f"), "b.py": (2, "g")}, leading={"a.py"})
    assert str(walk) == "w: 1 files, and 1 of helpers\n  a.py:1 f"
