"""Alerts: each rule of the page is valid, is silent on an app that is well, and fires in a real Prometheus."""

from __future__ import annotations

import asyncio
import re
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.machine import free_port, program

from .harness import blocks_of, shell
from .test_deploy import ROTATE, served, srv, step_up

__all__ = ["srv"]

HOOKS = """
import asyncio
from datetime import timedelta

from starlette.responses import Response

from stepup_middleware import Witness
from stepup_middleware.log.keys import WITNESS_TYPES, SigningKey
from stepup_middleware.service import figures, signing, spool
from stepup_middleware.stores.sql import store as sql_store
from stepup_middleware.testing.contract.values import event

# as the hours of the page are seconds here
figures.LOOK_SECONDS = 0.2
signing.INTERVAL_SECONDS = 0.5
spool.MOST_SPOOLED = 0
sql_store.DELIVERIES_LATE = timedelta(seconds=1)

witness = "".join(f"{SigningKey.generate('witness.example.com', type_).verifier}\\n" for type_ in WITNESS_TYPES)


async def pager(event):
    raise OSError("nobody answers")


async def lose(request):
    stepup._parts.spool.take([event()])
    return Response()
"""
SETTINGS = """
    on_event=[pager],
    witnesses=[Witness("http://127.0.0.1:1", witness)],
    metrics="""


def hurried(rules: str) -> str:
    """Return rules whose times are seconds: nobody waits for an hour, and each condition is the page's."""
    rules = re.sub(r"for: \d+[mh]", "for: 1s", re.sub(r"\[\dm\]", "[8s]", rules))
    return re.sub(r"_seconds > (\d+)", lambda found: f"_seconds > {int(found[1]) // 60}", rules)


@asynccontextmanager
async def prometheus(folder: Path) -> AsyncIterator[str]:
    """Run a Prometheus in a folder with its configuration; give its address."""
    port = free_port()
    with (folder / "prometheus.log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program("prometheus"), "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}",
            f"--storage.tsdb.path={folder / 'tsdb'}", cwd=folder, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def firing(http: httpx2.AsyncClient, url: str) -> set[str]:
    """Return the names of the alerts that fire now."""
    try:
        told = (await http.get(f"{url}/api/v1/alerts")).json()["data"]["alerts"]
    except httpx2.TransportError:  # it is starting
        return set()
    return {alert["labels"]["alertname"] for alert in told if alert["state"] == "firing"}


async def until_firing(http: httpx2.AsyncClient, url: str, *wanted: str) -> None:
    """Return once all of these alerts have fired."""
    seen: set[str] = set()
    try:
        async with asyncio.timeout(120):
            while not seen >= set(wanted):
                await asyncio.sleep(0.2)
                seen |= await firing(http, url)
    except TimeoutError:
        pytest.fail(f"does not fire: {set(wanted) - seen}")


@contextmanager
def locked(database: Path) -> Iterator[None]:
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def alter(database: Path) -> None:
    """Take a leaf away past the app, as its thief would."""
    with closing(sqlite3.connect(database, isolation_level=None)) as thief:
        for (name,) in thief.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            thief.execute(f"DROP TRIGGER {name}")
        thief.execute("UPDATE trees SET size = size - 1")


@pytest.mark.block("check", "alerts.yml", "prometheus.yml")
async def test_prometheus_takes_the_rules_and_the_page_says_what_to_do_of_each(
    blocks: dict[str, str], tmp_path: Path
) -> None:
    program("promtool")
    for name in ("alerts.yml", "prometheus.yml"):
        (tmp_path / name).write_text(blocks[name], encoding="utf-8")
    said = await shell(blocks["check"], tmp_path)
    names = re.findall(r"alert: (\w+)", blocks["alerts.yml"])
    assert f"SUCCESS: {len(names)} rules found" in said
    page = (Path(__file__).parents[2] / "demo_app/guide/alerts.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == names


@pytest.mark.slow
@pytest.mark.block("alerts.yml", "prometheus.yml")
async def test_each_rule_fires_when_what_it_is_for_comes_about(blocks: dict[str, str], srv: Path) -> None:
    main, command = (
        (srv / "main.py").read_text(encoding="utf-8"),
        next(
            line.removeprefix("ExecStart=")
            for block in blocks_of("deploy")
            if block.name == "payday@.service"
            for line in block.text.splitlines()
            if line.startswith("ExecStart=")
        ),
    )
    main = main.replace("stepup = StepUp(", HOOKS + "\nstepup = StepUp(").replace("\n    metrics=", SETTINGS)
    main = main.replace("routes = [", 'routes = [Route("/lose", lose), ')
    (srv / "main.py").write_text(main, encoding="utf-8")
    port = free_port()
    targets = blocks["prometheus.yml"].replace("15s", "1s").replace("8001", str(port))
    (srv / "prometheus.yml").write_text(re.sub(r', "127.0.0.1:800[23]"', "", targets), encoding="utf-8")
    (srv / "alerts.yml").write_text(hurried(blocks["alerts.yml"]), encoding="utf-8")
    names = set(re.findall(r"alert: (\w+)", blocks["alerts.yml"]))
    fired: set[str] = set()

    async def fire(*wanted: str) -> None:
        await until_firing(http, url, *wanted)
        fired.update(wanted)

    node = served(srv, command.replace("%i", str(port)), port)
    async with node as server, prometheus(srv) as url, httpx2.AsyncClient(timeout=60) as http:
        done = await step_up(server.url, http, "http://localhost:8000")
        assert done.status_code == 200
        await fire("WitnessesMissing")  # nobody listens there
        assert await firing(http, url) == {"WitnessesMissing"}

        token = done.request.headers["stepup-token"]
        replayed = await http.post(server.url + ROTATE, headers={"stepup-token": token})
        assert replayed.json()["code"] == "STEPUP_TOKEN_REUSED"
        await fire("TokenReplayed", "AlertsUndelivered")

        with locked(srv / "stepup.db"):
            refused = [await http.post(server.url + ROTATE, headers={"stepup-token": token}) for _ in range(3)]
            assert {answer.status_code for answer in refused} == {503}
            await http.get(f"{server.url}/lose")
            await fire("NotReady", "RequestsRefused", "RedemptionsSlow", "EventsLost")

        await asyncio.to_thread(alter, srv / "stepup.db")
        assert (await http.post(server.url + ROTATE)).status_code in (401, 503)  # a record that gets no leaf
        await fire("DatabaseAltered", "LeavesLate", "LogUnsigned")

        server.process.send_signal(signal.SIGSTOP)
        await fire("NodeAway")
        server.process.send_signal(signal.SIGCONT)
    assert fired == names
