"""Does mypy notice a misspelt name or keyword, wherever a ceremony, a verb of a store or a service is called?

``python -m tests.misspelt`` misspells every word of every call, in under a minute; the suite takes a sample in one run
of mypy. The calls are found in the source: those of a module of ceremonies, of a store, and of a part of a ``StepUp``.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from shutil import copytree, ignore_patterns

import stepup_middleware

PACKAGE = Path(stepup_middleware.__file__).parent
STORES = frozenset({"store", "_store", "records", "_records", "behind", "_behind"})
_SECONDS = count(1_000_000_000)
_ERROR = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+): error: .*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Site:
    """A word of a call: ``word`` ends at ``end`` (line from 1, byte from 0), the call takes up ``lines``."""

    file: str
    function: str
    kind: str
    word: str
    end: tuple[int, int]
    lines: range

    def __str__(self) -> str:
        return f"{self.file}:{self.end[0]} {self.kind} {self.word} in {self.function}"


def receivers() -> dict[str, str]:
    """Return the names on which ceremonies, verbs and services are called, each with which of them it is."""
    ceremonies = {path.stem: "ceremony" for path in (PACKAGE / "ceremonies").glob("[!_]*.py")}
    wiring = ast.parse((PACKAGE / "service" / "wiring.py").read_text(encoding="utf-8"))
    parts = next(node for node in wiring.body if isinstance(node, ast.ClassDef) and node.name == "Parts")
    names = [
        node.target.id for node in parts.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    services = {name: "service" for part in names for name in (part, f"_{part}")}
    return services | ceremonies | dict.fromkeys(STORES, "verb") | {"requester": "service"}  # whose event() hands on


def sites() -> Iterator[Site]:
    """Yield every word that can be misspelt: the name of what is called, and each keyword of the call."""
    known = receivers()
    for path in sorted(PACKAGE.rglob("*.py")):
        if "testing" in path.parts:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function, call in _calls(tree, ""):
            if not isinstance(call.func, ast.Attribute) or call.func.attr == "add_parser":  # argparse takes any keyword
                continue
            kind = known.get(_last_name(call.func.value), "")
            if not kind:
                continue
            file = path.relative_to(PACKAGE.parent).as_posix()
            lines = range(call.lineno, (call.end_lineno or call.lineno) + 1)
            end = (call.func.end_lineno or 0, call.func.end_col_offset or 0)
            yield Site(file, function, kind, call.func.attr, end, lines)
            for keyword in call.keywords:
                if keyword.arg is not None:
                    at = (keyword.lineno, keyword.col_offset + len(keyword.arg.encode()))
                    yield Site(file, function, kind, keyword.arg, at, lines)


def _calls(node: ast.AST, function: str) -> Iterator[tuple[str, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        within = function
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            within = f"{function}.{child.name}".lstrip(".")
        if isinstance(child, ast.Call):
            yield within, child
        yield from _calls(child, within)


def _last_name(value: ast.expr) -> str:
    if isinstance(value, ast.Attribute):
        return value.attr
    return value.id if isinstance(value, ast.Name) else ""


def batches(given: Sequence[Site]) -> list[list[Site]]:
    """Return the sites in as few groups as may be judged at once: one of each function, so that none hides another."""
    of_function: defaultdict[tuple[str, str], list[Site]] = defaultdict(list)
    for site in given:
        of_function[site.file, site.function].append(site)
    most = max(map(len, of_function.values()))
    return [[found[number] for found in of_function.values() if number < len(found)] for number in range(most)]


def unnoticed(batch: Sequence[Site], folder: Path) -> list[Site]:
    """Return the sites that mypy says nothing of when all of a batch are misspelt, in a copy below ``folder``."""
    copy = folder / PACKAGE.name
    if not copy.exists():
        copytree(PACKAGE, copy, ignore=ignore_patterns("__pycache__"))
        (folder / "pyproject.toml").write_bytes((PACKAGE.parent / "pyproject.toml").read_bytes())
    changed = {site.file for site in batch}
    for file in changed:
        lines = (PACKAGE.parent / file).read_bytes().split(b"\n")
        for site in sorted((site for site in batch if site.file == file), key=lambda site: site.end, reverse=True):
            line, column = site.end
            lines[line - 1] = lines[line - 1][:column] + b"_misspelt" + lines[line - 1][column:]
        (folder / file).write_bytes(b"\n".join(lines))
        second = next(_SECONDS)  # mypy takes a file of the same size and second for the one that it knows
        os.utime(folder / file, (second, second))
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--no-pretty", "stepup_middleware"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stdout + done.stderr)
    errors = {(found["file"], int(found["line"])) for found in _ERROR.finditer(done.stdout)}
    for file in changed:
        (folder / file).write_bytes((PACKAGE.parent / file).read_bytes())
    return [site for site in batch if not any((site.file, line) in errors for line in site.lines)]


def sample(given: Sequence[Site], seed: int = 15) -> list[Site]:
    """Return one site of each function, chosen by chance; of a ceremony where the function has one."""
    shuffled = list(given)
    Random(seed).shuffle(shuffled)  # noqa: S311 - a choice, no secret
    shuffled.sort(key=lambda site: site.kind != "ceremony")
    return batches(shuffled)[0]


def main() -> int:
    """Misspell every word of every call, and print those that mypy does not notice; the exit status is 1 for any."""
    found = list(sites())
    missed = []
    with tempfile.TemporaryDirectory(prefix="misspelt-") as folder:
        for batch in batches(found):
            missed += unnoticed(batch, Path(folder))
    print("\n".join([*map(str, missed), f"{len(found) - len(missed)} of {len(found)} misspelt words are noticed"]))  # noqa: T201 - this is the command
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
