"""The connection to Redis or Valkey, the scripts in it, and whether it is the server that serves the epoch."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, NoScriptError, RedisError, ResponseError
from redis.utils import str_if_bytes

from stepup_middleware.errors import ConfigurationError, StepUpError, StoreError, StoreTimeoutError
from stepup_middleware.logged import get_logger
from stepup_middleware.stores.epoch_store import EpochStore

logger = get_logger("stepup_middleware.stores.redis")

CONNECTIONS = 32  # of one store; a caller waits for one while all are in use
EPOCH_KEY = "stepup:epoch"
SERVER_ERRORS = (RedisError, OSError, EOFError, ValueError)

Command = tuple[Any, ...]


class Elsewhere(StoreError):
    """The server may not be the one that served the epoch, or has lost its memory. Nothing it said counts."""


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


def load_scripts() -> Mapping[str, str]:
    """Return the scripts of ``lua/*.lua`` by their names."""
    folder = files(__package__).joinpath("lua")
    return {
        file.name.removesuffix(".lua"): file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".lua")
    }


class RedisServer:
    """One server of hot state, and the epoch that it serves.

    Every call is one pipeline that begins with who the server is and which epoch it knows. If either is not what the
    records have, the rest of the pipeline does not count, and a new epoch begins.
    """

    def __init__(self, url: str, behind: EpochStore, *, seconds: float) -> None:
        self._behind = behind
        self._seconds = seconds
        try:
            # no driver retries: a script that was sent may have run (S04); each pipeline here has a time limit of
            # its own, where the driver sets a timer for each answer
            self._pool = BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=seconds,
                socket_timeout=None,
                socket_connect_timeout=seconds,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            raise ConfigurationError(f"the address of the hot store cannot be used: {error}") from error
        self._client = Redis.from_pool(self._pool)
        self._scripts = load_scripts()
        self._hashes: dict[str, str] = {}
        self._locating = asyncio.Lock()
        self.epoch = 0
        self.visit = 0  # how often the epoch was entered
        self._place = ""

    def script(self, name: str, keys: Sequence[str], *arguments: Any) -> Command:
        """Return the command that runs a script."""
        return ("EVALSHA", self._hashes[name], len(keys), *keys, *arguments)

    async def start(self) -> None:
        """Check how the server is set up, and enter the epoch. Raises ``ConfigurationError`` or ``StoreError``."""
        try:
            async with asyncio.timeout(self._seconds * 2):
                memory = await self._client.info("memory")
                persistence = await self._client.info("persistence")
        except (*SERVER_ERRORS, TimeoutError) as error:
            raise as_store_error(error) from error
        policy = memory.get("maxmemory_policy")
        if policy != "noeviction":
            # S26: all keys here carry a life, so under volatile-* they are the very ones that go
            raise ConfigurationError(f"the hot store evicts keys (maxmemory-policy is {policy}): set noeviction")
        if not persistence.get("aof_enabled"):
            logger.info("the hot store keeps no append-only file: its restart ends the prompts and tokens of its time")
        await self.locate()

    async def locate(self, visit: int | None = None) -> None:
        """Load the scripts and enter the epoch, beginning a new one where the server cannot serve the current.

        With the ``visit`` in which the caller found that it is time to: does nothing when another caller has done so.
        """
        async with self._locating:
            if visit is not None and visit != self.visit:
                return
            try:
                async with asyncio.timeout(self._seconds * 2):
                    await self._locate()
            except (*SERVER_ERRORS, TimeoutError) as error:
                raise as_store_error(error) from error

    async def _locate(self) -> None:
        place, noted = _who(await self._exchange(()))
        for name, text in self._scripts.items():
            self._hashes[name] = await self._client.script_load(text)
        number, where = await self._behind.epoch_for_hot_store()
        if where != place or noted is None:
            # S27, S29: what this server has may be from before a redemption
            if where:
                logger.warning("the hot store was restarted, emptied or replaced: outstanding prompts and tokens end")
            number, where = await self._behind.begin_epoch_for_hot_store(place, after=number)
        if where != place:
            raise StoreError("two servers of hot state claim the same epoch")
        await self._client.evalsha(self._hashes["enter"], 1, EPOCH_KEY, str(number))
        self.epoch, self._place = number, place
        self.visit += 1

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in one pipeline and return their answers. Raises as ``run_each`` does, and for any error."""
        answers = await self.run_each(commands)
        for answer in answers:
            if isinstance(answer, Exception):
                raise as_store_error(answer)
        return answers

    async def run_each(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in one pipeline and return the answer or the error of each.

        Raises ``Elsewhere`` when the epoch is not this server's (some may have taken effect there, where it
        counts for nothing), ``StoreError`` for any other fault.
        """
        try:
            async with asyncio.timeout(self._seconds):
                answers = await self._exchange(commands)
        except (ConnectionError, EOFError, OSError) as error:
            # likely a connection that had died while nobody used it: look who is there now
            raise Elsewhere(f"the connection to the hot store was lost: {error}") from error
        except (*SERVER_ERRORS, TimeoutError) as error:
            raise as_store_error(error) from error
        place, noted = _who(answers)
        if place != self._place or noted != self.epoch:
            raise Elsewhere("the hot store is not the one that served the epoch")
        if any(isinstance(answer, NoScriptError) for answer in answers[len(_INTRODUCTION) :]):
            raise Elsewhere("the hot store lost its scripts")
        return list(answers[len(_INTRODUCTION) :])

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send one pipeline and return the answer or the error of each of its commands, the introduction first."""
        sent = [*_INTRODUCTION, *commands]
        connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.send_packed_command(b"".join(map(pack_command, sent)))
            answers: list[Any] = []
            for _ in sent:
                try:
                    answers.append(await connection.read_response())
                except ResponseError as error:  # any other, a cancellation too, closes the connection
                    answers.append(error)
            return answers
        finally:
            await self._pool.release(connection)

    async def ask(self, *commands: Command) -> list[Any]:
        """Run commands; where the epoch is over or the connection was lost, enter the current epoch and repeat them.

        A command that took effect before it is repeated then refuses: every script here changes a state only from
        another.
        """
        visit = self.visit
        try:
            return await self.run(commands)
        except Elsewhere:
            await self.locate(visit)
            return await self.run(commands)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


_INTRODUCTION: Sequence[Command] = (("INFO", "server", "replication"), ("GET", EPOCH_KEY))
_WHO = re.compile(r"^(role|run_id|master_replid):(\w+)", re.MULTILINE)


def _who(answers: Sequence[Any]) -> tuple[str, int | None]:
    server, noted = answers[: len(_INTRODUCTION)]
    for answer in (server, noted):
        if isinstance(answer, Exception):
            raise as_store_error(answer)
    who = dict(_WHO.findall(str_if_bytes(server)))
    if who.get("role") != "master":
        raise StoreError("the hot store is a replica")
    return f"{who['run_id']}/{who['master_replid']}", None if noted is None else int(noted)
