"""The wheel works without the checkout: a small app with one tagged route serves its modal and assets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
APP = """
import re, secrets
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from datetime import datetime, UTC
from stepup_middleware import RelyingParty, StepUp, StepUpMiddleware, Subject, requires_step_up
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing import VirtualAuthenticator

@requires_step_up("webhook_secret_rotation", details=[("Hook", "W-1")])
async def rotate(request):
    return JSONResponse({"ok": True})

async def identify(scope):
    return Subject(id="u", session_id="s", workspace_id="w", name="U", signed_in_at=datetime.now(UTC))

stepup = StepUp(secret_key=[secrets.token_urlsafe(48)], store=SQLiteStore("stepup.db"), identify=identify,
    relying_party=RelyingParty(id="localhost", name="X", origins=["http://localhost"]),
    client_address=lambda scope: "192.0.2.1")
app = StepUpMiddleware(Starlette(routes=[Route("/rotate", rotate, methods=["POST"])]), stepup=stepup)
with TestClient(app, base_url="http://localhost") as http:
    key = VirtualAuthenticator.passkey()
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
