"""The SQL of the store, read from the files beside this module."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

_HEADING = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load_statements() -> Mapping[str, str]:
    """Return the statements of ``sql/*.sql`` by the name in the line above each."""
    statements: dict[str, str] = {}
    for file in files(__package__).joinpath("sql").iterdir():
        if not file.name.endswith(".sql"):
            continue
        _, *parts = _HEADING.split(file.read_text(encoding="utf-8"))
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in statements:
                raise ValueError(f"two statements are called {name}")
            statements[name] = text.strip().removesuffix(";")
    return statements


_ONE_ROW = re.compile(r"VALUES (\([?, ]+\))")
_CHUNKS = (256, 64, 16, 4, 1)  # few different texts, so that their preparation is kept


@lru_cache(maxsize=64)
def for_rows(text: str, count: int) -> str:
    """Return a statement over one row of VALUES as one over so many."""
    return _ONE_ROW.sub(lambda found: "VALUES " + ", ".join([found[1]] * count), text)


def chunked(text: str, rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, list[Any]]]:
    """Yield statements and flat parameters that together treat all rows, in as few steps as may be.

    ``executemany`` lets the interpreter's lock go and takes it back once a row, and beside a busy event loop
    each time can cost as much as the whole statement.
    """
    at = 0
    for size in _CHUNKS:
        while len(rows) - at >= size:
            yield for_rows(text, size), [value for row in rows[at : at + size] for value in row]
            at += size


def load_migrations() -> tuple[str, ...]:
    """Return the scripts of ``schema/*.sql`` in the order of their numbers: the n-th leads to version n."""
    folder = files(__package__).joinpath("schema")
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return tuple(folder.joinpath(name).read_text(encoding="utf-8") for name in names)


def split_script(script: str) -> Iterator[str]:
    """Yield the statements of a script one by one, so that they run inside a transaction of the caller's."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
