"""Purging: what is over goes, in bounded steps, unless the clock looks wrong."""

from __future__ import annotations

from datetime import datetime

from stepup_middleware.core.moments import from_micros, to_micros
from stepup_middleware.core.retention import (
    ALERTS_STAY,
    PROMPTS_STAY,
    TOKENS_STAY,
    Purged,
    clock_anomaly,
    purgeable,
    retention_of,
)

from .transaction import Transaction


async def purge(transaction: Transaction, now: datetime, limit: int, *, clock_confirmed: bool) -> Purged:
    """Remove what is over, at most ``limit`` rows of each kind, unless the clock looks wrong."""
    await transaction.lock(["purge"])
    newest = await transaction.fetch_one("newest")
    anomaly = clock_anomaly(
        now,
        newest=None if newest is None else from_micros(newest[0]),
        before=await _purged_before(transaction),
        clock_confirmed=clock_confirmed,
    )
    if anomaly is not None:
        return Purged(anomalies=(anomaly,))
    await transaction.execute("note_purge", to_micros(now))
    events = 0
    for (chain,) in await transaction.fetch_all("chain_names"):
        events += await _purge_chain(transaction, chain, now, limit - events)
    prompts = await transaction.execute("purge_prompts", limit, to_micros(now - PROMPTS_STAY))
    tokens = await transaction.execute("purge_tokens", limit, to_micros(now - TOKENS_STAY))
    await transaction.execute("purge_refused_sessions", limit, to_micros(now - PROMPTS_STAY))
    await transaction.execute("purge_enrolments", limit, to_micros(now))
    await transaction.execute("purge_alerts", limit, to_micros(now - ALERTS_STAY))
    return Purged(events=events, prompts=prompts, tokens=tokens, more=limit in (events, prompts, tokens))


async def _purged_before(transaction: Transaction) -> datetime | None:
    """Return when a purge last believed its clock; the time of the oldest record where none ever did."""
    found = await transaction.fetch_one("purged_at")
    if found is not None and found[0]:
        return from_micros(found[0])
    oldest = await transaction.fetch_one("oldest")
    return None if oldest is None else from_micros(oldest[0])


async def _purge_chain(transaction: Transaction, chain: str, now: datetime, limit: int) -> int:
    """Remove the part of a chain before its first record that must stay."""
    years = retention_of(chain)
    if years is None or limit <= 0:
        return 0
    rows = await transaction.fetch_all("oldest_of_chain", chain, limit)
    last = purgeable(((link, from_micros(at)) for link, _, at in rows), years, now)
    if last is None:
        return 0
    hash_ = next(hash_ for link, hash_, _ in rows if link == last)
    await transaction.execute("set_chain_start", chain, last, hash_, to_micros(now))
    await transaction.execute("purge_heads", chain, last)
    return await transaction.execute("purge_chain", chain, last)
