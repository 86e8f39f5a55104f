"""Connections: opened with suspicion, and told apart from another database in the same place."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import asyncpg

from stepup_middleware.errors import ConfigurationError, StepUpError, StoreError, StoreTimeoutError
from stepup_middleware.logged import get_logger
from stepup_middleware.stores.rows import Row
from stepup_middleware.stores.sql.transaction import Value
from stepup_middleware.stores.statements import foundation_of

logger = get_logger("stepup_middleware.stores.postgres")

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]
else:
    Connection = asyncpg.Connection  # the driver's class takes a parameter for type checkers alone

OLDEST_SERVER = 130000
READERS = 4  # connections for reading, opened as they are needed
_OF_THE_DRIVER = (asyncpg.InterfaceError, asyncpg.InternalClientError)
DRIVER_ERRORS = (asyncpg.PostgresError, *_OF_THE_DRIVER, OSError, EOFError, ValueError, TypeError)

_POOLER = "a pooler stands before the database: give the store statement_cache_size=0"
_READ_ONLY = "the database is read-only or a replica: the store needs the primary"
_MOVED = "SU001"  # raised by stepup.check_writer

# connection, transaction state, resources, operator, system, internal, and what stepup.check_writer raises
_CLASSES = frozenset({"08", "25", "53", "57", "58", "XX", "SU"})

# what one host answers that another may not: it is away, starting, stopping or a replica
_NEXT_HOST = (OSError, TimeoutError, asyncpg.TargetServerAttributeNotMatched, asyncpg.CannotConnectNowError)

# A29: functions and operators are the server's own, whatever path a database or a role was given
_OWN_NAMES = {"search_path": "pg_catalog"}
_SEVERAL_HOSTS = re.compile(r"(postgres(?:ql)?://(?:[^@/?]*@)?)([^/?]*,[^/?]*)(.*)", re.DOTALL)


def hosts_of(dsn: str) -> list[str]:
    """Return an address for each host of a URL, in their order; any other connection string as it is."""
    several = _SEVERAL_HOSTS.fullmatch(dsn)
    if several is None:
        return [dsn]
    before, hosts, after = several.groups()
    return [f"{before}{host}{after}" for host in hosts.split(",")]


class Moved(StoreError):
    """The database is not where it was, or lacks part of the log that was there."""


def as_store_error(error: BaseException) -> StepUpError:
    """Return the error that leaves the store for one that was met inside it."""
    if isinstance(error, StepUpError):
        return error
    text = " ".join(str(error).split())  # what the server details stands in further lines
    if isinstance(error, TimeoutError):
        wrapped: StoreError = StoreTimeoutError("the database did not answer in time")
    elif isinstance(error, asyncpg.PostgresError) and error.sqlstate == _MOVED:
        wrapped = Moved(text)
    elif isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        wrapped = StoreError(_READ_ONLY)
    elif isinstance(error, asyncpg.InvalidSQLStatementNameError | asyncpg.DuplicatePreparedStatementError):
        wrapped = StoreError(f"{_POOLER} ({text})")
    elif isinstance(error, _OF_THE_DRIVER):  # of the driver, not of the server
        wrapped = StoreError(f"a connection to the database is over, others are opened: {text}")
    else:
        wrapped = StoreError(f"the database cannot be used: {type(error).__name__}: {text}")
    wrapped.__cause__ = error
    return wrapped


def breaks_connection(error: BaseException) -> bool:
    """Whether a connection is not to be used again after an error, or its server is not to be trusted."""
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate is not None:
        return error.sqlstate[:2] in _CLASSES
    return not isinstance(error, ValueError | TypeError | RuntimeError | StoreError)


class Database:
    """How one process reaches one database: a connection that writes, and a few that read.

    ``statement_cache_size=0`` is for a pooler that hands each transaction to another session and does not
    know prepared statements; reads are then transactions too.
    """

    def __init__(
        self,
        dsn: str,
        sql: Mapping[str, str],
        migrations: tuple[str, ...],
        *,
        seconds: float,
        statement_cache_size: int,
        options: Mapping[str, Any],
    ) -> None:
        self.sql = sql
        self._migrations = migrations
        self._seconds = seconds
        self._pooled = statement_cache_size == 0
        self._hosts = hosts_of(dsn)  # the one that answered last comes first
        # S23: never a replica, whichever host of the DSN answers
        self._arguments = {
            "timeout": seconds / len(self._hosts),
            "command_timeout": seconds,
            "statement_cache_size": statement_cache_size,
            "target_session_attrs": "read-write",
            **options,
        }
        self._arguments["server_settings"] = options.get("server_settings", {}) | ({} if self._pooled else _OWN_NAMES)
        self._readers: asyncpg.Pool[Any] | None = None
        self.place = ""
        self.seen_seq = 0

    async def connect(self, *_: object, **more: object) -> Connection:
        """Return a new connection to a server that can be written, with more arguments for the driver.

        The driver itself would wait for a host that is silent until nobody waits any more for the next.
        """
        fault: BaseException = OSError("the address names no host")
        for tried, dsn in enumerate(list(self._hosts)):
            try:
                connection: Connection = await asyncpg.connect(**{**self._arguments, **more, "dsn": dsn})
                return connection
            except _NEXT_HOST as error:
                self._hosts.remove(dsn)
                self._hosts.append(dsn)
                if not tried or isinstance(fault, asyncpg.TargetServerAttributeNotMatched):
                    fault = error  # that a standby is none to be written is the less of a reason
            except asyncpg.ProtocolViolationError as error:
                raise ConfigurationError(f"{_POOLER} ({error})") from error
        raise fault

    async def start(self) -> None:
        """Check the server, bring the schema up to date and note where the database is.

        Raises ``ConfigurationError`` or ``StoreError``.
        """
        connection = await self._first_connection()
        try:
            await self._check_server(connection)
            await self._migrate(connection)
            await self.locate(connection)
            await self._check_session()
        except DRIVER_ERRORS as error:
            raise as_store_error(error) from error
        finally:
            await close(connection)

    async def _first_connection(self) -> Connection:
        try:
            return await self.connect()
        except asyncpg.TargetServerAttributeNotMatched as error:
            raise ConfigurationError(_READ_ONLY) from error
        except (asyncpg.InvalidPasswordError, asyncpg.InvalidCatalogNameError, ValueError) as error:
            raise ConfigurationError(f"the database cannot be opened: {error}") from error
        except (*DRIVER_ERRORS, TimeoutError) as error:
            raise as_store_error(error) from error

    async def _check_server(self, connection: Connection) -> None:
        row = await connection.fetchrow(self.sql["durability"])
        read_only, late, unsafe, version, encoding, lossy, replicated = row or (True, True, True, 0, "", True, True)
        if read_only:
            raise ConfigurationError(_READ_ONLY)
        if late:
            raise ConfigurationError("commits would not be durable (synchronous_commit is off)")
        if unsafe:
            raise ConfigurationError("a crash would lose data (fsync or full_page_writes is off)")
        if version < OLDEST_SERVER:
            raise ConfigurationError("PostgreSQL 13 or newer is needed")
        if encoding != "UTF8":
            raise ConfigurationError(f"the database must be encoded in UTF-8, not {encoding}")
        if lossy and (replicated or len(self._hosts) > 1):
            logger.warning(
                "a failover of the database can lose the last commits, and with them lines of the audit log: "
                "no standby is synchronous (synchronous_standby_names, synchronous_commit)"
            )

    async def _check_session(self) -> None:
        """Refuse a pooler between that does not hand over what a session is opened with."""
        await close(await self.connect_writer())

    async def _migrate(self, connection: Connection) -> None:
        """Run the scripts that are missing, in one transaction.

        A schema that is newer is used as it is, if it says that code of this version may (S33).
        """
        known = len(self._migrations)
        version, oldest = await self._read_version(connection)
        if version < known:
            async with connection.transaction():
                await connection.execute(self.sql["lock_migration"])
                version, oldest = await self._read_version(connection)
                if version < known:
                    await self._run_scripts(connection, version)
                    version, oldest = await self._read_version(connection)
        if oldest > known:
            raise ConfigurationError(f"the database was changed by a newer version (schema {version}): upgrade first")

    async def _read_version(self, connection: Connection) -> tuple[int, int]:
        if not await connection.fetchval(self.sql["version_exists"]):
            return 0, 0
        row = await connection.fetchrow(self.sql["read_version"])
        if row is None or row[2] != foundation_of(self._migrations):
            raise ConfigurationError(
                "the schema stepup was made by an earlier version, whose data this one does not read: rename or drop "
                "it (ALTER SCHEMA stepup RENAME TO ...), and start again"
            )
        return row[0], row[1]

    async def _run_scripts(self, connection: Connection, version: int) -> None:
        if not await connection.fetchval(self.sql["schema_exists"]):
            await connection.execute(self.sql["create_schema"])
        if not await connection.fetchval(self.sql["version_exists"]):
            await connection.execute(self.sql["create_version"])
            await connection.execute(self.sql["insert_version"], foundation_of(self._migrations))
        for script in self._migrations[version:]:
            await connection.execute(script)
        await connection.execute(self.sql["set_version"], len(self._migrations))

    async def locate(self, connection: Connection) -> None:
        """Note where the database is. Begins a new epoch if it was elsewhere before, or is a copy from before.

        S13, S14, S22: what a promoted replica or a copy calls issued may have been redeemed since.
        """
        seen = self.seen_seq  # before the question: what other connections write while it waits is no gap
        async with connection.transaction():
            row = await connection.fetchrow(self.sql["lock_meta"])
            if row is None:
                raise StoreError("the schema of the store is incomplete")
            _, noted, here, seq = row
            if noted != here or seq < seen:
                logger.warning("the database was restarted, moved, promoted or restored: outstanding tokens end")
                await connection.execute(self.sql["move"], here)
        self.place = here
        self.seen_seq = seq if seq < seen else self.seen_seq

    async def connect_writer(self) -> Connection:
        """Return a new connection whose session has the settings that writing needs."""
        if self._pooled:
            return await self.connect()
        return await self.connect(server_settings={**self._arguments["server_settings"], **_writing(self._seconds)})

    def begin_text(self, *, batch: bool) -> str:
        """Return the message that begins a transaction which writes; the epoch of a ``batch`` lasts as long."""
        place, seq, schema = self.place.replace("'", "''"), int(self.seen_seq), len(self._migrations)
        share = f";\n{self.sql['share']}" if batch else ""
        known = {"place": place, "seq": seq, "schema": schema, "share": share}
        if not self._pooled:
            return self.sql["begin"].format(**known)
        settings = ";\n".join(f"SET LOCAL {name} = '{value}'" for name, value in _writing(self._seconds).items())
        return self.sql["begin_pooled"].format(settings=settings, **known)

    async def fetch_all(self, name: str, *parameters: Value) -> Sequence[Row]:
        """Return all rows of a reading statement."""
        return await self.fetch(self.sql[name], *parameters)

    async def fetch_one(self, name: str, *parameters: Value) -> Row | None:
        """Return the first row of a reading statement, None when there is none."""
        rows = await self.fetch(self.sql[name], *parameters)
        return rows[0] if rows else None

    async def fetch(self, text: str, *parameters: Value) -> Sequence[Row]:
        """Return all rows of a text of SQL that only reads, on one of the reading connections."""
        try:
            async with asyncio.timeout(self._seconds):
                try:
                    return await self._fetch(text, *parameters)
                except (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, OSError, EOFError):
                    # the connection had died before: what only reads may be asked again, on another
                    await self._drop_readers()
                    return await self._fetch(text, *parameters)
        except (*DRIVER_ERRORS, TimeoutError) as error:
            raise as_store_error(error) from error

    async def _fetch(self, text: str, *parameters: Value) -> Sequence[Row]:
        pool = self._readers
        if pool is None:
            # opens no connection yet
            settings: dict[str, Any] = {"min_size": 0, "max_size": READERS, "reset": _keep_session}
            pool = await asyncpg.create_pool(connect=self.connect, **settings)
            self._readers = pool
        async with pool.acquire() as connection:
            if not self._pooled:
                found: Sequence[Row] = await connection.fetch(text, *parameters)
                return found
            await connection.execute(self.sql["begin_reading"])
            try:
                return await connection.fetch(text, *parameters)
            finally:
                await connection.execute("ROLLBACK")

    async def _drop_readers(self) -> None:
        pool, self._readers = self._readers, None
        if pool is not None:
            pool.terminate()

    async def close(self) -> None:
        """Close the reading connections."""
        pool, self._readers = self._readers, None
        if pool is not None:
            try:
                async with asyncio.timeout(self._seconds):
                    await pool.close()
            except (*DRIVER_ERRORS, TimeoutError):
                pool.terminate()


def _writing(seconds: float) -> dict[str, str]:
    """Return the settings under which batches run.

    The hot statements look rows up by key: loops over indexes take their locks in the order of the keys.
    """
    milliseconds = int(seconds * 1000)
    return {
        "statement_timeout": str(milliseconds),
        "lock_timeout": str(max(1, milliseconds // 2)),
        "idle_in_transaction_session_timeout": str(2 * milliseconds),
        **_OWN_NAMES,
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "jit": "off",
        "plan_cache_mode": "force_generic_plan",
    }


async def _keep_session(_: Connection) -> None:
    """Nothing outlives a transaction here, so there is nothing to reset."""


async def close(connection: Connection) -> None:
    """Close a connection without waiting for a server that does not answer."""
    with suppress(*DRIVER_ERRORS, TimeoutError):
        await connection.close(timeout=1.0)
    if not connection.is_closed():
        connection.terminate()
