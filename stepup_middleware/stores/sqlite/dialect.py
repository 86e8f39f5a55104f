"""The texts of SQL as SQLite takes them: translated, and one statement at a time."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping

_LOCK = re.compile(r"\s+FOR UPDATE(?: SKIP LOCKED)?\b")
_PARAMETER = re.compile(r"\$(\d+)")


def translated(statements: Mapping[str, str]) -> dict[str, str]:
    """Return the statements that all databases share as SQLite reads them.

    There is one schema, without a name; one transaction at a time writes, so that no row is locked; and parameters are
    numbered with another sign.
    """
    return {
        name: _PARAMETER.sub(r"?\1", _LOCK.sub("", text.replace("stepup.", ""))) for name, text in statements.items()
    }


def split_script(script: str) -> Iterator[str]:
    """Yield the statements of a script one by one, so that they run inside a transaction of the caller's."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
