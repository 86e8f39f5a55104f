"""A PostgreSQL server for the tests that attack one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.stores.servers import DATABASE, PostgresServer, running_postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server with an empty database."""
    with running_postgres() as server:
        asyncio.run(server.create_database(DATABASE))
        yield server


@pytest.fixture
def postgres_dsn(postgres_server: PostgresServer) -> str:
    """Return the address of a database without a schema."""
    return asyncio.run(postgres_server.empty_database(DATABASE))
