"""The statement that redeems and the table of decisions are the same rules, written twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stepup_middleware.core.binding import BoundRequest
from stepup_middleware.core.decisions import (
    CLOCK_SKEW,
    Flag,
    Presentation,
    TokenRow,
    TokenState,
    Verdict,
    decide,
)
from stepup_middleware.core.events import EventName
from stepup_middleware.core.factors import FactorKind, FactorRequirement
from stepup_middleware.core.moments import iso, to_micros
from stepup_middleware.core.presentations import presentation_event
from stepup_middleware.core.tokens import TokenReference
from stepup_middleware.log.records import SALT_BYTES, read_body, salt_body
from stepup_middleware.request.body import content_digest
from stepup_middleware.stores.authorized import REDEEMED, authorized_body, prepare_redemption
from stepup_middleware.stores.base import HotState, Store
from stepup_middleware.stores.rows import token_of
from stepup_middleware.stores.sealing import sealed_token
from stepup_middleware.stores.sql import epochs
from stepup_middleware.stores.sql.store import SQLStore
from stepup_middleware.stores.sql.transaction import Transaction
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing.contract.values import IP, MACS, MICROSECOND, NOW, TTL, all_records, event, passkey

ISSUED_AT = NOW
HONEST: dict[str, Any] = {
    "subject_id": "u",
    "session": "s",
    "workspace_id": "w",
    "ip": IP,
    "purpose": "p",
    "request_digest": b"r" * 32,
    "details_digest": b"d" * 32,
    "minimum": FactorRequirement.ANY,
    "ttl": TTL,
    "now": ISSUED_AT,
}
ROW: dict[str, Any] = {
    "state": "issued",
    "epoch": 0,
    "factor_kind": FactorKind.PASSKEY,
    "factor_live": True,
    "nonce": b"n" * 16,
}
SHORT = timedelta(seconds=30)

# What can be off: in the row, in what is shown, or two values that meet at a boundary.
OFF_ROW: list[dict[str, Any]] = [
    {"state": "redeemed"},
    {"state": "revoked"},
    {"epoch": -1},
    {"factor_kind": FactorKind.TOTP},
    {"factor_kind": FactorKind.HARDWARE_KEY},
    {"factor_live": False},
    {"nonce": b"m" * 16},
]
OFF_SHOWN: list[dict[str, Any]] = [
    *({"subject_id": other} for other in ("U", "u ", "u\0", "v")),
    {"session": "t"},
    {"workspace_id": "x"},
    *({"ip": other} for other in ("192.0.2.8", "::1")),
    {"purpose": "q"},
    *({"request_digest": other} for other in (b"R" * 32, b"r" * 31)),
    {"details_digest": b"D" * 32},
    {"minimum": FactorRequirement.PHISHING_RESISTANT},
    {"now": ISSUED_AT + TTL - MICROSECOND, "ttl": timedelta(minutes=5)},
    {"now": ISSUED_AT + TTL, "ttl": timedelta(minutes=5)},
    {"now": ISSUED_AT + SHORT - MICROSECOND, "ttl": SHORT},
    {"now": ISSUED_AT + SHORT, "ttl": SHORT},
    {"now": ISSUED_AT - CLOCK_SKEW},
    {"now": ISSUED_AT - CLOCK_SKEW - MICROSECOND},
    {"now": ISSUED_AT + timedelta(days=31)},
]
Case = tuple[dict[str, Any], dict[str, Any]]
Hold = datetime | None  # on the person of all cases: until when
HOLDS = st.sampled_from([None, ISSUED_AT, ISSUED_AT + MICROSECOND, ISSUED_AT + SHORT, ISSUED_AT + timedelta(days=60)])
FEW_ROW = st.lists(st.sampled_from(OFF_ROW), max_size=1)
FEW_SHOWN = st.lists(st.sampled_from(OFF_SHOWN), max_size=2)


@st.composite
def cases(draw: Callable[..., Any]) -> Case:
    """Return a row and a presentation of it in which a few things are off."""
    row, shown = dict(ROW), dict(HONEST)
    for off in draw(FEW_ROW):
        row |= off
    for off in draw(FEW_SHOWN):
        shown |= off
    return row, shown


ONE_OFF: list[Case] = [
    *((ROW | off, HONEST) for off in OFF_ROW),
    *((ROW, HONEST | off) for off in OFF_SHOWN),
    *((ROW, HONEST | off | {"minimum": FactorRequirement.PHISHING_RESISTANT}) for off in OFF_SHOWN),
    ({**ROW, "factor_kind": FactorKind.TOTP}, {**HONEST, "minimum": FactorRequirement.PHISHING_RESISTANT}),
    ({**ROW, "factor_kind": FactorKind.HARDWARE_KEY}, {**HONEST, "minimum": FactorRequirement.PHISHING_RESISTANT}),
]


REQUEST = BoundRequest(method="GET", path="/", query="")


def presentation(fields: dict[str, Any], id_: int, attempt: bytes) -> Presentation:
    values: dict[str, Any] = {
        "reference": TokenReference(id_, b"n" * 16),
        "attempt": attempt,
        "subject_name": "",
        "actor": "",
        "client": "",
        "user_agent": "Firefox",
        "retention_years": 1,
        "request": REQUEST,
        "request_text": REQUEST.text(),
        "details": (),
    }
    return Presentation(**{**values, **fields})


def judged(row: dict[str, Any], shown: Presentation, hold: Hold) -> tuple[Verdict, tuple[Flag, ...]]:
    """Return what the table says of the row as it is read, and of a person who is held until a moment or not at all."""
    state = TokenState(row["state"])
    if row["epoch"] and state is TokenState.ISSUED:
        state = TokenState.REVOKED
    token = TokenRow(
        reference=TokenReference(shown.reference.id, row["nonce"]),
        state=state,
        prompt_id="",
        workspace_id="w",
        subject_id="u",
        session="s",
        ip=IP,
        purpose="p",
        requirement=FactorRequirement.ANY,
        policy_version=0,
        request_digest=b"r" * 32,
        details_digest=b"d" * 32,
        factor_id="",
        factor_kind=row["factor_kind"],
        issued_at=ISSUED_AT,
        expires_at=ISSUED_AT + TTL,
    )
    held = hold is not None and shown.now < hold
    decision = decide(token, shown, factor_live=row["factor_live"], held=held)
    return decision.verdict, decision.flags


async def begin_hold(store: HotState, hold: Hold) -> None:
    """Write the record that holds the person of all cases."""
    if hold is not None:
        until = {"hold_until": iso(hold)}
        reset = event(EventName.FACTORS_RESET, workspace_id="w", subject_id="u", data=until)
        await store.records.append([reset])


async def mint(transaction: Transaction, rows: Sequence[dict[str, Any]]) -> list[int]:
    """Write rows in states that the contract alone could not bring about all at once."""
    epoch, _ = await epochs.read(transaction)
    ids = []
    for row in rows:
        values = (
            row["nonce"],
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
            "live" if row["factor_live"] else "gone",
            row["factor_kind"].value,
            to_micros(ISSUED_AT),
            to_micros(ISSUED_AT + TTL),
        )
        new = (*sealed_token(transaction.macs, epoch, values), TokenState.ISSUED.value)
        ((_, id_),) = await transaction.fetch_many("insert_tokens", [new])
        if row["state"] == "revoked":
            await transaction.execute_many("revoke_tokens", [(id_, "test")])
        ids.append(id_)
    return ids


async def assert_all_agree(store: SQLStore, batch: list[Case], hold: Hold) -> None:
    """Mint the rows of cases, those of the epoch before first, and compare what becomes of each."""
    await store.add_webauthn_factor("w", "u", passkey(id="live"), event=event())
    before = [case for case in batch if case[0]["epoch"]]
    present = [case for case in batch if not case[0]["epoch"]]
    ids: list[int] = []
    for some in (before, present):
        minted = [dict(row) for row, _ in some]
        ids += await store._write(partial(mint, rows=minted))
        if some is before:
            await store.revoke_all(event=None, now=NOW)
    cases_ = [*before, *present]
    rows = [dict(row) for row, _ in cases_]
    await begin_hold(store, hold)
    await assert_agreement(store, cases_, rows, ids, hold, lambda id_: stored_token(store, id_))


async def run_cases(path: Path, batch: list[Case], hold: Hold) -> None:
    async with SQLiteStore(path).use(MACS) as store:
        await assert_all_agree(store, batch, hold)


async def assert_agreement(
    store: Store,
    batch: list[Case],
    rows: list[dict[str, Any]],
    ids: list[int],
    hold: Hold,
    stored: Callable[[int], Awaitable[TokenRow]],
) -> None:
    """Present each case of a batch whose rows were minted, and assert what the table of decisions says of it."""
    for row, id_ in zip(rows, ids, strict=True):
        if row["state"] == "redeemed":
            before = replace(
                presentation(HONEST, id_, b"before".ljust(16)), reference=TokenReference(id_, row["nonce"])
            )
            if (await store.redeem(before)).decision.verdict is not Verdict.REDEEMED:
                # another nonce or an old epoch left the row alone; a factor that is gone revoked it
                alone = row["epoch"] or row["factor_live"]
                row["state"] = "issued" if alone else "revoked"
    shown = [
        presentation(fields, id_, index.to_bytes(16, "big"))
        for index, ((_, fields), id_) in enumerate(zip(batch, ids, strict=True))
    ]
    answers = await asyncio.gather(*map(store.redeem, shown))
    said = [(answer.decision.verdict, answer.decision.flags) for answer in answers]
    assert said == [judged(row, one, hold) for row, one in zip(rows, shown, strict=True)]
    for answer in answers:
        if answer.decision.verdict is Verdict.REDEEMED:
            assert answer.row is not None
            assert answer.row == await stored(answer.row.reference.id)


async def stored_token(store: SQLStore, id_: int) -> TokenRow:
    (row,) = await store._write(lambda transaction: transaction.fetch_many("read_tokens", [(id_,)]))
    return token_of(row)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(cases(), min_size=1, max_size=40), hold=HOLDS)
@example(batch=ONE_OFF, hold=None)
@example(batch=ONE_OFF, hold=ISSUED_AT + SHORT)
def test_the_statement_redeems_exactly_what_the_table_redeems(
    batch: list[Case], hold: Hold, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("guard") / "stepup.db"
    asyncio.run(run_cases(path, batch, hold))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(
    texts=st.lists(TEXTS, min_size=11, max_size=11),
    details=st.lists(st.tuples(TEXTS, TEXTS), max_size=4),
    digest=st.none() | st.just(content_digest(bytes(32))),
    years=st.integers(1, 100),
    micros=st.integers(0, 10**9),
    kind=st.sampled_from(list(FactorKind)),
    requirement=st.sampled_from(list(FactorRequirement)),
)
def test_the_text_of_an_authorization_is_that_of_its_event(
    texts: list[str],
    details: list[tuple[str, str]],
    digest: str | None,
    years: int,
    micros: int,
    kind: FactorKind,
    requirement: FactorRequirement,
) -> None:
    workspace, subject, name, session, ip, agent, purpose, path, query, prompt, factor = texts
    request = BoundRequest(method="POST", path=path, query=query, content_digest=digest)
    shown = Presentation(
        reference=TokenReference(7, b"n" * 16),
        attempt=b"a" * 16,
        workspace_id=workspace,
        subject_id=subject,
        subject_name=name,
        actor="",
        client="",
        session=session,
        ip=ip,
        user_agent=agent,
        purpose=purpose,
        ttl=TTL,
        minimum=FactorRequirement.ANY,
        retention_years=years,
        request=request,
        request_text=request.text(),
        request_digest=b"r" * 32,
        details=tuple(details),
        details_digest=b"d" * 32,
        now=NOW + micros * MICROSECOND,
    )
    facts = [
        prompt,
        factor,
        kind.value,
        requirement.value,
        3,
        to_micros(NOW),
        to_micros(NOW + TTL),
    ]
    row = TokenRow(
        reference=shown.reference,
        state=TokenState.REDEEMED,
        prompt_id=prompt,
        workspace_id=workspace,
        subject_id=subject,
        session=session,
        ip=ip,
        purpose=purpose,
        requirement=requirement,
        policy_version=3,
        request_digest=b"r" * 32,
        details_digest=b"d" * 32,
        factor_id=factor,
        factor_kind=kind,
        issued_at=NOW,
        expires_at=NOW + TTL,
    )
    prepared = prepare_redemption(shown)
    body, salt = authorized_body(prepared, facts), prepared.chance[:SALT_BYTES]
    event = presentation_event(shown, REDEEMED, row)
    assert body == event.body(salt.hex()) == salt_body(event.body(), salt)
    assert read_body(body) == event.body()
    assert json.loads(body)["retention_years"] == years


async def test_a_shared_attempt_never_leaves_a_redemption_without_its_event(tmp_path: Path) -> None:
    async with SQLiteStore(tmp_path / "stepup.db").use(MACS) as store:
        await store.add_webauthn_factor("w", "u", passkey(id="live"), event=event())
        rows = [ROW, ROW]
        ids = await store._write(partial(mint, rows=rows))
        shown = [presentation(HONEST, id_, b"the same attempt") for id_ in ids]
        answers = await asyncio.gather(*map(store.redeem, shown))
        assert [answer.decision.verdict for answer in answers] == [Verdict.REDEEMED] * 2
        names = [record.event.value for record in await all_records(store)]
        assert names.count("ACTION_AUTHORIZED") == 2
