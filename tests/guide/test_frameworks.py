"""Frameworks: each app of the page asks, runs once after a proof, and the table is the measured one."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from stepup_middleware import ConfigurationError, requires_step_up
from tests.frameworks.apps import FRAMEWORKS
from tests.frameworks.matrix import PAGE, README, block_of, published
from tests.frameworks.serving import SERVERS

from .harness import KEY, Ran, blocks_of
from .person import Person

ROOT = Path(__file__).parents[2]
APPS = ["starlette_app", "fastapi_app", "litestar_app", "quart_app", "falcon_app", "blacksheep_app"]
ACTIONS = [
    ("POST", "/webhooks/orders/rotate", "webhook_secret_rotation"),
    ("DELETE", "/saml/okta", "saml_provider_deletion"),
]


async def through(person: Person) -> None:
    """Ask for both actions of an app, and run each once."""
    await person.enrol_passkey()
    for method, url, purpose in ACTIONS:
        asked = (await person.ask(method, url)).json()
        assert asked["purpose"]["id"] == purpose
        if method == "POST":
            assert asked["details"] == [["Webhook", "orders"]]
        done = await person.act(method, url)
        assert done.status_code == 200, done.text
        assert set(done.json()) <= {"rotated", "deleted"}


@pytest.mark.parametrize("name", APPS)
async def test_each_app_asks_and_runs_after_the_proof(ran: Ran, name: str) -> None:
    app = ran.names[name]
    if name == "blacksheep_app":
        await app.app.start()
    await through(Person(app))


@pytest.mark.parametrize(("method", "url"), [("POST", "/quart/webhooks/orders/rotate"), ("GET", "/other/x")])
async def test_what_is_mounted_is_guarded(ran: Ran, method: str, url: str) -> None:
    person = Person(ran.names["mounting"])
    await person.enrol_passkey()
    assert (await person.act(method, url)).status_code == 200


async def test_the_document_of_fastapi_shows_the_tags(ran: Ran) -> None:
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=ran.names["api"]), base_url="http://localhost")
    document = (await http.get("/openapi.json")).json()
    operation = document["paths"]["/webhooks/{webhook}/rotate"]["post"]
    assert operation["x-stepup-purpose"] == "webhook_secret_rotation"
    assert {"200", "401", "403", "503"} <= set(operation["responses"])
    assert "application/problem+json" in operation["responses"]["401"]["content"]
    assert [each["name"] for each in operation["parameters"]] == ["webhook", "StepUp-Token"]
    assert "StepUpProblem" in document["components"]["schemas"]
    assert "x-stepup-purpose" not in document["paths"]["/saml/{provider}"]["delete"]


async def test_a_rule_is_asked_before_the_framework_knows_the_path(ran: Ran) -> None:
    person = Person(ran.names["uploads"])
    await person.enrol_passkey()
    await person.ask("POST", "/imports")


def test_a_controller_of_blacksheep_cannot_be_tagged_as_a_whole() -> None:
    from blacksheep.server.controllers import Controller

    with pytest.raises(ConfigurationError, match="tag its methods"):

        @requires_step_up("audit_log_export")
        class Providers(Controller):
            """One."""


def test_the_table_has_every_framework_on_every_server() -> None:
    cells = published()
    assert sorted(cells) == sorted((framework, server) for framework in FRAMEWORKS for server in SERVERS)
    assert all("✗" not in cell for cell in cells.values())
    assert block_of(README.read_text(encoding="utf-8")) == block_of(PAGE.read_text(encoding="utf-8"))


SCRIPT = """
import asyncio, sys
from tests.guide.test_frameworks import lived
asyncio.run(lived(sys.argv[1]))
"""


async def lived(target: str) -> None:
    """Go through the app of a module, in a process of its own, for Django and Sanic have one app a process."""
    import importlib

    from tests.frameworks.site import life

    module, _, name = target.partition(":")
    app: Any = getattr(importlib.import_module(module), name)
    async with app.stepup, life(app):
        await through(Person(app))


async def alone(folder: Path, target: str, **environment: str) -> None:
    """Run ``lived`` in a folder."""
    (main,) = [block.text for block in blocks_of("start") if block.name == "main.py"]
    (folder / "main.py").write_text(main, encoding="utf-8")
    (folder / "secret.key").write_text(KEY, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SCRIPT, target),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(120):
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    assert b"Traceback" not in out, out.decode()


@pytest.mark.block("views", "urls", "asgi")
async def test_the_django_project_asks_and_runs_after_the_proof(blocks: dict[str, str], tmp_path: Path) -> None:
    package = tmp_path / "payday"
    package.mkdir()
    for name, text in blocks.items():
        (package / f"{name}.py").write_text(text, encoding="utf-8")
    settings = "ALLOWED_HOSTS = ['*']\nROOT_URLCONF = 'payday.urls'\nSECRET_KEY = 's'\n"
    (package / "settings.py").write_text(settings, encoding="utf-8")
    await alone(tmp_path, "payday.asgi:application", DJANGO_SETTINGS_MODULE="payday.settings")


@pytest.mark.block("sanic")
async def test_the_sanic_app_asks_and_runs_after_the_proof(blocks: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "sanic_app.py").write_text(blocks["sanic"], encoding="utf-8")
    await alone(tmp_path, "sanic_app:app")
