"""Figures for Prometheus (``stepup-middleware[prometheus]``).

from stepup_middleware.metrics.prometheus import PrometheusMetrics

stepup = StepUp(..., metrics=[PrometheusMetrics()])
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.topics import Topic

from . import STEP_BUCKETS, Counted, Health, reason_of

__all__ = ["PrometheusMetrics"]


class _Instruments:
    """The instruments of one registry, which takes each name once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(name, words, labels, registry=registry)

        def gauge(name: str, words: str, mode: str) -> Gauge:
            return Gauge(name, words, registry=registry, multiprocess_mode=mode)  # type: ignore[arg-type]

        self.events = counter("stepup_events", "Audit events of step-up.", "event", "purpose", "reason")
        self.refusals = counter("stepup_refusals", "Answers that let nothing run.", "code", "purpose")
        self.store_errors = counter("stepup_store_errors", "Requests refused because of the store.", "kind")
        self.steps = Histogram(
            "stepup_step_duration_seconds",
            "How long the steps of a step-up took.",
            ("step", "outcome"),
            buckets=STEP_BUCKETS,
            registry=registry,
        )
        self.operations = counter("stepup_store_operations", "Operations that the store did.")
        self.transactions = counter("stepup_store_transactions", "Transactions in which the store did them.")
        self.dropped = counter("stepup_events_dropped", "Events that did not reach a sink that is too slow.")
        self.lost = counter("stepup_events_lost", "Events that are in no log.")
        self.waiting = gauge("stepup_store_waiting", "Operations that wait for the store.", "livesum")
        self.spooled = gauge("stepup_events_spooled", "Events that wait for the store to be back.", "livesum")
        self.ready = gauge("stepup_ready", "1 while an action can be authorized.", "livemin")
        self.leafless = gauge("stepup_log_records_without_leaf", "Records that wait for their leaf.", "livemax")
        self.behind = gauge("stepup_log_behind_seconds", "Age of the oldest record without a leaf.", "livemax")
        self.faulty = gauge("stepup_log_faulty", "1 while nothing of the audit log may be signed.", "livemax")
        self.unsigned = gauge(
            "stepup_log_unsigned_seconds",
            "Age of the last checkpoint, 0 where it covers all.",
            "livemax",
        )
        self.witnesses = gauge("stepup_log_witnesses_missing", "Cosignatures that lack for the quorum.", "livemax")
        self.undelivered = Gauge(
            "stepup_undelivered",
            "Events that did not reach every sink.",
            ("topic",),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.failing = gauge("stepup_sinks_failing", "Sinks and checkpoint sinks that fail.", "livesum")


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
        to, log, backlog = self._to, health.log, health.backlog
        to.operations.inc(self._counted.added("operations", backlog.done))
        to.transactions.inc(self._counted.added("transactions", backlog.transactions))
        to.dropped.inc(self._counted.added("dropped", health.dropped))
        to.lost.inc(self._counted.added("lost", health.lost))
        to.waiting.set(backlog.operations)
        to.spooled.set(health.spooled)
        to.ready.set(health.is_ready)
        to.leafless.set(backlog.leafless)
        to.behind.set(health.behind.total_seconds())
        to.faulty.set(bool(log.fault))
        to.unsigned.set(0 if health.unsigned_for is None else health.unsigned_for.total_seconds())
        to.witnesses.set(0 if log.has_quorum else log.quorum - log.cosigned)
        for topic in Topic:
            to.undelivered.labels(topic.value).set(backlog.undelivered.get(topic, 0))
        to.failing.set(len(health.failing_sinks) + log.untaken)
