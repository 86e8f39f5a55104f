"""Where the hot state is: at one address, at the master that Sentinels name, or at the masters of a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from redis.crc import REDIS_CLUSTER_HASH_SLOTS
from redis.exceptions import ResponseError
from redis.utils import str_if_bytes

from stepup_middleware.errors import ConfigurationError, StoreError

from .node import Command, Endpoint, Node, Unfit

ALL_SLOTS = (range(REDIS_CLUSTER_HASH_SLOTS),)
_SENTINEL_PORT, _PORT = 26379, 6379

Slots = tuple[range, ...]  # hash slots, in order


class Directory(Protocol):
    """Tells which masters have the hot state, and which hash slots each."""

    sources: list[Endpoint]  # whom to ask, the likeliest first
    clustered: bool

    async def masters(self, source: Endpoint, seconds: float) -> Mapping[Endpoint, Slots]:
        """Return what one of the sources says. Raises ``StoreError`` or an error of the driver."""


def directory_of(url: str) -> Directory:
    """Return the directory of an address. Raises ``ConfigurationError`` for one that cannot be used.

    ``redis://``, ``rediss://`` and ``unix://`` are as redis-py reads them. ``redis+sentinel://host,host/service`` (or
    ``/service/database``) asks Sentinels, and ``redis+cluster://host,host`` the servers of a cluster; ``rediss+`` does
    so with TLS. The name, password and options are those of the servers; ``sentinel_username`` and
    ``sentinel_password`` among the options are for the Sentinels.
    """
    parts = urlsplit(url)
    base, _, kind = parts.scheme.partition("+")
    if not kind:
        return _OneServer(url)
    if base not in ("redis", "rediss") or kind not in ("sentinel", "cluster"):
        raise ConfigurationError(
            f"the address of the hot store begins with {parts.scheme}://: redis, rediss and unix are known, and"
            " redis+sentinel, rediss+sentinel, redis+cluster and rediss+cluster"
        )
    user, _, hosts = parts.netloc.rpartition("@")
    path = [part for part in parts.path.split("/") if part]
    if kind == "cluster":
        if path not in ([], ["0"]):
            raise ConfigurationError("the address of a cluster of hot stores names no database: a cluster has one")
        return _Cluster(parts._replace(scheme=base), user, _hosts(hosts, _PORT))
    if not path or len(path) > 2 or not all(map(str.isdecimal, path[1:])):
        raise ConfigurationError(
            "the address of the hot store must end with the name that its Sentinels know: /mymaster"
        )
    return _Sentinels(parts._replace(scheme=base), user, _hosts(hosts, _SENTINEL_PORT), path[0], *path[1:])


def _hosts(text: str, port: int) -> list[tuple[str, int]]:
    try:
        found = [(host.hostname, host.port or port) for host in (urlsplit(f"//{each}") for each in text.split(","))]
    except ValueError as error:
        raise ConfigurationError(f"the address of the hot store cannot be used: {error}") from error
    hosts = [(host, port) for host, port in found if host]
    if len(hosts) != len(found):
        raise ConfigurationError("the address of the hot store has an empty host among its hosts")
    return hosts


def _url(parts: SplitResult, user: str, database: str, options: Sequence[tuple[str, str]]) -> str:
    """Return the address of servers, without a host."""
    netloc = f"{user}@" if user else ""
    return SplitResult(parts.scheme, netloc, f"/{database}", urlencode(options), "").geturl()


class _OneServer:
    clustered = False

    def __init__(self, url: str) -> None:
        self.sources = [Endpoint(url)]

    async def masters(self, source: Endpoint, seconds: float) -> Mapping[Endpoint, Slots]:
        return {source: ALL_SLOTS}


class _Sentinels:
    """Follows the guidelines for Sentinel clients: ask one, connect, and have the server say that it is the master."""

    clustered = False

    def __init__(
        self, parts: SplitResult, user: str, hosts: Sequence[tuple[str, int]], service: str, database: str = "0"
    ) -> None:
        options = parse_qsl(parts.query, keep_blank_values=True)
        theirs = [(name[9:], value) for name, value in options if name in ("sentinel_username", "sentinel_password")]
        ours = [(name, value) for name, value in options if not name.startswith("sentinel_")]
        shared = [(name, value) for name, value in ours if name not in ("username", "password", "db")]
        sentinels = _url(parts, "", "", [*shared, *theirs])
        self.sources = [Endpoint(sentinels, *host) for host in hosts]
        self._servers = _url(parts, user, database, ours)
        self._service = service

    async def masters(self, source: Endpoint, seconds: float) -> Mapping[Endpoint, Slots]:
        (answer,) = await _ask(source, seconds, ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service))
        if answer is None:
            raise StoreError(f"the Sentinel at {source.host}:{source.port} knows no master named {self._service}")
        host, port = map(str_if_bytes, answer)
        return {Endpoint(self._servers, host, int(port)): ALL_SLOTS}


class _Cluster:
    clustered = True

    def __init__(self, parts: SplitResult, user: str, hosts: Sequence[tuple[str, int]]) -> None:
        self._servers = _url(parts, user, "0", parse_qsl(parts.query, keep_blank_values=True))
        self.sources = [Endpoint(self._servers, *host) for host in hosts]

    async def masters(self, source: Endpoint, seconds: float) -> Mapping[Endpoint, Slots]:
        try:
            info, slots = await _ask(source, seconds, ("CLUSTER", "INFO"), ("CLUSTER", "SLOTS"))
        except ResponseError as error:
            raise Unfit(f"the hot store at {source.host}:{source.port} is no cluster: {error}") from error
        if "cluster_state:ok" not in str_if_bytes(info).split():
            # one that lost sight of the others may tell of masters that are none any more
            raise StoreError(f"the server at {source.host}:{source.port} says that its cluster is down")
        found: dict[Endpoint, list[range]] = {}
        for first, last, (host, port, *_), *_ in slots:
            # a server that does not know its own address has none
            master = Endpoint(self._servers, str_if_bytes(host) if host else source.host, port)
            found.setdefault(master, []).append(range(first, last + 1))
        return {master: tuple(sorted(ranges, key=lambda each: each.start)) for master, ranges in sorted(found.items())}


async def _ask(source: Endpoint, seconds: float, *commands: Command) -> list[Any]:
    node = Node(source, seconds)
    try:
        return await node.ask(*commands)
    finally:
        await node.close()
