"""The writing end of the audit log."""

from __future__ import annotations

from stepup_middleware.core.moments import span_micros
from stepup_middleware.core.retention import DELIVERY_LEASE
from stepup_middleware.stores.subscribers import Written

from .transaction import PostgresTransaction

_LEASE = span_micros(DELIVERY_LEASE)


def indexed(text: str) -> str:
    """Return a text as a column can hold it; the body, which is the truth, escapes what it cannot."""
    return text.replace("\0", "\ufffd")


async def write_records(transaction: PostgresTransaction) -> list[Written]:
    """Insert the records of a transaction with one statement. Returns their serial numbers, in their order."""
    records = transaction.records
    rows = []
    for record in records:
        sealed, at, workspace, subject, event, outcome, purpose, prompt, factor, token, _, _, person, held = record
        texts = (indexed(text) for text in (workspace, subject, event, outcome, purpose, prompt, factor))
        whose = (None if person is None else indexed(person), held)
        rows.append((sealed.id, sealed.entry, sealed.mac, *texts, token, *whose, at, sealed.body))
    inserted = await transaction.fetch_many("append", rows)
    for (seq,), record in zip(inserted, records, strict=True):
        for topic in record.topics:
            await transaction.execute("add_delivery", seq, topic, record.at, record.at + _LEASE)
    return [(seq, record.make) for (seq,), record in zip(inserted, records, strict=True)]
