"""Figures for Prometheus (``stepup-middleware[prometheus]``).

from stepup_middleware.metrics.prometheus import PrometheusMetrics

stepup = StepUp(..., metrics=[PrometheusMetrics()])
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from stepup_middleware.asgi import Receive, Scope, Send
from stepup_middleware.core.events import ALERTS, AuditEvent
from stepup_middleware.core.topics import Topic

from . import COUNTERS, GAUGES, STEP_BUCKETS, STEPS, STORE_ERRORS, Counted, Health, reason_of

__all__ = ["PrometheusMetrics", "PrometheusPage"]


class _Instruments:
    """The instruments of one registry, which takes each name once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(name, words, labels, registry=registry)

        self._registry = registry
        self.events = counter("stepup_events", "Audit events of step-up.", "event", "purpose", "reason")
        self.alerts = counter("stepup_alerts", "Events that somebody must hear of at once.", "event")
        for name in ALERTS:
            self.alerts.labels(name.value)  # at 0 from the start: `increase` does not see a series begin at 1
        self.refusals = counter("stepup_refusals", "Answers that let nothing run.", "code", "purpose")
        self.store_errors = counter("stepup_store_errors", "Requests refused because of the store.", "kind")
        for kind in STORE_ERRORS:  # likewise
            self.store_errors.labels(kind)
        self.steps = Histogram(
            "stepup_step_duration_seconds",
            "How long the steps of a step-up took.",
            ("step", "outcome"),
            buckets=STEP_BUCKETS,
            registry=registry,
        )
        for step, outcome in STEPS:
            self.steps.labels(step, outcome)
        self.counters = {name: counter(_name(name), figure.words) for name, figure in COUNTERS.items()}

    @cached_property
    def undelivered(self) -> Gauge:
        return self._gauge("stepup_undelivered", "Events that did not reach every sink.", "max", "topic")

    @cached_property
    def gauges(self) -> dict[str, Gauge]:
        """Made when they are first set: a process that loads the app and forks those that serve it has none."""
        return {
            name: self._gauge(_name(name) + ("_seconds" if figure.unit == "s" else ""), figure.words, figure.together)
            for name, figure in GAUGES.items()
        }

    def _gauge(self, name: str, words: str, together: str, *labels: str) -> Gauge:
        mode: Any = f"live{together}"
        return Gauge(name, words, labels, registry=self._registry, multiprocess_mode=mode)


def _name(figure: str) -> str:
    return "stepup_" + figure.replace(".", "_")


_made: WeakKeyDictionary[CollectorRegistry, _Instruments] = WeakKeyDictionary()


class PrometheusMetrics:
    """Counts and times what this process does, in ``stepup_*``; the guide's page on deployment lists them.

    The labels are names of events, ids of purposes, codes of refusals and words of the log: a few hundred series at
    most, and nothing of a person in any. ``PrometheusPage`` shows them, of several workers behind one port together:
    counters and histograms are added up, of gauges the sum or the worst is told.
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


class PrometheusPage:
    """An ASGI app that answers a scrape with all figures of a registry, those of the app itself included.

    Where ``PROMETHEUS_MULTIPROC_DIR`` names a folder, the figures of all workers that share it, whichever of them
    answers: what a worker counted stays when it dies, its gauges go. ``registry`` does not matter then.
    Raises ``ValueError`` when it is built and the variable names no folder.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        self._figures: Collector = registry if folder is None else _Workers(folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        accepted = b",".join(value for name, value in scope["headers"] if name == b"accept")
        encode, kind = choose_encoder(accepted.decode("latin-1"))
        page = await asyncio.to_thread(encode, self._figures)
        headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(page))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": page})


class _Workers(Collector):
    """The figures of all workers that write to a folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._files = MultiProcessCollector(None, folder)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Metric]:
        for gauges in Path(self._folder).glob("gauge_live*_*.db"):
            if not _lives(int(gauges.stem.rpartition("_")[2])):
                gauges.unlink(missing_ok=True)
        found: Iterable[Metric] = self._files.collect()  # type: ignore[no-untyped-call]
        return found


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True
