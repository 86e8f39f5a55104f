"""Four ways to tag, one guard behind them: it holds on every path, and without the middleware too."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host, Mount, Route, Router
from starlette.types import ASGIApp as StarletteApp

from stepup_middleware import (
    PLATFORM_PURPOSES,
    ConfigurationError,
    EventName,
    RequireStepUp,
    Rule,
    StepUp,
    StepUpMiddleware,
    require_step_up,
    requires_step_up,
)
from stepup_middleware.asgi import Receive, Scope, Send
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.support import KEY, ORIGIN, ROTATE, RP, TRANSMIT, Answer, Browser, House, call, house_in, scope_of

TAGGED = [
    ("POST", TRANSMIT),
    ("DELETE", TRANSMIT),
    ("POST", "/alias/x"),
    ("GET", "/alias/x"),
    ("HEAD", "/alias/x"),
    ("POST", ROTATE),
    ("POST", "/sync"),
    ("GET", "/export"),
    ("HEAD", "/export"),
    ("POST", "/bound"),
    ("GET", "/inside"),
    ("GET", "/provider"),
    ("HEAD", "/provider"),
    ("DELETE", "/provider"),
    ("POST", "/raising"),
    ("POST", "/with-middleware"),
    ("GET", "/mounted"),
    ("GET", "/mounted/"),
    ("PROPFIND", "/mounted/deep/below"),
    ("POST", "/bound-mount/x"),
    ("POST", "/nested/deep/act"),
]


# H08 H09
@pytest.mark.parametrize(("method", "url"), TAGGED)
async def test_nothing_that_is_tagged_runs_without_a_token(ada: Browser, house: House, method: str, url: str) -> None:
    answer = await ada.send(method, url, follow_redirects=True)
    assert answer.status_code == 401
    assert answer.headers["stepup-error"] == "STEPUP_REQUIRED"
    assert house.total == 0


@pytest.mark.parametrize(("method", "url"), TAGGED)
async def test_everything_that_is_tagged_runs_once_with_a_token(
    ada: Browser, house: House, method: str, url: str
) -> None:
    if url == "/mounted":
        url = "/mounted/"  # the router redirects there
    if method == "HEAD":
        asked = (await ada.send(method, url)).headers["stepup-prompt"]
        prompt = (await ada.send("GET", asked)).json()
        answer = await ada.send(method, url, token=await ada.prove(prompt, "passkey"))
    elif url == "/raising":
        with pytest.raises(ZeroDivisionError):
            await ada.step_up(method, url, "passkey")
        assert house.total == 1
        return
    else:
        answer = await ada.step_up(method, url, "passkey")
    assert answer.status_code in (200, 204), answer.text
    assert house.total == 1


# T27 H03
async def test_a_redirect_for_a_slash_consumes_no_token(ada: Browser, house: House) -> None:
    token = await ada.token("POST", ROTATE, "passkey")
    redirected = await ada.post(ROTATE + "/", token=token)
    assert redirected.status_code == 307
    assert (await ada.post(ROTATE, token=token)).status_code == 200


# T28
async def test_a_path_or_method_that_is_not_there_consumes_no_token(ada: Browser, house: House) -> None:
    token = await ada.token("POST", ROTATE, "passkey")
    assert (await ada.post("/webhooks/none", token=token)).status_code == 404
    assert (await ada.send("GET", ROTATE, token=token)).status_code == 405
    assert (await ada.post(ROTATE, token=token)).status_code == 200


# H01 H02
@pytest.mark.parametrize("path", ["/webhooks/rotate\n", "/webhooks/rotate", "/export\n"])
async def test_whatever_spelling_the_router_takes_is_guarded_behind_it(ada: Browser, house: House, path: str) -> None:
    method = "GET" if path.startswith("/export") else "POST"
    answer = await call(house.app, scope_of(method, path, subject=ada.subject))
    assert answer.status == 401
    assert house.total == 0


# H06 H11 H23
async def test_headers_that_rewrite_paths_or_methods_change_nothing_behind_the_router(
    ada: Browser, house: House
) -> None:
    headers = [
        ("x-original-url", "/open"),
        ("x-rewrite-url", "/open"),
        ("x-http-method-override", "OPTIONS"),
        ("x-forwarded-prefix", "/open"),
        ("x-forwarded-uri", "/open"),
        ("host", "evil.test"),
    ]
    answer = await call(house.app, scope_of("POST", ROTATE, subject=ada.subject, headers=headers))
    assert answer.status == 401
    assert house.total == 0


# H07
async def test_under_a_root_path_the_action_is_guarded_at_both_of_its_spellings(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        ada = Browser(house, house.sign_in("ada"), root_path="/api")
        for path in ("/api" + ROTATE, ROTATE):
            answer = await call(house.app, scope_of("POST", path, subject=ada.subject, root_path="/api"))
            assert answer.status == 403  # nobody has a factor yet
        assert house.total == 0


# H07
async def test_under_a_root_path_prompts_are_addressed_and_served_below_it(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        plain = Browser(house, house.sign_in("ada"))
        await plain.enrol("passkey")
        ada = Browser(house, plain.subject, factors=plain.factors, root_path="/api")
        answer = await ada.post("/api" + TRANSMIT)
        assert answer.status_code == 401
        assert answer.json()["prompt"]["url"].startswith("/api/stepup/prompts/")
        page = await ada.navigate("POST", "/api" + TRANSMIT, data={"a": "1"})
        assert f'action="/api{TRANSMIT}"' in page.text
        assert '"/stepup/' not in page.text
        token = await ada.prove(answer.json(), "passkey")
        assert (await ada.post("/api" + TRANSMIT, token=token)).status_code == 200
        assert house.total == 1


# H14
@pytest.mark.parametrize("path", ["/socket", "/socket-mount/x"])
@pytest.mark.parametrize("extended", [True, False])
async def test_a_websocket_is_refused_before_it_is_accepted(
    ada: Browser, house: House, path: str, extended: bool
) -> None:
    more: dict[str, Any] = {"extensions": {"websocket.http.response": {}}} if extended else {}
    scope = scope_of("GET", path, subject=ada.subject, kind="websocket", subprotocols=[], **more)
    answer = await call(house.app, scope)
    kinds = [message["type"] for message in answer.messages]
    assert "websocket.accept" not in kinds
    if extended:
        assert kinds[0] == "websocket.http.response.start"
        assert answer.status == 401
    else:
        assert (kinds, answer.messages[0]["code"]) == (["websocket.close"], 1008)
    assert house.total == 0


async def test_a_websocket_with_a_token_in_its_handshake_is_accepted_once(ada: Browser, house: House) -> None:
    extensions: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}
    refused = await call(house.app, scope_of("GET", "/socket", subject=ada.subject, kind="websocket", **extensions))
    (url,) = refused.headers("stepup-prompt")
    token = await ada.prove((await ada.send("GET", url)).json(), "passkey")
    for accepted in (True, False):
        scope = scope_of(
            "GET", "/socket", subject=ada.subject, kind="websocket", headers=[("stepup-token", token)], **extensions
        )
        answer = await call(house.app, scope)
        assert (answer.messages[0]["type"] == "websocket.accept") == accepted
    assert house.total == 1


# H16
async def test_an_unknown_kind_of_scope_is_refused(house: House) -> None:
    with pytest.raises(RuntimeError, match="scope type"):
        await house.app({"type": "mail", "headers": []}, _nothing, _nowhere)


async def _nothing() -> dict[str, Any]:
    return {}


async def _nowhere(message: Any) -> None:
    raise AssertionError(message)


# H19
@pytest.mark.parametrize("url", [url for method, url in TAGGED if method == "POST"])
async def test_without_the_middleware_a_tagged_endpoint_does_not_run(house: House, url: str) -> None:
    with pytest.raises(ConfigurationError, match="StepUpMiddleware"):
        await call(house.starlette, scope_of("POST", url))
    assert house.total == 0


# H17
async def test_nothing_that_a_client_or_a_state_says_stands_in_for_the_middleware(house: House) -> None:
    for planted in ({"stepup_middleware": True}, {"stepup_middleware": {"proof": 1}}, {"stepup": object()}):
        with pytest.raises(ConfigurationError):
            await call(house.starlette, scope_of("POST", ROTATE, **planted))
    headers = [("stepup_middleware", "1"), ("x-stepup", "verified"), ("x-middleware-subrequest", "1")]
    answer = await call(house.app, scope_of("POST", ROTATE, headers=headers))
    assert answer.status == 401
    assert house.total == 0


# H17
async def test_a_proof_that_was_planted_in_the_scope_is_none(ada: Browser, house: House) -> None:
    scope = scope_of("POST", ROTATE, subject=ada.subject, stepup=object(), stepup_middleware=object())
    assert (await call(house.app, scope)).status == 401
    assert house.total == 0


# H17
async def test_the_middleware_installed_twice_redeems_once(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        house.app = StepUpMiddleware(house.app, stepup=house.stepup)
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        token = await ada.token("POST", TRANSMIT, "passkey")
        assert (await ada.post(TRANSMIT, token=token)).status_code == 200
        assert await house.events(EventName.REUSED) == []
        assert house.total == 1


# H17
async def test_a_rule_outside_and_a_tag_inside_of_two_middlewares_redeem_once(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        rule = Rule("POST", ROTATE, purpose="webhook_secret_rotation")
        house.app = StepUpMiddleware(house.app, stepup=house.stepup, rules=[rule])
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        assert (await ada.step_up("POST", ROTATE, "passkey")).status_code == 200
        assert len(await house.events(EventName.ACTION_AUTHORIZED)) == house.total == 1


# H18
async def test_in_another_order_with_the_apps_own_middleware_it_stays_shut(tmp_path: Path) -> None:
    """The app's sign-in is read from the scope by a middleware inside ours: nobody is signed in at our gate."""

    class SignsIn:
        def __init__(self, app: StarletteApp) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scope["user"] = "ada"
            await self.app(scope, receive, send)

    async def identify(scope: Scope) -> Any:
        return scope["user"]

    ran = []

    async def act(request: Request) -> Response:
        ran.append(1)
        return PlainTextResponse("ran")

    stepup = StepUp(secret_key=KEY, store=SQLiteStore(tmp_path / "x.db"), relying_party=RP, identify=identify)
    inner = Starlette(routes=[Route("/act", requires_step_up("audit_log_export")(act), methods=["POST"])])
    async with stepup:
        for app in (StepUpMiddleware(inner, stepup=stepup), StepUpMiddleware(SignsIn(inner), stepup=stepup)):
            assert (await call(app, scope_of("POST", "/act"))).status == 503
    assert ran == []


