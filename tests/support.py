"""A small app with every way to tag, people with real keys in their browsers, and raw ASGI calls.

``House`` is the app: a Starlette app on a real SQLite file, which counts how often each endpoint ran.
``Browser`` is a signed-in person at one address, with a cookie jar and with factors that were enrolled
through the HTTP routes of the library.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from stepup_middleware import (
    AuditRecord,
    EventName,
    NotPermitted,
    RelyingParty,
    RequireStepUp,
    Rule,
    StepUp,
    StepUpMiddleware,
    Subject,
    require_step_up,
    requires_step_up,
)
from stepup_middleware.asgi import ASGIApp, Message, Receive, Scope, Send
from stepup_middleware.core.cookies import cookie_values
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.errors import StoreError
from stepup_middleware.log.records import RowMacs
from stepup_middleware.stores.sqlite import SQLiteStore
from stepup_middleware.testing import FixedClock, VirtualAuthenticator, totp_code
from stepup_middleware.testing.contract.values import assert_records_hold
from tests.evidence.page import assert_described

ORIGIN = "https://example.com"
RP = RelyingParty(id="example.com", name="AxisSynapse", origins=[ORIGIN])
KEY = secrets.token_bytes(32)
PATIENT = timedelta(seconds=30)  # what a busy machine takes is no fault of the store
HOME = "192.0.2.7"
ELSEWHERE = "198.51.100.9"
TRANSMIT = "/payroll/2026-06/transmit"  # phishing-resistant, with details
ROTATE = "/webhooks/rotate"  # any factor, no details
POLICY = "/settings/policy"  # loosens by a proof
DESK = "/settings/desk"  # passes and resets, by a proof
HTML = {"accept": "text/html,application/xhtml+xml", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


@dataclass
class Factor:
    """A factor as its owner has it: an authenticator with a real key, or the secret in an app."""

    id: str
    kind: str
    authenticator: VirtualAuthenticator | None = None
    secret: str = ""


class House:
    """The app under test, its store, its clock, who is signed in, and how often each endpoint ran."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.clock = FixedClock()
        self.path = folder / "stepup.db"
        self.store = settings.pop("store", None) or SQLiteStore(self.path, timeout=PATIENT)
        self.runs: Counter[str] = Counter()
        self.bodies: list[Any] = []
        self.sessions: dict[str, Subject] = {}
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        rules: Sequence[Rule] = settings.pop("rules", ())
        wrap: Callable[[ASGIApp], ASGIApp] = settings.pop("wrap", lambda app: app)
        self.stepup = StepUp(
            **{
                "secret_key": KEY,
                "store": self.store,
                "relying_party": RP,
                "identify": self.identify,
                "clock": self.clock,
                "store_timeout": PATIENT,
                **settings,
            }
        )
        self.starlette = Starlette(routes=self._routes())
        self.app = StepUpMiddleware(wrap(self.starlette), stepup=self.stepup, rules=rules)

    async def assert_log_holds(self) -> None:
        """Fail unless every record is as it was sealed, and the guide says what each has."""
        await assert_records_hold(self.store, RowMacs(KeyRing(KEY)))
        for record in await self.events():
            assert_described(record)

    async def identify(self, scope: Scope) -> Subject | None:
        """Return whom the session cookie signs in."""
        lines = [value for name, value in scope["headers"] if name == b"cookie"]
        found = (self.sessions.get(value.decode("latin-1")) for value in cookie_values(lines, b"session"))
        return next(found, None)

    def sign_in(self, name: str, *, workspace: str = "axis", is_admin: bool = False, ago: float = 0) -> Subject:
        """Begin a session that is ``ago`` seconds old."""
        subject = Subject(
            id=name,
            session_id=secrets.token_hex(16),
            workspace_id=workspace,
            name=name.title(),
            is_admin=is_admin,
            signed_in_at=self.clock() - timedelta(seconds=ago),
        )
        self.sessions[subject.session_id] = subject
        return subject

    @property
    def total(self) -> int:
        """How often any tagged endpoint ran."""
        return self.runs.total()

    async def events(self, *names: EventName) -> list[AuditRecord]:
        """Return the log, or its events of these names."""
        return [record async for record in self.stepup.audit.stream(None) if not names or record.event in names]

    async def soon(self, name: EventName) -> AuditRecord:
        """Return the first event of a name, which may still be on its way into the log."""
        async with asyncio.timeout(10):
            while not (found := await self.events(name)):
                await self.store.records.wait_for_audit(await self.store.records.last_seq(), seconds=1)
        return found[0]

    # the endpoints

    def ran(self, scope: Scope) -> None:
        self.runs[str(scope["path"])] += 1

    def _routes(self) -> list[Any]:
        def answer(request: Request) -> Response:
            self.ran(request.scope)
            proof = request.scope.get("stepup")
            return JSONResponse({"ran": request.url.path, "prompt": proof.prompt_id if proof else None})

        async def answered(request: Request) -> Response:
            return answer(request)

        async def answered_in_middleware(request: Request) -> Response:
            return answer(request)

        def answered_in_a_thread(request: Request) -> Response:
            self.ran(request.scope)
            return PlainTextResponse("ran")

        async def kept(request: Request) -> Response:
            self.ran(request.scope)
            kind = request.headers.get("content-type", "")
            if "form" in kind:
                async with request.form() as form:
                    names = [(name, getattr(value, "filename", value)) for name, value in form.multi_items()]
                self.bodies.append(names)
            else:
                self.bodies.append(await request.body())
            return PlainTextResponse("ran")

        async def bound(request: Request) -> Response:
            return await kept(request)

        async def bound_in_mount(request: Request) -> Response:
            return await kept(request)

        async def inside(request: Request) -> Response:
            amount = request.query_params.get("amount", "1")
            proof = await require_step_up(request.scope, "data_export_download", details=[("Amount", amount)])
            self.ran(request.scope)
            return JSONResponse({"prompt": proof.prompt_id})

        async def raising(request: Request) -> Response:
            self.ran(request.scope)
            raise ZeroDivisionError("the app's own")

        async def unprocessable(request: Request) -> Response:
            self.ran(request.scope)
            return JSONResponse({"why": "no"}, status_code=422)

        async def slow(request: Request) -> Response:
            self.ran(request.scope)
            self.entered.set()
            await self.gate.wait()
            return PlainTextResponse("ran")

        async def run_details(scope: Scope) -> list[tuple[str, str]]:
            if scope["path_params"]["run"] == "missing":
                raise HTTPException(404, "no such run")
            return [("Run", scope["path_params"]["run"]), ("Employees", "214")]

        async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
            self.ran(scope)
            await PlainTextResponse("ran")(scope, receive, send)

        async def open_page(request: Request) -> Response:
            return PlainTextResponse("open")

        async def leading(request: Request) -> Response:
            """Do something, and lead to a tagged route."""
            self.ran(request.scope)
            return RedirectResponse(request.query_params["to"], int(request.query_params["by"]))

        async def policy(request: Request) -> Response:
            """Change the policy, as a settings page of an app."""
            subject = self.sessions[request.cookies["session"]]
            try:
                saved = await self.stepup.policy.set_many(subject, await request.json(), scope=request.scope)
            except NotPermitted as error:
                return JSONResponse({"why": error.reason}, status_code=422)
            return JSONResponse({entry.purpose.id: entry.requirement for entry in saved})

        async def support_desk(request: Request) -> Response:
            """Issue a pass, or reset somebody's factors, as a page of an app."""
            admin, asked = self.sessions[request.cookies["session"]], await request.json()
            factors, whose = self.stepup.factors, (asked.get("workspace", "axis"), asked["person"])
            try:
                if "pass" in asked:
                    issued = await factors.issue_pass(*whose, by=admin, reason=asked["reason"], scope=request.scope)
                    return JSONResponse({"secret": issued.secret})
                done = await factors.reset(*whose, by=admin, reason=asked["reason"], scope=request.scope)
            except NotPermitted as error:
                return JSONResponse({"why": error.reason}, status_code=422)
            return JSONResponse({"waits": done.waits is not None})

        house = self

        @requires_step_up("saml_provider_deletion", details=(("Provider", "Okta"),))
        class Provider(HTTPEndpoint):
            """A class endpoint with two methods behind one tag."""

            async def get(self, request: Request) -> Response:
                house.ran(request.scope)
                return PlainTextResponse("got")

            async def delete(self, request: Request) -> Response:
                house.ran(request.scope)
                return Response(status_code=204)

        @requires_step_up("audit_log_export")
        class Socket(WebSocketEndpoint):
            """A WebSocket behind a tag."""

            async def on_connect(self, websocket: WebSocket) -> None:
                house.ran(websocket.scope)
                await websocket.accept()

        async def plain_socket(websocket: WebSocket) -> None:
            house.ran(websocket.scope)
            await websocket.accept()
            await websocket.close()

        payroll = requires_step_up("payroll_ach_transmit", details=run_details)(answered)
        any_factor = requires_step_up("webhook_secret_rotation")
        return [
            Route("/payroll/{run}/transmit", payroll, methods=["POST", "DELETE"]),
            Route("/alias/{run}", payroll, methods=["GET", "POST"]),
            Route(ROTATE, any_factor(answered), methods=["POST"]),
            Route("/sync", any_factor(answered_in_a_thread), methods=["POST"]),
            Route("/export", requires_step_up("data_export_download")(answered), methods=["GET"]),
            Route("/bound", requires_step_up("custom_domain_change", bind_body=True)(bound), methods=["POST"]),
            Route("/stream", requires_step_up("webhook_secret_rotation", bind_body=False)(answered), methods=["POST"]),
            Route("/inside", inside, methods=["GET", "POST"]),
            Route("/provider", Provider),
            Route("/raising", any_factor(raising), methods=["POST"]),
            Route("/unprocessable", any_factor(unprocessable), methods=["POST"]),
            Route("/slow", any_factor(slow), methods=["POST"]),
            Route(
                "/with-middleware",
                answered_in_middleware,
                methods=["POST"],
                middleware=[Middleware(RequireStepUp, purpose="scim_token_revocation")],
            ),
            Mount("/mounted", app=RequireStepUp(mounted, purpose="branding_domain_cname")),
            Mount(
                "/bound-mount",
                app=RequireStepUp(
                    Starlette(routes=[Route("/x", bound_in_mount, methods=["POST"])]), "holds_override", bind_body=True
                ),
            ),
            Mount("/nested", routes=[Mount("/deep", routes=[Route("/act", any_factor(answered), methods=["POST"])])]),
            WebSocketRoute("/socket", Socket),
            Mount(
                "/socket-mount",
                app=RequireStepUp(Starlette(routes=[WebSocketRoute("/x", plain_socket)]), "holds_override"),
            ),
            Route("/open", open_page, methods=["GET", "POST"]),
            Route("/leading", leading, methods=["GET", "POST"]),
            Route(POLICY, policy, methods=["PUT"]),
            Route(DESK, support_desk, methods=["POST"]),
        ]


