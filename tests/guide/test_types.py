"""The examples of README and guide pass ``mypy --strict``, as an adopter's code would.

Functions of an example may leave out their annotations, and a page may define a name again further down. All else is
strict: what the library's names take and return is what the examples give them and do with it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .harness import PAGES, Block, blocks_of

README = Path(__file__).parents[2] / "README.md"
SETTINGS = """[mypy]
strict = True
explicit_package_bases = True
allow_untyped_defs = True
allow_incomplete_defs = True
allow_untyped_calls = True
allow_redefinition_new = True
local_partial_types = True
disallow_subclassing_any = False
disable_error_code = top-level-await, no-redef

[mypy-django.*,asgiref.*]
ignore_missing_imports = True
"""
DJANGO = ("step_up", "asgi", "views", "urls", "admin")
FILES = {**{name: f"payday/{name}.py" for name in DJANGO}, "sanic": "page_sanic.py"}
NOT_OURS = (r'Argument "app" to "Mount" has incompatible type "Quart"',)  # two frameworks that type ASGI each their way


def padded(block: Block) -> str:
    """Return a block as the file in which its lines have the numbers of the page."""
    return "\n" * block.line + block.text


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What mypy says of all examples: one module a page, beside the files that the pages name."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "payday").mkdir()
    for page in PAGES:
        lines: list[str] = []
        for block in blocks_of(page):
            if block.language != "python":
                continue
            if block.is_file or block.name in FILES:
                (folder / FILES.get(block.name, block.name)).write_text(padded(block), encoding="utf-8")
            elif (page, block.name) == ("deploy", "end"):  # the end of the start page's file
                (main,) = [each.text for each in blocks_of("start") if each.name == "main.py"]
                (folder / "deployed.py").write_text(main.partition("stepup = StepUp(")[0] + block.text, "utf-8")
            else:
                lines += [""] * (block.line - len(lines)) + block.text.splitlines()
        (folder / f"page_{page}.py").write_text("\n".join([*lines, ""]), encoding="utf-8")
    for number, example in enumerate(re.findall(r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.M | re.S)):
        (folder / f"readme_{number}.py").write_text(example, encoding="utf-8")
    (folder / "mypy.ini").write_text(SETTINGS, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--no-error-summary", "--hide-error-context"]
    done = subprocess.run([*command, "."], cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert not done.stderr, done.stderr
    lines = [line for line in done.stdout.splitlines() if ": note: " not in line]
    return [line for line in lines if not any(re.search(reason, line) for reason in NOT_OURS)]


@pytest.mark.slow
def test_every_example_of_readme_and_guide_passes_the_type_checker(told: list[str]) -> None:
    assert told == []
