"""``python -m tests.frameworks.matrix``: run every framework on every server and print the table of the guide."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from pathlib import Path

from .apps import FRAMEWORKS
from .serving import COMMANDS, HTTP2, SERVERS, Outcome, outcome, serving

NAMES = {"fastapi": "FastAPI", "blacksheep": "BlackSheep"}
PAGE = Path(__file__).parents[2] / "demo_app" / "guide" / "frameworks.md"

Table = dict[tuple[str, str], Outcome]


def titled(framework: str) -> str:
    """Return a framework's name as it writes itself."""
    return NAMES.get(framework, framework.title())


async def measured(name: str, folder: Path) -> Table:
    """Return the outcomes of a server: of hypercorn for both versions of HTTP."""
    with serving(name, folder) as served:
        table = {(framework, name): await outcome(served, framework) for framework in FRAMEWORKS}
        if name == "hypercorn":
            for framework in FRAMEWORKS:
                table[framework, HTTP2] = await outcome(served, framework, http2=True)
        return table


def printed(table: Table) -> str:
    """Return the outcomes as a table of Markdown."""
    lines = ["| | " + " | ".join(SERVERS) + " |", "|---" * (len(SERVERS) + 1) + "|"]
    for framework in FRAMEWORKS:
        cells = [str(table[framework, server]) for server in SERVERS]
        lines.append(f"| {titled(framework)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def published() -> dict[tuple[str, str], str]:
    """Return the cells of the table in the guide."""
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if re.match(r"\| (?:[A-Z]\w+ )?\|", line) and ("✓" in line or "uvicorn" in line)
    ]
    frameworks = {titled(name): name for name in FRAMEWORKS}
    head = rows[0][-len(SERVERS) :]
    return {(frameworks[row[0]], server): cell for row in rows[1:] for server, cell in zip(head, row[1:], strict=True)}


def main() -> int:
    """Print the table. Returns 1 when a cell is not green."""
    table: Table = {}
    for name in COMMANDS:
        with tempfile.TemporaryDirectory() as folder:
            table |= asyncio.run(measured(name, Path(folder)))
    print(printed(table))  # noqa: T201
    return 0 if all(each.green for each in table.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