@asynccontextmanager
async def house_in(folder: Path, **settings: Any) -> AsyncIterator[House]:
    """Build the app on a SQLite file in a folder, start it, and close it in the end."""
    house = House(folder, **settings)
    async with house.stepup:
        yield house
        with suppress(StoreError):  # a test of what is broken
            for record in await house.events():
                assert_described(record)


@dataclass
class Browser:
    """A person's browser: where requests come from, with which session, and which factors are at hand."""

    house: House
    subject: Subject | None
    ip: str = HOME
    factors: dict[str, Factor] = field(default_factory=dict)
    root_path: str = ""

    def __post_init__(self) -> None:
        transport = httpx2.ASGITransport(app=self.house.app, client=(self.ip, 50_000), root_path=self.root_path)
        self.client = httpx2.AsyncClient(
            transport=transport,
            base_url=ORIGIN,
            headers={"user-agent": "Browser/1", "accept": "application/json", "sec-fetch-site": "same-origin"},
        )
        if self.subject is not None:
            self.client.cookies.set("session", self.subject.session_id, domain="example.com")

    def at(self, ip: str) -> Browser:
        """The same session, cookie and factors from another address."""
        return replace(self, ip=ip)

    def signed_in_again(self) -> Browser:
        """The same person with the same factors in a new session."""
        assert self.subject is not None
        subject = self.house.sign_in(self.subject.id, workspace=self.subject.workspace_id)
        return replace(self, subject=subject)

    # requests

    async def send(
        self, method: str, url: str, *, token: str | None = None, headers: dict[str, str] | None = None, **content: Any
    ) -> httpx2.Response:
        """Send a request as a script of the app's own page does."""
        extra = dict(headers or {})
        if token is not None:
            extra["stepup-token"] = token
        return await self.client.request(method, url, headers=extra, **content)

    async def post(self, url: str, **content: Any) -> httpx2.Response:
        return await self.send("POST", url, **content)

    async def navigate(self, method: str, url: str, **content: Any) -> httpx2.Response:
        """Go to a page: a link, or a native form of the app's own page."""
        headers = {**HTML, **({"origin": ORIGIN} if method == "POST" else {}), **content.pop("headers", {})}
        return await self.send(method, url, headers=headers, **content)

    async def prompt(self, method: str, url: str, **content: Any) -> dict[str, Any]:
        """Send a request that must be answered with a prompt, and return the whole answer."""
        answer = await self.send(method, url, **content)
        assert answer.status_code == 401, answer.text
        body: dict[str, Any] = answer.json()
        assert "prompt" in body, body
        return body

    # ceremonies

    async def options(self, prompt: dict[str, Any], kind: str | None = None) -> httpx2.Response:
        """Begin a WebAuthn ceremony."""
        return await self.post(
            f"{prompt['prompt']['url']}/webauthn/options", json={} if kind is None else {"kind": kind}
        )

    async def answer(self, prompt: dict[str, Any], factor: Factor, **deviations: Any) -> httpx2.Response:
        """Run a whole ceremony with a factor, honestly but for the deviations, and return what came of it."""
        url = prompt["prompt"]["url"]
        if factor.authenticator is None:
            code = deviations.get("code", totp_code(factor.secret, self.house.clock()))
            return await self.post(f"{url}/totp", json={"code": code})
        options = await self.options(prompt, factor.kind)
        assert options.status_code == 200, options.text
        assertion = factor.authenticator.get(options.json(), origin=ORIGIN, **deviations)
        return await self.post(f"{url}/webauthn", json=assertion)

    async def prove(self, prompt: dict[str, Any], kind: str) -> str:
        """Pass a prompt with one's factor of a kind, and return the token."""
        answer = await self.answer(prompt, self.factors[kind])
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    async def token(self, method: str, url: str, kind: str, **content: Any) -> str:
        """Meet the prompt of a request, pass it, and return the token."""
        return await self.prove(await self.prompt(method, url, **content), kind)

    async def step_up(self, method: str, url: str, kind: str, **content: Any) -> httpx2.Response:
        """Send a request and, where it asks for a proof, step up and send it again."""
        answer = await self.send(method, url, **content)
        if answer.status_code != 401:
            return answer
        return await self.send(method, url, token=await self.prove(answer.json(), kind), **content)

    # factors

    async def enrol(self, kind: str, *, by: str = "", synced: bool = True) -> Factor:
        """Enrol a factor through the routes of the library, stepping up with the factor ``by`` for a further one."""
        factor = await (self._enrol_totp(by) if kind == "totp" else self._enrol_key(kind, by, synced))
        self.factors[kind] = factor
        return factor

    async def _enrol_totp(self, by: str) -> Factor:
        begun = await self.step_up("POST", "/stepup/factors/totp", by, json={})
        assert begun.status_code == 201, begun.text
        secret = begun.json()["secret"]
        done = await self.post(
            f"/stepup/factors/totp/{begun.json()['id']}/confirm",
            json={"code": totp_code(secret, self.house.clock()), "name": "Phone"},
        )
        assert done.status_code == 200, done.text
        self.house.clock.advance(30)  # the code that confirmed is spent
        return Factor(done.json()["id"], "totp", secret=secret)

    async def _enrol_key(self, kind: str, by: str, synced: bool) -> Factor:
        begun = await self.step_up("POST", "/stepup/factors/webauthn/options", by, json={"kind": kind})
        assert begun.status_code == 200, begun.text
        made = VirtualAuthenticator.passkey(synced=synced) if kind == "passkey" else VirtualAuthenticator.hardware_key()
        credential = made.create(begun.json(), origin=ORIGIN)
        done = await self.post("/stepup/factors/webauthn", json={"name": "My key", "credential": credential})
        assert done.status_code == 201, done.text
        return Factor(done.json()["id"], kind, authenticator=made)


