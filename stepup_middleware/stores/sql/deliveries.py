"""What waits to be handed to sinks: alerts, and notices to people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from stepup_middleware.core.audit import Delivery
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.retention import DELIVERIES_STAY
from stepup_middleware.core.topics import Topic
from stepup_middleware.log.records import names_body
from stepup_middleware.stores.rows import Row, record_of

from .transaction import Transaction


async def claim_deliveries(
    transaction: Transaction, topics: Sequence[Topic], now: datetime, until: datetime, limit: int
) -> tuple[Delivery, ...]:
    """Take those that nobody holds. Those too old, purged, or written by no process of ours are dropped."""
    if not topics:
        return ()
    taken = await transaction.fetch_all(
        "claim_deliveries", to_micros(now), to_micros(until), limit, topics[0].value, topics[-1].value
    )
    rows = await transaction.fetch_many("delivered_records", [(seq,) for seq in sorted({seq for seq, _, _ in taken})])
    records = {row[0]: record_of(row) for row in rows if _is_ours(transaction, row)}
    claimed = []
    for seq, word, had in sorted((row[0], row[1], row[2]) for row in taken):
        topic = Topic(word)
        record = records.get(seq)
        if record is None or topic not in record.topics or record.at <= now - DELIVERIES_STAY[topic]:
            await transaction.execute("drop_delivery", seq, topic.value)
        else:
            claimed.append(Delivery(record=record, topic=topic, had=_sinks_of(had)))
    return tuple(claimed)


def _sinks_of(text: str) -> tuple[str, ...]:
    """Return the sinks of a row. Of one that somebody else wrote none: it must not keep all others from their sinks."""
    try:
        sinks = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return ()
    return tuple(sink for sink in sinks if isinstance(sink, str)) if isinstance(sinks, list) else ()


def _is_ours(transaction: Transaction, row: Row) -> bool:
    """Tell whether a record has the MAC of this installation: nobody is told what somebody wrote to the table."""
    _, body, id_, entry, mac, *_ = row
    return transaction.macs.holds_for_record(id_, entry, bytes(mac)) and names_body(entry, body)


async def settle_delivery(transaction: Transaction, seq: int, topic: Topic, had: Sequence[str], *, over: bool) -> None:
    """Note which sinks have had it, or that all have."""
    if over:
        await transaction.execute("drop_delivery", seq, topic.value)
    else:
        await transaction.execute("note_delivery", seq, topic.value, json.dumps(list(had)))
