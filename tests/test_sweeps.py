"""The suite takes each value of a sweep, or each pair; the rest and what is slow is left to ``-m rest``."""

from __future__ import annotations

from itertools import product

import pytest

from .sweeps import _taken

CASES = [dict(zip("abc", each, strict=True)) for each in product(range(5), range(4), range(3))]


@pytest.mark.parametrize(("strength", "at_most"), [(1, 5), (2, 26)])
def test_each_combination_of_so_many_values_is_in_the_part_and_the_part_is_small(strength: int, at_most: int) -> None:
    taken = [CASES[number] for number in _taken(CASES, strength)]
    names = ["a", "b", "c"] if strength == 1 else ["ab", "ac", "bc"]
    for together in names:
        assert {tuple(case[name] for name in together) for case in taken} == {
            tuple(case[name] for name in together) for case in CASES
        }
    assert len(taken) <= at_most


def test_one_case_in_so_many_begins_with_the_first() -> None:
    assert _taken([{"case": number} for number in range(10)], one_in=4) == {0, 4, 8}


def test_a_test_without_parameters_stays() -> None:
    assert _taken([{}]) == {0}


def test_what_the_suite_leaves_out_runs_exhaustively_and_what_it_takes_does_not(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makeconftest(
        """
        import pytest
        from tests.sweeps import take_part

        def pytest_configure(config):
            config.addinivalue_line("markers", "exhaustive: all")
            config.addinivalue_line("markers", "rest: of the suite")
            config.addinivalue_line("markers", "sweep: a part")
            config.addinivalue_line("markers", "slow: long")

        @pytest.hookimpl(tryfirst=True)
        def pytest_collection_modifyitems(items):
            take_part(items)
        """
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.sweep()
        @pytest.mark.parametrize("server", "xyz")
        @pytest.mark.parametrize("framework", "abcd")
        def test_served(framework, server):
            pass

        @pytest.mark.slow
        @pytest.mark.sweep()
        @pytest.mark.parametrize("framework", "ab")
        def test_killed(framework):
            pass

        @pytest.mark.slow
        @pytest.mark.exhaustive
        def test_for_hours():
            pass
        """
    )
    suite = pytester.runpytest("-m", "not exhaustive", "-p", "no:cacheprovider")
    suite.assert_outcomes(passed=4, deselected=11)
    pytester.runpytest("-m", "rest", "-p", "no:cacheprovider").assert_outcomes(passed=10, deselected=5)
    pytester.runpytest("-m", "exhaustive", "-p", "no:cacheprovider").assert_outcomes(passed=11, deselected=4)
