"""Lines of CSV that a spreadsheet shows and never runs."""

from __future__ import annotations

import re
from collections.abc import Iterable

# =, +, - and @, and what Unicode's compatibility forms (NFKC) make of one: full-width, small, raised; minus signs
FORMULA_SIGNS = (
    "=+-@\u207a\u207b\u207c\u208a\u208b\u208c\u2212\u2a75\u2a76\ufb29\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"
)
# Where a cell begins: at its start, and behind whatever some spreadsheet or locale takes for a separator (a file with
# commas is split at semicolons where commas are decimal signs, and then our quotes stand in the middle of a cell).
# Blanks may stand before the sign. A run of both is read once, for its text is anybody's.
_BETWEEN = r",;|\s\"\u200b-\u200f\u2060\ufeff"
_BEGINNING = re.compile(rf"(?<![{_BETWEEN}])[{_BETWEEN}]*+(?=[{re.escape(FORMULA_SIGNS)}])")
_CUT = re.compile(r"[\t\r\n]")
_QUOTED = re.compile(r"[,;|\"\t\r\n]|^\s|\s\Z")
_SKIPPED = ("\t", "\r", "\n")  # what a spreadsheet skips at the beginning of a cell


def defused(cell: str) -> str:
    """Return a cell in which nothing is taken for a formula, however the file is split (OWASP "CSV Injection").

    An apostrophe goes before each such place, also within the cell; a cell that was treated stays as it is.
    """
    safe = _BEGINNING.sub(_marked, cell)
    return "'" + safe if safe.startswith(_SKIPPED) else safe


def _marked(found: re.Match[str]) -> str:
    """Return what stands before a sign, with an apostrophe wherever a cell begins with nothing but blanks before it."""
    run = found[0]
    cut = max(map(run.rfind, ",;|")) + 1
    begins = "'" if cut or found.start() == 0 else ""
    return run[:cut] + begins + _CUT.sub(r"\g<0>'", run[cut:])


def csv_line(cells: Iterable[object]) -> str:
    """Return one line of CSV with its end (RFC 4180), every cell defused. None is an empty cell.

    A cell is in quotes where it has anything that some spreadsheet takes for a separator, not the comma alone.
    """
    return ",".join(_written(defused("" if cell is None else str(cell))) for cell in cells) + "\r\n"


def _written(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if _QUOTED.search(cell) else cell
