"""The statement that redeems and the table of decisions are the same rules, written twice."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stepup_middleware.core.decisions import IssuedToken
from stepup_middleware.core.factors import FactorKind
from stepup_middleware.core.moments import to_micros
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.postgres.transaction import Transaction
from stepup_middleware.stores.rows import token_of

from .servers import DATABASE, PostgresServer
from .support import IP, NOW, TTL, event, passkey
from .test_sqlite_guard import ISSUED_AT, ONE_OFF, Case, assert_agreement, cases

_ROW = (
    b"n" * 16,
    "",
    "w",
    "u",
    "s",
    IP,
    "p",
    "any",
    0,
    b"r" * 32,
    b"d" * 32,
    "live",
    "passkey",
    to_micros(ISSUED_AT),
    to_micros(ISSUED_AT + TTL),
)


async def mint(transaction: Transaction, rows: list[dict[str, object]]) -> list[int]:
    """Write rows in states that the contract alone could not bring about all at once."""
    ids = []
    for row in rows:
        kind = row["factor_kind"]
        assert isinstance(kind, FactorKind)
        values = [row["nonce"], *_ROW[1:11], "live" if row["factor_live"] else "gone", kind.value, *_ROW[13:]]
        ((_, id_),) = await transaction.many("insert_tokens", [values])
        if row["epoch"]:
            await transaction._connection.execute("UPDATE stepup.tokens SET epoch = epoch - 1 WHERE id = $1", id_)
        if row["state"] == "revoked":
            await transaction.many("revoke_tokens", [(id_, "test")])
        ids.append(id_)
    return ids


async def run_cases(server: PostgresServer, batch: list[Case]) -> None:
    dsn = await server.empty_database(DATABASE)
    async with PostgresStore(dsn) as store:
        await store.add_webauthn_factor("w", "u", passkey(id="live"), event=event())
        rows = [dict(row) for row, _ in batch]
        ids = await store._engine.write(lambda transaction: mint(transaction, rows))
        await assert_agreement(store, batch, rows, ids, lambda id_: stored_token(store, id_))


async def stored_token(store: PostgresStore, id_: int) -> IssuedToken:
    row = await store._read.row("read_tokens", [id_])
    assert row is not None
    return token_of(row)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(cases(), min_size=1, max_size=60))
@example(batch=ONE_OFF)
def test_the_statement_redeems_exactly_what_the_table_redeems(
    batch: list[Case], postgres_server: PostgresServer
) -> None:
    asyncio.run(run_cases(postgres_server, batch))


@pytest.mark.parametrize("text", ["\0", "u\0", "\ud800"])
async def test_what_the_database_cannot_hold_is_found_nowhere_and_takes_nobody_with_it(
    postgres_dsn: str, text: str
) -> None:
    async with PostgresStore(postgres_dsn) as store:
        assert await store.get_prompt(text, now=NOW) is None
        assert await store.pop_challenge(text, now=NOW) is None
        assert not await store.cancel_prompt(text, event=event(), now=NOW)
        assert not await store.rename_factor("w", "u", text, "name")
        assert not await store.remove_factor("w", "u", text, event=event(), now=NOW)
        assert await store.last_seq() == 0
