"""Testing: the tests of the page pass, find a missing tag, and the list of untagged routes is what it says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from stepup_middleware.testing import VirtualAuthenticator

from .harness import Ran, running, shell


@pytest.mark.slow
@pytest.mark.block("pytest")
async def test_the_tests_of_the_page_pass_and_fail_without_the_tag(blocks: dict[str, str], tmp_path: Path) -> None:
    async with running("testing", tmp_path):
        pass
    assert "2 passed" in await shell(blocks["pytest"], tmp_path)
    main = tmp_path / "main.py"
    tag = '@requires_step_up("webhook_secret_rotation", details=rotation_details)\n'
    assert tag in main.read_text(encoding="utf-8")
    main.write_text(main.read_text(encoding="utf-8").replace(tag, ""), encoding="utf-8")
    assert "2 failed" in await shell(f"({blocks['pytest']}) || true", tmp_path)


@pytest.mark.slow
async def test_a_problem_that_came_by_a_websocket_is_proved_at_its_whole_address(tmp_path: Path) -> None:
    async with running("testing", tmp_path):
        pass
    (tmp_path / "test_live.py").write_text(LIVE, encoding="utf-8")
    assert "1 passed" in await shell("pytest -q test_live.py", tmp_path)


LIVE = """
from main import app, stepup
from person import Person
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Mount, WebSocketRoute
from starlette.testclient import TestClient
from stepup_middleware import StepUpMiddleware, StepUpRequired, require_step_up


async def live(socket):
    await socket.accept()
    async for message in socket.iter_json():
        try:
            await require_step_up(socket, "webhook_secret_rotation", token=message.get("token"))
        except StepUpRequired as required:
            await socket.send_json(required.problem)
        else:
            await socket.send_json({"rotated": True})


inner = app
while not isinstance(inner, Starlette):
    inner = inner.app
inner.router.routes.append(WebSocketRoute("/live", live))


def test_live():
    with TestClient(app, base_url="http://localhost:8000", client=("192.0.2.1", 50000)) as http:
        http.post("/sign-in", data={"name": "live"})
        person = Person(http)
        person.enrol()
        origin = {"origin": "http://localhost:8000"}
        with http.websocket_connect("/live", headers=origin) as elsewhere:
            elsewhere.send_json({})
            assert elsewhere.receive_json()["code"] == "STEPUP_NOT_SIGNED_IN"
        with http.websocket_connect("ws://localhost:8000/live", headers=origin) as socket:
            socket.send_json({})
            token = person.prove(socket.receive_json())
            socket.send_json({"token": token})
            assert socket.receive_json() == {"rotated": True}
"""


def test_an_authenticator_that_is_handed_an_error_repeats_what_it_says() -> None:
    answer = {"code": "STEPUP_NOT_SIGNED_IN", "detail": "Sign in, then try again."}
    for use in (VirtualAuthenticator.passkey().get, VirtualAuthenticator.passkey().create):
        with pytest.raises(ValueError, match="Sign in, then try again"):
            use(answer, origin="http://localhost:8000")


@pytest.mark.slow
def test_the_clock_of_the_page_has_moved(ran: Ran) -> None:
    assert ran.names["clock"]() == datetime(2026, 11, 24, 12, 1, 1, tzinfo=UTC)


@pytest.mark.slow
def test_the_untagged_routes_are_listed(ran: Ran) -> None:
    assert (ran.folder / "untagged.txt").read_text().split("\n") == ["GET,HEAD /", "POST /sign-in", ""]
