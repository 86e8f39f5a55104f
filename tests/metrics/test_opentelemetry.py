"""OpenTelemetry counts and times, and has a span of each step inside that of its request, with the real SDK."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from stepup_middleware import EventName
from stepup_middleware.metrics.opentelemetry import OpenTelemetryMetrics
from stepup_middleware.service import health
from tests.support import TRANSMIT, Browser, house_in


class Watch:
    """A meter with the SDK behind it, all in memory."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self._exporter = InMemorySpanExporter()
        self._tracing = TracerProvider()
        self._tracing.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._metering = MeterProvider(metric_readers=[self._reader])
        self.tracer = self._tracing.get_tracer("the app's own")
        self.meter = OpenTelemetryMetrics(tracer_provider=self._tracing, meter_provider=self._metering)

    @property
    def spans(self) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name.startswith("step-up")]

    def points(self) -> dict[str, dict[tuple[Any, ...], Any]]:
        """Return the points of each metric by the values of their attributes."""
        data = self._reader.get_metrics_data()
        assert data is not None
        return {
            metric.name: {tuple((point.attributes or {}).values()): point for point in metric.data.data_points}
            for metric in data.resource_metrics[0].scope_metrics[0].metrics
        }

    def close(self) -> None:
        self._tracing.shutdown()
        self._metering.shutdown()


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    yield watch
    watch.close()


async def test_each_step_is_a_span_inside_that_of_the_request_in_which_it_ran(tmp_path: Path, watch: Watch) -> None:
    async with house_in(tmp_path, metrics=[watch.meter]) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        with watch.tracer.start_as_current_span("POST /payroll/{run}/transmit") as asking:
            prompt = await ada.prompt("POST", TRANSMIT)
        token = await ada.prove(prompt, "passkey")
        with watch.tracer.start_as_current_span("POST /payroll/{run}/transmit") as acting:
            assert (await ada.post(TRANSMIT, token=token)).status_code == 200
    spans = {span.name: span for span in watch.spans}
    for name, request, outcome in (("ask", asking, "STEPUP_REQUIRED"), ("redeem", acting, "ok")):
        span = spans[f"step-up {name}"]
        assert span.parent is not None
        assert span.parent.span_id == request.get_span_context().span_id
        assert span.context.trace_id == request.get_span_context().trace_id
        assert dict(span.attributes or {}) == {"stepup.purpose": "payroll_ach_transmit", "stepup.outcome": outcome}
        assert span.status.status_code is StatusCode.UNSET
        assert span.start_time is not None
        assert span.end_time is not None
        assert 0 <= span.end_time - span.start_time < 60_000_000_000


async def test_a_replay_is_a_span_that_failed(tmp_path: Path, watch: Watch) -> None:
    async with house_in(tmp_path, metrics=[watch.meter]) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        await ada.post(TRANSMIT, token=token)
        await ada.post(TRANSMIT, token=token)
    first, replay = [span for span in watch.spans if span.name == "step-up redeem"]
    assert first.status.status_code is StatusCode.UNSET
    assert (replay.status.status_code, replay.status.description) == (StatusCode.ERROR, "STEPUP_TOKEN_REUSED")


async def test_figures_have_the_names_and_units_of_the_conventions(
    tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "AT_MOST_EVERY", 0.0)
    async with house_in(tmp_path, metrics=[watch.meter]) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        await ada.post(TRANSMIT, token=token)
        await ada.post(TRANSMIT, token=token)
        await house.soon(EventName.ACTION_COMPLETED)
        watch.meter.health(await house.stepup.health())
    points = watch.points()
    assert points["stepup.events"][EventName.ACTION_COMPLETED.value, "payroll_ach_transmit", "returned"].value == 1
    assert points["stepup.refusals"]["STEPUP_TOKEN_REUSED", "payroll_ach_transmit"].value == 1
    assert points["stepup.step.duration"]["redeem", "ok"].count == 1
    assert points["stepup.ready"][()].value == 1
    assert points["stepup.store.operations"][()].value >= points["stepup.store.transactions"][()].value >= 5
    assert {name for name in points if not name.startswith("stepup.")} == set()


async def test_no_attribute_tells_of_a_person_or_a_secret(tmp_path: Path, watch: Watch) -> None:
    async with house_in(tmp_path, metrics=[watch.meter]) as house:  # A09
        ada = Browser(house, house.sign_in("ada-lovelace"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        await ada.post(TRANSMIT, token=token)
        await ada.post(TRANSMIT, token=token)
    told = "".join(str(span.to_json()) for span in watch.spans) + str(watch.points())
    assert "payroll_ach_transmit" in told
    for secret in (token, "lovelace", "2026-06", "192.0.2"):
        assert secret not in told
