"""The servers that the nodes share."""

from __future__ import annotations

from tests.stores.conftest import postgres_dsn, postgres_server

__all__ = ["postgres_dsn", "postgres_server"]
