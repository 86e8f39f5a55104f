"""What the suite leaves to ``-m rest``: all but a part of each sweep, and what is slow.

The suite is for the minutes in which somebody waits; ``-m rest`` has the rest of what runs with each change, and
``-m exhaustive`` what takes hours, too. A test is ``slow`` if it takes more than about five seconds by itself (it
builds wheels, kills processes, fills a disk, looks at all pages), or drives a browser and is none of its main lines.
Something shorter beside it tries the same in the suite.

A sweep is a test that is asked for many combinations: framework and server, page and account, event and language. In
the part is each value of each parameter at least once (``sweep()``), each pair of values (``sweep(2)``), or one case in
so many where the cases are a list (``sweep(one_in=4)``). It is the same part in every run: what failed fails again. A
file or folder that is named on the command line runs whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import combinations

import pytest


def is_of_all(config: pytest.Config) -> bool:
    """Whether the run is of all tests, and not of some that were named; a worker is told."""
    told = getattr(config, "workerinput", {}).get("is_of_all")
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS if told is None else bool(told)


def is_parted(config: pytest.Config) -> bool:
    """Whether the suite takes a part: in a run of all tests, and where the others are asked for."""
    return is_of_all(config) or asks_for_others(config)


def asks_for_others(config: pytest.Config) -> bool:
    """Whether the run is of what the suite leaves out."""
    return any(marker in config.option.markexpr for marker in ("rest", "exhaustive", "slow"))


def leave_to_the_rest(item: pytest.Item) -> None:
    """Leave a test out of the suite. What is ``exhaustive`` by its author is so without being of the rest."""
    if item.get_closest_marker("exhaustive") is None:
        item.add_marker(pytest.mark.exhaustive)
        item.add_marker(pytest.mark.rest)


def take_part(items: Iterable[pytest.Item]) -> None:
    """Leave to the rest what is slow, and what of each sweep the suite does not take."""
    sweeps: dict[tuple[str, str], list[pytest.Function]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("slow") is not None:
            leave_to_the_rest(item)
        elif isinstance(item, pytest.Function) and _is_of_a_sweep(item):
            sweeps[item.nodeid.partition("[")[0], item.originalname].append(item)
    for cases in sweeps.values():
        mark = cases[0].get_closest_marker("sweep")
        assert mark is not None
        taken = _taken([_values(case) for case in cases], *mark.args, **mark.kwargs)
        for number, case in enumerate(cases):
            if number not in taken:
                leave_to_the_rest(case)


def _is_of_a_sweep(item: pytest.Function) -> bool:
    """Whether the marker decides; what is left out already by another rule is not taken back."""
    return item.get_closest_marker("sweep") is not None and item.get_closest_marker("exhaustive") is None


def _values(case: pytest.Function) -> dict[str, Hashable]:
    """Return the parameters of a case, each by what tells its value from the others of the sweep."""
    given = case.callspec.params if hasattr(case, "callspec") else {}
    return {name: (type(value), value if isinstance(value, str | int) else id(value)) for name, value in given.items()}


def _taken(cases: Sequence[Mapping[str, Hashable]], strength: int = 1, one_in: int | None = None) -> set[int]:
    """Return the numbers of the cases that stay: the first, and then each that covers most of what none has yet."""
    if one_in is not None:
        return set(range(0, len(cases), one_in))
    parts = [set(combinations(sorted(case.items()), min(strength, len(case)))) for case in cases]
    left, taken = set[tuple[tuple[str, Hashable], ...]]().union(*parts), {0}
    left -= parts[0]
    while left:
        best = max(range(len(parts)), key=lambda number: len(parts[number] & left))
        taken.add(best)
        left -= parts[best]
    return taken
