"""``open_store``: a store by its address. The drivers load with the store that is made, or opened."""

from __future__ import annotations

import os

from stepup_middleware.errors import ConfigurationError

from .base import HotState
from .postgres import PostgresStore
from .redis import RedisHotStore
from .sql.store import SQLStore
from .sqlite import SQLiteStore


def open_store(address: str | os.PathLike[str], *, hot: str | None = None) -> HotState:
    """Return the store at an address, not started: for settings that are text.

    ``address`` is a ``postgresql://`` URL or the path of an SQLite file. ``hot`` is an address as ``RedisHotStore``
    takes it: prompts and tokens are then kept there, and ``address`` keeps everything else and has the last word.

    Raises ``ConfigurationError`` for an address that cannot be used.
    """
    text = os.fspath(address)
    if text.startswith(("postgresql://", "postgres://")):
        store: SQLStore = PostgresStore(text)
    elif "://" in text:  # what follows may have a password
        raise ConfigurationError(
            f"{text.partition('://')[0]}:// is no store's address: write postgresql://, or the path of an SQLite file"
        )
    else:
        store = SQLiteStore(text)
    if hot is None:
        return store
    return RedisHotStore(hot, behind=store)
