"""Somebody at a browser in front of an app of the guide, with a passkey and an authenticator app."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from playwright.async_api import Page
from starlette.middleware.sessions import SessionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from stepup_middleware.testing import VirtualAuthenticator, totp_code

ORIGIN = "http://localhost:8000"
NAVIGATION = {"accept": "text/html", "sec-fetch-mode": "navigate"}


class Person:
    """Signed in as ``main.py`` of the start page signs people in; ``name`` None is a stranger."""

    def __init__(
        self,
        app: ASGIApp,
        name: str | None = "owner@axis.example",
        *,
        ip: str = "192.0.2.10",
        ago: float = 0,
        origin: str = ORIGIN,
    ) -> None:
        self.session: dict[str, str] = {}
        if name is not None:
            at = datetime.now(UTC) - timedelta(seconds=ago)
            self.session = {"name": name, "id": secrets.token_urlsafe(), "at": at.isoformat()}
        self._app = app.app if isinstance(app, SessionMiddleware) else app
        self.passkey = VirtualAuthenticator.passkey()
        self.secret = ""
        self._codes = 0
        self.origin = origin
        self.http = self._client(ip)

    def _client(self, ip: str) -> httpx2.AsyncClient:
        async def in_session(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("session", self.session)  # what a session middleware would have put there
            await self._app(scope, receive, send)

        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=in_session, client=(ip, 40_000)),
            base_url=self.origin,
            headers={"origin": self.origin, "sec-fetch-site": "same-origin", "accept": "application/json"},
        )

    def in_front_of(self, app: ASGIApp) -> Person:
        """Return the same person, in the same session, in front of another app: one that was started again."""
        again = Person(app, None)
        again.session, again.passkey = self.session, self.passkey
        again.secret, again._codes = self.secret, self._codes
        return again

    def move_to(self, ip: str) -> None:
        """Go on from another address."""
        self.http = self._client(ip)

    async def enrol_passkey(self, *, token: str = "") -> httpx2.Response:
        """Enrol a passkey; a further factor takes a token."""
        headers = {"stepup-token": token} if token else {}
        options = await self.http.post("/stepup/factors/webauthn/options", json={"kind": "passkey"}, headers=headers)
        if options.status_code != 200:
            return options
        credential = self.passkey.create(options.json(), origin=self.origin)
        done = await self.http.post("/stepup/factors/webauthn", json={"name": "Laptop", "credential": credential})
        assert done.status_code == 201, done.text
        return done

    async def enrol_totp(self) -> None:
        """Enrol an authenticator app as the first factor."""
        begun = await self.http.post("/stepup/factors/totp", json={})
        assert begun.status_code == 201, begun.text
        self.secret = begun.json()["secret"]
        confirm = f"/stepup/factors/totp/{begun.json()['id']}/confirm"
        done = await self.http.post(confirm, json={"code": self.code()})
        assert done.status_code == 200, done.text

    def code(self) -> str:
        """Return a code that was not used yet: the one of now, then the next one, which is accepted early."""
        self._codes += 1
        return totp_code(self.secret, datetime.now(UTC) + timedelta(seconds=30 * (self._codes - 1)))

    async def ask(self, method: str, url: str, **request: Any) -> httpx2.Response:
        """Send a tagged request without a token; it must be answered with a prompt."""
        answer = await self.http.request(method, url, **request)
        assert answer.status_code == 401, answer.text
        assert answer.headers["stepup-prompt"]
        return answer

    async def prove(self, asked: httpx2.Response, kind: str = "passkey") -> str:
        """Prove oneself to a prompt and return the token."""
        url = asked.headers["stepup-prompt"]
        if kind == "totp":
            answer = await self.http.post(f"{url}/totp", json={"code": self.code()})
        else:
            options = await self.http.post(f"{url}/webauthn/options", json={})
            assert options.status_code == 200, options.text
            answer = await self.http.post(f"{url}/webauthn", json=self.passkey.get(options.json(), origin=self.origin))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    async def act(self, method: str, url: str, kind: str = "passkey", **request: Any) -> httpx2.Response:
        """Send a tagged request, step up, and repeat it with the token."""
        token = await self.prove(await self.ask(method, url, **request), kind)
        headers = {**request.pop("headers", {}), "stepup-token": token}
        return await self.http.request(method, url, headers=headers, **request)


async def plug_in_passkey(page: Page) -> None:
    """Give a page of Chromium a virtual authenticator for passkeys."""
    cdp = await page.context.new_cdp_session(page)
    await cdp.send("WebAuthn.enable", {"enableUI": False})
    options = {
        "protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal", "hasResidentKey": True,
        "hasUserVerification": True, "isUserVerified": True, "automaticPresenceSimulation": True,
    }  # fmt: skip
    await cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})
