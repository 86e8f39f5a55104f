"""What the decorator takes, and what it refuses where it is written."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Body, FastAPI, Form, UploadFile
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from stepup_middleware import ConfigurationError, StepUpMiddleware, require_step_up, requires_step_up
from stepup_middleware.frameworks.entries import TAG_ATTRIBUTE
from tests.support import scope_of

from .apps import PURPOSE
from .conftest import Here
from .site import Site

tagged = requires_step_up(PURPOSE)


class Order(BaseModel):
    """What is ordered."""

    amount: int


async def asked(app: Any, tmp_path: Path, path: str, **content: Any) -> httpx2.Response:
    """Send a request without a proof to an app in a middleware."""
    site = Site(str(tmp_path / "stepup.db"), frameworks=())
    transport = httpx2.ASGITransport(app=StepUpMiddleware(app, stepup=site.stepup), client=("192.0.2.1", 1))
    async with site.stepup, httpx2.AsyncClient(transport=transport, base_url="http://localhost:8000") as http:
        return await http.post(path, headers={"cookie": "session=ada"}, **content)


# H08
# G04
@pytest.mark.parametrize("kind", ["method", "dispatch"])
async def test_a_class_that_is_derived_from_a_tagged_one_is_behind_the_tag(kind: str, tmp_path: Path) -> None:
    @tagged
    class Base(HTTPEndpoint):
        """Tagged."""

    class Derived(Base):
        """Says nothing of a tag."""

        async def post(self, request: Request) -> Response:
            raise AssertionError("ran")

    class Wilful(Base):
        """Comes with a way in of its own."""

        async def dispatch(self) -> None:
            raise AssertionError("ran")

    routes = [Route("/x", Derived if kind == "method" else Wilful)]
    assert (await asked(Starlette(routes=routes), tmp_path, "/x")).status_code == 403


# H08
def test_an_object_that_is_an_endpoint_is_behind_the_tag_whatever_else_its_class_has() -> None:
    @tagged
    class Export:
        """Has a method by the name of a handler, too."""

        def on_error(self) -> None: ...

        async def __call__(self, request: Request) -> Response:
            raise AssertionError("ran")

    assert inspect.iscoroutinefunction(Export.__call__)
    assert hasattr(Export.__call__, TAG_ATTRIBUTE)


async def test_a_class_that_keeps_count_of_its_derived_ones_still_does() -> None:
    seen: list[str] = []

    @tagged
    class Base:
        """Counts."""

        def __init_subclass__(cls, **settings: Any) -> None:
            seen.append(cls.__name__)

        async def on_post(self, req: Any, resp: Any) -> None:
            raise AssertionError("ran")

    class Derived(Base):
        """Is counted."""

    assert seen == ["Derived"]
    assert Derived.on_post is Base.on_post


@pytest.mark.parametrize(
    "body", [{"type": "http", "headers": []}, {"type": "http", "headers": [], "stepup_middleware": 1}]
)
async def test_a_body_that_looks_like_a_scope_is_none(body: dict[str, Any], tmp_path: Path) -> None:
    app = FastAPI()

    @app.post("/x")
    @tagged
    async def act(payload: dict[str, Any] = Body()) -> None:  # noqa: B008 - how FastAPI is told of a body
        raise AssertionError("ran")

    answer = await asked(app, tmp_path, "/x", json=body)
    assert answer.json()["code"] == "STEPUP_FACTOR_INSUFFICIENT"


async def test_what_is_no_scope_and_has_none_lets_nothing_through() -> None:
    for value in (None, {}, {"type": "http", "headers": []}, object(), "scope"):
        with pytest.raises(ConfigurationError):
            await require_step_up(value, PURPOSE)


def test_generators_and_what_is_no_function_are_refused_where_they_are_tagged() -> None:
    def pieces() -> Iterator[bytes]:
        yield b""

    async def async_pieces() -> AsyncIterator[bytes]:
        yield b""

    for generator in (pieces, async_pieces):
        with pytest.raises(ConfigurationError, match="generator"):
            tagged(generator)
    with pytest.raises(ConfigurationError, match="below the decorator that registers it"):
        tagged("no function")  # type: ignore[type-var]


async def test_a_partial_of_an_async_endpoint_is_awaited(tmp_path: Path) -> None:
    async def act(request: Request, word: str) -> Response:
        raise AssertionError("ran")

    app = Starlette(routes=[Route("/x", tagged(functools.partial(act, word="x")), methods=["POST"])])
    assert (await asked(app, tmp_path, "/x")).status_code == 403


# H14
async def test_a_websocket_that_was_accepted_before_the_tag_was_asked_is_closed(tmp_path: Path) -> None:
    async def hasty(websocket: WebSocket) -> None:
        await websocket.accept()
        await require_step_up(websocket, PURPOSE)
        raise AssertionError("ran")

    site = Site(str(tmp_path / "stepup.db"), frameworks=())
    app = StepUpMiddleware(Starlette(routes=[WebSocketRoute("/x", hasty)]), stepup=site.stepup)
    sent: list[Any] = []
    coming = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]

    async def receive() -> Any:
        return coming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = scope_of("GET", "/x", kind="websocket", subprotocols=[], headers=[("cookie", "session=ada")])
    scope["extensions"] = {"websocket.http.response": {}}
    async with site.stepup:
        await app(scope, receive, send)
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert (sent[1]["code"], sent[1]["reason"]) == (1008, "STEPUP_FACTOR_INSUFFICIENT")


# H09
# L01
def test_a_tag_above_the_decorator_that_registers_the_function_stops_the_start(tmp_path: Path) -> None:
    app = FastAPI()

    @tagged
    @app.post("/x")
    async def act() -> None:
        raise AssertionError("ran")

    site = Site(str(tmp_path / "stepup.db"), frameworks=())
    with pytest.raises(ConfigurationError, match="below the decorator"):
        StepUpMiddleware(app, stepup=site.stepup)


# B09
# T21
@pytest.mark.parametrize("framework", ["fastapi"])
async def test_an_endpoint_of_fastapi_without_a_request_has_its_body_bound(here: Here, framework: str) -> None:
    ran: list[object] = []

    app = FastAPI()

    @app.post("/model")
    @requires_step_up(PURPOSE)
    async def model(order: Order) -> int:
        ran.append(order.amount)
        return order.amount

    @app.post("/form")
    @requires_step_up(PURPOSE)
    def form(amount: Annotated[int, Form()], file: UploadFile) -> int:
        ran.append((amount, file.filename, file.file.read()))
        return amount

    here.site.apps[framework] = StepUpMiddleware(app, stepup=here.site.stepup)
    person = await here.enrolled(framework)
    for path, one, other in (
        ("/model", {"json": {"amount": 1}}, {"json": {"amount": 2}}),
        (
            "/form",
            {"data": {"amount": "1"}, "files": {"file": ("a", b"x")}},
            {"data": {"amount": "1"}, "files": {"file": ("a", b"y")}},
        ),
    ):
        token = await person.prove(await person.ask("POST", path, **one))
        assert (await person.http.post(path, **other, headers={"stepup-token": token})).status_code == 401
        assert (await person.http.post(path, **one, headers={"stepup-token": token})).text == "1"
    assert ran == [1, (1, "a", b"x")]
