"""Where prompts, tokens, factors, policies and the audit log live: one contract, several stores."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .audit_log import AuditLog
from .base import HotState, Store
from .epoch_store import EpochStore
from .records import Records

if TYPE_CHECKING:
    from .sql.store import SQLStore

__all__ = ["AuditLog", "EpochStore", "HotState", "Records", "Store", "open_store"]


def open_store(address: str | os.PathLike[str], *, hot: str | None = None) -> HotState:
    """Return the store at an address, not started: for settings that are text.

    ``address`` is a ``postgresql://`` URL or the path of an SQLite file. ``hot`` is an address as ``RedisHotStore``
    takes it: prompts and tokens are then kept there, and ``address`` keeps everything else and has the last word.

    Raises ``ConfigurationError`` for an address that cannot be used.
    """
    text = os.fspath(address)
    if text.startswith(("postgresql://", "postgres://")):
        from .postgres import PostgresStore

        store: SQLStore = PostgresStore(text)
    else:
        from .sqlite import SQLiteStore

        store = SQLiteStore(text)
    if hot is None:
        return store
    from .redis import RedisHotStore

    return RedisHotStore(hot, behind=store)
