"""The React app, built by Vite against the npm package, installed as the guide says, once a session."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import browser
from tests.machine import free_port

__all__ = ["browser"]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SECONDS = 180  # for one command of npm


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            if os.environ.get("STEPUP_FRONTENDS") != "1":
                item.add_marker(pytest.mark.skip(reason="needs npm's registry: python -m tests.frontends"))


@dataclass(frozen=True, slots=True)
class Built:
    """The built app for an API of another origin with a bearer token, and for its own origin with cookies."""

    bearer: Path
    cookies: Path
    api: str  # that the first one calls
    packed: list[str]  # what is in the package
    rendered: str  # what a server makes of a component with the hook


def run(*command: str, cwd: Path, given: str = "", **environment: str) -> str:
    """Run a command that must succeed, with ``given`` as its input; return what it printed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        input=given,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


RENDER = """
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { useStepUp } from "stepup-middleware/react";
function Security() {
  const { asking, factors } = useStepUp();
  return createElement("p", { ref: factors }, String(asking));
}
console.log(renderToString(createElement(Security)));
"""


def installed_in(folder: Path, name: str) -> Path:
    """Install ``static/`` in a copy of an app by the guide's command; return the copy."""
    if shutil.which("npm") is None:
        pytest.fail("no npm on this machine (Debian, Ubuntu: apt install npm)")
    app = folder / "app"
    shutil.copytree(HERE / name, app)
    (folder / "stepup_middleware").symlink_to(ROOT)  # the checkout is beside the app
    guide = (ROOT / "demo_app" / "guide" / "client.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^npm install .+$", guide, re.MULTILINE)
    run(*command.split(), "--no-audit", "--no-fund", cwd=app)
    return app


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Install ``static/`` in the React app by the guide's command, check its types and build it, twice."""
    folder = tmp_path_factory.mktemp("react")
    app = installed_in(folder, "react")
    run("npm", "run", "types", cwd=app)
    api = f"http://localhost:{free_port()}"
    run("npx", "vite", "build", "--outDir", "../bearer", cwd=app, VITE_API=api, VITE_TOKEN="ada")
    run("npx", "vite", "build", "--outDir", "../cookies", cwd=app)
    installed = app / "node_modules" / "stepup-middleware"
    files = sorted(str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file())
    rendered = run("node", "--input-type=module", "-e", RENDER, cwd=app).strip()
    return Built(folder / "bearer", folder / "cookies", api, files, rendered)


@pytest.fixture(scope="session")
def angular(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Install ``static/`` in the Angular app and build it, for its own origin with cookies."""
    folder = tmp_path_factory.mktemp("angular")
    run("npx", "vite", "build", "--outDir", "../built", cwd=installed_in(folder, "angular"))
    return Built(folder / "built", folder / "built", f"http://localhost:{free_port()}", [], "")
