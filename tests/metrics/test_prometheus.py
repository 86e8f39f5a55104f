"""Prometheus counts what the log has, what was refused and how long it took, and nothing of a person."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from stepup_middleware import ConfigurationError, EventName, StoreError
from stepup_middleware.core.events import ALERTS, AuditEvent
from stepup_middleware.metrics import STEPS, STORE_ERRORS, Health
from stepup_middleware.metrics.prometheus import PrometheusMetrics, PrometheusPage
from stepup_middleware.service import health
from stepup_middleware.testing.contract.values import event
from tests.machine import free_port
from tests.served.processes import ROOT, serving
from tests.support import ROTATE, TRANSMIT, Browser, House, house_in


async def test_each_event_is_counted_by_name_purpose_and_reason(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    async with house_in(tmp_path, metrics=[PrometheusMetrics(registry)]) as house:
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


async def test_each_alert_is_there_at_nought_before_the_first_so_that_an_increase_shows_it(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    async with house_in(tmp_path, metrics=[PrometheusMetrics(registry)]) as house:
        for step, outcome in STEPS:
            labels = {"step": step, "outcome": outcome}
            assert registry.get_sample_value("stepup_step_duration_seconds_count", labels) == 0
        for kind in STORE_ERRORS:
            assert registry.get_sample_value("stepup_store_errors_total", {"kind": kind}) == 0
        for name in ALERTS:
            assert registry.get_sample_value("stepup_alerts_total", {"event": name.value}) == 0
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        for _ in range(3):
            await ada.post(TRANSMIT, token=token)
        await house.soon(EventName.ACTION_COMPLETED)
        # the third was by the same presenter: no further alert
        assert registry.get_sample_value("stepup_alerts_total", {"event": "ACCOUNT_STEPUP_REUSED"}) == 1


async def test_no_label_tells_of_a_person_a_request_or_a_secret(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    async with house_in(tmp_path, metrics=[PrometheusMetrics(registry)]) as house:  # A09
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
    async with house_in(tmp_path, metrics=[PrometheusMetrics(registry)], open_prompts_per_session=1000) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        await asyncio.gather(*(ada.post(f"/payroll/{run}/transmit", token=f"bad-{run}") for run in range(200)))
    series = [
        line for line in generate_latest(registry).decode().splitlines() if line.startswith("stepup_events_total")
    ]
    assert 2 <= len(series) <= 6


async def test_refusals_steps_and_what_the_store_did_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = CollectorRegistry()
    meter = PrometheusMetrics(registry)
    async with house_in(tmp_path, metrics=[meter]) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        assert (await ada.post(TRANSMIT, token=token)).status_code == 200
        assert (await ada.post(TRANSMIT, token=token)).status_code == 403
        monkeypatch.setattr(health, "AT_MOST_EVERY", 0.0)
        meter.health(await house.stepup.health())

    def value(name: str, **labels: str) -> float:
        return registry.get_sample_value(name, labels) or 0

    purpose = "payroll_ach_transmit"
    assert value("stepup_refusals_total", code="STEPUP_REQUIRED", purpose=purpose) == 1
    assert value("stepup_refusals_total", code="STEPUP_TOKEN_REUSED", purpose=purpose) == 1
    assert value("stepup_step_duration_seconds_count", step="ask", outcome="STEPUP_REQUIRED") == 1
    assert value("stepup_step_duration_seconds_count", step="redeem", outcome="ok") == 1
    assert value("stepup_step_duration_seconds_count", step="redeem", outcome="STEPUP_TOKEN_REUSED") == 1
    assert value("stepup_step_duration_seconds_count", step="webauthn_finish", outcome="ok") == 1
    assert 0 < value("stepup_step_duration_seconds_sum", step="redeem", outcome="ok") < 60
    assert value("stepup_ready") == 1
    assert value("stepup_store_operations_total") >= value("stepup_store_transactions_total") >= 5
    assert value("stepup_log_records_without_leaf") >= 0
    assert value("stepup_log_faulty") == value("stepup_events_spooled") == value("stepup_sinks_failing") == 0


async def test_a_store_that_answers_late_is_counted_as_such(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    short = timedelta(seconds=0.2)
    async with house_in(tmp_path, metrics=[PrometheusMetrics(registry)], store_timeout=short) as house:
        ada = Browser(house, house.sign_in("ada"))
        with closing(sqlite3.connect(house.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert (await ada.post(TRANSMIT)).status_code == 503
            assert (await ada.post("/stepup/factors/totp", json={})).status_code == 503
    assert registry.get_sample_value("stepup_store_errors_total", {"kind": "late"}) == 2
    labels = {"code": "STEPUP_UNAVAILABLE", "purpose": "payroll_ach_transmit"}
    assert registry.get_sample_value("stepup_refusals_total", labels) == 1
    for step in ("ask", "totp_begin"):  # what took longest is in the times, too
        labels = {"step": step, "outcome": "STEPUP_UNAVAILABLE"}
        assert registry.get_sample_value("stepup_step_duration_seconds_count", labels) == 1
        assert (registry.get_sample_value("stepup_step_duration_seconds_sum", labels) or 0) >= 0.2


async def test_a_meter_that_fails_disturbs_no_request_and_no_other_meter(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(PrometheusMetrics):
        def event(self, event: AuditEvent) -> None:
            raise RuntimeError("no room")

        def step(self, name: str, seconds: float, purpose: str, outcome: str) -> None:
            raise RuntimeError("no room")

    registry = CollectorRegistry()
    meters = [Broken(CollectorRegistry()), PrometheusMetrics(registry)]
    async with house_in(tmp_path, metrics=meters) as house:
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        assert (await ada.post(TRANSMIT, token=token)).status_code == 200
    labels = {"step": "redeem", "outcome": "ok"}
    assert registry.get_sample_value("stepup_step_duration_seconds_count", labels) == 1
    assert "Broken could not count: RuntimeError('no room')" in caplog.text


async def test_two_meters_on_one_registry_count_together() -> None:
    registry = CollectorRegistry()
    for meter in (PrometheusMetrics(registry), PrometheusMetrics(registry)):
        meter.event(event())
    labels = {"event": EventName.POLICY_CHANGED.value, "purpose": "", "reason": ""}
    assert registry.get_sample_value("stepup_events_total", labels) == 2


def test_the_library_itself_loads_neither_extra() -> None:
    code = (
        "import sys, stepup_middleware, stepup_middleware.testing\n"
        "print(sorted(name for name in sys.modules if name.startswith(('prometheus_client', 'opentelemetry'))))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        (PrometheusMetrics(CollectorRegistry()), r"metrics is a list: write metrics=\[PrometheusMetrics\(\)\]"),
        ([PrometheusMetrics], "metrics has meters, such as PrometheusMetrics()"),
        ([print], "metrics has meters, such as PrometheusMetrics()"),
    ],
)
def test_what_is_no_meter_stops_the_start(tmp_path: Path, metrics: object, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        House(tmp_path, metrics=metrics)


APP = """
import os
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from stepup_middleware import RelyingParty, StepUp, StepUpMiddleware, Subject, requires_step_up
from stepup_middleware.metrics.prometheus import PrometheusMetrics, PrometheusPage
from stepup_middleware.service import figures
from stepup_middleware.stores.sqlite import SQLiteStore

