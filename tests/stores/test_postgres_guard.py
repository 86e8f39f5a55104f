"""The statement that redeems and the table of decisions are the same rules, written twice."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.testing.contract.values import MACS, NOW, event

from .servers import DATABASE, PostgresServer
from .test_sqlite_guard import HOLDS, ISSUED_AT, ONE_OFF, SHORT, Case, Hold, assert_all_agree, cases


async def run_cases(server: PostgresServer, batch: list[Case], hold: Hold) -> None:
    dsn = await server.empty_database(DATABASE)
    async with PostgresStore(dsn).use(MACS) as store:
        await assert_all_agree(store, batch, hold)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(cases(), min_size=1, max_size=60), hold=HOLDS)
@example(batch=ONE_OFF, hold=None)
@example(batch=ONE_OFF, hold=ISSUED_AT + SHORT)
def test_the_statement_redeems_exactly_what_the_table_redeems(
    batch: list[Case], hold: Hold, postgres_server: PostgresServer
) -> None:
    asyncio.run(run_cases(postgres_server, batch, hold))


@pytest.mark.parametrize("text", ["\0", "u\0", "\ud800"])
async def test_what_the_database_cannot_hold_is_found_nowhere_and_takes_nobody_with_it(
    postgres_dsn: str, text: str
) -> None:
    async with PostgresStore(postgres_dsn).use(MACS) as store:
        assert await store.get_prompt(text, now=NOW) is None
        assert await store.pop_challenge(text, now=NOW) is None
        assert not await store.cancel_prompt(text, event=event(), now=NOW)
        assert not await store.rename_factor("w", "u", text, "name")
        assert not await store.remove_factor("w", "u", text, event=event(), now=NOW)
        assert await store.last_seq() == 0
