"""Alerts that wait to be handed over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from stepup_middleware.core.audit import Alert
from stepup_middleware.core.moments import to_micros
from stepup_middleware.stores.rows import record_of

from .transaction import Transaction


async def claim_alerts(transaction: Transaction, now: datetime, until: datetime, limit: int) -> tuple[Alert, ...]:
    """Take alerts that nobody holds. An alert whose record was purged is dropped."""
    taken = await transaction.fetch_all("claim_alerts", to_micros(now), to_micros(until), limit)
    had = {seq: tuple(json.loads(names)) for seq, names in taken}
    rows = await transaction.fetch_many("alert_records", [(seq,) for seq in sorted(had)])
    records = sorted((record_of(row) for row in rows), key=lambda record: record.seq)
    for seq in had.keys() - {record.seq for record in records}:
        await transaction.execute("drop_alert", seq)
    return tuple(Alert(record=record, had=had[record.seq]) for record in records)


async def settle_alert(transaction: Transaction, seq: int, had: Sequence[str], *, over: bool) -> None:
    """Note which sinks have an alert, or that all have it."""
    if over:
        await transaction.execute("drop_alert", seq)
    else:
        await transaction.execute("note_alert", seq, json.dumps(list(had)))
