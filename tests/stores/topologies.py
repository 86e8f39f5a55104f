"""Servers that stand for each other: a cluster of Valkey, what Sentinels watch, PostgreSQL and its standby."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from tests.machine import free_port

from .servers import PATIENCE_SECONDS, PostgresServer, ValkeyServer

SLOTS = 16384
SERVICE = "hot"
NODE_TIMEOUT_MILLISECONDS = 1_000  # after which the others take a server for dead; what a busy machine takes is less


async def call(server: ValkeyServer, *command: Any) -> Any:
    """Send one command to a server on a connection of its own."""
    from redis.asyncio import Redis

    client = Redis(port=server.port)
    try:
        return await client.execute_command(*command)  # type: ignore[no-untyped-call]
    finally:
        await client.aclose()


async def until(what: str, holds: Any) -> None:
    """Wait until an async condition holds."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await holds():  # noqa: ASYNC110 - a condition of another process
                await asyncio.sleep(0.02)
    except TimeoutError as error:
        raise AssertionError(f"never: {what}") from error


async def follows(replica: ValkeyServer) -> bool:
    """Whether a replica has what its master had."""
    return "master_link_status:up" in _text(await call(replica, "INFO", "replication"))


class ValkeyCluster:
    """A cluster of masters, each with as many replicas."""

    def __init__(self, masters: int = 3, replicas: int = 0, **settings: str) -> None:
        def server() -> ValkeyServer:
            return ValkeyServer(
                **{
                    "appendonly": "no",
                    "cluster-enabled": "yes",
                    "cluster-port": str(free_port()),
                    "cluster-node-timeout": str(NODE_TIMEOUT_MILLISECONDS),
                    "cluster-replica-validity-factor": "0",  # a replica of any age may take over
                    **settings,
                }
            )

        self.masters = [server() for _ in range(masters)]
        self.replicas = [server() for _ in range(replicas * masters)]

    @property
    def servers(self) -> list[ValkeyServer]:
        """All of them, masters first."""
        return [*self.masters, *self.replicas]

    async def start(self) -> None:
        """Start the servers, share the hash slots among them, and wait until all agree."""
        await asyncio.gather(*(server.start() for server in self.servers))
        ends = [SLOTS * number // len(self.masters) for number in range(len(self.masters) + 1)]
        for number, server in enumerate(self.masters):
            await call(server, "CLUSTER", "ADDSLOTSRANGE", ends[number], ends[number + 1] - 1)
        for number, server in enumerate(self.servers):
            await call(server, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number:
                bus = server.settings["cluster-port"]
                await call(self.masters[0], "CLUSTER", "MEET", "127.0.0.1", server.port, bus)
        await self._until_agreed(0)
        for number, replica in enumerate(self.replicas):
            master = await call(self.masters[number % len(self.masters)], "CLUSTER", "MYID")
            await until("the replica knows its master", lambda replica=replica, id=master: _knows(replica, id))
            await call(replica, "CLUSTER", "REPLICATE", master)
        for replica in self.replicas:
            await until("the replica has what its master had", lambda replica=replica: follows(replica))
        await self.until_whole()

    async def until_whole(self) -> None:
        """Wait until each server sees a whole cluster, with all its replicas."""
        await self._until_agreed(len(self.replicas))

    async def _until_agreed(self, followers: int) -> None:
        """Wait until each server sees a whole cluster, with so many replicas."""
        for server in self.servers:
            await until("the cluster is whole", lambda server=server: self._whole(server, followers))

    async def _whole(self, server: ValkeyServer, followers: int) -> bool:
        text = _text(await call(server, "CLUSTER", "INFO"))
        if "cluster_state:ok" not in text or f"cluster_known_nodes:{len(self.servers)}" not in text:
            return False
        return str(await call(server, "CLUSTER", "NODES")).count("slave") == followers

    def stop(self) -> None:
        """End all of them, and remove what they kept."""
        for server in self.servers:
            server.stop()

    async def empty(self) -> None:
        """Have all of them forget everything."""
        await asyncio.gather(*(server.empty() for server in self.masters))

    def url(self) -> str:
        """Return the address."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.masters)


def _text(answer: Any) -> str:
    if isinstance(answer, dict):
        return "\n".join(f"{name}:{value}" for name, value in answer.items())
    return answer.decode() if isinstance(answer, bytes) else str(answer)


async def _knows(server: ValkeyServer, node: bytes | str) -> bool:
    known = await call(server, "CLUSTER", "NODES")
    return (node.decode() if isinstance(node, bytes) else node) in str(known)


class Sentinel(ValkeyServer):
    """A Sentinel that watches one master."""

    def __init__(self, master: ValkeyServer, quorum: int) -> None:
        super().__init__()
        self.configuration = self.folder / "sentinel.conf"
        self.configuration.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} {quorum}\n"
            f"sentinel down-after-milliseconds {SERVICE} {NODE_TIMEOUT_MILLISECONDS}\n"
            f"sentinel failover-timeout {SERVICE} 5000\n"
        )

    def command(self) -> list[str]:
        return [self.program, str(self.configuration), "--sentinel"]


class SentinelGroup:
    """A master with a replica, and the Sentinels that watch it."""

    def __init__(self, sentinels: int = 3, replicas: int = 1) -> None:
        self.master = ValkeyServer(appendonly="no")
        self.replicas = [
            ValkeyServer(appendonly="no", replicaof=f"127.0.0.1 {self.master.port}") for _ in range(replicas)
        ]
        self.sentinels = [Sentinel(self.master, sentinels // 2 + 1) for _ in range(sentinels)]

    @property
    def servers(self) -> Iterable[ValkeyServer]:
        """All of them."""
        return [self.master, *self.replicas, *self.sentinels]

    async def start(self) -> None:
        """Start all, and wait until each Sentinel knows the others and the replica."""
        for servers in ([self.master], self.replicas, self.sentinels):
            await asyncio.gather(*(server.start() for server in servers))
        for replica in self.replicas:
            await until("the replica has what its master had", lambda replica=replica: follows(replica))
        for sentinel in self.sentinels:
            await until("the Sentinels know each other", lambda sentinel=sentinel: self._knows_all(sentinel))

    async def _knows_all(self, sentinel: Sentinel) -> bool:
        answer = await call(sentinel, "SENTINEL", "MASTER", SERVICE)
        seen = {_text(name): value for name, value in answer.items()}
        others, replicas = int(seen["num-other-sentinels"]), int(seen["num-slaves"])
        return others == len(self.sentinels) - 1 and replicas == len(self.replicas)

    async def master_port(self, sentinel: Sentinel) -> int:
        """Return the port of the server that a Sentinel takes for the master."""
        return int((await call(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE))[1])

    async def until_taken_over(self) -> None:
        """Wait until a replica is the master in the place of the killed one, and start that one as its replica.

        On a busy machine Sentinels may change their mind once more meanwhile: what counts is what all agree on.
        """
        killed = self.master
        await until("a replica has taken over", lambda: self._agreed(without=killed))
        killed.settings["replicaof"] = f"127.0.0.1 {self.master.port}"
        await killed.start()
        await until("all follow one master", self._agreed)

    async def _agreed(self, without: ValkeyServer | None = None) -> bool:
        """Whether all Sentinels name one master, which is one and which the others follow; note which it is."""
        ports = {await self.master_port(sentinel) for sentinel in self.sentinels}
        named = [server for server in (self.master, *self.replicas) if server.port in ports and server is not without]
        if len(ports) > 1 or not named or "role:master" not in _text(await call(named[0], "INFO", "replication")):
            return False
        others = [server for server in (self.master, *self.replicas) if server is not named[0]]
        for other in others:
            if other is not without and not await follows(other):
                return False
        if without is None:
            for sentinel in self.sentinels:
                seen = [
                    {_text(k): _text(v) for k, v in each.items()}
                    for each in await call(sentinel, "SENTINEL", "REPLICAS", SERVICE)
                ]
                if [each["flags"] for each in seen] != ["slave"] * len(others):
                    return False
        self.master, self.replicas = named[0], others
        return True

    async def empty(self) -> None:
        """Have the master forget everything."""
        await self.master.empty()

    def stop(self) -> None:
        """End all of them, and remove what they kept."""
        for server in self.servers:
            server.stop()

    def url(self) -> str:
        """Return the address."""
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels) + f"/{SERVICE}"


class PostgresPair:
    """A primary and a standby, which is synchronous or not, and takes over when it is told to."""

    def __init__(self, *, synchronous: bool, end: signal.Signals = signal.SIGKILL) -> None:
        self._synchronous = "ANY 1 (*)" if synchronous else ""
        self.primary = PostgresServer(wal_level="replica", max_wal_senders="4")
        self.standby = PostgresServer(hot_standby="on")
        self._end = end

    async def start(self) -> None:
        """Start both; the standby has what the primary has."""
        primary, standby = self.primary, self.standby
        await asyncio.to_thread(primary.create)
        await primary.start()
        await primary.create_database("t")
        if os.geteuid() == 0:
            shutil.chown(standby.folder, "nobody", "nogroup")
        source = f"host=127.0.0.1 port={primary.port} user=postgres"
        where = ("-D", str(standby.data), "-d", source, "-X", "stream", "-c", "fast", "-R")
        await asyncio.to_thread(primary.run, "pg_basebackup", *where)
        await standby.start()
        await until("the standby follows", self._followed)
        await primary.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{self._synchronous}'")
        await primary.execute("SELECT pg_reload_conf()")

    async def _followed(self) -> bool:
        text = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"
        return await self.primary.execute(text) == "SELECT 1"

    def dsn(self) -> str:
        """Return the address of both, the standby first."""
        return f"postgresql://postgres@127.0.0.1:{self.standby.port},127.0.0.1:{self.primary.port}/t"

    async def cut(self) -> None:
        """Let the standby hear nothing any more."""
        await self.standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
        await self.standby.execute("SELECT pg_reload_conf()")

        async def is_cut() -> bool:
            return await self.standby.execute("SELECT 1 FROM pg_stat_wal_receiver") == "SELECT 0"

        await until("the standby is cut off", is_cut)

    def kill(self) -> None:
        """Kill the primary, or let it stand still with all its processes, so that its port is open and silent."""
        if self._end is signal.SIGKILL:
            self.primary.kill()
        else:
            self._signal(self._end)

    def _signal(self, number: signal.Signals) -> None:
        import psutil  # type: ignore[import-untyped]  # comes with the package of the server

        assert self.primary.process is not None
        family = psutil.Process(self.primary.process.pid)
        for process in (family, *family.children(recursive=True)):
            process.send_signal(number)

    async def promote(self) -> None:
        """Make the standby the primary."""
        await self.standby.execute("SELECT pg_promote()")

    def stop(self) -> None:
        """End both, and remove what they kept."""
        if self.primary.process is not None:
            self._signal(signal.SIGCONT)
        self.primary.stop()
        self.standby.stop()


Group = TypeVar("Group", ValkeyCluster, SentinelGroup, PostgresPair)


@asynccontextmanager
async def running(group: Group) -> AsyncIterator[Group]:
    """Run a group of servers of one's own."""
    try:
        await group.start()
        yield group
    finally:
        await asyncio.to_thread(group.stop)
