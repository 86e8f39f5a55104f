"""The echo apps behind the middleware, with layers that rewrite requests, and a store that lets everything run.

Nothing of the library is replaced but what keeps rows: the middleware, the gates, the reading of the request and
its binding are those of production. The store notes what a token would have been bound to.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote

from stepup_middleware import RelyingParty, Rule, StepUp, StepUpMiddleware, Subject
from stepup_middleware.asgi import ASGIApp, Message, Receive, Scope, Send
from stepup_middleware.core.decisions import Decision, Presentation, Redemption, TokenRow, TokenState, Verdict
from stepup_middleware.core.events import AuditEvent
from stepup_middleware.core.factors import FactorKind, FactorRequirement
from stepup_middleware.core.keys import KeyRing
from stepup_middleware.core.tokens import TokenCodec, TokenReference
from stepup_middleware.log.integrator import SeenTree, Step, TreeState
from stepup_middleware.stores.sealing import MissingKeys
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.frameworks.site import life

from .apps import OPEN, PURPOSE, handed, module_of
from .wire import Header, Wire, scope_of

KEY = "the key of the differential tests, 32 bytes or more"
ORIGIN = "http://localhost:8000"
STACKS = ("plain", "layered", "outside", "batch")
BATCH = b"/batch"
_OVERRIDES = (b"x-http-method-override", b"x-http-method", b"x-method-override")
_REWRITES = (b"x-original-url", b"x-rewrite-url")
HANGING = 30.0  # seconds, after which an endpoint is taken to wait for something that never comes
_LONG = timedelta(days=1)


class BrokenPromise(Exception):
    """A request by itself did what no request may."""


def rules() -> list[Rule]:
    """Return the rules that guard the routes which have no tag."""
    return [Rule("*", f"/{OPEN}/{{rest:path}}", purpose=PURPOSE)]


class Overrides:
    """What apps put before their router: method, path, host and prefix of a request out of its headers and body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "headers": list(scope["headers"])}
            given = dict(scope["headers"])
            body = b""
            if given.get(b"content-type", b"").startswith(b"application/x-www-form-urlencoded"):
                body, receive = await _read(receive)
            query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
            fields = dict(parse_qsl(body.decode("latin-1")))
            method = next((given[name].decode("latin-1") for name in _OVERRIDES if given.get(name)), None)
            scope["method"] = (method or fields.get("_method") or query.get("_method") or scope["method"]).upper()
            path = next((given[name] for name in _REWRITES if given.get(name, b"").startswith(b"/")), None)
            if path is not None:
                raw, mark, rest = path.partition(b"?")
                scope["raw_path"], scope["path"] = raw, unquote(raw.decode("latin-1"))
                scope["query_string"] = rest if mark else scope["query_string"]
            if (host := given.get(b"x-forwarded-host")) is not None:
                scope["headers"] = [(name, host if name == b"host" else value) for name, value in scope["headers"]]
            for name in (b"x-forwarded-prefix", b"x-script-name"):
                if (prefix := given.get(name, b"")).startswith(b"/"):
                    scope["root_path"] = prefix.decode("latin-1")
        await self.app(scope, receive, send)


class Changing:
    """What sets parts of the scope by headers that no library knows, and leaves the rest as it was."""

    def __init__(self, app: ASGIApp, prefix: bytes) -> None:
        self.app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lines = scope["headers"] if scope["type"] == "http" else ()
        given = {name.removeprefix(self._prefix): value for name, value in lines if name.startswith(self._prefix)}
        if given:
            scope = {**scope}
            for name, key in ((b"path", "path"), (b"root", "root_path"), (b"method", "method")):
                if name in given:
                    scope[key] = given[name].decode("latin-1")
            scope["query_string"] = given.get(b"query", scope["query_string"])
            scope["raw_path"] = given.get(b"raw", scope["raw_path"])
            for name, header in ((b"type", b"content-type"), (b"host", b"host")):
                if name in given:
                    kept = [line for line in scope["headers"] if line[0] != header]
                    scope["headers"] = [*kept, (header, given[name])]
        await self.app(scope, receive, send)


class Batch:
    """An endpoint that calls the app for each item of its body: ``{"method", "path"}``, answers in order."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope.get("raw_path") != BATCH:
            await self.app(scope, receive, send)
            return
        body, _ = await _read(receive)
        told: list[Any] = []
        try:
            items = [(str(item["method"]), str(item["path"]).encode("ascii")) for item in json.loads(body)]
        except Exception as error:
            items, told = [], [type(error).__name__]
        for method, target in items:
            raw, _, query = target.partition(b"?")
            inner = {
                **scope,
                "method": method,
                "path": unquote(raw.decode()),
                "raw_path": raw,
                "query_string": query,
            }
            told.append(await _called(self.app, inner))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": repr(told).encode()})


async def _called(app: ASGIApp, scope: Scope) -> tuple[int, bytes]:
    """Call an app with an empty body; return the status and body of its answer, 0 where it fails."""
    found = _Answer()
    try:
        await app(scope, _receiving([b""]), found.send)
    except Exception as error:
        return 0, type(error).__name__.encode()
    return found.status, bytes(found.body) if found.status == 200 else b""


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    """Return the whole body, and a ``receive`` that hands it out again."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
    left = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def again() -> Message:
        return left.pop() if left else await receive()

    return bytes(body), again


def _receiving(chunks: list[bytes], headers: list[Header] | None = None, trailers: Sequence[Header] = ()) -> Receive:
    """Return the ``receive`` of a body in pieces, after which the client waits for its answer.

    Trailers come with the last piece, and are added to the server's list of headers, as uvicorn with httptools does.
    """
    left = len(chunks)

    async def receive() -> Message:
        nonlocal left
        if left == 0:
            await asyncio.sleep(HANGING)
            return {"type": "http.disconnect"}
        left -= 1
        if left == 0 and headers is not None:
            headers.extend(trailers)
        return {"type": "http.request", "body": chunks[-left - 1], "more_body": left > 0}

    return receive


