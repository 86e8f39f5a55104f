"""Which attacks and faults of the catalogue have a test that names them: ``python -m tests.catalogue``.

``catalogue.md`` lists the cases, one a line: id and title, behind which may stand ``Not applicable: why``. A test
names a case by its id in a comment (``# T04``), on the lines above the test or inside it. Comments outside
of tests count for nothing.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
CONTRACT = TESTS.parent / "stepup_middleware" / "testing" / "contract"  # the tests of every store, which ship
LIST = TESTS / "catalogue.md"
SHARED = TESTS.parent.parent / "shared" / "ATTACKS.md"  # the catalogue itself, beside a checkout that has it

_ID = re.compile(r"\b[A-Z][0-9]{2}\b")
_HEADING = re.compile(r"^- \*\*([A-Z][0-9]{2})\*\*", re.MULTILINE)
_EXEMPT = ". Not applicable: "
_CASE = re.compile(r"- ([A-Z][0-9]{2}) (\S.*)")


@dataclass(frozen=True, slots=True)
class Case:
    """One case of the catalogue; ``exempt`` says why it cannot arise here, empty where it can."""

    id: str
    title: str
    exempt: str

    @property
    def section(self) -> str:
        return self.id[0]


def listed() -> list[Case]:
    """Return the cases in the order of the catalogue. Raises ``ValueError`` for a line that is none."""
    cases = []
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if not line.startswith("-"):
            continue
        found = _CASE.fullmatch(line)
        if found is None:
            raise ValueError(f"{LIST.name}: not a case: {line!r}")
        title, _, exempt = found[2].partition(_EXEMPT)
        cases.append(Case(found[1], title, exempt))
    return cases


def published() -> list[str] | None:
    """Return the ids of the catalogue itself, None where it is not at hand."""
    return _HEADING.findall(SHARED.read_text(encoding="utf-8")) if SHARED.is_file() else None


def named_in(source: str) -> Iterator[tuple[str, str]]:
    """Yield ``(id, test)`` for each case that a comment of a test names."""
    lines = source.splitlines()
    comments = {
        token.start[0]: _ID.findall(token.string)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test_"):
            continue
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        while first > 1 and lines[first - 2].lstrip().startswith("#"):
            first -= 1
        for number in range(first, (node.end_lineno or node.lineno) + 1):
            for id_ in comments.get(number, ()):
                yield id_, node.name


@cache
def tests_by_case() -> dict[str, list[str]]:
    """Return the tests that name each case, as ``path::test``."""
    found: dict[str, list[str]] = {}
    for path in (*sorted(TESTS.rglob("test_*.py")), *sorted(CONTRACT.glob("*.py"))):
        where = path.relative_to(TESTS.parent).as_posix()
        for id_, test in named_in(path.read_text(encoding="utf-8")):
            name = f"{where}::{test}"
            if name not in found.setdefault(id_, []):
                found[id_].append(name)
    return found


def report() -> str:
    """Return how many cases of each section are covered, which are not, and which cannot arise."""
    cases, tests = listed(), tests_by_case()
    lines, covered_of_all, applicable_of_all = [], 0, 0
    for section in dict.fromkeys(case.section for case in cases):
        applicable = [case.id for case in cases if case.section == section and not case.exempt]
        missing = [id_ for id_ in applicable if id_ not in tests]
        covered = len(applicable) - len(missing)
        covered_of_all += covered
        applicable_of_all += len(applicable)
        lines.append(
            f"{section}  {covered:3} of {len(applicable):3}  {'missing: ' + ' '.join(missing) if missing else ''}"
        )
    lines.append(f"all{covered_of_all:3} of {applicable_of_all:3}")
    lines += [f"{case.id} not applicable: {case.exempt}" for case in cases if case.exempt]
    return "\n".join(line.rstrip() for line in lines)


if __name__ == "__main__":
    print(report())  # noqa: T201 - this is the command
