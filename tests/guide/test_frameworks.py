"""Frameworks: each app of the page asks, runs once after a proof, and the table is the measured one."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from stepup_middleware import ConfigurationError, requires_step_up
from tests.e2e.test_django_admin import project
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


DJANGO = """
import asyncio
from tests.guide.test_frameworks import lived_in_django
asyncio.run(lived_in_django())
"""
PASSWORD = "a password of the tests"


async def lived_in_django() -> None:
    """Sign in at the admin's page, and go through the app and its forms, in a process of its own."""
    import importlib

    from tests.frameworks.site import life

    app: Any = importlib.import_module("payday.asgi").application
    async with app.stepup, life(app):
        person = Person(app, None)
        stranger = await person.http.post("/webhooks/orders/rotate")
        assert stranger.status_code == 403  # CSRF comes first
        answer = await person.http.get("/saml/okta", headers={"accept": "text/html", "sec-fetch-mode": "navigate"})
        assert "/admin/login/" in answer.text + answer.headers.get("location", "")
        form = {"username": "ada", "password": PASSWORD, **await _csrf(person, "/admin/login/")}
        assert (await person.http.post("/admin/login/?next=/", data=form)).status_code == 302
        await person.enrol_passkey()
        csrf = await _csrf(person, "/")
        for url, fields, purpose, details, done in (
            ("/webhooks/orders/rotate", {}, "webhook_secret_rotation", [["Webhook", "orders"]], {"rotated": "orders"}),
            (
                "/domain",
                {"domain": "a.example"},
                "custom_domain_change",
                [["Domain", "a.example"]],
                {"domain": "a.example"},
            ),
        ):
            asked = await person.ask("POST", url, data={**csrf, **fields})
            assert (asked.json()["purpose"]["id"], asked.json()["details"]) == (purpose, details)
            token = {"stepup-token": await person.prove(asked)}
            assert (await person.http.post(url, data={**csrf, **fields}, headers=token)).json() == done
        assert (await person.http.post("/domain", data=csrf)).status_code == 200  # the form again, with its fault
        assert (
            await person.act("DELETE", "/saml/okta", headers={"x-csrftoken": csrf["csrfmiddlewaretoken"]})
        ).json() == {"deleted": "okta"}


async def _csrf(person: Person, url: str) -> dict[str, str]:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', (await person.http.get(url)).text)
    assert found is not None
    return {"csrfmiddlewaretoken": found[1]}


async def ran_in(folder: Path, *command: str, **environment: str) -> str:
    """Run Python in a folder, and return what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(120):
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


async def django_project(folder: Path, files: dict[str, str]) -> None:
    """Start a project as the page says, with somebody in it, and save these files in it."""
    await ran_in(folder, "-m", "django", "startproject", "payday", ".")
    settings = folder / "payday" / "settings.py"
    settings.write_text(settings.read_text().replace("INSTALLED_APPS = [", 'INSTALLED_APPS = ["payday",'))
    await ran_in(folder, "manage.py", "migrate", "-v0")
    await ran_in(
        *(folder, "manage.py", "createsuperuser", "--noinput", "--username", "ada", "--email", "ada@axis.example"),
        DJANGO_SUPERUSER_PASSWORD=PASSWORD,
    )
    (folder / "secret.key").write_text(KEY, encoding="utf-8")
    (folder / "payday" / "templates").mkdir()
    for name, text in files.items():
        path = f"templates/{name}.html" if text.startswith("<!doctype") else f"{name}.py"
        (folder / "payday" / path).write_text(text, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.block("step_up", "asgi", "home", "views", "urls")
async def test_the_django_project_asks_and_runs_after_the_proof(blocks: dict[str, str], tmp_path: Path) -> None:
    await django_project(tmp_path, blocks)
    out = await ran_in(tmp_path, "-W", "error", "-c", DJANGO)
    assert "never awaited" not in out


@pytest.mark.slow
@pytest.mark.block("step_up", "asgi", "home", "views", "urls")
async def test_a_tag_by_the_method_decorator_of_django_stops_the_start(blocks: dict[str, str], tmp_path: Path) -> None:
    decorated = """

from django.utils.decorators import method_decorator

@method_decorator(requires_step_up("webhook_secret_rotation"), name="dispatch")
class Decorated(View):
    def post(self, request):
        raise AssertionError("ran")
"""
    urls = blocks["urls"].replace("[\n", "[\n    path('decorated', Decorated.as_view()),\n", 1)
    urls = urls.replace("import Domain", "import Decorated, Domain")
    await django_project(tmp_path, {**blocks, "views": blocks["views"] + decorated, "urls": urls})
    starts = "from payday.asgi import application"
    with pytest.raises(AssertionError, match=r"ConfigurationError: the route /decorated .*method_decorator"):
        await ran_in(tmp_path, "-c", starts)


@pytest.mark.slow
@pytest.mark.block("admin")
async def test_djangos_admin_starts_with_its_rules_and_asks_nobody_who_only_looks(
    blocks: dict[str, str], tmp_path: Path
) -> None:
    async with project(tmp_path, purpose="account_erasure_finalize") as origin:  # of this very block
        assert "rules=[" in blocks["admin"]
        async with httpx2.AsyncClient(base_url=origin) as http:
            assert (await http.get("/admin/auth/group/")).status_code == 302
            shown = await http.post("/admin/auth/group/", data={"action": "delete_selected"})
            assert shown.status_code == 403  # of Django, which misses its own token
            asked = await http.post("/admin/auth/group/", data={"action": "delete_selected", "post": "yes"})
            one = await http.post("/admin/auth/group/1/2/delete/")
            assert [each.json()["code"] for each in (asked, one)] == ["STEPUP_NOT_SIGNED_IN"] * 2


@pytest.mark.slow
@pytest.mark.block("sanic")
async def test_the_sanic_app_asks_and_runs_after_the_proof(blocks: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "sanic_app.py").write_text(blocks["sanic"], encoding="utf-8")
    await alone(tmp_path, "sanic_app:app")
