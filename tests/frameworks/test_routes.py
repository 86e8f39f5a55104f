"""``stepup routes`` lists what each framework publishes, and says what it cannot read."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from stepup_middleware import ConfigurationError, RelyingParty, StepUp, StepUpMiddleware, requires_step_up
from stepup_middleware.asgi import Receive, Scope, Send
from stepup_middleware.cli import main
from stepup_middleware.inspection import routes_of
from stepup_middleware.stores.sqlite import SQLiteStore

from .apps import FRAMEWORKS
from .site import KEY, Site

TAGGED = {"/function", "/class", "/stream", "/background", "/socket"}


def site(folder: Path, framework: str) -> Site:
    return Site(str(folder / "stepup.db"), frameworks=(framework,))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_tags_of_a_framework_are_found(framework: str, tmp_path: Path) -> None:
    app = site(tmp_path, framework).apps[framework]
    found = {route.path: route for route in routes_of(app)}
    for path in TAGGED if framework != "django" else TAGGED - {"/socket"}:
        tag = found[path].tag
        assert tag is not None, path
        assert tag.purpose == "webhook_secret_rotation"
    assert found["/open"].tag is None
    assert found["/inside"].tag is None  # what asks inside shows itself when it runs
    assert all(route.readable for route in found.values())


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_tags_of_a_framework_are_found_in_a_mount_of_another(framework: str, tmp_path: Path) -> None:
    inner = site(tmp_path, framework).apps[framework].app
    tags = {route.path: route.tag for route in routes_of(Starlette(routes=[Mount("/below", app=inner)]))}
    assert tags["/below/function"] is not None
    assert tags["/below/open"] is None


# T37 H19
# U05
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_unknown_purpose_in_any_framework_stops_the_start(
    framework: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"tests.frameworks.apps.{framework}")
    monkeypatch.setattr(module, "tagged", requires_step_up("webhook_secret_rotatoin"))
    with pytest.raises(ConfigurationError, match="unknown purpose"):
        site(tmp_path, framework)


def test_an_app_that_has_no_list_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def anything(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError

    assert [(route.name.rpartition(".")[2], route.readable) for route in routes_of(anything)] == [("anything", False)]

    (tmp_path / "listed.py").write_text(
        "from tests.frameworks.test_routes import mounted\napp = mounted(__file__)\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["routes", "listed:app"]) == 0
    shown = capsys.readouterr().out
    assert "/plain/*" in shown
    assert "cannot be listed" in shown


def mounted(file: str) -> StepUpMiddleware:
    """Return an app with a mount that nobody can read."""

    async def anything(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError

    async def nobody(scope: Scope) -> Any:
        return None

    stepup = StepUp(
        secret_key=KEY,
        store=SQLiteStore(Path(file).with_suffix(".db")),
        relying_party=RelyingParty(id="localhost", name="Test", origins=["http://localhost:8000"]),
        identify=nobody,
    )
    return StepUpMiddleware(Starlette(routes=[Mount("/plain", app=anything)]), stepup=stepup)
