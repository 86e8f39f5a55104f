"""Texts of a SQLite file that are no UTF-8: only somebody who wrote to it past the library can have put them there.

They are read with a lone surrogate for each such byte (PEP 383). No MAC and no hash holds over that, so whoever judges
the row says what it is; without this, one such byte keeps everybody from every row beside it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def is_undecodable(error: sqlite3.OperationalError) -> bool:
    """Tell whether a read failed for a text that is no UTF-8."""
    return str(error).startswith("Could not decode to UTF-8")


@contextmanager
def as_they_stand(connection: Any) -> Iterator[None]:
    """Read texts as they stand there, by a connection of ``sqlite3`` or one in another thread."""
    connection.text_factory = _text
    try:
        yield
    finally:
        connection.text_factory = str


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
