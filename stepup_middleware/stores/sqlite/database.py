"""The writer's connection: opened with suspicion, and watched while it is used."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.logged import get_logger
from stepup_middleware.stores.statements import foundation_of

from .dialect import split_script
from .fencing import LOCKS, FencingToken, WriteLock, beside
from .log import Log

logger = get_logger("stepup_middleware.stores.sqlite")

APPLICATION_ID = 0x53745570  # "StUp", in the header of the file
_SAFE_WAL = (3, 51, 3)
OLDEST_SQLITE = (3, 35, 0)  # RETURNING came with 3.35, UPDATE … FROM with 3.33
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "lustre"})
_MARK_EVERY_SECONDS = 1.0

Identity = tuple[int, int]


class DatabaseFingerprint(NamedTuple):
    """What a process remembers of the database it had open: name, last batch, file, write-ahead log."""

    name: str
    mark: int
    file: Identity | None
    log: Identity | None


def identity_of(path: Path) -> Identity | None:
    """Return device and inode of the file at a path, None when there is none. Raises ``OSError``."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def network_file_system(path: Path, mounts: str) -> str | None:
    """Return the type of the network file system that holds a path, by the text of ``/proc/self/mounts``."""
    best, kind = "", None
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        if (point == "/" or path.is_relative_to(point)) and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind if kind in _NETWORK else None


