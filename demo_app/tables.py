"""Tables for people who open them in a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stepup_middleware.exports import csv_line


def csv_table(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a whole CSV file (RFC 4180) with a header, in which no spreadsheet finds a formula."""
    return "".join([csv_line(header), *(csv_line(row) for row in rows)])
