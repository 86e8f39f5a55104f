"""The script that redeems and the table of decisions are the same rules, written twice."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stepup_middleware.core.decisions import TokenState, Verdict
from stepup_middleware.core.events import EventName
from stepup_middleware.core.factors import FactorKind, FactorRequirement
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.stores.postgres import PostgresStore
from stepup_middleware.stores.redis import RedisHotStore
from stepup_middleware.stores.redis.codec import bound_digest, token_key
from stepup_middleware.stores.sealing import sealed_token
from stepup_middleware.testing.contract.values import IP, MACS, TTL, event, passkey, row_of

from .servers import DATABASE, PostgresServer, ValkeyServer
from .test_sqlite_guard import (
    HOLDS,
    ISSUED_AT,
    ONE_OFF,
    SHORT,
    Case,
    Hold,
    begin_hold,
    cases,
    judged,
    presentation,
)

PROMPT = "the-one-prompt"


def fields_of(row: dict[str, Any], epoch: int) -> dict[str, Any]:
    """Return a token's hash in a state that the contract alone could not bring about."""
    kind: FactorKind = row["factor_kind"]
    factor = "live" if row["factor_live"] else "gone"
    issued_at, expires_at = to_micros(ISSUED_AT), to_micros(ISSUED_AT + TTL)
    request, details = (b"r" * 32).hex(), (b"d" * 32).hex()
    minted_in = epoch + row["epoch"]
    bound = (PROMPT, "w", "u", "s", IP, "p", FactorRequirement.ANY.value, 0, b"r" * 32, b"d" * 32)
    _, _, *body = sealed_token(MACS, minted_in, (row["nonce"], *bound, factor, kind.value, issued_at, expires_at))
    return {
        "state": row["state"],
        "epoch": minted_in,
        "bound": bound_digest("w", "u", "s", IP, "p", request, details),
        "kind": kind.value,
        "issued_at": issued_at,
        "expires_at": expires_at,
        "body": json.dumps([value.hex() if isinstance(value, bytes) else value for value in body]),
    }


async def run_cases(postgres: PostgresServer, valkey: ValkeyServer, batch: list[Case], hold: Hold) -> None:
    dsn = await postgres.empty_database(DATABASE)
    await valkey.empty()
    async with RedisHotStore(valkey.url(), behind=PostgresStore(dsn).use(MACS)) as store:
        await store.records.add_webauthn_factor("w", "u", passkey(id="live"), event=event())
        await begin_hold(store, hold)
        # a token that was redeemed is one whose action the log has
        await store.records.append([event(EventName.ACTION_AUTHORIZED, workspace_id="w", prompt_id=PROMPT)])
        rows = [dict(row) for row, _ in batch]
        shown = [
            presentation(fields, index, index.to_bytes(16, "big")) for index, (_, fields) in enumerate(batch, start=1)
        ]
        commands = []
        for row, one in zip(rows, shown, strict=True):
            key = token_key(TokenReference(one.reference.id, row["nonce"]))
            flat = [part for pair in fields_of(row, store._server.epoch).items() for part in pair]
            commands.append(("HSET", key, *flat))
        await store._server.run(commands)
        answers = await asyncio.gather(*map(store.redeem, shown))
        said = [(answer.decision.verdict, answer.decision.flags) for answer in answers]
        assert said == [judged(row, one, hold) for row, one in zip(rows, shown, strict=True)]
        for one, answer in zip(shown, answers, strict=True):
            if answer.decision.verdict is Verdict.REDEEMED:
                token = row_of(answer)
                assert (token.state, token.reference, token.attempt) == (
                    TokenState.REDEEMED,
                    one.reference,
                    one.attempt,
                )


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(cases(), min_size=1, max_size=60), hold=HOLDS)
@example(batch=ONE_OFF, hold=None)
@example(batch=ONE_OFF, hold=ISSUED_AT + SHORT)
def test_the_script_redeems_exactly_what_the_table_redeems(
    batch: list[Case], hold: Hold, postgres_server: PostgresServer, valkey_server: ValkeyServer
) -> None:
    asyncio.run(run_cases(postgres_server, valkey_server, batch, hold))
