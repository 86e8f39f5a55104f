"""What the demo's tests share: a person at a browser, and the running app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from starlette.types import ASGIApp, Message

from demo_app.seed import DEMO_PASSWORD
from stepup_middleware.testing import FixedClock, VirtualAuthenticator, totp_code

PAGES = [
    "/",
    "/payroll",
    "/equity",
    "/year-end",
    "/privacy",
    "/developers",
    "/agents",
    "/identity",
    "/domains",
    "/exports",
    "/settings/security",
    "/settings/step-up-policy",
    "/audit",
    "/security",
    "/guide",
]
ORIGIN = "http://localhost:8000"


@asynccontextmanager
async def running(app: ASGIApp) -> AsyncIterator[None]:
    """Run an app's lifespan around the block (ASGI lifespan protocol 2.0)."""
    requests: asyncio.Queue[Message] = asyncio.Queue()
    answers: asyncio.Queue[Message] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    life = asyncio.ensure_future(app(scope, requests.get, answers.put))
    await requests.put({"type": "lifespan.startup"})
    answer = await answers.get()
    assert answer["type"] == "lifespan.startup.complete", answer
    try:
        yield
    finally:
        await requests.put({"type": "lifespan.shutdown"})
        answer = await answers.get()
        await life
    assert answer["type"] == "lifespan.shutdown.complete", answer


class Person:
    """Somebody at a browser: signs in, enrols factors, and authorizes what they click."""

    def __init__(self, app: ASGIApp, clock: FixedClock, *, ip: str = "192.0.2.10") -> None:
        self.http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app, client=(ip, 40000)),
            base_url=ORIGIN,
            headers={"origin": ORIGIN, "sec-fetch-site": "same-origin", "user-agent": "Test browser"},
        )
        self.clock = clock
        self.passkey = VirtualAuthenticator.passkey()
        self.secret = ""

    async def sign_in(self, account: str, password: str = DEMO_PASSWORD) -> httpx2.Response:
        """Sign in and return the answer."""
        form = {"email": f"{account}@axis.example", "password": password}
        return await self.http.post("/sign-in", data=form)

    async def page(self, path: str) -> httpx2.Response:
        """Go to a page as a browser does."""
        return await self.http.get(path, headers={"accept": "text/html", "sec-fetch-mode": "navigate"})

    async def page_with(self, path: str, words: str) -> str:
        """Go to a page again and again until it says something that is written in the background."""
        async with asyncio.timeout(10):
            html = ""
            while words not in html:
                html = (await self.page(path)).text
        return html

    async def enrol_passkey(self) -> None:
        """Enrol a passkey as the first factor."""
        options = await self.http.post("/stepup/factors/webauthn/options", json={"kind": "passkey"})
        assert options.status_code == 200, options.text
        credential = self.passkey.create(options.json(), origin=ORIGIN)
        done = await self.http.post("/stepup/factors/webauthn", json={"name": "Laptop", "credential": credential})
        assert done.status_code == 201, done.text

    async def enrol_totp(self) -> None:
        """Enrol an authenticator app as the first factor."""
        begun = await self.http.post("/stepup/factors/totp", json={})
        assert begun.status_code == 201, begun.text
        self.secret = begun.json()["secret"]
        code = totp_code(self.secret, self.clock())
        done = await self.http.post(f"/stepup/factors/totp/{begun.json()['id']}/confirm", json={"code": code})
        assert done.status_code == 200, done.text
        self.clock.advance(30)

    async def ask(self, method: str, url: str, **request: Any) -> dict[str, Any]:
        """Send a tagged request without a token and return what the answer tells of the prompt."""
        asked = {name: value for name, value in request.pop("headers", {}).items() if name != "hx-request"}
        answer = await self.http.request(method, url, headers={**asked, "accept": "application/json"}, **request)
        assert answer.status_code == 401, answer.text
        body: dict[str, Any] = answer.json()
        assert body["code"] == "STEPUP_REQUIRED"
        return body

    async def prove(self, prompt: dict[str, Any]) -> str:
        """Prove with the passkey and return the token."""
        url = prompt["prompt"]["url"]
        options = await self.http.post(f"{url}/webauthn/options", json={})
        assert options.status_code == 200, options.text
        answer = await self.http.post(f"{url}/webauthn", json=self.passkey.get(options.json(), origin=ORIGIN))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    async def act(self, method: str, url: str, **request: Any) -> httpx2.Response:
        """Send a tagged request, step up with the passkey, and repeat it with the token."""
        token = await self.prove(await self.ask(method, url, **request))
        headers = {**request.pop("headers", {}), "stepup-token": token}
        return await self.http.request(method, url, headers=headers, **request)