async def test_the_middleware_works_inside_starlettes_own_stack(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        house.app = Starlette(  # type: ignore[assignment]
            routes=house.starlette.routes, middleware=[Middleware(StepUpMiddleware, stepup=house.stepup)]
        )
        ada = Browser(house, house.sign_in("ada"))
        await ada.enrol("passkey")
        assert (await ada.step_up("POST", TRANSMIT, "passkey")).status_code == 200
        assert (await ada.send("PUT", "/stepup/purposes")).status_code == 405
        assert (await ada.send("GET", "/stepup/nothing")).status_code == 404
        assert house.total == 1


# T02 H19
async def test_what_outlives_its_request_is_let_through_by_its_proof_no_more(ada: Browser, house: House) -> None:
    """An endpoint of a framework without scopes finds its request by the context that a task inherits."""
    calls = []

    @requires_step_up("webhook_secret_rotation")
    async def act() -> None:
        calls.append(1)

    async def later() -> None:
        await house.gate.wait()
        await act()

    tasks = []

    async def handler(request: Request) -> Response:
        await act()
        tasks.append(asyncio.create_task(later()))
        return PlainTextResponse("ran")

    house.starlette.router.routes.insert(0, Route("/spawn", handler, methods=["POST"]))
    assert (await ada.step_up("POST", "/spawn", "passkey")).status_code == 200
    house.gate.set()
    with pytest.raises(ConfigurationError, match="ended"):
        await tasks[0]
    with pytest.raises(ConfigurationError):
        await act()
    assert calls == [1]


# T37 F09 H19
@pytest.mark.parametrize("way", ["decorator", "class", "middleware", "mount", "rule", "partial", "host"])
async def test_a_tag_with_an_unknown_purpose_stops_the_start(tmp_path: Path, way: str) -> None:
    async def act(request: Request) -> Response:
        raise AssertionError

    async def raw(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError

    class Endpoint(HTTPEndpoint):
        """An endpoint class."""

    unknown = requires_step_up("payroll_ach_transmitt")
    routes: dict[str, list[Any]] = {
        "decorator": [Route("/x", unknown(act))],
        "class": [Route("/x", unknown(Endpoint))],
        "middleware": [Route("/x", act, middleware=[Middleware(RequireStepUp, purpose="nonsense")])],
        "mount": [Mount("/a", routes=[Mount("/x", app=RequireStepUp(raw, "nonsense"))])],
        "rule": [],
        "partial": [Route("/x", functools.partial(unknown(act)))],
        "host": [Host("api.example.com", app=Router([Route("/x", unknown(act))]))],
    }
    rules = [Rule("POST", "/x", purpose="nonsense")] if way == "rule" else []

    async def nobody(scope: Scope) -> None:
        return None

    stepup = StepUp(secret_key=KEY, store=SQLiteStore(tmp_path / "x.db"), relying_party=RP, identify=nobody)
    with pytest.raises(ConfigurationError, match="unknown purpose"):
        StepUpMiddleware(Starlette(routes=routes[way]), stepup=stepup, rules=rules)


# H19
async def test_a_tag_that_only_shows_itself_at_run_time_with_an_unknown_purpose_stays_shut(
    ada: Browser, house: House
) -> None:
    async def act(request: Request) -> Response:
        await require_step_up(request.scope, "nonsense")
        raise AssertionError("ran")

    house.starlette.router.routes.insert(0, Route("/late", act, methods=["POST"]))
    assert (await ada.post("/late")).status_code == 503


async def test_a_class_that_is_no_endpoint_cannot_be_tagged() -> None:
    with pytest.raises(ConfigurationError, match="endpoint class"):

        @requires_step_up("audit_log_export")
        class Plain:
            """No endpoint."""


async def test_a_tag_keeps_the_name_and_the_text_of_what_it_guards() -> None:
    @requires_step_up("audit_log_export")
    async def act(request: Request) -> Response:
        """Do it."""
        raise AssertionError

    assert (act.__name__, act.__doc__) == ("act", "Do it.")


async def test_an_app_may_bring_a_catalogue_of_its_own(tmp_path: Path) -> None:
    async def nobody(scope: Scope) -> None:
        return None

    only = [purpose for purpose in PLATFORM_PURPOSES if purpose.id == "audit_log_export"]
    stepup = StepUp(
        secret_key=KEY, store=SQLiteStore(tmp_path / "x.db"), relying_party=RP, identify=nobody, purposes=only
    )
    assert list(stepup.purposes) == ["audit_log_export"]
    with pytest.raises(ConfigurationError, match="unknown purpose"):
        StepUpMiddleware(Starlette(), stepup=stepup, rules=[Rule("POST", "/x", purpose="holds_override")])


# details


async def test_an_exception_of_the_apps_details_goes_to_the_app_and_nothing_ran(ada: Browser, house: House) -> None:
    answer = await ada.post("/payroll/missing/transmit")
    assert (answer.status_code, answer.text) == (404, "no such run")
    assert house.total == 0


@pytest.mark.parametrize("value", ["text", 7, [("a", 1)], [("a",)]])
async def test_details_that_are_no_pairs_of_text_never_run_the_action(
    ada: Browser, house: House, value: object
) -> None:
    async def act(request: Request) -> Response:
        raise AssertionError("ran")

    tagged = requires_step_up("webhook_secret_rotation", details=lambda scope: value)(act)
    house.starlette.router.routes.insert(0, Route("/odd", tagged, methods=["POST"]))
    with pytest.raises(TypeError):
        await ada.post("/odd")


@pytest.mark.parametrize("source", [{"a": "1"}, [["a", "1"]], (("a", "1"),), lambda scope: {"a": "1"}])
async def test_details_may_be_given_as_a_value_or_a_callable(ada: Browser, house: House, source: Any) -> None:
    async def act(request: Request) -> Response:
        return PlainTextResponse("ran")

    tagged = requires_step_up("webhook_secret_rotation", details=source)(act)
    house.starlette.router.routes.insert(0, Route("/given", tagged, methods=["POST"]))
    assert (await ada.prompt("POST", "/given"))["details"] == [["a", "1"]]


# untagged routes


async def test_an_untagged_route_is_untouched(tmp_path: Path) -> None:
    house = House(tmp_path)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        await send({"type": "http.response.body", "body": b"2"})

    answer = await call(StepUpMiddleware(app, stepup=house.stepup), scope_of("GET", "/open"))
    assert isinstance(answer, Answer)
    assert answer.messages[0]["headers"] == [(b"x", b"y")]
    assert [message.get("body") for message in answer.messages[1:]] == [b"1", b"2"]


# H26 X06
async def test_a_tagged_stream_is_sent_as_it_comes(ada: Browser, house: House) -> None:
    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"piece", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    house.starlette.router.routes.insert(0, Mount("/stream", app=RequireStepUp(stream, "data_export_download")))
    token = await ada.token("GET", "/stream/x", "passkey")
    scope = scope_of("GET", "/stream/x", subject=ada.subject, headers=[("stepup-token", token)])
    answer = await call(house.app, scope)
    assert [message["body"] for message in answer.messages[1:]] == [b"piece"] * 3 + [b""]


async def test_the_lifespan_opens_and_closes_the_store(tmp_path: Path) -> None:
    house = House(tmp_path)
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])
        if message["type"] == "lifespan.startup.complete":
            assert await house.store.records.last_seq() == 0

    await house.app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_without_a_lifespan_the_store_opens_with_the_first_request(tmp_path: Path) -> None:
    house = House(tmp_path)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=house.app), base_url=ORIGIN) as client:
        assert (await client.post(ROTATE)).status_code == 401
    await house.stepup.close()


@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
@pytest.mark.parametrize("kept", [False, True])
async def test_a_tag_that_a_handler_makes_and_puts_on_nothing_is_no_answer(
    house: House, framework: str, kept: bool, caplog: pytest.LogCaptureFixture
) -> None:  # L06
    runs: list[str] = []

    async def act(request: Request) -> Response:
        tag = requires_step_up("scim_token_revocation")
        if not kept:
            del tag
        runs.append("ran")
        return PlainTextResponse("done")

    app: Any = Starlette() if framework == "starlette" else FastAPI()
    app.router.routes.append(Route("/act", act, methods=["POST"]))
    app = StepUpMiddleware(app, stepup=house.stepup)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=ORIGIN) as http:
        answer = await http.post("/act")
    assert (answer.status_code, answer.headers.get("stepup-error")) == (500, "STEPUP_NEVER_ASKED")
    assert runs == ["ran"]  # which is why it says so
    assert "was called in the handler of /act and put on nothing" in caplog.text


def test_a_tag_that_is_put_on_nothing_at_import_is_told(caplog: pytest.LogCaptureFixture) -> None:  # L06
    requires_step_up("scim_token_revocation")
    assert "requires_step_up('scim_token_revocation') was called and put on nothing" in caplog.text
