"""Figures and traces for OpenTelemetry (``stepup-middleware[opentelemetry]``).

from stepup_middleware.metrics.opentelemetry import OpenTelemetryMetrics

stepup = StepUp(..., metrics=[OpenTelemetryMetrics()])
"""

from __future__ import annotations

from collections.abc import Iterable
from time import time_ns

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter
from opentelemetry.metrics import Meter as ApiMeter
from opentelemetry.trace import Status, StatusCode, TracerProvider, get_tracer

from stepup_middleware.core.events import ALERTS, AuditEvent
from stepup_middleware.core.topics import Topic

from . import COUNTERS, GAUGES, STEP_BUCKETS, STORE_ERRORS, Counted, Health, reason_of

__all__ = ["OpenTelemetryMetrics"]

_UNDELIVERED = {topic: (f"{topic.value}s.undelivered", f"{{{topic.value}}}") for topic in Topic}
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
        self._alerts = meter.create_counter(
            "stepup.alerts", unit="{alert}", description="Events that somebody must hear of at once."
        )
        for alert in ALERTS:
            self._alerts.add(0, {"stepup.event": alert.value})  # a series that begins at 1 shows no increase
        self._refusals = meter.create_counter(
            "stepup.refusals", unit="{refusal}", description="Answers that let nothing run."
        )
        self._store_errors = meter.create_counter(
            "stepup.store.errors", unit="{request}", description="Requests refused because of the store."
        )
        for kind in STORE_ERRORS:
            self._store_errors.add(0, {"stepup.kind": kind})
        self._steps = meter.create_histogram(
            "stepup.step.duration",
            unit="s",
            description="How long the steps of a step-up took.",
            explicit_bucket_boundaries_advisory=STEP_BUCKETS,
        )
        self._counters = {
            name: meter.create_counter(f"stepup.{name}", unit=figure.unit, description=figure.words)
            for name, figure in COUNTERS.items()
        }
        self._counted = Counted()
        self._gauges: dict[str, float] = {}
        for name, figure in GAUGES.items():
            self._observe(meter, name, figure.unit, figure.words)
        for topic, (name, unit) in _UNDELIVERED.items():
            self._observe(meter, name, unit, f"{topic.value.capitalize()}s that did not reach every sink.")

    def _observe(self, meter: ApiMeter, name: str, unit: str, words: str) -> None:
        def read(_: CallbackOptions) -> Iterable[Observation]:
            return [Observation(self._gauges[name])] if name in self._gauges else []  # nothing before it was first set

        meter.create_observable_gauge(f"stepup.{name}", [read], unit=unit, description=words)

    def event(self, event: AuditEvent) -> None:
        """Count an event."""
        told = {
            "stepup.event": event.name.value,
            "stepup.purpose": event.purpose,
            "stepup.reason": reason_of(event),
        }
        self._events.add(1, told)
        if event.is_alert:
            self._alerts.add(1, {"stepup.event": event.name.value})

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
        for name, added in self._counted.added(health):
            self._counters[name].add(added)
        self._gauges.update((name, figure.read(health)) for name, figure in GAUGES.items())
        self._gauges.update(
            (name, health.backlog.undelivered.get(topic, 0)) for topic, (name, _) in _UNDELIVERED.items()
        )
