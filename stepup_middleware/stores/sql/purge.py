"""Purging: what is over goes, in bounded steps, unless the clock looks wrong."""

from __future__ import annotations

from datetime import UTC, datetime

from stepup_middleware.core.moments import from_micros, to_micros
from stepup_middleware.core.retention import DELIVERIES_STAY, PROMPTS_STAY, TOKENS_STAY, Purged, clock_anomaly

from .transaction import Transaction


class Purge:
    """Removes what is over, one step after another. Remembers between them which enrolments it has looked at."""

    def __init__(self) -> None:
        self._looked = 0  # at the records of enrolments, up to this serial number

    async def step(self, transaction: Transaction, now: datetime, limit: int, *, clock_confirmed: bool) -> Purged:
        """Remove at most ``limit`` rows of each kind, unless the clock looks wrong."""
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
        today = now.astimezone(UTC).date().isoformat()
        events = await transaction.execute("purge_records", limit, today)
        enrolments = await self._enrolments(transaction, today, limit)
        prompts = await transaction.execute("purge_prompts", limit, to_micros(now - PROMPTS_STAY))
        tokens = await transaction.execute("purge_tokens", limit, to_micros(now - TOKENS_STAY))
        await transaction.execute("purge_refused_sessions", limit, to_micros(now - PROMPTS_STAY))
        await transaction.execute("purge_enrolments", limit, to_micros(now))
        await transaction.execute("purge_passes", limit, to_micros(now))
        await transaction.execute("purge_rights", limit, to_micros(now))
        await transaction.execute("purge_reset_requests", limit, to_micros(now))
        await transaction.execute("purge_approvals", limit, to_micros(now - PROMPTS_STAY))
        for topic, stay in DELIVERIES_STAY.items():
            await transaction.execute("purge_deliveries", limit, to_micros(now - stay), topic.value)
        await transaction.give_back_space()
        more = limit in (events, prompts, tokens) or self._looked > 0
        return Purged(events=events + enrolments, prompts=prompts, tokens=tokens, more=more)

    async def _enrolments(self, transaction: Transaction, today: str, limit: int) -> int:
        """Look at the next records of enrolments, and remove those that neither a factor nor a proof needs."""
        found = await transaction.fetch_all("enrolments_after", self._looked, limit)
        if not found:
            self._looked = 0
            return 0
        first, last = self._looked, found[-1][0]
        self._looked = last if len(found) == limit else 0
        return await transaction.execute("purge_enrolment_records", first, last, today)


async def _purged_before(transaction: Transaction) -> datetime | None:
    """Return when a purge last believed its clock; the time of the oldest record where none ever did."""
    found = await transaction.fetch_one("purged_at")
    if found is not None and found[0]:
        return from_micros(found[0])
    oldest = await transaction.fetch_one("oldest")
    return None if oldest is None else from_micros(oldest[0])