def code_of(answer: httpx2.Response) -> str:
    """Return the code of a problem."""
    return str(answer.json()["code"])


# raw calls


@dataclass
class Answer:
    """What an ASGI app sent."""

    messages: list[Message]

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    def json(self) -> Any:
        """Return the body as a JSON value."""
        return json.loads(self.body)

    def headers(self, name: str) -> list[str]:
        """Return every value of a header."""
        wanted = name.encode()
        return [value.decode("latin-1") for key, value in self.messages[0].get("headers", ()) if key.lower() == wanted]


def scope_of(
    method: str,
    path: str,
    *,
    subject: Subject | None = None,
    headers: Iterable[tuple[str, str | bytes]] = (),
    ip: str = HOME,
    kind: str = "http",
    **more: Any,
) -> Scope:
    """Return an ASGI scope whose path and headers are exactly what a test wants, however odd."""
    cookie = [] if subject is None else [("cookie", f"session={subject.session_id}")]
    scope: dict[str, Any] = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "https",
        "method": method,
        "path": path,
        "raw_path": path.encode("utf-8", "replace"),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (name.encode(), value if isinstance(value, bytes) else value.encode("latin-1"))
            for name, value in [("host", "example.com"), ("accept", "application/json"), *cookie, *headers]
        ],
        "client": (ip, 50_000),
        "server": ("example.com", 443),
        **more,
    }
    if kind == "websocket":
        del scope["method"]
    return scope


async def call(app: ASGIApp, scope: Scope, chunks: Sequence[bytes] = (b"",), *, hang: bool = False) -> Answer:
    """Call an ASGI app with a body in chunks. With ``hang`` the body never ends; else the client then leaves."""
    sent: list[Message] = []
    waiting = [
        {"type": "http.request", "body": chunk, "more_body": hang or place < len(chunks)}
        for place, chunk in enumerate(chunks, 1)
    ]
    if scope["type"] == "websocket":
        waiting = [{"type": "websocket.connect"}]

    async def receive() -> Message:
        if waiting:
            return waiting.pop(0)
        if hang:
            await asyncio.Event().wait()
        return {"type": "websocket.disconnect" if scope["type"] == "websocket" else "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return Answer(sent)
