"""Somebody who writes to the hot store and has no key: no prompt and no token that they write or alter counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from stepup_middleware.core.decisions import Verdict
from stepup_middleware.core.factors import FactorRequirement
from stepup_middleware.stores.redis import RedisHotStore
from stepup_middleware.stores.redis.codec import bound_digest, prompt_key, token_key
from stepup_middleware.stores.sealing import Tampered
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import MACS, NOW, ask, enrol, hold, passkey, shown_for

PATIENT = timedelta(seconds=30)
Parts = tuple[RedisHotStore, Any, list[Tampered]]


@pytest.fixture
async def hot(valkey_url: str, tmp_path: Path) -> AsyncIterator[Parts]:
    store = RedisHotStore(valkey_url, behind=SQLiteStore(tmp_path / "db", timeout=PATIENT).use(MACS), timeout=PATIENT)
    told: list[Tampered] = []
    store.records.on_tampering(told.append)
    server = Redis.from_url(valkey_url)
    async with store:
        yield store, server, told
    await server.aclose()


# A22
@pytest.mark.parametrize("field", ["body", "expires_at", "mac", "epoch"])
async def test_a_prompt_that_was_altered_in_the_hot_store_is_not_there(hot: Parts, field: str) -> None:
    store, server, told = hot
    await enrol(store, factor=passkey())
    prompt = await ask(store)
    key = prompt_key(prompt.id)
    value = await server.hget(key, field)
    changed = {
        "body": value.replace(b"USD", b"EUR").replace(b"214", b"999"),
        "expires_at": str(int(value) + 1).encode() if field == "expires_at" else b"",
        "mac": value[:-1] + bytes([value[-1] ^ 1]),
        "epoch": b"0",
    }[field]
    assert changed != value
    await server.hset(key, field, changed)
    assert await store.get_prompt(prompt.id, now=NOW) is None
    assert told == ([] if field == "epoch" else [Tampered("prompts", prompt.id, "", "")])
    await server.hset(key, field, value)
    kept = await store.get_prompt(prompt.id, now=NOW)
    assert kept is not None
    assert kept.prompt == prompt


# A22
async def test_a_token_that_was_altered_in_the_hot_store_for_another_action_does_not_run_it(hot: Parts) -> None:
    store, server, told = hot
    held = await hold(store, factor=await enrol(store, factor=passkey(sign_count=0)))
    shown = shown_for(held.prompt, held.reference, purpose="another_purpose", minimum=FactorRequirement.ANY)
    key = token_key(held.reference)
    body = (await server.hget(key, "body")).replace(held.prompt.purpose.encode(), b"another_purpose")
    digests = (shown.request_digest.hex(), shown.details_digest.hex())
    bound = bound_digest(shown.workspace_id, shown.subject_id, shown.session, shown.ip, shown.purpose, *digests)
    await server.hset(key, mapping={"body": body, "bound": bound})
    answer = await store.redeem(shown)
    assert answer.decision.verdict is Verdict.REQUIRED
    assert told == [Tampered("tokens", str(held.reference.id), shown.workspace_id, shown.subject_id)]
    # it is spent all the same, and the next one runs
    other = await hold(store, factor=await enrol(store, factor=passkey(sign_count=0)))
    assert (await store.redeem(other.shown())).decision.verdict is Verdict.REDEEMED
