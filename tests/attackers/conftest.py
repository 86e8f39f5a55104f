"""A PostgreSQL server for the tests that attack one: the one of the tests of stores."""

from __future__ import annotations

from tests.stores.conftest import postgres_dsn, postgres_server

__all__ = ["postgres_dsn", "postgres_server"]
