"""The wheel: what it has, what its metadata says, its types, and that it works without the checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from demo_app.guide_pages import FOLDER
from demo_app.reference import entry, names
from stepup_middleware import __version__
from tests.machine import program, wheel_in
from tests.smallest import SMALLEST_APP

ROOT = Path(__file__).parent.parent
APP = (
    "import re\nfrom stepup_middleware.testing import VirtualAuthenticator\n"
    + SMALLEST_APP
    + """    key = VirtualAuthenticator.passkey()
    options = http.post("/stepup/factors/webauthn/options", json={"kind": "passkey"}).json()
    done = http.post("/stepup/factors/webauthn", json={"credential": key.create(options, origin="http://localhost")})
    assert done.status_code == 201, done.text
    refused = http.post("/rotate", headers={"HX-Request": "true"})
    assert refused.status_code == 401 and "Authorize webhook secret rotation" in refused.text
    assert http.get(refused.headers["StepUp-Prompt"], headers={"HX-Request": "true"}).status_code == 200
    for url in re.findall(r'(?:src|href)="([^"]+)"', stepup.head):
        assert http.get(url).status_code == 200, url
import stepup_middleware
assert "site-packages" in stepup_middleware.__file__
print("served")
"""
)


def run(*command: str, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built as an index would get it."""
    return wheel_in(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, its extras and nothing else."""
    folder = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", str(folder), cwd=folder)
    extras = "[client,mcp,opentelemetry,postgres,prometheus,redis,witness]"
    run(str(folder / "bin" / "pip"), "install", "-q", f"{wheel}{extras}", "httpx2", cwd=folder)
    return folder


@pytest.mark.slow
def test_the_wheel_has_the_library_alone_and_its_metadata_names_no_tool_of_the_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        told = message_from_bytes(archive.read(metadata))
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"stepup_middleware", f"stepup_middleware-{__version__}.dist-info"}
    shipped = {name for name in names if not name.startswith(f"stepup_middleware-{__version__}")}
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "stepup_middleware").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    static = {
        f"stepup_middleware/{path.relative_to(ROOT).as_posix()}"
        for path in (ROOT / "static").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert shipped == sources | static
    assert told["Version"] == __version__
    extras = {"client", "mcp", "opentelemetry", "postgres", "prometheus", "redis", "witness"}
    assert set(told.get_all("Provides-Extra", [])) == extras
    required = {re.split(r"[^A-Za-z0-9-]", each)[0] for each in told.get_all("Requires-Dist", [])}
    assert len(required) <= 20
    assert not required & {"pytest", "mypy", "ruff", "fastapi", "griffe", "hypothesis", "playwright"}


@pytest.mark.slow
def test_what_an_index_shows_links_to_nothing_that_it_does_not_have(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        shown = archive.read(metadata).decode()
    assert "## Five minutes in your own app" in shown
    assert [link for link in re.findall(r"\]\(([^)]*)\)", shown) if not link.startswith("https://")] == []


@pytest.mark.slow
def test_the_types_of_every_public_name_are_complete_for_whoever_installs_the_wheel(installed: Path) -> None:
    program("node")  # pyright is written for it
    environment = {**os.environ, "VIRTUAL_ENV": str(installed)}
    environment["PATH"] = f"{installed / 'bin'}{os.pathsep}{environment['PATH']}"
    pyright = Path(sys.executable).parent / "pyright"
    command = [str(pyright), "--verifytypes", "stepup_middleware", "--ignoreexternal", "--outputjson"]
    done = subprocess.run(
        command, cwd=installed, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    told = json.loads(done.stdout)["typeCompleteness"]
    assert Path(told["pyTypedPath"]).is_file()
    symbols = told["symbols"]
    listed = names((FOLDER / "reference.md").read_text(encoding="utf-8"))
    homes = [entry(path).found.path for path in listed]
    ours = [one for one in symbols if any(one["name"] == home or one["name"].startswith(f"{home}.") for home in homes)]
    assert len(ours) > 200
    assert sorted(one["name"] for one in ours if not one["isTypeKnown"]) == []


@pytest.mark.slow
def test_the_wheel_serves_modal_and_assets_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP, encoding="utf-8")
    assert run(str(installed / "bin" / "python"), "app.py", cwd=tmp_path).strip() == "served"
    assert run(str(installed / "bin" / "stepup"), "--version", cwd=tmp_path).strip() == __version__
