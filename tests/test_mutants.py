"""The deliberate faults fit the code, and one that the tests must notice is noticed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.mutants.faults import ROOT, Mutant, listed
from tests.mutants.places import changed

SOURCES = ROOT / "stepup_middleware"
CONTRACT = sorted(SOURCES.joinpath("testing", "contract").glob("*.py"))


@pytest.mark.parametrize("mutant", listed(), ids=lambda mutant: mutant.name)
def test_each_fault_has_its_place_in_the_code_and_tests_of_its_own(mutant: Mutant) -> None:
    path, text = mutant.applied_to(SOURCES)
    assert text != path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        compile(text, path, "exec")
    for test in mutant.tests:
        file, _, name = test.partition("::")
        where = CONTRACT if "::" in name else [ROOT / file]  # the tests of a class are those of the contract
        assert not name or any(f"def {name.rpartition('::')[2]}(" in path.read_text(encoding="utf-8") for path in where)


def test_no_fault_is_listed_twice() -> None:
    names = [mutant.name for mutant in listed()]
    assert len(names) == len(set(names)) >= 170


CODE = """
class Token:
    def alive(self, now):
        # a comment
        return (
            self.state == "issued"
            and now < self.end,
        )

def alive(now):
    if now:
        go(now)
        return "frame-ancestors 'none'; now"
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "token.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "rows" / "sql").mkdir()
    statements = "-- name: redeem\nUPDATE t\n  SET a = 1;\n\n-- name: read\nSELECT  a FROM t;\n"
    (tmp_path / "rows" / "sql" / "t.sql").write_text(statements, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("at", "old", "new", "then"),
    [
        ("Token.alive", 'self.state == "issued" and now < self.end', "True", "        return (\n            True,\n"),
        ("token.alive", "go(now)\nreturn", "stop()\nreturn", "        stop()\n        return "),
        ("alive", "now < self.end,", "True,", "            and True,\n"),
        ("alive", "now<self . end", "now <= self.end", "            and now <= self.end,\n"),
        ("rows.alive", "; now", "", "\"frame-ancestors 'none'\""),
        ("redeem", "SET a=1", "SET a = 2", "UPDATE t\n  SET a = 2;"),
        ("rows.read", "SELECT a", "SELECT b", "SELECT b FROM t;"),
    ],
)
def test_a_fault_finds_its_place_by_name_and_its_text_word_by_word(
    package: Path, at: str, old: str, new: str, then: str
) -> None:
    _, text = changed(package, at=at, old=old, new=new)
    assert then in text


@pytest.mark.parametrize(
    ("at", "old", "why"),
    [
        ("dead", "now", "no function, class, name or statement is called dead"),
        ("other.alive", "go(now)", "is called other.alive"),
        ("alive", "gone(now)", "stands 0 times at alive"),
        ("alive", "now", "stands 5 times at alive"),
        ("Token.alive", "go(now)", "stands 0 times"),
        ("alive", "", "stands 0 times"),
    ],
)
def test_a_fault_whose_place_or_text_is_not_there_or_not_one_is_an_error(
    package: Path, at: str, old: str, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        changed(package, at=at, old=old, new="")


@pytest.mark.slow
def test_a_fault_is_noticed_sound_code_is_not_and_what_does_not_fit_is_told(tmp_path: Path) -> None:
    fault = next(one for one in listed() if one.tests == ("tests/core/test_policy.py",))
    faults = [fault, replace(fault, name="sound", new=fault.old), replace(fault, name="gone", old="stands nowhere")]
    path = tmp_path / "list.toml"
    path.write_text("".join(f"[[mutant]]\n{_toml(asdict(one))}" for one in faults), encoding="utf-8")
    command = [sys.executable, "-m", "tests.mutants", "--jobs", "1", "--list", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "1 of 3 mutants killed" in done.stdout
    assert "survived: sound (" in done.stdout
    assert "invalid: gone (" in done.stdout


def _toml(entry: dict[str, Any]) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in entry.items())
