"""OpenTelemetry counts events and has one span of each step-up, with the real SDK."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
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
from stepup_middleware.metrics.opentelemetry import MOST_OPEN, OpenTelemetrySink
from stepup_middleware.testing.contract.values import NOW, event
from tests.support import TRANSMIT, Browser, house_in


class Watch:
    """A sink with the SDK behind it, all in memory."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self._exporter = InMemorySpanExporter()
        self._tracing = TracerProvider()
        self._tracing.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._metering = MeterProvider(metric_readers=[self._reader])
        self.sink = OpenTelemetrySink(tracer_provider=self._tracing, meter_provider=self._metering)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def counts(self) -> dict[tuple[Any, ...], float]:
        data = self._reader.get_metrics_data()
        assert data is not None
        points = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
        return {
            (point.attributes["stepup.event"], point.attributes["stepup.reason"]): point.value  # type: ignore[union-attr, index]
            for point in points
        }

    def close(self) -> None:
        self._tracing.shutdown()
        self._metering.shutdown()


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    yield watch
    watch.close()


async def test_a_step_up_is_one_span_from_its_prompt_to_the_end_of_its_action(tmp_path: Path, watch: Watch) -> None:
    async with house_in(tmp_path, on_event=[watch.sink]) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        prompt = await ada.prompt("POST", TRANSMIT)
        house.clock.advance(7)
        token = await ada.prove(prompt, "passkey")
        assert (await ada.post(TRANSMIT, token=token)).status_code == 200
        await house.soon(EventName.ACTION_COMPLETED)
    (span,) = watch.spans
    assert span.name == "step-up payroll_ach_transmit"
    assert span.parent is None
    assert [found.name for found in span.events] == [
        EventName.CHALLENGE_REQUESTED,
        EventName.VERIFIED,
        EventName.ACTION_AUTHORIZED,
        EventName.ACTION_COMPLETED,
    ]
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time == 7_000_000_000
    assert dict(span.attributes or {}) == {
        "stepup.purpose": "payroll_ach_transmit",
        "stepup.prompt": prompt["prompt"]["id"],
    }
    assert span.status.status_code is StatusCode.UNSET
    assert watch.counts()[EventName.ACTION_COMPLETED.value, "returned"] == 1


async def test_a_replay_is_a_span_of_its_own_that_failed(tmp_path: Path, watch: Watch) -> None:
    async with house_in(tmp_path, on_event=[watch.sink]) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        await ada.post(TRANSMIT, token=token)
        await house.soon(EventName.ACTION_COMPLETED)
        await ada.post(TRANSMIT, token=token)
    first, replay = watch.spans
    assert first.status.status_code is StatusCode.UNSET
    assert replay.status.status_code is StatusCode.ERROR
    assert [found.name for found in replay.events] == [EventName.REUSED]
    assert (replay.attributes or {})["stepup.prompt"] == (first.attributes or {})["stepup.prompt"]


async def test_a_prompt_that_nobody_comes_back_to_is_a_span_that_says_so(watch: Watch) -> None:
    asking = EventName.CHALLENGE_REQUESTED
    await watch.sink(event(asking, prompt_id="first", purpose="payroll_ach_transmit"))
    await watch.sink(event(asking, prompt_id="second", at=NOW + timedelta(minutes=9)))
    assert watch.spans == []
    await watch.sink(event(asking, prompt_id="third", at=NOW + timedelta(minutes=11)))
    (span,) = watch.spans
    assert (span.attributes or {})["stepup.abandoned"] is True


async def test_open_spans_are_bounded(watch: Watch) -> None:
    for number in range(MOST_OPEN + 500):  # D07
        await watch.sink(event(EventName.CHALLENGE_REQUESTED, prompt_id=str(number)))
    assert len(watch.sink._open) <= MOST_OPEN
    assert len(watch.spans) >= 500


async def test_no_attribute_tells_of_a_person_or_a_secret(tmp_path: Path, watch: Watch) -> None:
    async with house_in(tmp_path, on_event=[watch.sink]) as house:  # A09
        ada = Browser(house, house.sign_in("ada-lovelace"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        await ada.post(TRANSMIT, token=token)
        await ada.post(TRANSMIT, token=token)
    told = "".join(str(span.to_json()) for span in watch.spans) + str(watch.counts())
    assert "payroll_ach_transmit" in told
    for secret in (token, "lovelace", "2026-06", "192.0.2"):
        assert secret not in told
