"""The smallest app with a tagged route, as a text for programs of their own."""

SMALLEST_APP = """
import secrets
from datetime import UTC, datetime
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from stepup_middleware import RelyingParty, StepUp, StepUpMiddleware, Subject, requires_step_up
from stepup_middleware.stores.sqlite import SQLiteStore

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
"""  # goes on inside the block, with the client as `http`
