"""Count and trace step-ups with OpenTelemetry (``stepup-middleware[opentelemetry]``).

from stepup_middleware.metrics.opentelemetry import OpenTelemetrySink

stepup = StepUp(..., on_event=[OpenTelemetrySink()])
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime

from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider, get_meter
from opentelemetry.trace import Span, Status, StatusCode, TracerProvider, get_tracer

from stepup_middleware.core.events import AuditEvent, EventName, Severity
from stepup_middleware.core.moments import to_micros
from stepup_middleware.core.prompts import PROMPT_LIFETIME
from stepup_middleware.core.purposes import MAX_TTL

from . import reason_of

__all__ = ["OpenTelemetrySink"]

MOST_OPEN = 1000  # spans of prompts that have not come to an end
LONGEST = PROMPT_LIFETIME + MAX_TTL  # after that neither the prompt nor its token is worth anything
_GOES_ON = frozenset({EventName.CHALLENGE_REQUESTED, EventName.VERIFIED, EventName.ACTION_AUTHORIZED})


class OpenTelemetrySink:
    """Counts audit events, and makes one span of each step-up, from its prompt to the end of its action.

    The counter is ``stepup.events`` with the attributes ``stepup.event``, ``stepup.purpose`` and
    ``stepup.reason``. A span is called ``step-up <purpose>``, has the events of the step-up as its events, and
    the prompt's id as ``stepup.prompt``, which leads to the audit log; nothing of it names a person. Where the
    prompt and the action were served by different processes, each has a span of its own with that id.

    Spans are made of events that are in the log already: no request waits for an exporter.
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self._tracer = get_tracer("stepup_middleware", tracer_provider=tracer_provider)
        self._events = get_meter("stepup_middleware", meter_provider=meter_provider).create_counter(
            "stepup.events", unit="{event}", description="Audit events of step-up."
        )
        self._open: OrderedDict[str, tuple[Span, datetime]] = OrderedDict()

    async def __call__(self, event: AuditEvent) -> None:
        """Count an event, and note it in the span of its step-up."""
        self._events.add(
            1,
            {
                "stepup.event": event.name.value,
                "stepup.purpose": event.purpose,
                "stepup.reason": reason_of(event),
            },
        )
        if event.prompt_id:
            self._trace(event)

    def _trace(self, event: AuditEvent) -> None:
        self._end_abandoned(event.at)
        if event.prompt_id not in self._open:
            self._open[event.prompt_id] = (self._start(event), event.at)
        span, _ = self._open[event.prompt_id]
        facts = {"stepup.reason": reason_of(event), "stepup.factor": event.factor_kind or ""}
        span.add_event(event.name.value, facts, timestamp=_nanos(event.at))
        if event.severity is not Severity.INFO:
            span.set_status(Status(StatusCode.ERROR, f"{event.name.value}: {event.reason}"))
        if event.name not in _GOES_ON and (event.name is not EventName.FAILED or event.reason == "cancelled"):
            del self._open[event.prompt_id]
            span.end(_nanos(event.at))

    def _start(self, event: AuditEvent) -> Span:
        return self._tracer.start_span(
            f"step-up {event.purpose}",
            context=Context(),  # a person's time, not a part of the request that happened to run now
            attributes={"stepup.purpose": event.purpose, "stepup.prompt": event.prompt_id},
            start_time=_nanos(event.at),
        )

    def _end_abandoned(self, now: datetime) -> None:
        """End the spans of prompts that nobody came back to, oldest first."""
        while self._open:
            prompt, (span, began) = next(iter(self._open.items()))
            if len(self._open) < MOST_OPEN and now - began < LONGEST:
                return
            del self._open[prompt]
            span.set_attribute("stepup.abandoned", True)
            span.end(_nanos(min(max(now, began), began + LONGEST)))


def _nanos(moment: datetime) -> int:
    return to_micros(moment) * 1000
