"""Clusters of failures: many on one purpose in a short time. Records in, clusters out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from stepup_middleware.errors import ConfigurationError

from .audit_record import AuditRecord
from .events import EventName

FAILURE_CLUSTER = "failure_cluster"
"""The word among the ``flags`` of an event that completes a cluster of failures, as sinks are handed it."""
FAILURES = (EventName.FAILED, EventName.BLOCKED, EventName.APPROVAL_DENIED)
_CANCELLED = "cancelled"  # the person's own "no" is no failure


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRule:
    """How many ``failures`` on one purpose of a workspace, ``within`` how long, are a cluster.

    Raises ``ConfigurationError`` for fewer than two failures and for a time that is not positive.
    """

    failures: int = 5
    within: timedelta = timedelta(minutes=10)

    def __post_init__(self) -> None:
        if type(self.failures) is not int or not isinstance(self.within, timedelta):
            raise ConfigurationError("ClusterRule: failures is a whole number, within a timedelta")
        if self.failures < 2 or self.within <= timedelta(0):
            raise ConfigurationError("a cluster is at least two failures within a positive time")


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureCluster:
    """Failures on one purpose that are close enough together to be a cluster.

    ``failures`` of them were on ``purpose`` in ``workspace_id``, from ``first_at`` to ``last_at`` (aware UTC).
    ``last_seq`` is the number of the last one in the log.
    """

    workspace_id: str
    purpose: str
    failures: int
    first_at: datetime
    last_at: datetime
    last_seq: int


def is_failure(name: EventName, purpose: str, reason: str) -> bool:
    """Whether an event counts: an attempt on a purpose that failed, or was refused or denied, but not one cancelled."""
    return bool(purpose) and name in FAILURES and reason != _CANCELLED


class ClusterFinder:
    """Finds clusters among records that are given in the order of the log.

    A failure is in a cluster when it is one of ``rule.failures`` consecutive ones on its purpose of which the last
    came at most ``rule.within`` after the first. Clusters that share a failure are one. Memory: a few timestamps for
    each purpose, however many records there are.
    """

    def __init__(self, rule: ClusterRule) -> None:
        self._rule = rule
        self._latest: dict[tuple[str, str], deque[tuple[int, datetime]]] = {}
        self._open: dict[tuple[str, str], FailureCluster] = {}
        self._closed: list[FailureCluster] = []

    def add(self, record: AuditRecord) -> None:
        """Take the next record; one that is not a failure changes nothing."""
        if not is_failure(record.event, record.purpose, record.reason):
            return
        key = (record.workspace_id, record.purpose)
        latest = self._latest.setdefault(key, deque(maxlen=self._rule.failures))
        latest.append((record.seq, record.at))
        first_seq, first_at = latest[0]
        if len(latest) < self._rule.failures or record.at - first_at > self._rule.within:
            return
        known = self._open.get(key)
        if known is not None and known.last_seq >= first_seq:
            new = sum(seq > known.last_seq for seq, _ in latest)
            grown = replace(known, failures=known.failures + new, last_at=record.at, last_seq=record.seq)
            self._open[key] = grown
            return
        if known is not None:
            self._closed.append(known)
        self._open[key] = FailureCluster(
            workspace_id=record.workspace_id,
            purpose=record.purpose,
            failures=len(latest),
            first_at=first_at,
            last_at=record.at,
            last_seq=record.seq,
        )

    def found(self) -> tuple[FailureCluster, ...]:
        """Return the clusters so far, the one with the newest failure first."""
        return tuple(sorted([*self._closed, *self._open.values()], key=lambda found: found.last_seq, reverse=True))
