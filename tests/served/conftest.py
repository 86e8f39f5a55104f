"""The servers that the tests of the stores start."""

from __future__ import annotations

from tests.stores.conftest import postgres_dsn, postgres_server

__all__ = ["postgres_dsn", "postgres_server"]
