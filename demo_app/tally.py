"""The last 24 hours of the audit log in numbers, kept up to date by reading only what is new."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from stepup_middleware import AuditFilter, AuditRecord, EventName, FailureCluster, StepUp

HOURS = 24
_KINDS = {
    EventName.CHALLENGE_REQUESTED: "asked",
    EventName.VERIFIED: "verified",
    EventName.ACTION_AUTHORIZED: "authorized",
    EventName.FAILED: "failed",
    EventName.BLOCKED: "blocked",
    EventName.REUSED: "reused",
}
KINDS = tuple(_KINDS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The last 24 hours: totals by kind, counts by kind for each hour, oldest first, and clusters of failures."""

    totals: Counter[str]
    hours: list[tuple[datetime, Counter[str]]]
    clusters: tuple[FailureCluster, ...]

    @property
    def tallest(self) -> int:
        """The largest number of events in an hour, at least one."""
        return max(1, *(sum(hour.values()) for _, hour in self.hours))


class Tally:
    """Counts a workspace's events by hour. Each event is read once a process, however often a console is drawn."""

    def __init__(self, stepup: StepUp, workspace_id: str, clock: Callable[[], datetime]) -> None:
        self._stepup = stepup
        self._workspace_id = workspace_id
        self._clock = clock
        self._lock = asyncio.Lock()
        self._hours: dict[datetime, Counter[str]] = {}
        self._read = 0  # the sequence number up to which events are counted; 0 for none

    async def day(self) -> Day:
        """Return the last 24 hours up to now."""
        this_hour = _hour(self._clock())
        starts = [this_hour - timedelta(hours=back) for back in range(HOURS - 1, -1, -1)]
        async with self._lock:
            wanted = AuditFilter() if self._read else AuditFilter(since=starts[0])
            async for record in self._stepup.audit.stream(self._workspace_id, wanted, after=self._read):
                self._count(record)
            self._hours = {start: counts for start, counts in self._hours.items() if start >= starts[0]}
            hours = [(start, self._hours.get(start, Counter())) for start in starts]
        totals = sum((counts for _, counts in hours), Counter())
        clusters = await self._stepup.audit.clusters(self._workspace_id, since=starts[0])
        return Day(totals=totals, hours=hours, clusters=clusters)

    def _count(self, record: AuditRecord) -> None:
        self._read = record.seq
        kind = _KINDS.get(record.event)
        if kind is not None:
            self._hours.setdefault(_hour(record.at), Counter())[kind] += 1


def _hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