figures.LOOK_SECONDS = 0.1  # nobody waits ten seconds for a gauge

async def identify(scope):
    return Subject(id="ada", session_id="s", workspace_id="axis", name="Ada")

@requires_step_up("webhook_secret_rotation")
async def act(request): ...

streams = []

async def follow(request):
    if not streams:
        streams.append(stepup.audit.follow("axis"))
    return JSONResponse(os.getpid())

stepup = StepUp(
    secret_key="the key of the test of two workers, 32 bytes", store=SQLiteStore("stepup.db"), identify=identify,
    relying_party=RelyingParty(id="localhost", name="Test", origins=["http://localhost"]),
    metrics=[PrometheusMetrics()],
)
routes = [Route("/act", act, methods=["POST"]), Route("/follow", follow), Route("/metrics", PrometheusPage())]
app = StepUpMiddleware(Starlette(routes=routes), stepup=stepup)
"""


REFUSED = 'stepup_refusals_total{code="STEPUP_FACTOR_INSUFFICIENT",purpose="webhook_secret_rotation"}'


async def scrape(url: str) -> str:
    async with httpx2.AsyncClient(base_url=url, timeout=60) as http:  # a connection each, so either worker answers
        return (await http.get("/metrics")).text


async def until_scraped(url: str, wanted: str) -> None:
    """Return once each of six scrapes has a line: whichever worker answers."""
    async with asyncio.timeout(120):
        while not all([f"{wanted}\n" in await scrape(url) for _ in range(6)]):  # noqa: ASYNC110 - of other processes
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_two_workers_behind_one_port_are_one_scrape_also_when_one_has_died(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(APP, encoding="utf-8")
    (tmp_path / "figures").mkdir()
    port = free_port()
    workers, asked = set[int](), 0
    arguments = ["uvicorn", "main:app", "--workers", "2", "--port", str(port)]
    figures = str(tmp_path / "figures")
    async with serving(*arguments, port=port, folder=tmp_path, PROMETHEUS_MULTIPROC_DIR=figures) as server:
        async with asyncio.timeout(120):
            while len(workers) < 2 or asked < 20:
                async with httpx2.AsyncClient(base_url=server.url, timeout=60) as http:  # a connection each
                    workers.add((await http.get("/follow")).json())
                    assert (await http.post("/act")).status_code == 403  # nobody has a factor
                    asked += 1
        await until_scraped(server.url, f"{REFUSED} {float(asked)}")
        await until_scraped(server.url, "stepup_followers 2.0")
        await until_scraped(server.url, "stepup_ready 1.0")
        os.kill(workers.pop(), signal.SIGKILL)
        await until_scraped(server.url, "stepup_followers 1.0")  # the dead one has none, and another has come
        await until_scraped(server.url, "stepup_ready 1.0")
        await until_scraped(server.url, f"{REFUSED} {float(asked)}")
        server.terminate()
        await server.stopped()


FORKED = """
import asyncio, os, sys

