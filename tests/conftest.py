"""What holds for every test: no stop-watch for examples and stores, what is quick, and who runs beside whom."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from .patience import be_patient, write_every_line
from .scratch import keep_what_is_compiled, write_to_memory
from .sweeps import asks_for_others, is_of_all, is_parted, take_part

settings.register_profile("house", deadline=None, print_blob=True)  # the machine may be busy
settings.register_profile("thorough", parent=settings.get_profile("house"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))
write_to_memory()
keep_what_is_compiled()
be_patient()
write_every_line()

TESTS = Path(__file__).parent
QUICK = ("ceremonies", "core", "log", "web")  # without a server, a browser or a process: under a minute for all
LONGEST = (  # begun first, so that no worker is left alone with one of them in the end
    "stores/test_contract.py",
    "frameworks/test_servers.py",
    "e2e/test_states.py",
    "e2e/test_main_flow.py",
    "stores/test_postgres_processes.py",
    "test_readme.py",
    "e2e/test_accessibility.py",
    "frameworks/test_frameworks.py",
    "e2e/test_console.py",
    "stores/test_postgres_faults.py",
    "guide/test_queues.py",
    "guide/test_deploy.py",
    "http/test_import.py",
    "attackers/test_state.py",
    "e2e/test_pseudo.py",
    "stores/test_redis_processes.py",
    "stores/test_redis_faults.py",
    "e2e/test_recovery.py",
    "e2e/test_guide.py",
    "test_wheel.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite in a process a core and one more; what is named on the command line runs in this one alone.

    The one more works while others wait, for a browser or a server.

    The tests of a file stay together: they share its servers and its browser. ``-n`` says otherwise.
    """
    option = config.option
    if not is_of_all(config) or option.collectonly or option.usepdb or not config.pluginmanager.hasplugin("xdist"):
        return
    if hasattr(config, "workerinput"):  # a worker asks as well, and must not have workers of its own
        return
    if option.numprocesses is None and option.dist == "no":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        option.numprocesses = cores + 1
        option.dist, option.loadscopereorder = "loadfile", False


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist whether the run is of all tests: it is given their folder by name."""
    node.workerinput["is_of_all"] = is_of_all(node.config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is quick, leave whole sweeps to ``-m exhaustive``, and put the longest files first."""
    if is_parted(config):
        take_part(items)
    if not asks_for_others(config):
        left_out = [item for item in items if item.get_closest_marker("exhaustive") is not None]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if item.get_closest_marker("exhaustive") is None]
    rank = {TESTS / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))
    for item in items:
        if item.path.relative_to(TESTS).parts[0] in QUICK and item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.quick)
