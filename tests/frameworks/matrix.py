"""``python -m tests.frameworks.matrix [FRAMEWORK...] [--write]``: run frameworks on every server and print the table.

Without a name every framework is measured; with some, the others keep the cells that the guide has.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from .apps import FRAMEWORKS
from .serving import COMMANDS, HTTP2, SERVERS, Outcome, outcome, serving

NAMES = {"fastapi": "FastAPI", "blacksheep": "BlackSheep"}  # that title() would write otherwise
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "demo_app" / "guide" / "frameworks.md"
README = ROOT / "README.md"

Table = dict[tuple[str, str], Outcome]


def titled(framework: str) -> str:
    """Return a framework's name as it writes itself."""
    return NAMES.get(framework, framework.title())


async def measured(name: str, folder: Path, frameworks: Sequence[str]) -> Table:
    """Return the outcomes of frameworks on a server: on hypercorn for both versions of HTTP."""
    with serving(name, folder) as served:
        table = {(framework, name): await outcome(served, framework) for framework in frameworks}
        if name == "hypercorn":
            for framework in frameworks:
                table[framework, HTTP2] = await outcome(served, framework, http2=True)
        return table


def printed(table: Mapping[tuple[str, str], object]) -> str:
    """Return the outcomes as a table of Markdown."""
    lines = ["| Framework | " + " | ".join(SERVERS) + " |", "|---" * (len(SERVERS) + 1) + "|"]
    for framework in FRAMEWORKS:
        cells = [str(table[framework, server]) for server in SERVERS]
        lines.append(f"| {titled(framework)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def block_of(text: str) -> str:
    """Return the table in a page."""
    found = re.search(r"^\| Framework \| uvicorn.*\n(?:\|.*\n)+", text, re.MULTILINE)
    assert found, "there is no table"
    return found.group(0)


def published() -> dict[tuple[str, str], str]:
    """Return the cells of the table in the guide."""
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in block_of(PAGE.read_text(encoding="utf-8")).splitlines()
    ]
    frameworks = {titled(name): name for name in FRAMEWORKS}
    return {(frameworks[row[0]], server): cell for row in rows for server, cell in zip(head[1:], row[1:], strict=True)}


def main() -> int:
    """Print the table; with ``--write`` put it into guide and README. Returns 1 for a cell that is not green."""
    named = [word for word in sys.argv[1:] if word != "--write"]
    if unknown := set(named).difference(FRAMEWORKS):
        print(f"There is no app of {min(unknown)} in tests/frameworks/apps/.", file=sys.stderr)  # noqa: T201
        return 2
    table: Table = {}
    for name in COMMANDS:
        print(f"{name} …", file=sys.stderr)  # noqa: T201
        with tempfile.TemporaryDirectory() as folder:
            table |= asyncio.run(measured(name, Path(folder), named or FRAMEWORKS))
    new = printed({**(published() if named else {}), **table}) + "\n"
    print(new)  # noqa: T201
    if "--write" in sys.argv:
        for page in (PAGE, README):
            text = page.read_text(encoding="utf-8")
            page.write_text(text.replace(block_of(text), new), encoding="utf-8")
    return 0 if all(each.green for each in table.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
