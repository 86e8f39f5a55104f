"""The wheel works without the checkout: a small app with one tagged route serves its modal and assets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.slow
def test_the_wheel_serves_modal_and_assets_without_the_checkout(tmp_path: Path) -> None:
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path / "dist"), str(ROOT), cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    run(sys.executable, "-m", "venv", str(tmp_path / "venv"), cwd=tmp_path)
    python = str(tmp_path / "venv" / "bin" / "python")
    run(python, "-m", "pip", "install", "-q", str(wheel), "httpx2", cwd=tmp_path)
    (tmp_path / "app.py").write_text(APP)
    assert run(python, "app.py", cwd=tmp_path).strip() == "served"
