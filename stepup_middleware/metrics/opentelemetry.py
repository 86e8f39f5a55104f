"""Figures and traces for OpenTelemetry (``stepup-middleware[opentelemetry]``).

from stepup_middleware.metrics.opentelemetry import OpenTelemetryMetrics

stepup = StepUp(..., metrics=[OpenTelemetryMetrics()])
"""

from __future__ import annotations

from collections.abc import Iterable
from time import time_ns

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter
from opentelemetry.trace import Status, StatusCode, TracerProvider, get_tracer

from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.topics import Topic

from . import STEP_BUCKETS, Counted, Health, reason_of

__all__ = ["OpenTelemetryMetrics"]

_GAUGES = {
    "stepup.ready": ("1", "1 while an action can be authorized."),
    "stepup.store.waiting": ("{operation}", "Operations that wait for the store."),
    "stepup.events.spooled": ("{event}", "Events that wait for the store to be back."),
    "stepup.log.records_without_leaf": ("{record}", "Records that wait for their leaf."),
    "stepup.log.behind": ("s", "Age of the oldest record without a leaf."),
    "stepup.log.faulty": ("1", "1 while nothing of the audit log may be signed."),
    "stepup.log.unsigned": ("s", "Age of the last checkpoint, 0 where it covers all."),
    "stepup.log.witnesses_missing": ("{witness}", "Cosignatures that lack for the quorum."),
    "stepup.alerts.undelivered": ("{alert}", "Alerts that did not reach every sink."),
    "stepup.notices.undelivered": ("{notice}", "Notices that did not reach every sink."),
    "stepup.sinks.failing": ("{sink}", "Sinks and checkpoint sinks that fail."),
}
_COUNTERS = {
    "stepup.store.operations": ("{operation}", "Operations that the store did."),
    "stepup.store.transactions": ("{transaction}", "Transactions in which the store did them."),
    "stepup.events.dropped": ("{event}", "Events that did not reach a sink that is too slow."),
    "stepup.events.lost": ("{event}", "Events that are in no log."),
}
_SERVED = frozenset({"ok", "STEPUP_REQUIRED"})  # outcomes that are no error


class OpenTelemetryMetrics:
    """Counts and times what this process does, in ``stepup.*``, and makes a span of each step of a step-up.

    A span is called ``step-up ask``, ``step-up redeem`` or after a call of the library's own, and is a child of the
    span of the request in which the step ran. Its attributes are ``stepup.purpose`` and ``stepup.outcome``; nothing of
    it names a person.
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self._tracer = get_tracer("stepup_middleware", tracer_provider=tracer_provider)
        meter = get_meter("stepup_middleware", meter_provider=meter_provider)
        self._events = meter.create_counter("stepup.events", unit="{event}", description="Audit events of step-up.")
        self._refusals = meter.create_counter(
            "stepup.refusals", unit="{refusal}", description="Answers that let nothing run."
        )
        self._store_errors = meter.create_counter(
            "stepup.store.errors", unit="{request}", description="Requests refused because of the store."
        )
        self._steps = meter.create_histogram(
            "stepup.step.duration",
            unit="s",
            description="How long the steps of a step-up took.",
            explicit_bucket_boundaries_advisory=STEP_BUCKETS,
        )
        self._counters = {
            name: meter.create_counter(name, unit=unit, description=words) for name, (unit, words) in _COUNTERS.items()
        }
        self._counted = Counted()
        self._gauges: dict[str, float] = {}
        for name, (unit, words) in _GAUGES.items():
            meter.create_observable_gauge(name, [self._reader(name)], unit=unit, description=words)

    def _reader(self, name: str) -> _Reader:
        return _Reader(self._gauges, name)

    def event(self, event: AuditEvent) -> None:
        """Count an event."""
        told = {
            "stepup.event": event.name.value,
            "stepup.purpose": event.purpose,
            "stepup.reason": reason_of(event),
        }
        self._events.add(1, told)

    def refusal(self, code: str, purpose: str) -> None:
        """Count a refusal."""
        self._refusals.add(1, {"stepup.code": code, "stepup.purpose": purpose})

    def step(self, name: str, seconds: float, purpose: str, outcome: str) -> None:
        """Record a duration, and the span that has just ended: a child of the request's."""
        self._steps.record(seconds, {"stepup.step": name, "stepup.outcome": outcome})
        now = time_ns()
        span = self._tracer.start_span(
            f"step-up {name}",
            attributes={"stepup.purpose": purpose, "stepup.outcome": outcome},
            start_time=now - int(seconds * 1e9),
        )
        if outcome not in _SERVED:
            span.set_status(Status(StatusCode.ERROR, outcome))
        span.end(now)

    def store_error(self, kind: str) -> None:
        """Count a request that the store let down."""
        self._store_errors.add(1, {"stepup.kind": kind})

    def health(self, health: Health) -> None:
        """Take the values of the gauges, which are read when they are exported."""
        log, backlog = health.log, health.backlog
        counted = {
            "stepup.store.operations": backlog.done,
            "stepup.store.transactions": backlog.transactions,
            "stepup.events.dropped": health.dropped,
            "stepup.events.lost": health.lost,
        }
        for name, number in counted.items():
            self._counters[name].add(self._counted.added(name, number))
        self._gauges.update(
            {
                "stepup.ready": int(health.is_ready),
                "stepup.store.waiting": backlog.operations,
                "stepup.events.spooled": health.spooled,
                "stepup.log.records_without_leaf": backlog.leafless,
                "stepup.log.behind": health.behind.total_seconds(),
                "stepup.log.faulty": int(bool(log.fault)),
                "stepup.log.unsigned": 0.0 if health.unsigned_for is None else health.unsigned_for.total_seconds(),
                "stepup.log.witnesses_missing": 0 if log.has_quorum else log.quorum - log.cosigned,
                "stepup.alerts.undelivered": backlog.undelivered.get(Topic.ALERT, 0),
                "stepup.notices.undelivered": backlog.undelivered.get(Topic.NOTICE, 0),
                "stepup.sinks.failing": len(health.failing_sinks) + log.untaken,
            }
        )


class _Reader:
    """Reads one gauge when it is exported; nothing before it was first set."""

    def __init__(self, gauges: dict[str, float], name: str) -> None:
        self._gauges = gauges
        self._name = name

    def __call__(self, _: CallbackOptions) -> Iterable[Observation]:
        value = self._gauges.get(self._name)
        return [] if value is None else [Observation(value)]
