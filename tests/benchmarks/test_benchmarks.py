"""Every benchmark runs and yields its figures. How fast anything is, no test says."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from . import report
from .harness import TIMES, Benchmark, Figure, Result, Sample, Scale, Sides, Unavailable, at_least, at_most, run
from .suite import SUITE, TABLE


@pytest.mark.exhaustive
@pytest.mark.parametrize("benchmark", SUITE, ids=lambda benchmark: benchmark.name)
async def test_a_benchmark_yields_a_value_of_each_of_its_figures(benchmark: Benchmark) -> None:
    try:
        results = await run(benchmark, scale=Scale(smoke=True), rounds=1)
    except Unavailable as reason:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(reason))
    assert [result.figure for result in results] == list(benchmark.figures)
    assert all(len(result.values) == 1 for result in results)


def test_names_are_unique() -> None:
    names = [benchmark.name for benchmark in SUITE]
    assert len(set(names)) == len(names)


def _result(values: list[float], goal: float = 2.0) -> Result:
    figure = Figure("an act", "a bare act", at_most(goal), "seconds", "ours", "theirs")
    return Result("act", figure, values, {"ours": 2.0, "theirs": 1.0})


@asynccontextmanager
async def _nothing(scale: Scale) -> AsyncIterator[Sides]:
    yield {}


def test_the_median_is_what_counts() -> None:
    assert _result([1.0, 9.0, 2.0]).met
    assert not _result([3.0, 9.0, 2.0]).met


def test_a_figure_is_the_ratio_or_the_difference_of_its_sides() -> None:
    samples = {"ours": {"ms": 30.0}, "theirs": {"ms": 10.0}}
    assert Figure("act", "bare", at_most(4), "ms", "ours", "theirs").value(samples) == 3.0
    assert Figure("act", "bare", at_most(60), "ms", "ours", "theirs", "ms").value(samples) == 20.0
    assert Figure("act", "nothing", at_least(4), "ms", "ours", None, "ms").value(samples) == 30.0


def test_of_figures_that_share_a_row_a_run_that_was_written_gives_each_its_own_value() -> None:
    one, other = (Figure("act; other", "bare; own", at_most(9), "ms", "ours", over) for over in ("bare", "own"))
    act = Benchmark(name="act", sides=_nothing, figures=(one, other))
    told = [Result("act", one, [1.0, 2.0, 4.0], {"ours": 2.0}), Result("act", other, [7.0], {"ours": 7.0})]
    read = report.medians_of([report.as_json(told, {})], [act])
    assert [result.values for result in read] == [[1.0, 2.0, 4.0], [7.0]]


def test_the_table_goes_between_the_marks_and_again_in_the_same_place(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", encoding="utf-8")
    report.write_readme([_result([1.5])], path)
    report.write_readme([_result([3.0])], path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text and "1.5" not in text
    assert f"| an act | a bare act | ≤ 2{TIMES} | 3{TIMES}, short |" in text and report.machine() in text


def test_the_table_has_fourteen_rows_at_most_and_each_measured_beside_something() -> None:
    rows = {figure.what for benchmark in TABLE for figure in benchmark.figures}
    assert len(rows) <= 14
    assert all(figure.baseline for benchmark in TABLE for figure in benchmark.figures)


def test_figures_of_the_same_words_share_a_row_with_the_spread_of_each() -> None:
    other = Result("act", Figure("an act", "another act", at_least(4), "ms", "ours", None, "ms"), [5.0, 4.0, 9.0])
    row = report.table([_result([1.5, 1.0, 3.0]), other]).splitlines()[-1]
    assert row == f"| an act | a bare act; another act | ≤ 2{TIMES}; ≥ 4 ms | 1.5{TIMES} (1 to 3); 5 ms (4 to 9) |"


def test_the_readme_says_of_how_many_runs_the_table_is(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"{report.BEGIN}{report.END}", encoding="utf-8")
    report.write_readme([_result([1.5])], path)
    assert "Medians of alternating rounds." in path.read_text(encoding="utf-8")
    report.write_readme([_result([1.5, 1.5, 1.5])], path, runs=3)
    assert "Medians of alternating rounds, and of 3 runs of the suite." in path.read_text(encoding="utf-8")


def test_the_readme_has_the_marks() -> None:
    text = report.README.read_text(encoding="utf-8")
    assert text.index(report.BEGIN) < text.index(report.END)


def test_everything_is_in_the_json() -> None:
    written = json.loads(report.as_json([_result([1.0, 2.0, 4.0])], {"browser": "no Chromium"}))
    assert written["figures"][0]["rounds"] == [1.0, 2.0, 4.0] and written["missing"] == {"browser": "no Chromium"}
    assert written["figures"][0]["goal"] == {"at_most": 2.0}


def test_several_runs_count_by_the_median_of_their_medians() -> None:
    runs = [report.as_json([_result(values)], {}) for values in ([1.0, 1.0, 9.0], [4.0], [2.0, 3.0, 3.0])]
    act = Benchmark(name="act", sides=_nothing, figures=(_result([]).figure,))
    (result,) = report.medians_of(runs, [act])
    assert result.values == [1.0, 4.0, 3.0] and result.median == 3.0
    with pytest.raises(ValueError, match="an act"):
        report.medians_of([*runs, report.as_json([], {})], [act])


def test_what_is_said_beside_a_figure_stands_with_it() -> None:
    figure = Figure("a start", "bare", at_most(4), "ms", "ours", None, "ms", beside="bare")
    assert "| 3 ms, beside 1 ms |" in report.table([Result("start", figure, [3.0], {"ours": 3.0, "bare": 1.0})])


async def test_sides_are_measured_in_turning_order() -> None:
    order: list[str] = []

    @asynccontextmanager
    async def sides(scale: Scale) -> AsyncIterator[Sides]:
        def side(name: str) -> Sample:
            order.append(name)
            return {"seconds": 1.0}

        async def first() -> Sample:
            return side("first")

        async def second() -> Sample:
            return side("second")

        yield {"first": first, "second": second}

    figure = Figure("act", "bare", at_most(2), "seconds", "first", "second")
    await run(Benchmark(name="act", sides=sides, figures=(figure,)), scale=Scale(), rounds=2)
    assert order == ["first", "second", "second", "first"]
