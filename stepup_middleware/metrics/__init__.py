"""Figures and traces for the systems that watch an app: meters for ``StepUp(metrics=)``, each an extra of its own.

Labels are words of the library and ids of the catalogue, never of a person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from stepup_middleware.core.events import AuditEvent, EventName
from stepup_middleware.service.figures import Meter
from stepup_middleware.service.health import Health

__all__ = ["Health", "Meter"]

STORE_ERRORS = ("late", "unusable")  # kinds
STEPS = tuple(
    (step, outcome)
    for step, served in (("ask", "STEPUP_REQUIRED"), ("redeem", "ok"))
    for outcome in (served, "STEPUP_UNAVAILABLE")
)  # those that alerts look at: there from the start
STEP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # seconds


class Figure(NamedTuple):
    """A figure of how the installation is: its unit (UCUM), what it says, how it is read.

    ``together`` says what several processes have together: the ``min``, the ``max`` or the ``sum``.
    """

    unit: str
    words: str
    read: Callable[[Health], float]
    together: str = "max"


def _unsigned(health: Health) -> float:
    return 0.0 if health.unsigned_for is None else health.unsigned_for.total_seconds()


def _missing(health: Health) -> float:
    return 0 if health.log.has_quorum else health.log.quorum - health.log.cosigned


# by their names, without ``stepup`` before and without what a system puts behind them
GAUGES = {
    "ready": Figure("1", "1 while an action can be authorized.", lambda health: health.is_ready, "min"),
    "store.waiting": Figure(
        "{operation}", "Operations that wait for the store.", lambda health: health.load.waiting, "sum"
    ),
    "events.spooled": Figure(
        "{event}", "Events that wait for the store to be back.", lambda health: health.spooled, "sum"
    ),
    "log.records_without_leaf": Figure(
        "{record}", "Records that wait for their leaf.", lambda health: health.backlog.leafless
    ),
    "log.behind": Figure("s", "Age of the oldest record without a leaf.", lambda health: health.behind.total_seconds()),
    "log.faulty": Figure("1", "1 while nothing of the audit log may be signed.", lambda health: bool(health.log.fault)),
    "log.unsigned": Figure("s", "Age of the last checkpoint, 0 where it covers all.", _unsigned),
    "log.witnesses_missing": Figure("{witness}", "Cosignatures that lack for the quorum.", _missing),
    "sinks.queued": Figure("{event}", "Events that wait for a sink.", lambda health: health.queued, "sum"),
    "followers": Figure("{stream}", "Open streams of events.", lambda health: health.followers, "sum"),
    "approvals.awaited": Figure(
        "{caller}", "Programs and pages that wait for an approval.", lambda health: health.approvals_awaited, "sum"
    ),
    "sinks.failing": Figure(
        "{sink}",
        "Sinks and checkpoint sinks that fail.",
        lambda health: len(health.failing_sinks) + health.log.untaken,
        "sum",
    ),
}
COUNTERS = {
    "store.operations": Figure("{operation}", "Operations that the store did.", lambda health: health.load.done),
    "store.transactions": Figure(
        "{transaction}", "Transactions in which the store did them.", lambda health: health.load.transactions
    ),
    "events.dropped": Figure(
        "{event}", "Events that did not reach a sink that is too slow.", lambda health: health.dropped
    ),
    "events.lost": Figure("{event}", "Events that are in no log.", lambda health: health.lost),
}


def reason_of(event: AuditEvent) -> str:
    """Return why an event came about, for the end of an action how it ended: always a word of the code."""
    if event.name is EventName.ACTION_COMPLETED:
        return str(event.data.get("outcome", ""))
    return event.reason


class Counted:
    """Turns the numbers of ``COUNTERS``, which grow from the start of a process, into what was added to them."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}

    def added(self, health: Health) -> Iterator[tuple[str, float]]:
        """Yield the name of each and what was added; all of it where it is smaller than before: it began anew."""
        for name, figure in COUNTERS.items():
            number, before = figure.read(health), self._seen.get(name, 0)
            self._seen[name] = number
            yield name, number - before if number >= before else number
