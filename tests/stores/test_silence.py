"""A network that swallows what was sent, and a connection that nobody will ever end: the next ones are served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from stepup_middleware.core.decisions import Verdict
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore
from stepup_middleware.stores.redis.node import CONNECTIONS
from stepup_middleware.testing.contract.values import MACS, NOW, hold_many

from .servers import PATIENCE_SECONDS, PostgresServer

QUICK = timedelta(seconds=1)


MOMENTS = (0.0, 0.01, 0.2, 0.99, 1.0, 1.01)  # seconds after which callers leave; the stores give up after one


async def given_up(asked: Awaitable[object], seconds: float) -> None:
    """Wait so long for an answer, or for a refusal, and leave."""
    with suppress(TimeoutError, StoreError):
        async with asyncio.timeout(seconds):
            await asked


async def until_answered(store: HotState, prompt_id: str) -> None:
    """Return when a prompt can be read: a system gives a silent connection up after a quarter of an hour."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                assert await store.get_prompt(prompt_id, now=NOW) is not None
            except StoreError:
                continue
            return


class Network:
    """Forwards connections to a port, until those that are open by then fall silent: no answer, and no end."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._open: list[asyncio.Task[None]] = []
        self._ends: list[asyncio.StreamWriter] = []
        self.port = 0

    async def forward(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        server_in, server_out = await asyncio.open_connection("127.0.0.1", self._to)
        self._ends += [client_out, server_out]

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
            target.close()

        self._open += [
            asyncio.create_task(copy(client_in, server_out)),
            asyncio.create_task(copy(server_in, client_out)),
        ]

    def fall_silent(self) -> None:
        """Let nothing more come through on what is open now."""
        for task in self._open:
            task.cancel()

    def close(self) -> None:
        """End what is open."""
        self.fall_silent()
        for end in self._ends:
            end.transport.abort()


@asynccontextmanager
async def network(to: int) -> AsyncIterator[Network]:
    made = Network(to)
    server = await asyncio.start_server(made.forward, "127.0.0.1")
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        made.close()
        await asyncio.sleep(0)


async def test_after_a_silence_both_readers_and_the_writer_are_back_with_the_network(
    postgres_dsn: str, postgres_server: PostgresServer
) -> None:
    async with network(postgres_server.port) as between:
        dsn = postgres_dsn.replace(f":{postgres_server.port}/", f":{between.port}/")
        async with PostgresStore(dsn, timeout=QUICK).use(MACS) as store:
            first, second = await hold_many(store, 2)
            await asyncio.gather(*(store.get_prompt(first.prompt.id, now=NOW) for _ in range(8)))
            between.fall_silent()
            asked = [store.get_prompt(first.prompt.id, now=NOW) for _ in range(8)]
            answers = await asyncio.gather(*asked, store.redeem(first.shown()), return_exceptions=True)
            assert any(isinstance(answer, StoreError) for answer in answers)
            await until_answered(store, first.prompt.id)
            assert (await store.redeem(second.shown())).decision.verdict is Verdict.REDEEMED


@pytest.mark.slow
async def test_whenever_a_caller_gives_up_on_a_silent_server_no_connection_goes_with_it(
    postgres_dsn: str, postgres_server: PostgresServer
) -> None:
    async with network(postgres_server.port) as between:
        dsn = postgres_dsn.replace(f":{postgres_server.port}/", f":{between.port}/")
        async with PostgresStore(dsn, timeout=QUICK).use(MACS) as store:
            (held,) = await hold_many(store, 1)
            for patience in MOMENTS:
                await asyncio.gather(*(store.get_prompt(held.prompt.id, now=NOW) for _ in range(8)))
                between.fall_silent()
                asked = (store.get_prompt(held.prompt.id, now=NOW) for _ in range(12))
                await asyncio.gather(*(given_up(each, patience) for each in asked))
                await until_answered(store, held.prompt.id)


async def test_whenever_a_caller_gives_up_on_a_silent_hot_store_no_connection_goes_with_it(
    postgres_dsn: str, valkey_url: str
) -> None:
    async with network(urlsplit(valkey_url).port or 0) as between:
        url = f"redis://127.0.0.1:{between.port}/0"
        behind = PostgresStore(postgres_dsn).use(MACS)
        async with RedisHotStore(url, behind=behind, timeout=QUICK) as store:
            (held,) = await hold_many(store, 1)
            (node,) = store._server._nodes.values()
            for patience in MOMENTS:
                await asyncio.gather(*(store.get_prompt(held.prompt.id, now=NOW) for _ in range(CONNECTIONS)))
                between.fall_silent()
                asked = (store.get_prompt(held.prompt.id, now=NOW) for _ in range(2 * CONNECTIONS))
                await asyncio.gather(*(given_up(each, patience) for each in asked))
                await until_answered(store, held.prompt.id)
                assert not node._pool._in_use_connections
