"""An API and the pages that call it: of the same origin, of others that are listed, and of others that are not."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from stepup_middleware import RelyingParty, StepUp, StepUpMiddleware, Subject, requires_step_up
from stepup_middleware.asgi import header
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.guide.harness import serving
from tests.machine import free_port

PAGE = """<!doctype html><html lang=en><head><title>Page</title>
<link rel=stylesheet href="{api}/stepup/stepup.css"><script src="{api}/stepup/stepup.js" defer></script></head>
<body><main><h1>Page</h1><button id=act>Act</button><div id=factors></div><p id=said></p></main></body></html>"""


@dataclass
class Origins:
    """Where everything is served: ``pages`` by name, the API among them as ``own``."""

    stepup: StepUp
    pages: dict[str, str]
    ran: list[str] = field(default_factory=list)

    @property
    def api(self) -> str:
        return self.pages["own"]


async def identify(scope: Any) -> Subject | None:
    """Take a bearer token or a cookie for who it names."""
    given = (header(scope, b"authorization") or b"").decode()
    name = given.removeprefix("Bearer ") if given.startswith("Bearer ") else ""
    if not name:
        cookies = (header(scope, b"cookie") or b"").decode().split("; ")
        name = next((each.removeprefix("who=") for each in cookies if each.startswith("who=")), "")
    if not name:
        return None
    return Subject(id=name, session_id=f"s-{name}", workspace_id="main", name=name, signed_in_at=datetime.now(UTC))


@asynccontextmanager
async def origins(folder: Path) -> AsyncIterator[Origins]:
    """Serve an API at ``own``, and pages at ``sibling``, ``apart`` (listed), ``stranger`` and ``far`` (not listed).

    ``own``, ``sibling`` and ``stranger`` are of one site, ``apart`` and ``far`` of others: an app at localhost is
    another site than one at spa.localhost (HTML, "schemelessly same site": localhost has no registrable domain).
    """
    hosts = {
        "own": "localhost",
        "sibling": "localhost",
        "apart": "spa.localhost",
        "stranger": "localhost",
        "far": "far.localhost",
    }
    pages = {name: f"http://{host}:{free_port()}" for name, host in hosts.items()}
    listed = [pages["own"], pages["sibling"], pages["apart"]]
    stepup = StepUp(
        secret_key=[secrets.token_urlsafe(48)],
        store=SQLiteStore(folder / "stepup.db"),
        relying_party=RelyingParty(id="localhost", name="Payday", origins=listed),
        identify=identify,
        client_address=lambda scope: "192.0.2.1",
    )
    site = Origins(stepup=stepup, pages=pages)

    @requires_step_up("webhook_secret_rotation")
    async def act(request: Request) -> Response:
        site.ran.append(request.method)
        return JSONResponse({"done": (await request.body()).decode()})

    async def enter(request: Request) -> Response:
        response = HTMLResponse("in")
        response.set_cookie("who", request.path_params["name"], secure=True, httponly=True, samesite="none")
        return response

    async def page(request: Request) -> Response:
        return HTMLResponse(PAGE.format(api=site.api))

    async def bare(request: Request) -> Response:
        return HTMLResponse("<!doctype html><title>Bare</title>")

    api: Any = StepUpMiddleware(
        Starlette(
            routes=[
                Route("/", page),
                Route("/bare", bare),
                Route("/act", act, methods=["GET", "POST", "PUT", "DELETE"]),
                Route("/enter/{name}", enter),
            ]
        ),
        stepup=stepup,
    )
    # an API that lets every page in: what keeps strangers out is the library alone
    api = CORSMiddleware(
        api,
        allow_origin_regex=".*",
        allow_methods=["*"],
        allow_headers=["*"],
        allow_credentials=True,
        expose_headers=["StepUp-Prompt", "StepUp-Error"],
    )
    async with AsyncExitStack() as served:
        for name, url in pages.items():
            app = api if name == "own" else Starlette(routes=[Route("/", page), Route("/bare", bare)])
            await served.enter_async_context(serving(app, int(url.rpartition(":")[2])))
        yield site
