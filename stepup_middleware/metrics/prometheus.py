"""Count audit events for Prometheus (``stepup-middleware[prometheus]``).

from stepup_middleware.metrics.prometheus import PrometheusSink

stepup = StepUp(..., on_event=[PrometheusSink()])
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, Counter

from stepup_middleware.core.events import AuditEvent

from . import reason_of

__all__ = ["PrometheusSink"]

_counters: WeakKeyDictionary[CollectorRegistry, Counter] = WeakKeyDictionary()


def _counter(registry: CollectorRegistry) -> Counter:
    """Return the counter of a registry, which takes each name once."""
    if registry not in _counters:
        _counters[registry] = Counter(
            "stepup_events", "Audit events of step-up.", ("event", "purpose", "reason"), registry=registry
        )
    return _counters[registry]


class PrometheusSink:
    """Counts what happens in ``stepup_events_total{event, purpose, reason}``.

    The labels are names of events, ids of purposes and the words of the audit log for reasons: a few hundred
    series at most, and nothing of a person in any. Sinks with one registry count together. Each process counts
    what it wrote itself; with several workers use ``prometheus_client``'s multiprocess mode, or scrape each.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._events = _counter(registry)

    async def __call__(self, event: AuditEvent) -> None:
        """Count an event."""
        self._events.labels(event.name.value, event.purpose, reason_of(event)).inc()