class _Answer:
    """What an app has sent."""

    def __init__(self) -> None:
        self.status = 0
        self.body = bytearray()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")


class NotingStore(SQLiteStore):
    """Redeems every token, keeps nothing, and notes the digest of each request that a token was redeemed for."""

    def __init__(self) -> None:
        super().__init__("never-opened.db")
        self.redeemed: list[bytes] = []
        self.asked: list[bytes] = []

    async def start(self) -> None:
        """Begin; there is no file."""

    async def close(self) -> None:
        """End."""

    async def check_mac_keys(self) -> MissingKeys:
        """There is no row that has a MAC."""
        return MissingKeys((), ())

    async def trees(self) -> tuple[TreeState, ...]:
        """No log was begun."""
        return ()

    async def integrate(self, *, origin: str, seen: SeenTree, limit: int = 0) -> tuple[Step, SeenTree]:
        """Nothing waits for its leaf."""
        return Step(), seen

    async def last_seq(self) -> int:
        """Nothing was written."""
        return 0

    async def wait_for_audit(self, after: int, *, seconds: float) -> None:
        """Nothing will be."""
        await asyncio.sleep(seconds)

    async def append(self, events: Any) -> None:
        """Keep nothing."""

    def append_soon(self, event: AuditEvent) -> None:
        """Keep nothing."""

    async def ask(self, asked: Any, *, open_limit: int) -> Any:
        """Note the second question of a request, and ask nobody."""
        self.asked.append(asked.request.digest())
        raise LookupError

    async def redeem(self, shown: Presentation) -> Redemption:
        """Say that the token was this request's."""
        self.redeemed.append(shown.request_digest)
        row = TokenRow(
            reference=shown.reference,
            state=TokenState.REDEEMED,
            prompt_id="p",
            workspace_id=shown.workspace_id,
            subject_id=shown.subject_id,
            session=shown.session,
            ip=shown.ip,
            purpose=shown.purpose,
            requirement=FactorRequirement.ANY,
            policy_version=1,
            request_digest=shown.request_digest,
            details_digest=shown.details_digest,
            factor_id="f",
            factor_kind=FactorKind.PASSKEY,
            issued_at=shown.now,
            expires_at=shown.now + _LONG,
        )
        return Redemption(decision=Decision(verdict=Verdict.REDEEMED), row=row)


_ADA = Subject(id="ada", session_id="s", workspace_id="axis", name="ada", signed_in_at=datetime.now(UTC))


async def identify(scope: Scope) -> Subject | None:
    """Return the same person for every request."""
    return _ADA


class Echo:
    """The app of one framework in all its stacks."""

    def __init__(self, framework: str) -> None:
        module = module_of(framework)
        self.framework = framework
        self.ways: tuple[str, ...] = module.WAYS
        self.store = NotingStore()
        self.stepup = StepUp(
            secret_key=KEY,
            store=self.store,
            relying_party=RelyingParty(id="localhost", name="Test", origins=[ORIGIN]),
            identify=identify,
        )
        self.inner: ASGIApp = module.build()
        self.apps = stacks(self.inner, self.stepup)
        token = TokenCodec(KeyRing([KEY]).derive("token")).write(TokenReference(1, bytes(16)))
        self._token = (b"stepup-token", token.encode())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Live the app's lifespan."""
        async with life(self.apps["plain"]):
            yield

    async def run(self, wire: Wire) -> tuple[bytes | None, bytes]:
        """Send a request; return the digest it was bound by (None: nothing ran), and what the endpoints were handed.

        Raises ``BrokenPromise`` where one token was redeemed twice, or an endpoint ran without any, or
        where two items of a batch that are not alike count as one.
        """
        scope = scope_of(wire)
        scope["headers"].append(self._token)
        servers = scope["headers"]  # to which it adds the trailers, when they come
        redeemed: list[bytes] = []
        self.store.redeemed = redeemed
        self.store.asked = []
        readings: list[bytes] = []
        handed.set(readings)
        with suppress(Exception):  # what an app fails with is no reading
            async with asyncio.timeout(HANGING):
                await self.apps[wire.stack](scope, _receiving(list(wire.chunks()), servers, wire.trailers), _nowhere)
        if len(redeemed) > 1:
            raise BrokenPromise("one token was redeemed for two questions")
        if wire.stack != "layered" and len(readings) > len(redeemed):  # there, a rewritten path passes by the rules
            raise BrokenPromise("an endpoint ran without a proof")
        if set(redeemed) & set(self.store.asked) and not _repeats_itself(wire.body):
            raise BrokenPromise("another question of the request counts as the one that was answered")
        return (redeemed[0] if redeemed else None), b"\n\n".join(readings)


def _repeats_itself(body: bytes) -> bool:
    items = [(item["method"], item["path"].rstrip("?")) for item in json.loads(body)]
    return len(set(items)) < len(items)


async def _nowhere(message: Message) -> None:
    """Send a message to nobody."""


def stacks(app: ASGIApp, stepup: StepUp) -> dict[str, ASGIApp]:
    """Return the app alone, with what rewrites requests inside the middleware and outside, and behind a batch."""
    inner: dict[str, ASGIApp] = {
        "plain": app,
        "layered": Overrides(Changing(app, b"x-inside-")),
        "outside": app,
        "batch": Batch(app),
    }
    around: dict[str, ASGIApp] = {
        name: StepUpMiddleware(each, stepup=stepup, rules=rules()) for name, each in inner.items()
    }
    return {**around, "outside": Changing(around["outside"], b"x-outside-")}
