"""What contributors are told is so: the commands, the places and the links of ``.github``."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
PAGES = sorted(GITHUB.glob("*.md"))
TEXT = (GITHUB / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_to_files_beside_it(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        assert (GITHUB / target).is_file(), target


def test_the_places_of_the_map_and_of_the_walks_are_there() -> None:
    map_ = TEXT.partition("## The map")[2].partition("## Two walks")[0]
    places = [
        place for row in re.findall(r"^\| (`[^|]+) \|", map_, re.MULTILINE) for place in re.findall(r"`([^`]+)`", row)
    ]
    assert len(places) > 10
    for place in places:
        assert (ROOT / place).exists() or (ROOT / "stepup_middleware" / place).exists(), place
    named = re.findall(r"`((?:stepup_middleware|tests|demo_app|static|stores|core|log|web|frameworks)/[^`\s:]*)", TEXT)
    assert len(named) > 20
    for place in named:
        written = place.replace("NAME", "starlette").replace("PAGE", "start")
        found = [*ROOT.glob(written), *ROOT.joinpath("stepup_middleware").glob(written)]
        assert found, f"{place} is nowhere: the page has to follow the file"


def test_every_command_that_is_named_can_be_run() -> None:
    modules = set(re.findall(r"python -m ([\w.]+)", TEXT))
    assert modules >= {"tests.mutants", "tests.fuzz", "tests.benchmarks", "tests.walks", "tests.misspelt"}
    for module in modules:
        assert importlib.util.find_spec(module) is not None, module
    marks = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"][
        "markers"
    ]
    for mark in re.findall(r"pytest -m (\w+)", TEXT):
        assert any(each.startswith(f"{mark}:") for each in marks), mark


def test_the_forms_and_the_workflow_are_what_the_host_reads() -> None:
    for form in sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")):
        told = yaml.safe_load(form.read_text(encoding="utf-8"))
        assert form.stem == "config" or {"name", "description", "body"} <= told.keys()
    workflow = yaml.safe_load((GITHUB / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    assert workflow["jobs"]["run"]["steps"][-1]["run"].startswith("bash .ci/run ${{")
    hooks = yaml.safe_load((GITHUB / "pre-commit.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    for hook in hooks:
        assert hook["entry"].split()[0] in (".venv/bin/ruff", ".venv/bin/mypy", ".venv/bin/lint-imports")
