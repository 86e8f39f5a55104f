"""Figures for Prometheus (``stepup-middleware[prometheus]``).

from stepup_middleware.metrics.prometheus import PrometheusMetrics

stepup = StepUp(..., metrics=[PrometheusMetrics()])
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from stepup_middleware.core.events import ALERTS, AuditEvent
from stepup_middleware.core.topics import Topic

from . import COUNTERS, GAUGES, STEP_BUCKETS, Counted, Health, reason_of

__all__ = ["PrometheusMetrics"]


class _Instruments:
    """The instruments of one registry, which takes each name once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(name, words, labels, registry=registry)

        def gauge(name: str, words: str, together: str, *labels: str) -> Gauge:
            mode: Any = f"live{together}"
            return Gauge(name, words, labels, registry=registry, multiprocess_mode=mode)

        self.events = counter("stepup_events", "Audit events of step-up.", "event", "purpose", "reason")
        self.alerts = counter("stepup_alerts", "Events that somebody must hear of at once.", "event")
        for name in ALERTS:
            self.alerts.labels(name.value)  # at 0 from the start: `increase` does not see a series begin at 1
        self.refusals = counter("stepup_refusals", "Answers that let nothing run.", "code", "purpose")
        self.store_errors = counter("stepup_store_errors", "Requests refused because of the store.", "kind")
        self.steps = Histogram(
            "stepup_step_duration_seconds",
            "How long the steps of a step-up took.",
            ("step", "outcome"),
            buckets=STEP_BUCKETS,
            registry=registry,
        )
        self.undelivered = gauge("stepup_undelivered", "Events that did not reach every sink.", "max", "topic")
        self.gauges = {
            name: gauge(_name(name) + ("_seconds" if figure.unit == "s" else ""), figure.words, figure.together)
            for name, figure in GAUGES.items()
        }
        self.counters = {name: counter(_name(name), figure.words) for name, figure in COUNTERS.items()}


def _name(figure: str) -> str:
    return "stepup_" + figure.replace(".", "_")


_made: WeakKeyDictionary[CollectorRegistry, _Instruments] = WeakKeyDictionary()


class PrometheusMetrics:
    """Counts and times what this process does, in ``stepup_*``; the guide's page on deployment lists them.

    The labels are names of events, ids of purposes, codes of refusals and words of the log: a few hundred series at
    most, and nothing of a person in any. With several workers behind one port use the multiprocess mode of
    ``prometheus_client``: counters and histograms are added up, of gauges the worst is told.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        if registry not in _made:
            _made[registry] = _Instruments(registry)
        self._to = _made[registry]
        self._counted = Counted()

    def event(self, event: AuditEvent) -> None:
        """Count an event."""
        self._to.events.labels(event.name.value, event.purpose, reason_of(event)).inc()
        if event.is_alert:
            self._to.alerts.labels(event.name.value).inc()

    def refusal(self, code: str, purpose: str) -> None:
        """Count a refusal."""
        self._to.refusals.labels(code, purpose).inc()

    def step(self, name: str, seconds: float, purpose: str, outcome: str) -> None:
        """Observe a duration."""
        self._to.steps.labels(name, outcome).observe(seconds)

    def store_error(self, kind: str) -> None:
        """Count a request that the store let down."""
        self._to.store_errors.labels(kind).inc()

    def health(self, health: Health) -> None:
        """Set the gauges."""
        for name, added in self._counted.added(health):
            self._to.counters[name].inc(added)
        for name, figure in GAUGES.items():
            self._to.gauges[name].set(figure.read(health))
        for topic in Topic:
            self._to.undelivered.labels(topic.value).set(health.backlog.undelivered.get(topic, 0))
