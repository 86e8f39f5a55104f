"""One server of hot state: its connections, and what each exchange with it begins with."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.utils import str_if_bytes

from stepup_middleware.errors import ConfigurationError, StepUpError, StoreError, StoreTimeoutError

CONNECTIONS = 32  # with one server; a caller waits for one while all are in use
SERVER_ERRORS = (RedisError, OSError, EOFError, ValueError)

Command = tuple[Any, ...]


class Elsewhere(StoreError):
    """The server may not be the one that served the epoch, or has lost its memory. Nothing it said counts."""


class Unfit(StoreError):
    """A server is not set up as a hot store must be."""


def as_store_error(error: BaseException) -> StepUpError:
    """Return the error that leaves the store for one that was met inside it."""
    if isinstance(error, StepUpError):
        return error
    if isinstance(error, TimeoutError):
        wrapped: StoreError = StoreTimeoutError("the hot store did not answer in time")
    else:
        wrapped = StoreError(f"the hot store cannot be used: {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """Where a server is: an address for redis-py, and the host and port where that names none."""

    url: str = field(repr=False)  # may hold a password
    host: str | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Introduction:
    """Who a server is: its process and the history of its data, and the epoch that it noted."""

    place: str  # run_id/master_replid
    epoch: int | None


class Node:
    """One server and its connections. An exchange that fails closes its connection, and so does one with a replica."""

    def __init__(self, endpoint: Endpoint, seconds: float) -> None:
        host = {} if endpoint.host is None else {"host": endpoint.host, "port": endpoint.port}
        try:
            # no driver retries: a script that was sent may have run (S04); each pipeline here has a time limit of
            # its own, where the driver sets a timer for each answer
            self._pool = BlockingConnectionPool.from_url(
                endpoint.url,
                max_connections=CONNECTIONS,
                timeout=seconds,
                socket_timeout=None,
                socket_connect_timeout=seconds,
                retry=Retry(NoBackoff(), 0),
                **host,
            )
        except ValueError as error:
            raise ConfigurationError(f"the address of the hot store cannot be used: {error}") from error
        self.endpoint = endpoint
        self._closed = False

    async def exchange(self, epoch_key: str, commands: Sequence[Command]) -> tuple[Introduction, list[Any]]:
        """Send one pipeline; return who answered, and the answer or the error of each command.

        Raises ``Elsewhere`` when the server is a replica, or does not serve the hash slot of the key any more.
        """
        async with self._connected() as connection:
            answers = await _talk(connection, [("INFO", "server", "replication"), ("GET", epoch_key), *commands])
            return _introduction(*answers[:2]), answers[2:]

    async def ask(self, *commands: Command) -> list[Any]:
        """Send commands in one pipeline and return their answers, whoever the server is."""
        async with self._connected() as connection:
            answers = await _talk(connection, commands)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    async def close(self) -> None:
        """Close the connections; those in use when their exchange is over."""
        self._closed = True
        await self._pool.disconnect(inuse_connections=False)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AbstractConnection]:
        connection: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        sound = False
        try:
            yield connection
            sound = True
        finally:
            if self._closed or not sound:
                await connection.disconnect(nowait=True)
            await self._pool.release(connection)


async def _talk(connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
    """Send commands in one pipeline, and return the answer or the error of each."""
    await connection.send_packed_command(b"".join(map(pack_command, commands)))
    answers: list[Any] = []
    for _ in commands:
        try:
            answers.append(await connection.read_response())
        except ResponseError as error:  # any other, a cancellation too, closes the connection
            answers.append(error)
    return answers


_WHO = re.compile(r"^(role|run_id|master_replid):(\w+)", re.MULTILINE)


def _introduction(server: Any, noted: Any) -> Introduction:
    if isinstance(server, Exception):
        raise server
    who = dict(_WHO.findall(str_if_bytes(server)))
    if who.get("role") != "master":
        raise Elsewhere("the hot store is a replica")
    if isinstance(noted, Exception):
        raise Elsewhere(f"the hash slots of the hot store moved: {noted}") from noted
    return Introduction(f"{who['run_id']}/{who['master_replid']}", None if noted is None else int(noted))
