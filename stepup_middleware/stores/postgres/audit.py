"""Reading and purging the audit log."""

from __future__ import annotations

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
from stepup_middleware.stores.base import Alert, AuditFilter, Purged
from stepup_middleware.stores.rows import record_of

from .parameters import storable
from .transaction import Transaction

_FIELDS = ("subject", "purpose", "event", "outcome", "prompt")


def query(
    workspace: str | None, wanted: AuditFilter, *, first: int | None, end: int | None, newest_first: bool, limit: int
) -> tuple[str, list[object]]:
    """Return the statement of one walk along the log, ``first <= seq < end``, and its parameters."""
    conditions: list[str] = []
    parameters: list[object] = []

    def add(condition: str, value: object) -> None:
        parameters.append(value)
        conditions.append(condition.format(f"${len(parameters)}"))

    wanted_texts = {"workspace": workspace, **{field: getattr(wanted, field) for field in _FIELDS}}
    for field, value in wanted_texts.items():
        if value is not None:
            add(f"{field} = {{}}", str(value)) if storable(value) else conditions.append("false")
    if wanted.prompt:
        conditions.append("prompt <> ''")  # so that the partial index serves
    if wanted.since is not None:
        add("at >= {}", to_micros(wanted.since))
    if wanted.until is not None:
        add("at < {}", to_micros(wanted.until))
    if first is not None:
        add("seq >= {}", first)
    if end is not None:
        add("seq < {}", end)
    parameters.append(limit)
    order = "DESC" if newest_first else "ASC"
    # every part of the text is a constant of this module; what callers give is bound
    text = (
        "SELECT seq, chain, link, previous, hash, body FROM stepup.audit "  # noqa: S608
        f"WHERE {' AND '.join(conditions) or 'true'} ORDER BY seq {order} LIMIT ${len(parameters)}"
    )
    return text, parameters


async def purge(transaction: Transaction, now: datetime, limit: int, *, vouched: bool) -> Purged:
    """Remove what is over, at most ``limit`` rows of each kind, unless the clock looks wrong."""
    await transaction.rows("purge_turn")
    newest = await transaction.row("newest")
    before = await _purged_before(transaction)
    anomaly = clock_anomaly(
        now, newest=None if newest is None else from_micros(newest[0]), before=before, vouched=vouched
    )
    if anomaly is not None:
        return Purged(anomalies=(anomaly,))
    await transaction.changed("note_purge", to_micros(now))
    events = 0
    for (chain,) in await transaction.rows("chain_names"):
        events += await _purge_chain(transaction, chain, now, limit - events)
    prompts = await transaction.changed("purge_prompts", limit, to_micros(now - PROMPTS_STAY))
    tokens = await transaction.changed("purge_tokens", limit, to_micros(now - TOKENS_STAY))
    await transaction.changed("purge_refused_sessions", limit, to_micros(now - PROMPTS_STAY))
    await transaction.changed("purge_enrolments", limit, to_micros(now))
    await transaction.changed("purge_alerts", limit, to_micros(now - ALERTS_STAY))
    return Purged(events=events, prompts=prompts, tokens=tokens, more=limit in (events, prompts, tokens))


async def _purged_before(transaction: Transaction) -> datetime | None:
    """Return when a purge last believed its clock; the time of the oldest record where none ever did."""
    found = await transaction.row("purged_at")
    if found is not None and found[0]:
        return from_micros(found[0])
    oldest = await transaction.row("oldest")
    return None if oldest is None else from_micros(oldest[0])


async def _purge_chain(transaction: Transaction, chain: str, now: datetime, limit: int) -> int:
    """Remove the part of a chain before its first record that must stay."""
    years = retention_of(chain)
    if years is None or limit <= 0:
        return 0
    rows = await transaction.rows("oldest_of_chain", chain, limit)
    last = purgeable(((link, from_micros(at)) for link, _, at in rows), years, now)
    if last is None:
        return 0
    hash_ = next(hash_ for link, hash_, _ in rows if link == last)
    await transaction.changed("set_chain_start", chain, last, hash_, to_micros(now))
    await transaction.changed("purge_heads", chain, last)
    return await transaction.changed("purge_chain", chain, last)


async def claim_alerts(transaction: Transaction, now: datetime, until: datetime, limit: int) -> tuple[Alert, ...]:
    """Take alerts that nobody holds. One whose record was purged is over."""
    taken = await transaction.rows("claim_alerts", to_micros(now), to_micros(until), limit)
    had = {seq: tuple(names) for seq, names in taken}
    records = [record_of(row) for row in await transaction.rows("alert_records", sorted(had))]
    gone = had.keys() - {record.seq for record in records}
    if gone:
        await transaction.changed("drop_alerts", sorted(gone))
    return tuple(Alert(record=record, had=had[record.seq]) for record in records)


async def settle_alert(transaction: Transaction, seq: int, had: Sequence[str], *, over: bool) -> None:
    """Note who has had an alert, or that everybody has."""
    if over:
        await transaction.changed("drop_alerts", [seq])
    else:
        await transaction.changed("note_alert", list(had), seq)
