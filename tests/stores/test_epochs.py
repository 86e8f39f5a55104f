"""The end of all holds on every node from the moment in which it is said, whether or not a node has heard of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from stepup_middleware.core.challenge import PendingChallenge
from stepup_middleware.core.decisions import Flag, Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.core.grants import GrantRefused
from stepup_middleware.stores.base import HotState
from stepup_middleware.stores.epoch_store import EpochStore
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore
from stepup_middleware.testing.contract.approval_values import (
    DENIED,
    ME,
    NO,
    approved,
    approving,
    ask_approval,
    match,
)
from stepup_middleware.testing.contract.values import (
    MACS,
    MINUTE,
    NOW,
    TTL,
    ask,
    enrol,
    event,
    grant_for,
    hold_many,
    names_of,
    passkey,
)

from .conftest import PATIENT

Node = Callable[[], HotState]


@pytest.fixture(params=["postgres", "redis+postgres"])
def node(request: pytest.FixtureRequest, postgres_dsn: str) -> Node:
    """Return what opens one more node."""
    if request.param == "postgres":
        return lambda: PostgresStore(postgres_dsn, timeout=PATIENT).use(MACS)
    url: str = request.getfixturevalue("valkey_url")
    return lambda: RedisHotStore(url, behind=PostgresStore(postgres_dsn, timeout=PATIENT).use(MACS), timeout=PATIENT)


@pytest.fixture
async def nodes(node: Node) -> AsyncIterator[tuple[HotState, HotState]]:
    async with node() as one, node() as other:
        yield one, other


@pytest.mark.parametrize("heard", [False, True], ids=["not heard", "heard while it is done"])
async def test_a_node_that_has_not_heard_of_the_end_of_all_does_nothing_by_what_was_before(
    nodes: tuple[HotState, HotState], heard: bool
) -> None:
    """It is said in the records; a hot store is told after it, and a node by the answers of that."""
    one, other = nodes
    brought = await approved(other)
    factor = await enrol(other, factor=passkey(sign_count=0))
    asked, denied = await ask_approval(other), await ask(other)
    assert await match(other, asked) is not None
    prompt = await ask(other)
    held = await hold_many(other, 2)
    if heard:
        await one.revoke_all(event=event(EventName.ALL_REVOKED), now=NOW)
    else:
        behind = one.records
        assert isinstance(behind, EpochStore)
        await behind.end_epoch_for_hot_store(event=event(EventName.ALL_REVOKED))
    before = await names_of(other)
    assert await other.records.get_approval(asked.prompt.id) is None
    assert await other.records.waiting_approvals(*ME, now=NOW) == ()
    assert await match(other, asked) is None
    assert not await other.records.end_approval(asked.prompt.id, NO, event=DENIED)
    assert await other.issue_token(approving(asked, factor, sign_count=0)) is GrantRefused.PROMPT_CLOSED
    grants = [grant_for(each, factor, sign_count=0) for each in (prompt, denied)]
    assert await other.issue_token(grants[0]) is GrantRefused.PROMPT_CLOSED
    assert set(await other.issue_tokens(grants)) == {GrantRefused.PROMPT_CLOSED}
    assert [await other.records.get_approval(each.prompt.id) for each in (asked, brought[0])] == [None, None]
    answers = [await other.redeem(each.shown()) for each in held]
    assert {answer.decision.flags for answer in answers} == {(Flag.REVOKED,)}
    if heard:
        challenge = PendingChallenge(nonce=b"n" * 32, factor_ids=(factor.id,), expires_at=NOW + MINUTE)
        assert not await other.set_challenge(prompt.id, challenge, now=NOW)
        assert await other.pop_challenge(prompt.id, now=NOW) is None
        assert await other.get_prompt(prompt.id, now=NOW) is None
        assert not await other.cancel_prompt(prompt.id, event=None, now=NOW)
        assert await other.collect_token(brought[2], ttl=TTL, now=NOW + MINUTE) is None
    assert not {EventName.VERIFIED, EventName.ACTION_AUTHORIZED} & {*(await names_of(other))[len(before) :]}


@pytest.mark.parametrize("verb", ["set_challenge", "pop_challenge", "cancel", "collect", "issue"])
async def test_what_a_node_sends_again_once_it_has_heard_is_of_the_new_epoch(
    nodes: tuple[HotState, HotState], verb: str
) -> None:
    """The first command of a node after the end of all is sent twice: it must be refused the second time, too."""
    one, other = nodes
    _, grant, token = await approved(other)
    factor = (await other.records.list_factors(*ME))[0]
    prompt = await ask(other)
    challenge = PendingChallenge(nonce=b"n" * 32, factor_ids=(factor.id,), expires_at=NOW + MINUTE)
    assert await other.set_challenge(prompt.id, challenge, now=NOW)
    await one.revoke_all(event=None, now=NOW)
    match verb:
        case "set_challenge":
            assert not await other.set_challenge(prompt.id, challenge, now=NOW)
        case "pop_challenge":
            assert await other.pop_challenge(prompt.id, now=NOW) is None
        case "cancel":
            assert not await other.cancel_prompt(prompt.id, event=None, now=NOW)
        case "collect":
            assert await other.collect_token(token, ttl=TTL, now=grant.issued_at) is None
        case _:
            assert await other.issue_token(grant_for(prompt, factor)) is GrantRefused.PROMPT_CLOSED


@asynccontextmanager
async def held_up(dsn: str) -> AsyncIterator[None]:
    """Let a redemption begin and not end: its row, or the log that it is to be written to, is somebody else's."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM stepup.tokens FOR UPDATE")
            if not await connection.fetchval("SELECT count(*) FROM stepup.tokens"):
                await connection.execute("LOCK TABLE stepup.audit IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


_BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def blocked(dsn: str, count: int) -> None:
    """Return once so many sessions of this database wait for a lock."""
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(PATIENT.total_seconds()):
            while await connection.fetchval(_BLOCKED) < count:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
    finally:
        await connection.close()


async def test_the_end_of_all_waits_for_what_is_being_redeemed_and_goes_before_what_is_not(
    nodes: tuple[HotState, HotState], postgres_dsn: str
) -> None:
    """Once it is said, nothing is authorized any more on any node, not even what had begun before it."""
    one, other = nodes
    first, second = await hold_many(other, 2)
    ended: list[str] = []
    async with held_up(postgres_dsn):
        redeeming = asyncio.create_task(other.redeem(first.shown()), name="redeemed")
        await blocked(postgres_dsn, 1)
        revoking = asyncio.create_task(one.revoke_all(event=None, now=NOW), name="revoked")
        for task in (redeeming, revoking):
            task.add_done_callback(lambda done: ended.append(done.get_name()))
        await blocked(postgres_dsn, 2)
        assert not ended
    assert (await redeeming).decision.verdict is Verdict.REDEEMED
    await revoking
    assert ended == ["redeemed", "revoked"]
    assert (await other.redeem(second.shown())).decision.flags == (Flag.REVOKED,)
