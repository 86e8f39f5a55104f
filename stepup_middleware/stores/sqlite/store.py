"""``SQLiteStore``: the embedded store."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from stepup_middleware.errors import ConfigurationError
from stepup_middleware.stores.sql.store import SQLStore

from .engine import SQLiteEngine
from .log_reader import SQLiteLogReader


class SQLiteStore(SQLStore):
    """The embedded store: one SQLite file for all processes of one machine.

    ``path`` is the database file; it is created with mode 0600 in a folder that exists, and has the side
    files ``-wal``, ``-shm``, ``-lock`` and ``-fence``. ``timeout`` bounds every call: a later answer raises
    ``StoreTimeoutError``, and the writer may still complete a transaction that it had begun.

    A copy of the file that is put back ends all tokens of that copy, provided that ``-fence`` was not put
    back with it. After restoring a whole disk, call ``revoke_all``.

    Raises ``ConfigurationError`` for a database in memory, which no two processes can share.
    """

    _engine: SQLiteEngine
    _log: SQLiteLogReader

    def __init__(self, path: str | os.PathLike[str], *, timeout: timedelta = timedelta(seconds=2)) -> None:
        text = os.fspath(path)
        if not text or text.startswith((":memory:", "file:")):
            raise ConfigurationError("SQLiteStore needs the path of a file: memory is lost and cannot be shared")
        if timeout <= timedelta(0):
            raise ConfigurationError("the store's timeout must be positive")
        self._path = Path(text).absolute()
        super().__init__(SQLiteEngine(self._path, timeout))

    def __repr__(self) -> str:
        return f"SQLiteStore({str(self._path)!r})"
