"""A question that a server of hot state is sent twice is one: it was restarted meanwhile, or its answer got lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from stepup_middleware.core.prompts import Prompt
from stepup_middleware.errors import StoreError
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore
from stepup_middleware.testing.contract.values import MACS, ask, asked, enrol


@pytest.fixture
async def store(postgres_dsn: str, valkey_url: str) -> AsyncIterator[RedisHotStore]:
    async with RedisHotStore(valkey_url, behind=PostgresStore(postgres_dsn).use(MACS)) as store:
        yield store


@pytest.fixture
async def client(valkey_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey_url) as client:
        yield client


# S29
@pytest.mark.parametrize("lost", ["the epoch", "everything"])
async def test_what_is_the_first_to_meet_a_server_that_forgot_is_done_and_not_called_done_before(
    store: RedisHotStore, client: Redis, lost: str
) -> None:
    await enrol(store)
    if lost == "everything":
        await client.flushall()
    else:
        await client.delete("stepup:epoch:{0}")  # the command takes effect, and then its epoch is found to be over
    prompt = await ask(store)
    assert await store.get_prompt(prompt.id, now=prompt.created_at) is not None


async def test_a_place_that_was_taken_before_the_server_forgot_is_no_second_one(
    store: RedisHotStore, client: Redis
) -> None:
    await enrol(store)
    await client.delete("stepup:epoch:{0}")
    assert isinstance(await store.ask(asked(), open_limit=1), Prompt)


async def test_two_callers_that_ask_under_one_id_at_once_are_told_apart(store: RedisHotStore) -> None:
    await enrol(store)
    one = asked()
    answers = await asyncio.gather(*(store.ask(one, open_limit=9) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(each, Prompt) for each in answers) == 1
    assert sum(isinstance(each, StoreError) for each in answers) == 4


@pytest.mark.parametrize(
    ("script", "arguments", "other"),
    [
        ("write", ("", 60_000, "state", "asking", "mark", "a"), ("", 60_000, "state", "asking", "mark", "b")),
        ("write", ("asking", "", "state", "open", "body", "a"), ("asking", "", "state", "open", "body", "b")),
        ("admit", ("p-1", 20, 10, 1, 60_000, 1_000, 0), ("p-2", 20, 10, 1, 60_000, 1_000, 0)),
    ],
)
async def test_a_script_that_opens_a_prompt_answers_the_same_when_it_is_sent_again_and_another_caller_is_refused(
    store: RedisHotStore, client: Redis, script: str, arguments: Sequence[Any], other: Sequence[Any]
) -> None:
    keys = ["stepup:prompt:{x}"] if script != "admit" else ["stepup:open:{x}", "stepup:refused:{x}"]
    if arguments[0] == "asking":
        await client.hset(keys[0], "state", "asking")
    first = await store._server.run_script(script, keys, *arguments)
    assert first in (1, [1])
    assert await store._server.run_script(script, keys, *arguments) == first
    assert await store._server.run_script(script, keys, *other) in (0, [2])
