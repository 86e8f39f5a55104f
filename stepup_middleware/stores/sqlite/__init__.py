"""The embedded store: one SQLite file, shared by all processes of one machine."""

from __future__ import annotations

from .reading import SQLiteLog
from .store import SQLiteStore

__all__ = ["SQLiteLog", "SQLiteStore"]