import httpx2
import main  # before the fork, as gunicorn --preload does


async def serve():
    transport = httpx2.ASGITransport(app=main.PrometheusPage())
    async with main.stepup, httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        while "\\nstepup_ready 1.0\\n" not in (await http.get("/metrics")).text:
            await asyncio.sleep(0.05)


if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
asyncio.run(asyncio.wait_for(serve(), 60))
"""


async def test_a_process_that_only_loads_the_app_and_forks_says_nothing_of_readiness(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(APP, encoding="utf-8")
    (tmp_path / "forked.py").write_text(FORKED, encoding="utf-8")
    (tmp_path / "figures").mkdir()
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}", "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "figures")}
    process = await asyncio.create_subprocess_exec(sys.executable, "forked.py", cwd=tmp_path, env=environment)
    assert await process.wait() == 0


async def test_one_process_shows_its_own_figures_in_the_format_that_the_scrape_asks_for() -> None:
    registry = CollectorRegistry()
    PrometheusMetrics(registry).refusal("STEPUP_REQUIRED", "payroll_ach_transmit")
    transport = httpx2.ASGITransport(app=PrometheusPage(registry))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        plain = await http.get("/metrics")
        assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert 'stepup_refusals_total{code="STEPUP_REQUIRED",purpose="payroll_ach_transmit"} 1.0\n' in plain.text
        openmetrics = await http.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
        assert openmetrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        assert openmetrics.text.endswith("# EOF\n")


def test_a_folder_for_several_workers_that_is_missing_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/nowhere/at/all")
    with pytest.raises(ValueError, match="PROMETHEUS_MULTIPROC_DIR is not set or not a directory"):
        PrometheusPage()


async def test_a_store_that_cannot_be_opened_at_the_start_is_told_as_not_ready(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    looked = asyncio.Event()

    class Told(PrometheusMetrics):
        def health(self, health: Health) -> None:
            super().health(health)
            looked.set()

    house = House(tmp_path / "nowhere", metrics=[Told(registry)])
    try:
        with pytest.raises(StoreError):
            await house.stepup.start()
        await asyncio.wait_for(looked.wait(), 60)
        assert registry.get_sample_value("stepup_ready") == 0
    finally:
        await house.stepup.close()
