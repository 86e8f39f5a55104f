"""The list of deliberate faults fits the code, and one that the tests must notice is noticed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests import mutants
from tests.mutants import Outcome

SOURCES = mutants.ROOT / "stepup_middleware"


@pytest.mark.parametrize("mutant", mutants.listed(), ids=lambda mutant: mutant.name)
def test_each_fault_has_its_place_in_the_code_and_tests_of_its_own(mutant: mutants.Mutant) -> None:
    sound = (SOURCES / mutant.file).read_text(encoding="utf-8")
    changed = mutant.applied_to(sound)
    assert changed != sound
    if mutant.file.endswith(".py"):
        compile(changed, mutant.file, "exec")
    for test in mutant.tests:
        path, _, name = test.partition("::")
        assert not name or f"def {name}(" in (mutants.ROOT / path).read_text(encoding="utf-8")


def test_no_fault_is_listed_twice() -> None:
    names = [mutant.name for mutant in mutants.listed()]
    assert len(names) == len(set(names)) >= 40


@pytest.mark.slow
def test_a_fault_is_noticed_sound_code_is_not_and_what_does_not_fit_is_told(tmp_path: Path) -> None:
    fault = next(one for one in mutants.listed() if one.file == "core/policy.py")
    faults = [fault, replace(fault, name="sound", new=fault.old), replace(fault, name="gone", old="stands nowhere")]
    path = tmp_path / "list.toml"
    path.write_text("".join(f"[[mutant]]\n{_toml(asdict(one))}" for one in faults), encoding="utf-8")
    command = [sys.executable, "-m", "tests.mutants", "--jobs", "1", "--list", str(path)]
    done = subprocess.run(command, cwd=mutants.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "1 of 3 mutants killed" in done.stdout
    assert f"{Outcome.SURVIVED}: sound (" in done.stdout
    assert f"{Outcome.INVALID}: gone (" in done.stdout


def _toml(entry: dict[str, Any]) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in entry.items())
