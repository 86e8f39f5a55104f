"""``stepup factors import``: take over factors that people had in another system."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from stepup_middleware.core.factors import MAX_LINE
from stepup_middleware.core.visible import visible

from .factors import operator
from .output import progress_line
from .sources import load_middleware

_EVERY = 500  # lines between two reports of progress


async def import_factors(options: argparse.Namespace) -> int:
    """Import a file of factors, or name its wrong lines: 0 done, 1 nothing was written."""

    def progress(count: int) -> None:
        if count % _EVERY == 0:
            progress_line(f"read {count} lines")

    async with load_middleware(options.app).stepup as stepup:
        with options.file.open(encoding="utf-8", newline="\n") as file:
            report = await stepup._parts.importing.run(
                _lines(file),
                by=operator(),
                now=datetime.now(UTC),
                dry_run=options.dry_run,
                notify=options.notify,
                progress=progress,
            )
    for fault in report.faults:
        where = f"line {fault.line}: " if fault.line else ""
        print(f"{where}{visible(fault.problem)}", file=sys.stderr)
    if report.faults:
        print("nothing was imported: mend these lines, then import the whole file", file=sys.stderr)
        return 1
    total = sum(report.imported.values())
    kinds = ", ".join(f"{number} {kind.value}" for kind, number in sorted(report.imported.items()))
    print(f"{'would import' if options.dry_run else 'imported'} {total} factors{f': {kinds}' if kinds else ''}")
    return 0


def _lines(file: object) -> Iterator[str]:
    """Yield the lines of a file, each bounded: of a longer one its beginning, which is refused."""
    read = getattr(file, "readline")  # noqa: B009 - of a text file
    while line := read(MAX_LINE + 2):
        yield line
        while len(line) > MAX_LINE and not line.endswith("\n") and (line := read(MAX_LINE + 2)):
            pass


def add_import(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add ``import`` to the commands of ``factors``."""
    command = commands.add_parser("import", help="take over factors of another system: all of a file, or nothing")
    command.add_argument("app", metavar="MODULE:APP")
    command.add_argument("file", type=Path, metavar="FILE", help="NDJSON: see schemas/factors-1.json")
    command.add_argument("--dry-run", action="store_true", help="look at everything, write nothing")
    command.add_argument("--notify", action="store_true", help="tell each person of each factor")
    return command
