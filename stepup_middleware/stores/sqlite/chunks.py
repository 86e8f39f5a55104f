"""The texts of SQL as SQLite takes them: translated, over many rows of VALUES, one statement at a time."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

_ONE_ROW = re.compile(r"VALUES (\([?, ]+\))")
_LOCK = re.compile(r"\s+FOR UPDATE(?: SKIP LOCKED)?\b")
_PARAMETER = re.compile(r"\$(\d+)")
MOST_ROWS = 512  # of one statement; 16 columns of them are well below SQLite's 32,766 parameters


def translated(statements: Mapping[str, str]) -> dict[str, str]:
    """Return the statements that all databases share as SQLite reads them.

    There is one schema, without a name; one transaction at a time writes, so that no row is locked; and parameters are
    numbered with another sign.
    """
    return {
        name: _PARAMETER.sub(r"?\1", _LOCK.sub("", text.replace("stepup.", ""))) for name, text in statements.items()
    }


@lru_cache(maxsize=256)
def takes_rows(text: str) -> bool:
    """Whether a statement is one over VALUES, for many rows at once."""
    return _ONE_ROW.search(text) is not None


@lru_cache(maxsize=64)
def _for_rows(text: str, count: int) -> str:
    """Return a statement over one row of VALUES as one over so many."""
    return _ONE_ROW.sub(lambda found: "VALUES " + ", ".join([found[1]] * count), text)


def chunked(text: str, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, list[Any]]]:
    """Yield statements and flat parameters that together treat all rows, in as few steps as may be.

    Each step, ``executemany`` for every row, lets the interpreter's lock go and takes it back, and beside a busy
    event loop each time can cost as much as the whole statement. So there is one step for a whole batch, of a
    length that is a power of two: few different texts, so that their preparation is kept. The rest is filled with rows
    of NULL, which the statements pass over.
    """
    for start in range(0, len(rows), MOST_ROWS):
        some = rows[start : start + MOST_ROWS]
        size = 1 << (len(some) - 1).bit_length()
        parameters = list(chain.from_iterable(some))
        parameters += [None] * ((size - len(some)) * len(some[0]))
        yield _for_rows(text, size), parameters


def split_script(script: str) -> Iterator[str]:
    """Yield the statements of a script one by one, so that they run inside a transaction of the caller's."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
