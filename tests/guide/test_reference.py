"""The reference has every public name, each with what a reader needs, and the demo shows it."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import griffe
import pytest

from demo_app.guide_pages import FOLDER, guide
from demo_app.reference import PACKAGE, Entry, entry, exported, names

from .harness import PAGES, blocks_of

ROOT = Path(__file__).parents[2]
LISTED = names((FOLDER / "reference.md").read_text(encoding="utf-8"))
MODULES = sorted({path.rpartition(".")[0] for path in LISTED})


def shown() -> str:
    (page,) = [page for page in guide().pages if page.name == "reference"]
    return str(page.body)


@pytest.mark.parametrize("path", LISTED)
def test_a_listed_name_can_be_imported_and_is_documented_with_all_its_parts(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert hasattr(importlib.import_module(module), name)
    assert entry(path).undocumented == []


def test_every_name_that_a_public_module_exports_is_listed_and_none_twice() -> None:
    assert len(LISTED) == len(set(LISTED))
    assert len({entry(path).heading for path in LISTED}) == len(LISTED)
    assert all(exported(module) for module in MODULES if ".service" not in module), "each says what it exports"
    missing = [path for module in [PACKAGE, *MODULES] for path in exported(module) if path not in LISTED]
    assert missing == []


def imported(source: str) -> Iterator[str]:
    """Yield each name of the library that a program imports, by its path."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == PACKAGE:
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith(f"{PACKAGE}."))


def test_whatever_guide_readme_and_demo_import_is_listed() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    programs = re.findall(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    programs += [block.text for page in PAGES for block in blocks_of(page) if block.language == "python"]
    programs += [path.read_text(encoding="utf-8") for path in sorted((ROOT / "demo_app").rglob("*.py"))]
    found = {path for program in programs for path in imported(program)}
    assert len(found) > 30
    assert sorted(found - set(LISTED)) == []


def test_the_page_shows_each_name_with_its_import_its_signature_and_its_parts() -> None:
    text = unescape(re.sub(r"<[^>]+>", "", shown()))
    for path in LISTED:
        module, _, name = path.rpartition(".")
        assert f"from {module} import {name}\n" in text, path
        for member in entry(path).members:
            assert f"{name}.{member.name}\n" in text
    assert re.search(r"def requires_step_up\(\n +purpose: str,\n +\*,\n", text)
    assert re.search(r'<a href="#configurationerror"><code>ConfigurationError</code></a>', shown())
    assert "PHISHING_RESISTANT is 'phishing_resistant'" in text


CODE = """
from dataclasses import dataclass
class Bare:
    pass
class Base:
    def told(self):
        '''Tell.'''
@dataclass
class Derived(Base):
    '''Has ``one``.'''
    one: int
    two: int
    def told(self): ...
    def untold(self): ...
    def _own(self): ...
"""


def test_what_has_no_docstring_is_noticed_as_a_name_a_method_or_a_field(tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(CODE, encoding="utf-8")
    module = griffe.load("sample", search_paths=[tmp_path], allow_inspection=False)

    def missing(name: str) -> list[str]:
        found = module[name]
        assert isinstance(found, griffe.Object)
        return Entry(path=f"sample.{name}", found=found).undocumented

    assert missing("Bare") == ["sample.Bare"]
    assert missing("Derived") == ["sample.Derived.two", "sample.Derived.untold"]
