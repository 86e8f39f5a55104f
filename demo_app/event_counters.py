"""The last 24 hours of the audit log in numbers: counted in the database, kept up to date by reading what is new."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from stepup_middleware import EventName, FailureCluster, Outcome, StepUp

HOURS = 24
FAILURES = 500  # of each kind that clusters are looked for among, the newest
_NEW = 1_000  # events that are read one by one when a console is drawn; more are counted anew
_KINDS = {
    EventName.CHALLENGE_REQUESTED: "asked",
    EventName.VERIFIED: "verified",
    EventName.ACTION_AUTHORIZED: "authorized",
    EventName.FAILED: "failed",
    EventName.BLOCKED: "blocked",
    EventName.REUSED: "reused",
}
_CANCELLED = "cancelled"
KINDS = ("asked", "verified", "authorized", _CANCELLED, "failed", "blocked", "reused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The last 24 hours: totals by kind, counts by kind for each hour, oldest first, and clusters of failures."""

    totals: Counter[str]
    hours: list[tuple[datetime, Counter[str]]]
    clusters: tuple[FailureCluster, ...]

    @property
    def unread_failures(self) -> bool:
        """Whether there are failures that clusters are not looked for among."""
        return max(self.totals["failed"], self.totals["blocked"]) > FAILURES

    @property
    def tallest(self) -> int:
        """The largest number of events in an hour, at least one."""
        return max(1, *(sum(hour.values()) for _, hour in self.hours))


class EventCounters:
    """Counts a workspace's events by hour.

    The database counts them for the first console that a process draws, and again when much has happened since the
    last one; between those only what is new is read. What a draw reads is bounded, however long the log is.
    """

    def __init__(self, stepup: StepUp, workspace_id: str, clock: Callable[[], datetime]) -> None:
        self._stepup = stepup
        self._workspace_id = workspace_id
        self._clock = clock
        self._lock = asyncio.Lock()
        self._hours: dict[datetime, Counter[str]] = {}
        self._counted = 0  # the sequence number up to which events are counted; 0 for none

    async def day(self) -> Day:
        """Return the last 24 hours up to now."""
        this_hour = _hour(self._clock())
        starts = [this_hour - timedelta(hours=back) for back in range(HOURS - 1, -1, -1)]
        async with self._lock:
            if not (self._counted and await self._read_on()):
                await self._count(starts[0])
            self._hours = {start: counts for start, counts in self._hours.items() if start >= starts[0]}
            hours = [(start, self._hours.get(start, Counter())) for start in starts]
        totals = sum((counts for _, counts in hours), Counter())
        clusters = await self._stepup.audit.clusters(self._workspace_id, since=starts[0], newest=FAILURES)
        return Day(totals=totals, hours=hours, clusters=clusters)

    async def _read_on(self) -> bool:
        """Count what is new, event by event. False when that is not the end of it."""
        read = 0
        async for record in self._stepup.audit.stream(self._workspace_id, after=self._counted):
            if read == _NEW:
                return False
            read += 1
            self._add(_hour(record.at), record.event, record.outcome, 1)
            self._counted = record.seq
        return True

    async def _count(self, since: datetime) -> None:
        """Have everything counted by the database."""
        counts = await self._stepup.audit.counts(self._workspace_id, since=since)
        self._hours = {}
        for (hour, event, outcome), number in counts.by_hour.items():
            self._add(hour, event, outcome, number)
        self._counted = counts.last_seq

    def _add(self, hour: datetime, event: EventName, outcome: Outcome, number: int) -> None:
        kind = _CANCELLED if outcome is Outcome.CANCELLED else _KINDS.get(event)
        if kind is not None:
            self._hours.setdefault(hour, Counter())[kind] += number


def _hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
