"""``PostgresStore``: the store for several nodes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from stepup_middleware.errors import ConfigurationError
from stepup_middleware.stores.sql.store import SQLStore

if TYPE_CHECKING:
    from .engine import PostgresEngine


class PostgresStore(SQLStore):
    """The store for several nodes: one PostgreSQL database (13 or newer), reached through asyncpg.

    ``dsn`` is a libpq connection string or URL. A URL may name several hosts: the one that can be written is taken, and
    one that is silent costs its share of the time. Further keyword arguments go to ``asyncpg.connect`` (``ssl``,
    ``password``, …). ``timeout`` bounds every call: a later answer raises ``StoreTimeoutError``, and the call may still
    take effect. ``statement_cache_size=0`` is for a pooler in transaction mode that does not know prepared statements.

    The tables live in the schema ``stepup``, made and migrated by ``start``. A role that shall not be able to
    change the audit log gets the rights of ``schema/grants.sql`` and runs on a schema that its owner migrated.

    A restart of the server, a failover, a recovery from an archive, a dump read back and a data directory put
    back end all tokens that were outstanding: that costs one more prompt. After restoring a snapshot of a
    machine together with its memory, call ``revoke_all``.

    Raises ``ConfigurationError`` when asyncpg is not installed or an argument cannot be used.
    """

    _engine: PostgresEngine

    def __init__(
        self,
        dsn: str,
        *,
        timeout: timedelta = timedelta(seconds=2),
        statement_cache_size: int = 200,
        **options: Any,
    ) -> None:
        if timeout <= timedelta(0):
            raise ConfigurationError("the store's timeout must be positive")
        if statement_cache_size < 0:
            raise ConfigurationError("statement_cache_size must not be negative")
        try:
            from .engine import PostgresEngine
        except ModuleNotFoundError as error:
            raise ConfigurationError("PostgresStore needs asyncpg: install stepup-middleware[postgres]") from error
        super().__init__(
            PostgresEngine(
                dsn, seconds=timeout.total_seconds(), statement_cache_size=statement_cache_size, options=options
            )
        )
