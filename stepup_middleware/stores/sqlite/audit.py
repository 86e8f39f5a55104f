"""Purging the audit log, and handing its alerts over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from stepup_middleware.core.moments import from_micros, to_micros
from stepup_middleware.core.retention import (
    ALERTS_STAY,
    PROMPTS_STAY,
    TOKENS_STAY,
    clock_anomaly,
    purgeable,
    retention_of,
)
from stepup_middleware.stores.base import Alert, Purged
from stepup_middleware.stores.rows import record_of

from .transaction import Transaction


def purge(transaction: Transaction, now: datetime, limit: int, *, vouched: bool) -> Purged:
    """Remove what is over, at most ``limit`` rows of each kind, unless the clock looks wrong."""
    newest, before = transaction.row("newest"), _purged_before(transaction)
    anomaly = clock_anomaly(
        now, newest=None if newest is None else from_micros(newest[2]), before=before, vouched=vouched
    )
    if anomaly is not None:
        return Purged(anomalies=(anomaly,))
    transaction.run("note_purge", (to_micros(now),))
    events = 0
    for (chain,) in transaction.rows("chain_names"):
        events += _purge_chain(transaction, chain, now, limit - events)
    prompts = transaction.changed("purge_prompts", {"limit": limit, "over": to_micros(now - PROMPTS_STAY)})
    tokens = transaction.changed("purge_tokens", {"limit": limit, "over": to_micros(now - TOKENS_STAY)})
    transaction.run("purge_refused_sessions", {"limit": limit, "over": to_micros(now - PROMPTS_STAY)})
    transaction.run("purge_enrolments", {"limit": limit, "over": to_micros(now)})
    transaction.run("purge_alerts", {"limit": limit, "over": to_micros(now - ALERTS_STAY)})
    return Purged(events=events, prompts=prompts, tokens=tokens, more=limit in (events, prompts, tokens))


def _purged_before(transaction: Transaction) -> datetime | None:
    """Return when a purge last believed its clock; the time of the oldest record where none ever did."""
    found = transaction.row("purged_at")
    if found is not None and found[0]:
        return from_micros(found[0])
    oldest = transaction.row("oldest")
    return None if oldest is None else from_micros(oldest[0])


def _purge_chain(transaction: Transaction, chain: str, now: datetime, limit: int) -> int:
    """Remove the part of a chain before its first record that must stay."""
    years = retention_of(chain)
    if years is None or limit <= 0:
        return 0
    oldest = {link: (hash_, from_micros(at)) for link, hash_, at in transaction.rows("oldest_of_chain", (chain, limit))}
    last = purgeable(((link, at) for link, (_, at) in oldest.items()), years, now)
    if last is None:
        return 0
    transaction.run("set_chain_start", (chain, last, oldest[last][0], to_micros(now)))
    transaction.run("purge_heads", (chain, last))
    return transaction.changed("purge_chain", (chain, last))


def claim_alerts(transaction: Transaction, now: datetime, until: datetime, limit: int) -> tuple[Alert, ...]:
    """Take alerts that nobody holds. One whose record was purged is over."""
    taken = transaction.rows("claim_alerts", {"now": to_micros(now), "until": to_micros(until), "limit": limit})
    if not taken:
        return ()
    had = {seq: tuple(json.loads(names)) for seq, names in taken}
    records = [record_of(row) for row in transaction.rows("alert_records", (json.dumps(list(had)),))]
    for seq in had.keys() - {record.seq for record in records}:
        transaction.run("drop_alert", (seq,))
    return tuple(Alert(record=record, had=had[record.seq]) for record in records)


def settle_alert(transaction: Transaction, seq: int, had: Sequence[str], *, over: bool) -> None:
    """Note who has had an alert, or that everybody has."""
    if over:
        transaction.run("drop_alert", (seq,))
    else:
        transaction.run("note_alert", (json.dumps(list(had)), seq))
