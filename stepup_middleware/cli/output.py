"""What the commands print: tables for people, progress on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from stepup_middleware.core.visible import visible
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.evidence.findings import LogFinding


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns as wide as they need; what no terminal shows, or takes for a command, is written out."""
    rows = [tuple(map(visible, row)) for row in rows]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def progress_line(text: str) -> None:
    """Show how far a command has come in the place of what was shown before, where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="\r", file=sys.stderr, flush=True)


def line_of(finding: LogFinding) -> str:
    """Return what a finding says, in one line."""
    what = "cannot be told" if finding.unverifiable else "WRONG"
    record = "" if finding.record_id is None else f" (record {finding.record_id})"
    return f"{what}: {finding.where}{record}: {finding.field}: {finding.problem}"


def is_sqlite(path: Path) -> bool:
    """Whether a file is a database of SQLite, whoever's."""
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


@contextmanager
def output(path: Path | None) -> Iterator[TextIO]:
    """Open a file to write to, standard output for None."""
    if path is None:
        yield sys.stdout
        return
    if path.is_file() and is_sqlite(path):
        raise ConfigurationError(f"{path} is a database, which is not written over: name another file for the output")
    # a new file is its owner's alone (names, addresses); one that is there keeps its mode
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "w", encoding="utf-8", newline="") as out:
        yield out
