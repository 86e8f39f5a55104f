"""Prometheus counts what the log has, and nothing of a person."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from stepup_middleware import EventName
from stepup_middleware.metrics.prometheus import PrometheusSink
from stepup_middleware.testing.contract.values import event
from tests.support import ROTATE, TRANSMIT, Browser, house_in


async def test_each_event_is_counted_by_name_purpose_and_reason(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    async with house_in(tmp_path, on_event=[PrometheusSink(registry)]) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        assert (await ada.post(TRANSMIT, token=token)).status_code == 200
        for _ in range(3):
            assert (await ada.post(TRANSMIT, token=token)).status_code == 403
        assert (await ada.post(ROTATE, token="nonsense")).status_code == 401
        await house.soon(EventName.ACTION_COMPLETED)

    def count(event: EventName, purpose: str, reason: str = "") -> float:
        labels = {"event": event.value, "purpose": purpose, "reason": reason}
        return registry.get_sample_value("stepup_events_total", labels) or 0

    assert count(EventName.CHALLENGE_REQUESTED, "payroll_ach_transmit") == 1
    assert count(EventName.VERIFIED, "payroll_ach_transmit") == 1
    assert count(EventName.ACTION_AUTHORIZED, "payroll_ach_transmit") == 1
    assert count(EventName.ACTION_COMPLETED, "payroll_ach_transmit", "returned") == 1
    assert count(EventName.REUSED, "payroll_ach_transmit", "redeemed_before") == 1  # the log has one, too
    assert count(EventName.BLOCKED, "webhook_secret_rotation", "malformed_token") == 1
    assert count(EventName.FACTOR_ENROLLED, "") == 1


async def test_no_label_tells_of_a_person_a_request_or_a_secret(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    async with house_in(tmp_path, on_event=[PrometheusSink(registry)]) as house:  # A09
        ada = Browser(house, house.sign_in("ada-lovelace"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        await ada.post(TRANSMIT, token=token)
        await ada.at("198.51.100.9").post(TRANSMIT, token=token)
        await house.soon(EventName.ACTION_COMPLETED)
    page = generate_latest(registry).decode()
    assert "stepup_events_total" in page
    assert ada.subject is not None
    for secret in (token, "lovelace", "2026-06", "192.0.2", "198.51", ada.subject.session, ada.factors["passkey"].id):
        assert secret not in page


async def test_ten_thousand_events_make_no_more_series_than_there_are_words(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    async with house_in(tmp_path, on_event=[PrometheusSink(registry)], open_prompts_per_session=1000) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        await asyncio.gather(*(ada.post(f"/payroll/{run}/transmit", token=f"bad-{run}") for run in range(200)))
    series = [
        line for line in generate_latest(registry).decode().splitlines() if line.startswith("stepup_events_total")
    ]
    assert 2 <= len(series) <= 6


async def test_two_sinks_on_one_registry_count_together() -> None:
    registry = CollectorRegistry()
    for sink in (PrometheusSink(registry), PrometheusSink(registry)):
        await sink(event())
    labels = {"event": EventName.POLICY_CHANGED.value, "purpose": "", "reason": ""}
    assert registry.get_sample_value("stepup_events_total", labels) == 2


def test_the_library_itself_loads_neither_extra() -> None:
    code = (
        "import sys, stepup_middleware, stepup_middleware.testing\n"
        "print(sorted(name for name in sys.modules if name.startswith(('prometheus_client', 'opentelemetry'))))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
