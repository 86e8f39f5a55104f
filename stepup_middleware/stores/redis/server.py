"""The servers of the hot state, the scripts in them, and whether they are those that serve the epoch."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from itertools import count, groupby
from typing import Any

from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, ConnectionError, NoScriptError, TryAgainError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.utils import str_if_bytes

from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.logged import get_logger
from stepup_middleware.stores.epoch_store import EpochStore

from .codec import EPOCH
from .directory import Slots, directory_of
from .node import SERVER_ERRORS, Command, Elsewhere, Endpoint, Node, Unfit, as_store_error

logger = get_logger("stepup_middleware.stores.redis")

PROBE_MILLISECONDS = 10_000

# answers of a server that does not have the scripts, or the hash slot (``MovedError`` is an ``AskError``)
_NOT_RUN = (NoScriptError, AskError, TryAgainError, ClusterDownError)


@dataclass(frozen=True, slots=True)
class Shard:
    """A master, and who it was when it entered the epoch."""

    node: Node
    slots: Slots
    epoch_key: str
    place: str


def load_scripts() -> Mapping[str, str]:
    """Return the scripts of ``lua/*.lua`` by their names."""
    folder = files(__package__).joinpath("lua")
    return {
        file.name.removesuffix(".lua"): file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".lua")
    }


def own_key(name: str, slots: Slots) -> str:
    """Return the key under which a master notes something of its own: the first that lies in its hash slots."""
    keys = (f"stepup:{name}:{{{number}}}" for number in count())
    return next(key for key in keys if any(key_slot(key.encode()) in each for each in slots))


class RedisServer:
    """The servers of hot state (one, or the masters of a cluster), and the epoch that they serve together.

    Every call is one pipeline to each of the servers that its keys lie on, and begins with who the server is and which
    epoch it knows. If either is not what the records have, the rest of the pipeline does not count, and a new epoch
    begins: on all servers, whichever of them was restarted, emptied or replaced, or gave hash slots to another.
    """

    def __init__(self, url: str, behind: EpochStore, *, seconds: float) -> None:
        self._behind = behind
        self._seconds = seconds
        self._directory = directory_of(url)
        self._nodes = {source: Node(source, seconds) for source in self._directory.sources}
        self._shards: Sequence[Shard] = ()
        self._silent: set[Shard] = set()  # those that did not answer in time since the epoch was entered
        self._scripts = load_scripts()
        self._hashes: dict[str, str] = {}
        self._locating = asyncio.Lock()
        self.epoch = 0
        self.visit = 0  # how often the epoch was entered

    def script(self, name: str, keys: Sequence[str], *arguments: Any) -> Command:
        """Return the command that runs a script."""
        return ("EVALSHA", self._hashes[name], len(keys), *keys, *arguments)

    async def run_script(self, name: str, keys: Sequence[str], *arguments: Any) -> Any:
        """Run one script, as ``ask`` runs commands, and return what it answers."""
        (answer,) = await self.ask(self.script(name, keys, *arguments))
        return answer

    async def start(self) -> None:
        """Enter the epoch. Raises ``StoreError``, and ``ConfigurationError`` for servers that are not set up for it."""
        try:
            await self.locate()
        except Unfit as error:
            raise ConfigurationError(str(error)) from error

    async def locate(self, visit: int | None = None) -> None:
        """Find the masters and enter the epoch, beginning a new one where they cannot serve the current.

        With the ``visit`` in which the caller found that it is time to: does nothing when another caller has done so.
        """
        async with self._locating:
            if visit is not None and visit != self.visit:
                return
            sources = self._directory.sources
            seconds = self._seconds * 2 / len(sources)
            for source in list(sources):
                # the last to be asked again, unless it leads to all: even where this is given up on meanwhile
                sources.remove(source)
                sources.append(source)
                try:
                    async with asyncio.timeout(seconds):
                        await self._enter(await self._directory.masters(source, seconds))
                except Unfit:
                    raise
                except (*SERVER_ERRORS, StoreError) as error:
                    fault = as_store_error(error)
                else:
                    sources.insert(0, sources.pop())
                    return
            raise fault

    async def _enter(self, masters: Mapping[Endpoint, Slots]) -> None:
        """Enter the epoch at some masters, which then are the ones that serve it."""
        nodes = {master: self._nodes.get(master) or Node(master, self._seconds) for master in masters}
        shards = await asyncio.gather(*(self._introduced(nodes[master], slots) for master, slots in masters.items()))
        place = _place_of([shard for shard, _ in shards])
        number, where = await self._behind.epoch_for_hot_store()
        if where != place or any(noted is None for _, noted in shards):
            # S27, S29: what these servers have may be from before a redemption
            if where:
                logger.warning("the hot store was restarted, emptied or replaced: outstanding prompts and tokens end")
            number, where = await self._behind.begin_epoch_for_hot_store(place, after=number)
        if where != place:
            raise StoreError("two servers of hot state claim the same epoch")
        for shard, _ in shards:
            await shard.node.ask(self.script("enter", [shard.epoch_key], str(number)))
        gone = [node for master, node in self._nodes.items() if master not in nodes]
        self._nodes, self._shards = nodes, [shard for shard, _ in shards]
        self._silent.clear()
        self.epoch = number
        self.visit += 1
        for node in gone:
            await node.close()

    async def _introduced(self, node: Node, slots: Slots) -> tuple[Shard, int | None]:
        """Give a server the scripts; return it, and the epoch that it noted. Raises ``Unfit``."""
        key = own_key("epoch", slots)
        load = [("SCRIPT", "LOAD", text) for text in self._scripts.values()]
        (info,) = await node.ask(("INFO", "server", "memory", "persistence"))
        setup = dict(_SETUP.findall(str_if_bytes(info)))
        if "cluster" in (setup.get("redis_mode"), setup.get("server_mode")) and not self._directory.clustered:
            raise Unfit("the hot store is a server of a cluster: let its address begin with redis+cluster://")
        policy = setup.get("maxmemory_policy")
        if policy != "noeviction":
            # S26: all keys here carry a life, so under volatile-* they are the very ones that go
            raise Unfit(f"the hot store evicts keys (maxmemory-policy is {policy}): set noeviction")
        if setup.get("aof_enabled") != "1" and not self.epoch:
            logger.info("the hot store keeps no append-only file: its restart ends the prompts and tokens of its time")
        who, hashes = await node.exchange(key, load)
        for answer in hashes:
            if isinstance(answer, Exception):
                raise answer
        self._hashes = dict(zip(self._scripts, map(str_if_bytes, hashes), strict=True))
        return Shard(node, slots, key, who.place), who.epoch

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands and return their answers: those of one server in order, those of several at once.

        Raises ``Elsewhere`` when the epoch is not these servers' (some may have taken effect there, where it counts for
        nothing), ``StoreError`` for any other fault.
        """
        answers = await self.run_each(commands)
        faults = [answer for answer in answers if isinstance(answer, Exception)]
        if faults:
            raise as_store_error(next((fault for fault in faults if isinstance(fault, Elsewhere)), faults[0]))
        return answers

    async def run_each(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands as ``run`` does, and return the answer or the error of each.

        Each command of a server that cannot be used, or not in this epoch, has that for its error.
        """
        if len(self._shards) == 1:
            return await self._run_at(self._shards[0], commands)
        shares: dict[int | None, list[int]] = {}
        for index, command in enumerate(commands):
            shares.setdefault(self._shard_of(command), []).append(index)
        shards = self._shards
        answers: list[Any] = [None] * len(commands)

        async def take(number: int | None, indexes: list[int]) -> None:
            share = [commands[index] for index in indexes]
            if number is None:
                found: list[Any] = [Elsewhere("no server of the hot store has this hash slot")] * len(share)
            else:
                found = await self._run_at(shards[number], share)
            for index, answer in zip(indexes, found, strict=True):
                answers[index] = answer

        await asyncio.gather(*(take(number, indexes) for number, indexes in shares.items()))
        return answers

    async def _run_at(self, shard: Shard, commands: Sequence[Command]) -> list[Any]:
        """Run commands in one pipeline of a server, and return the answer or the error of each."""
        if shard in self._silent:
            return [Elsewhere("the hot store did not answer in time")] * len(commands)
        try:
            async with asyncio.timeout(self._seconds):
                who, answers = await shard.node.exchange(shard.epoch_key, commands)
            if who.place != shard.place or who.epoch != self.epoch:
                raise Elsewhere("the hot store is not the one that served the epoch")
        except (TimeoutError, RedisTimeoutError) as error:
            self._silent.add(shard)  # look first whether another has taken over
            return [as_store_error(error)] * len(commands)
        except (ConnectionError, EOFError, OSError) as error:
            # likely a connection that had died while nobody used it: look who is there now
            lost = Elsewhere(f"the connection to the hot store was lost: {error}")
            lost.__cause__ = error
            return [lost] * len(commands)
        except (*SERVER_ERRORS, StoreError) as error:
            return [as_store_error(error)] * len(commands)
        return [
            Elsewhere(f"the hot store did not run this: {answer}") if isinstance(answer, _NOT_RUN) else answer
            for answer in answers
        ]

    def _shard_of(self, command: Command) -> int | None:
        """Return the number of the shard on which the (first) key of a command lies."""
        if len(self._shards) == 1:
            return 0
        key = command[3] if command[0] == "EVALSHA" else command[1]
        slot = key_slot(key if isinstance(key, bytes) else key.encode())
        return next(
            (number for number, shard in enumerate(self._shards) if any(slot in each for each in shard.slots)), None
        )

    async def ask(self, *commands: Command) -> list[Any]:
        """Run commands in their order, one server after another.

        Where the epoch is over or a connection was lost, enters the current epoch and repeats those of that server,
        with that epoch in the place of ``EPOCH``: what was of the one before is refused.
        A command that took effect before it is repeated finds what it wrote, or refuses: every script here changes a
        state only from another.
        """
        answers = []
        for share in [list(part) for _, part in groupby(commands, key=self._shard_of)]:
            visit = self.visit
            try:
                answers += await self.run(self._in_epoch(share))
            except Elsewhere:
                await self.locate(visit)
                answers += await self.run(self._in_epoch(share))
        return answers

    def _in_epoch(self, commands: Sequence[Command]) -> list[Command]:
        return [tuple(self.epoch if part is EPOCH else part for part in command) for command in commands]

    async def probe(self) -> None:
        """Write something that means nothing to each of the servers."""
        keys = [own_key("probe", shard.slots) for shard in self._shards]
        await self.ask(*(("SET", key, "", "PX", PROBE_MILLISECONDS) for key in keys))

    async def close(self) -> None:
        """Close the connections."""
        for node in self._nodes.values():
            await node.close()


_SETUP = re.compile(r"^(redis_mode|server_mode|maxmemory_policy|aof_enabled):(\S+)", re.MULTILINE)


def _place_of(shards: Sequence[Shard]) -> str:
    """Return what tells the servers that serve an epoch from all others, and from themselves with other hash slots."""
    if len(shards) == 1:
        return shards[0].place
    parts = [f"{shard.place} {[(each.start, each.stop) for each in shard.slots]}" for shard in shards]
    return f"cluster/{sha256(json.dumps(sorted(parts)).encode()).hexdigest()}"
