"""Importing costs little, building an app loads the rest, and no request loads anything."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import stepup_middleware
from tests.smallest import SMALLEST_APP

PACKAGE = Path(stepup_middleware.__file__).parent
NAMES = """
import sys
from stepup_middleware import RelyingParty, StepUp, StepUpMiddleware, Subject, requires_step_up
print(sorted(sys.modules))
"""
APP = (
    "import sys\n"
    + SMALLEST_APP
    + """    before = set(sys.modules)
    from stepup_middleware.testing import VirtualAuthenticator  # loads nothing that the app had to load
    key = VirtualAuthenticator.passkey()
    options = http.post("/stepup/factors/webauthn/options", json={"kind": "passkey"}).json()
    http.post("/stepup/factors/webauthn", json={"credential": key.create(options, origin="http://localhost")})
    assert http.get("/stepup/factors", headers={"Accept": "text/html"}).status_code == 200
    prompt = http.post("/rotate").headers["StepUp-Prompt"]
    assert http.get(prompt, headers={"HX-Request": "true"}).status_code == 200
    options = http.post(prompt + "/webauthn/options", json={}).json()
    proved = http.post(prompt + "/webauthn", json=key.get(options, origin="http://localhost")).json()
    assert http.post("/rotate", headers={"StepUp-Token": proved["token"]}).status_code == 200
    print(sorted(set(sys.modules) - before))
"""
)


def printed(code: str, folder: Path) -> list[Any]:
    """Run a program of its own, and return the list that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    names = ast.literal_eval(done.stdout)
    assert isinstance(names, list)
    return names


def test_what_an_app_imports_loads_no_driver_no_ceremony_no_template_and_no_service(tmp_path: Path) -> None:
    loaded = printed(NAMES, tmp_path)
    packages = {name.partition(".")[0] for name in loaded}
    assert not packages & {"webauthn", "cryptography", "jinja2", "aiosqlite", "asyncpg", "redis", "segno", "pyotp"}
    ours = {name.removeprefix("stepup_middleware.") for name in loaded if name.startswith("stepup_middleware.")}
    assert {name for name in ours if name.startswith("service.")} == {"service.settings", "service.stepup"}
    assert not ours & {"stores", "ceremonies", "testing", "cli", "web.routes", "evidence"}


def test_what_a_request_needs_is_loaded_before_the_first_one(tmp_path: Path) -> None:
    late = printed(APP, tmp_path)
    watched = ("stepup_middleware", "webauthn", "jinja2", "aiosqlite")
    assert [name for name in late if name.partition(".")[0] in watched] == [
        "stepup_middleware.testing",
        "stepup_middleware.testing.authenticator",
        "stepup_middleware.testing.clock",
    ]


def test_every_public_name_is_there(tmp_path: Path) -> None:
    code = "import stepup_middleware as it; listed = dir(it); from stepup_middleware import *; print([listed, dir()])"
    listed, imported = printed(code, tmp_path)
    assert set(stepup_middleware.__all__) <= set(listed) & set(imported)


def test_a_name_that_is_not_there_is_said_to_be_missing() -> None:
    with pytest.raises(AttributeError, match="module 'stepup_middleware' has no attribute 'StepDown'"):
        stepup_middleware.StepDown  # noqa: B018 - looked up for its error
    with pytest.raises(ImportError, match="cannot import name 'StepDown' from 'stepup_middleware'"):
        exec("from stepup_middleware import StepDown")  # noqa: S102 - a program's own line


def imports_of_functions() -> list[str]:
    """Return the imports that stand in functions of the library, each with its place."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                inner = (node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom))
                found += [f"{path.relative_to(PACKAGE)}:{node.lineno} {ast.unparse(node)}" for node in inner]
    return found


def test_few_imports_stand_in_functions() -> None:
    # optional extras, and what a start would pay for and few requests need; everything else stands at the top
    found = imports_of_functions()
    assert 5 < len(found) <= 12, "\n".join(found)


def test_no_module_is_long() -> None:
    files = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in files.items()}
    assert len(lengths) > 100
    assert {name: length for name, length in lengths.items() if length > 350} == {}
