"""Tables for people who open them in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def defused(cell: object) -> str:
    """Return the cell as text that no spreadsheet runs as a formula (OWASP "CSV Injection")."""
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def csv_line(cells: Iterable[object]) -> str:
    """Return one CSV line (RFC 4180), every cell defused."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([defused(cell) for cell in cells])
    return line.getvalue()


def csv_table(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a whole CSV file (RFC 4180) with a header."""
    return "".join([csv_line(header), *(csv_line(row) for row in rows)])