def check_place(path: Path) -> None:
    """Raise ``ConfigurationError`` for a place where SQLite's locks or its version cannot be relied on."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise ConfigurationError(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or newer is needed")
    if not LOCKS and sqlite3.sqlite_version_info < _SAFE_WAL:
        # S16: two checkpoints at once could corrupt the file; where a lock is taken there is only one
        logger.warning("SQLite before 3.51.3 may corrupt a database that several processes write: use one process")
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    kind = network_file_system(path.resolve(), mounts)
    if kind is not None:
        raise ConfigurationError(f"{path} lies on a network file system ({kind}), where SQLite's locks do not hold")


def earlier_version(path: Path) -> ConfigurationError:
    """Return the error for a file that another schema 0001 than that of this version made."""
    return ConfigurationError(
        f"{path} was made by an earlier version, whose data this one does not read: move it away together with the "
        "files beside it, and start with a new file"
    )


class Database:
    """A connection for writing, and what it knows of its file.

    ``name`` is the random name of the database, ``mark`` the number of the last batch seen. ``create``
    allows a new file; a file that was there once is never made anew. ``known`` is what this process
    had open before: another database in its place is refused, an older copy fenced.

    Raises ``ConfigurationError`` for a file that cannot be used safely, else ``StoreError``,
    ``sqlite3.Error`` or ``OSError``.
    """

    def __init__(
        self,
        path: Path,
        sql: Mapping[str, str],
        migrations: tuple[str, ...],
        *,
        create: bool,
        known: DatabaseFingerprint | None,
        busy_seconds: float,
    ) -> None:
        self.path = path
        self.sql = sql
        self._schema = len(migrations)
        self.write_lock = WriteLock(beside(path, "lock"))
        self._token = FencingToken(beside(path, "fence"))
        self._marked_at = monotonic()
        self._connection: sqlite3.Connection | None = None
        self.identity: Identity | None = None
        self._log_identity: Identity | None = None
        self.name = ""
        self.mark = self.batch = 0
        try:
            with self.write_lock:
                self._open(migrations, create=create, known=known, busy_seconds=busy_seconds)
        except BaseException:
            self.close()
            raise

    @property
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError("the database is closed")
        return self._connection

    def _open(
        self, migrations: tuple[str, ...], *, create: bool, known: DatabaseFingerprint | None, busy_seconds: float
    ) -> None:
        found = identity_of(self.path)
        marked = self._token.read()
        if found is None:
            if not create:
                raise StoreError(f"the database file {self.path} is gone")
            if marked is not None:
                logger.warning("database %s is gone and made anew: what it held is lost", self.path)
                marked = None
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        elif self.path.is_dir():
            raise ConfigurationError(f"{self.path} is a folder: name the file that the database is to be in")
        elif not self.path.stat().st_size and (marked is not None or not create):
            # S11: a file that lost its content must not come back as an empty, willing database
            raise StoreError(f"the database file {self.path} is empty although it held a database")
        elif known is not None and found != known.file and known.log == identity_of(beside(self.path, "wal")):
            # SQLite would apply the log of the file that is gone to the one that took its place
            raise StoreError(f"another file has taken the place of {self.path}, beside the log of the one before")
        self.identity = identity_of(self.path)
        # the thread that opens it is the only one that uses it; a fork closes it from another
        connection = self._connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw",
            uri=True,
            timeout=busy_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        self._configure(connection)
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._migrate(connection, migrations)
            self.name, self.mark = connection.execute(self.sql["read_meta"]).fetchone()
            self._check_mark(connection, known, marked)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._log_identity = identity_of(beside(self.path, "wal"))
        self.log = Log(connection, self.sql)
        self._write_mark()

    @staticmethod
    def _configure(connection: sqlite3.Connection) -> None:
        def pragma(text: str) -> Any:
            row = connection.execute(f"PRAGMA {text}").fetchone()
            return None if row is None else row[0]

        pragma("auto_vacuum = INCREMENTAL")  # counts for a file that is made now: a purge lets it shrink
        if (mode := pragma("journal_mode = WAL")) != "wal":
            raise ConfigurationError(f"the database cannot keep a write-ahead log (journal_mode is {mode})")
        pragma("synchronous = FULL")
        if (level := pragma("synchronous")) not in (2, 3):
            raise ConfigurationError(f"commits would not be durable (synchronous is {level})")
        for setting in (
            "foreign_keys = ON",
            "recursive_triggers = ON",  # so that no REPLACE gets round the triggers that guard the log
            "trusted_schema = OFF",
            "temp_store = MEMORY",
            "cache_size = -8192",  # KiB; the rest is cached by the system, once for all processes
            "journal_size_limit = 67108864",  # bytes
        ):
            pragma(setting)

    def _migrate(self, connection: sqlite3.Connection, migrations: tuple[str, ...]) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if owner != APPLICATION_ID and (tables or version or owner):
            raise ConfigurationError(f"{self.path} holds another application's data: give the store its own file")
        if version:
            self._check_foundation(connection, migrations)
        if version > len(migrations):
            # S33: a newer version is running beside this one, and says whether this one may go on
            (oldest,) = connection.execute(self.sql["oldest_schema"]).fetchone()
            if oldest > len(migrations):
                raise ConfigurationError(f"{self.path} was written by a newer version (schema {version})")
            return
        if version == len(migrations):
            return
        for script in migrations[version:]:
            for statement in split_script(script):
                connection.execute(statement)
        if version == 0:
            connection.execute(self.sql["create_meta"], (secrets.token_hex(16), foundation_of(migrations)))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")

    def _check_foundation(self, connection: sqlite3.Connection, migrations: tuple[str, ...]) -> None:
        try:
            row = connection.execute(self.sql["foundation"]).fetchone()
        except sqlite3.OperationalError as error:  # there was no such column
            raise earlier_version(self.path) from error
        if row is None or row[0] != foundation_of(migrations):
            raise earlier_version(self.path)

    def _check_mark(
        self, connection: sqlite3.Connection, known: DatabaseFingerprint | None, marked: tuple[str, int] | None
    ) -> None:
        # S13, S14: what an older copy calls issued may have been redeemed since; the epoch ends it
        if known is not None and known.name != self.name:
            raise StoreError(f"another database has taken the place of {self.path}")
        if marked is not None and marked[0] != self.name:
            logger.warning("database %s is not the one that was here before: its tokens end", self.path)
            connection.execute(self.sql["begin_epoch"])
            marked = None
        mark = max(known.mark if known else 0, marked[1] if marked else 0)
        if self.mark < mark:
            self._pass(connection, mark + 1)

    def _pass(self, connection: sqlite3.Connection, batch: int) -> None:
        logger.warning("database %s is older than it was: restored from a copy? Its tokens end", self.path)
        connection.execute(self.sql["pass_mark"], (batch,))
        self.mark = batch

    @property
    def fingerprint(self) -> DatabaseFingerprint:
        """What to remember of this database when it is opened again."""
        return DatabaseFingerprint(self.name, self.mark, self.identity, self._log_identity)

    def begin(self) -> None:
        """Begin the transaction of a batch. Raises ``StoreError`` when the file is not the one opened."""
        self.check_identity()
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        batch, oldest = connection.execute(self.sql["number_batch"]).fetchone()
        if oldest > self._schema:  # S33: a newer version has migrated the file meanwhile
            raise StoreError(f"{self.path} was written by a newer version: upgrade first")
        if batch != self.mark + 1:
            self.log.forget()
        if batch <= self.mark:
            self._pass(connection, self.mark + 1)
        self.batch = max(batch, self.mark)

    def check_identity(self) -> None:
        """Raise ``StoreError`` when the path leads to another file than the one opened, or to none (S12)."""
        if identity_of(self.path) != self.identity:
            raise StoreError(f"the database file {self.path} was removed or replaced")

    def commit(self) -> None:
        """Make the batch durable."""
        self.connection.execute("COMMIT")
        self.mark = self.batch
        self.check_identity()
        if monotonic() - self._marked_at >= _MARK_EVERY_SECONDS:
            self._write_mark()

    def roll_back(self) -> None:
        """Undo the batch. Raises ``sqlite3.Error`` when the connection is beyond that."""
        self.log.forget()
        connection = self.connection
        if connection.in_transaction:
            connection.execute("ROLLBACK")

    def _write_mark(self) -> None:
        self._marked_at = monotonic()
        try:
            marked = self._token.read()
            if self.name and (marked is None or marked < (self.name, self.mark) or marked[0] != self.name):
                self._token.write(self.name, self.mark)
        except OSError as error:
            logger.warning("cannot write the mark beside %s: %s", self.path, error)

    def close(self) -> None:
        """Close the connection, leaving the mark. Never raises."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                if self.write_lock.take_at_once() and identity_of(self.path) == self.identity:
                    self._write_mark()
                connection.close()
            except (sqlite3.Error, OSError) as error:
                logger.warning("closing %s: %s", self.path, error)
        self.write_lock.close()
