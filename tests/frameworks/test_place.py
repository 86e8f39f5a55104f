"""Where an endpoint stands is bound, whoever put it there; its details show what it is handed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import blacksheep
import falcon.asgi
import httpx2
import pytest
from fastapi import FastAPI
from litestar import Litestar
from litestar import post as litestar_post
from quart import Quart
from sanic import Sanic
from sanic.response import json as sanic_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from stepup_middleware import ConfigurationError, Rule, StepUpMiddleware, requires_step_up
from stepup_middleware.asgi import ASGIApp, Message, Receive, Scope, Send
from tests.guide.person import Person

from .apps import PURPOSE
from .site import Site, life

tagged = requires_step_up(PURPOSE)


def id_shown(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows of a path."""
    return [("Id", repr(scope["path_params"].get("id")))]


class Layer:
    """Sets parts of the scope by headers that no library knows, in a copy of it, and leaves all else as it was."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope = {**scope}
        for name, value in list(scope.get("headers", ())):
            if name.startswith(b"x-layer-"):
                key = name.removeprefix(b"x-layer-").replace(b"-", b"_").decode()
                scope[key] = value if key in ("raw_path", "query_string") else value.decode()
        await self.app(scope, receive, send)


@asynccontextmanager
async def ada_before(
    tmp_path: Path, app: ASGIApp, *, around: Callable[[ASGIApp], ASGIApp] = lambda app: app, **settings: Any
) -> AsyncIterator[Person]:
    """Ada, with a passkey, in front of an app in a middleware."""
    site = Site(str(tmp_path / "stepup.db"), frameworks=())
    whole = StepUpMiddleware(app, stepup=site.stepup, **settings)
    async with site.stepup, life(whole):
        person = Person(around(whole), None)
        person.http.cookies.set("session", "ada")
        await person.enrol_passkey()
        yield person


async def presented(person: Person, first: dict[str, str], second: dict[str, str], path: str = "/a/x/1") -> Any:
    """Prove oneself to a request with some headers, and present the token with others."""
    asked = await person.ask("POST", path, headers=first)
    url = "/stepup/" + asked.headers["stepup-prompt"].partition("/stepup/")[2]  # whatever root path the first one had
    token = await person.prove(httpx2.Response(401, headers={"stepup-prompt": url}))
    return await person.http.post(path, headers={**second, "stepup-token": token})


async def told(request: Request) -> Response:
    """Tell which endpoint ran."""
    return PlainTextResponse(f"{request.method} {request.path_params} {request.url.query}")


ROUTES = [
    Route("/a/x/{i}", tagged(told), methods=["POST", "DELETE"], name="below"),
    Route("/x/{i}", tagged(told), methods=["POST", "DELETE"], name="above"),
]
CHANGES = [
    {"x-layer-root-path": "/a"},
    {"x-layer-path": "/x/1"},
    {"x-layer-path": "/a/x/2"},
    {"x-layer-method": "DELETE"},
    {"x-layer-raw-path": "/a/x/2"},
    {"x-layer-query-string": "all=1"},
]


# B10
@pytest.mark.parametrize("change", CHANGES, ids=str)
@pytest.mark.parametrize("where", ["inside", "outside"])
async def test_a_part_of_the_scope_that_any_layer_changes_makes_another_request(
    tmp_path: Path, where: str, change: dict[str, str]
) -> None:
    app: ASGIApp = Starlette(routes=ROUTES)
    around: Callable[[ASGIApp], ASGIApp] = Layer if where == "outside" else lambda app: app
    async with ada_before(tmp_path, app if where == "outside" else Layer(app), around=around) as ada:
        none: dict[str, str] = {}
        pairs = ((change, change), (none, change), (change, none), (change, {"x-layer-path": "/a/x/3"}))
        answers = [await presented(ada, first, second) for first, second in pairs]
    assert [answer.status_code for answer in answers] == [200, 401, 401, 401]


# B10
async def test_a_root_path_that_a_server_has_from_its_client_makes_another_request(tmp_path: Path) -> None:
    def daphne(app: ASGIApp) -> ASGIApp:
        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            given = dict(scope.get("headers", ())).get(b"daphne-root-path", b"")
            await app({**scope, "root_path": given.decode()}, receive, send)

        return serve

    async with ada_before(tmp_path, Starlette(routes=ROUTES), around=daphne) as ada:
        below: dict[str, str] = {"daphne-root-path": "/a"}
        answers = [await presented(ada, first, second) for first, second in ((below, below), ({}, below), (below, {}))]
    assert [answer.status_code for answer in answers] == [200, 401, 401]


# N03
@pytest.mark.parametrize("mounted", [True, False])
async def test_a_rule_before_a_mount_and_the_tag_in_it_are_one_question(tmp_path: Path, mounted: bool) -> None:
    inner = Starlette(routes=[Route("/x/{i}", tagged(told), methods=["POST"])])
    app = Starlette(routes=[Mount("/a", app=inner)]) if mounted else Starlette(routes=ROUTES)
    async with ada_before(tmp_path, app, rules=[Rule("POST", "/a/x/{i}", purpose=PURPOSE)]) as ada:
        answer = await presented(ada, {}, {})
    assert answer.status_code == 200


# B11
async def test_header_lines_that_a_server_adds_later_reach_no_app(tmp_path: Path) -> None:
    """uvicorn with httptools writes the trailers of a body into the list that the scope has."""
    seen: list[Any] = []

    @requires_step_up(PURPOSE, bind_body=False, bind_headers=["x-amount"])
    async def pay(request: Request) -> Response:
        body = await request.body()
        seen.append((body, request.headers.getlist("x-amount"), request.headers.get("content-type")))
        return Response(status_code=204)

    def adding(app: ASGIApp) -> ASGIApp:
        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            of_the_server: list[tuple[bytes, bytes]] = scope["headers"]

            async def last() -> Message:
                message = await receive()
                if (b"trailer", b"x-amount, content-type") in of_the_server:
                    of_the_server.extend([(b"x-amount", b"1000"), (b"content-type", b"text/x-other")])
                return message

            await app(scope, last, send)

        return serve

    async with ada_before(tmp_path, Starlette(routes=[Route("/pay", pay, methods=["POST"])]), around=adding) as ada:
        token = await ada.prove(await ada.ask("POST", "/pay", content=b"1", headers={"x-amount": "1"}))
        headers = {"x-amount": "1", "trailer": "x-amount, content-type", "stepup-token": token}
        answer = await ada.http.post("/pay", content=b"1", headers=headers)
    assert (answer.status_code, seen) == (204, [(b"1", ["1"], None)])


# B11
async def test_header_lines_that_a_server_adds_to_a_handshake_reach_no_app(tmp_path: Path) -> None:
    seen: list[Any] = []

    async def live(socket: WebSocket) -> None:
        await socket.accept()
        await socket.receive_text()
        seen.append(socket.headers.getlist("x-amount"))
        await socket.close()

    site = Site(str(tmp_path / "stepup.db"), frameworks=())
    app = StepUpMiddleware(Starlette(routes=[WebSocketRoute("/live", live)]), stepup=site.stepup)
    lines = [(b"host", b"localhost:8000"), (b"x-amount", b"1")]
    scope: dict[str, Any] = {"type": "websocket", "path": "/live", "raw_path": b"/live", "headers": lines}
    scope |= {"query_string": b"", "root_path": "", "subprotocols": [], "scheme": "ws"}
    messages: list[Message] = [{"type": "websocket.receive", "text": "go"}, {"type": "websocket.connect"}]

    async def receive() -> Message:
        message = messages.pop()
        if not messages:
            lines.append((b"x-amount", b"1000"))
        return message

    async def send(message: Message) -> None:
        """Send to nobody."""

    await app(scope, receive, send)
    assert seen == [["1"]]


def in_fastapi() -> ASGIApp:
    app = FastAPI()

    @app.post("/x/{i}")
    @tagged
    async def act(i: str) -> str:
        return i

    return app


def in_litestar() -> ASGIApp:
    @litestar_post("/x/{i:str}", status_code=200)
    @tagged
    async def act() -> str:
        return "1"

    return Litestar([act])  # type: ignore[return-value]


def in_blacksheep() -> ASGIApp:
    app = blacksheep.Application(router=blacksheep.Router())

    @app.router.post("/x/{i}")
    @tagged
    async def act(i: str) -> str:
        return i

    return app


# B10
@pytest.mark.parametrize("build", [in_fastapi, in_litestar, in_blacksheep])
@pytest.mark.parametrize("behind_a_copy", [True, False])
async def test_an_endpoint_that_is_handed_no_request_runs_at_no_other_path_than_the_one_proved(
    tmp_path: Path, build: Callable[[], ASGIApp], behind_a_copy: bool
) -> None:
    app = build()
    refused = behind_a_copy and build is not in_blacksheep  # which is handed its request all the same
    other = {"x-layer-path": "/x/2", "x-layer-raw-path": "/x/2"}
    answers: list[httpx2.Response] = []
    raised: Exception | None = None
    try:
        async with ada_before(tmp_path, Layer(app) if behind_a_copy else app) as ada:
            if refused:
                answers.append(await ada.http.post("/x/1"))
            else:
                answers.append(await presented(ada, {}, {}, "/x/1"))
                answers.append(await presented(ada, {}, other, "/x/1"))
    except Exception as error:  # Litestar answers by itself
        raised = error
    statuses = [answer.status_code for answer in answers]
    if refused:
        assert isinstance(raised, ConfigurationError) or statuses == [500]
    else:
        assert (raised, statuses) == (None, [200, 401 if behind_a_copy else 200])
        assert all("2" not in answer.text for answer in answers if answer.status_code == 200)


# B12
@pytest.mark.parametrize("before", ["", "/in/outer"])
@pytest.mark.parametrize("started", [True, False])
@pytest.mark.parametrize(("path", "shown"), [("/x/inner", "'inner'"), ("/y/inner", "'inner'"), ("/z/007", "7")])
async def test_a_function_of_blacksheep_that_is_handed_no_request_shows_its_own_parameters(
    tmp_path: Path, path: str, shown: str, started: bool, before: str
) -> None:
    app = blacksheep.Application(router=blacksheep.Router())
    showing = requires_step_up(PURPOSE, details=id_shown)

    @app.router.post("/x/{id}")
    @showing
    async def by_name(id: str, amount: str = "q") -> str:
        return id

    @app.router.post("/y/{id}")
    @showing
    async def by_nothing() -> str:
        return "y"

    @app.router.post("/z/{int:id}")
    @showing
    async def by_number(id: int) -> str:
        return str(id)

    if started:
        await app.start()  # type: ignore[no-untyped-call]
    outer: ASGIApp = Starlette(routes=[Mount("/in/{id}", app=app)]) if before else app
    async with ada_before(tmp_path, outer) as ada, life(app):
        asked = await ada.http.post(before + path + "?id=asked&amount=1")
        headers = {"stepup-token": await ada.prove(asked)} if asked.status_code == 401 else {}
        answer = await ada.http.post(before + path + "?id=asked&amount=1", headers=headers)
    assert (asked.json().get("details"), answer.status_code) == ([["Id", shown]], 200)


def quart_below() -> ASGIApp:
    app = Quart("inner")

    @app.post("/x/<id>")
    @requires_step_up(PURPOSE, details=id_shown)
    async def act(id: str) -> str:
        return id

    return app  # type: ignore[return-value]


def falcon_below() -> ASGIApp:
    class Resource:
        """Tells its parameter."""

        @requires_step_up(PURPOSE, details=id_shown)
        async def on_post(self, req: Any, resp: Any, id: str) -> None:
            resp.text = id

    app = falcon.asgi.App()
    app.add_route("/in/outer/x/{id}", Resource())  # it routes by the whole path
    return app  # type: ignore[return-value]


def sanic_below() -> ASGIApp:
    app = Sanic("place_below", configure_logging=False)
    app.config.TOUCHUP = False  # it rewrites the class itself, once a process

    @app.post("/in/outer/x/<id>")
    @requires_step_up(PURPOSE, details=id_shown)
    async def act(request: Any, id: str) -> Any:
        return sanic_json(id)

    return app


def starlette_below() -> ASGIApp:
    @requires_step_up(PURPOSE, details=id_shown)
    async def act(request: Request) -> Response:
        return PlainTextResponse(request.path_params["id"])

    return Starlette(routes=[Route("/x/{id}", act, methods=["POST"])])


def fastapi_below() -> ASGIApp:
    app = FastAPI()

    @app.post("/x/{id}")
    @requires_step_up(PURPOSE, details=id_shown)
    async def act(id: str) -> str:
        return id

    return app


# B12
@pytest.mark.parametrize("below", [quart_below, falcon_below, sanic_below, starlette_below, fastapi_below])
async def test_details_show_the_parameter_of_the_endpoint_and_not_that_of_the_mount(
    tmp_path: Path, below: Callable[[], ASGIApp]
) -> None:
    app = below()
    async with life(app), ada_before(tmp_path, Starlette(routes=[Mount("/in/{id}", app=app)])) as ada:
        asked = await ada.ask("POST", "/in/outer/x/inner")
        done = await ada.http.post("/in/outer/x/inner", headers={"stepup-token": await ada.prove(asked)})
    assert (asked.json()["details"], done.status_code) == ([["Id", "'inner'"]], 200)
    assert "inner" in done.text


# B04
async def test_a_route_that_blacksheep_finds_by_a_header_has_it_bound(tmp_path: Path) -> None:
    def app_of(*headers: str) -> Any:
        app = blacksheep.Application(
            router=blacksheep.Router(
                headers={"X-Area": "one"}, sub_routers=[other := blacksheep.Router(headers={"X-Area": "two"})]
            )
        )

        @app.router.post("/x")
        @requires_step_up(PURPOSE, bind_headers=headers)
        async def one(request: blacksheep.Request) -> str:
            return "one"

        @other.post("/x")
        @requires_step_up(PURPOSE, bind_headers=headers)
        async def two(request: blacksheep.Request) -> str:
            return "two"

        return app

    with pytest.raises(ConfigurationError, match=re.escape('write bind_headers=["x-area"]')):
        StepUpMiddleware(app_of("X-Other"), stepup=Site(str(tmp_path / "stepup.db"), frameworks=()).stepup)
    async with ada_before(tmp_path, app_of("X-Area", "X-Other")) as ada:
        area = {"x-area": "one"}
        done = await presented(ada, area, area, "/x")
        refused = await presented(ada, area, {"x-area": "two"}, "/x")
    assert (done.text, refused.status_code) == ("one", 401)
