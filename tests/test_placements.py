"""The command line finds the middleware wherever it was put on the app, and what the app can do stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAD = """
from fastapi import Depends, FastAPI
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from stepup_middleware import RelyingParty, StepUp, StepUpMiddleware, requires_step_up
from stepup_middleware.stores.sqlite import SQLiteStore

async def nobody(scope):
    return None

stepup = StepUp(
    secret_key="the key of the tests of placements, 32 bytes", store=SQLiteStore("stepup.db"), identify=nobody,
    relying_party=RelyingParty(id="localhost", name="Test", origins=["http://localhost:8000"]),
)

def routed(**settings):
    app = FastAPI(**settings)

    @app.post("/act")
    @requires_step_up("webhook_secret_rotation")
    async def act() -> None: ...

    return app
"""
PLACEMENTS = {
    "wrapped": "app = StepUpMiddleware(routed(), stepup=stepup)",
    "wrapped, with another around": "app = GZipMiddleware(StepUpMiddleware(routed(), stepup=stepup))",
    "add_middleware": "app = routed()\napp.add_middleware(StepUpMiddleware, stepup=stepup)",
    "add_middleware, with others": (
        "app = routed()\napp.add_middleware(GZipMiddleware)\napp.add_middleware(StepUpMiddleware, stepup=stepup)\n"
        "app.add_middleware(GZipMiddleware)"
    ),
    "a list": "app = routed(middleware=[Middleware(GZipMiddleware), Middleware(StepUpMiddleware, stepup=stepup)])",
    "a closure": (
        "inner = StepUpMiddleware(routed(), stepup=stepup)\n"
        "def around(inner):\n    async def outer(scope, receive, send):\n        await inner(scope, receive, send)\n"
        "    return outer\napp = around(inner)"
    ),
    "a factory": "def app():\n    return StepUpMiddleware(routed(), stepup=stepup)",
    "a factory of a list": (
        "def app():\n    made = routed()\n    made.add_middleware(StepUpMiddleware, stepup=stepup)\n    return made"
    ),
}
COMMANDS = [
    ["routes", "main:app"],
    ["audit", "verify", "--app", "main:app"],
    ["audit", "export", "--app", "main:app"],
    ["purge", "--app", "main:app"],
    ["revoke-all", "--app", "main:app"],
    ["reencrypt", "main:app"],
]


def stepup(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the folder of an app."""
    command = [sys.executable, "-m", "stepup_middleware", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_every_command_works_with_the_middleware_anywhere(placement: str, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(HEAD + PLACEMENTS[placement] + "\n", encoding="utf-8")
    commands = COMMANDS if placement in ("add_middleware", "a factory") else COMMANDS[:1]
    for command in commands:
        done = stepup(tmp_path, *command)
        assert done.returncode in (0, 3), (command, done.stderr)  # 3: nobody signed the log
        if command[0] == "routes":
            (line,) = [line for line in done.stdout.splitlines() if "/act" in line]
            assert "webhook_secret_rotation" in line


@pytest.mark.slow
def test_a_fault_is_told_for_every_placement(tmp_path: Path) -> None:
    for name, placement in PLACEMENTS.items():
        if "gzip" in placement.lower() or "closure" in name:
            continue
        head = HEAD.replace('"webhook_secret_rotation"', '"webhook_secret_rotatoin"')
        (tmp_path / "main.py").write_text(head + placement + "\n", encoding="utf-8")
        done = stepup(tmp_path, "routes", "main:app")
        assert (done.returncode, "unknown purpose" in done.stderr) == (2, True), name


def test_an_app_without_the_middleware_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(HEAD + "app = routed()\n", encoding="utf-8")
    done = stepup(tmp_path, "routes", "main:app")
    assert done.returncode == 2
    assert "not wrapped in StepUpMiddleware" in done.stderr


def test_dependency_overrides_and_state_stay_with_add_middleware(tmp_path: Path) -> None:
    code = """
import asyncio, httpx2
def who(): return "somebody"
app = routed()
@app.get("/who")
async def told(name: str = Depends(who)) -> str: return name + app.state.word
app.add_middleware(StepUpMiddleware, stepup=stepup)
app.dependency_overrides[who] = lambda: "ada"
app.state.word = "!"
async def main():
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://localhost:8000") as http:
        print((await http.get("/who")).json(), (await http.post("/act")).status_code)
    await stepup.close()
asyncio.run(main())
"""
    (tmp_path / "main.py").write_text(HEAD + code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["ada!", "401"], done.stderr
