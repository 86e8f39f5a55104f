"""What details show of a path is what the endpoint acts on, in whatever spelling the path came."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes
from uuid import UUID

import blacksheep
import falcon.asgi
import httpx2
import pytest
from django.conf import settings
from fastapi import FastAPI
from fastapi import Path as FromThePath
from litestar import Litestar, Response
from litestar import Request as LitestarRequest
from litestar import post as litestar_post
from litestar.params import FromPath
from pydantic import StringConstraints
from quart import Quart
from sanic import Sanic
from sanic.response import text as sanic_text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from stepup_middleware import Rule, StepUpMiddleware, requires_step_up
from stepup_middleware.asgi import ASGIApp, Message, Scope
from tests.guide.person import Person
from tests.support import HOME, Answer, scope_of

from .apps import PURPOSE
from .apps import django as django_app
from .site import Site, life

Act = Callable[[str], str]
Tag = Callable[[Any], Any]


def _starlette(act: Act, tag: Tag) -> Any:
    async def endpoint(request: Request) -> PlainTextResponse:
        return PlainTextResponse(act(request.path_params["id"]))

    return Starlette(routes=[Route("/x/{id}", tag(endpoint), methods=["POST"])])


def _fastapi(act: Act, tag: Tag) -> Any:
    app = FastAPI()

    async def endpoint(id: str) -> str:
        return act(id)

    app.post("/x/{id}")(tag(endpoint))
    return app


def _litestar(act: Act, tag: Tag) -> Any:
    async def endpoint(id: FromPath[str]) -> Response[str]:
        return Response(act(id))

    return Litestar([litestar_post("/x/{id:str}")(tag(endpoint))])


def _quart(act: Act, tag: Tag) -> Any:
    app = Quart("shown")

    async def endpoint(id: str) -> str:
        return act(id)

    app.post("/x/<id>")(tag(endpoint))
    return app


def _falcon(act: Act, tag: Tag) -> Any:
    async def on_post(self: Any, req: Any, resp: Any, id: str) -> None:
        resp.text = act(id)

    app = falcon.asgi.App()
    app.add_route("/x/{id}", type("Resource", (), {"on_post": tag(on_post)})())
    return app


def _blacksheep(act: Act, tag: Tag) -> Any:
    app = blacksheep.Application(router=blacksheep.Router())

    async def endpoint(request: blacksheep.Request) -> blacksheep.Response:
        return blacksheep.text(act(str((request.route_values or {})["id"])))

    app.router.add_post("/x/{id}", tag(endpoint))
    return app


def _sanic(act: Act, tag: Tag) -> Any:
    app: Any = Sanic(f"shown_{random.getrandbits(64):x}", configure_logging=False)
    app.config.TOUCHUP = False  # it rewrites the class itself, once a process

    async def endpoint(request: Any, id: str) -> Any:
        return sanic_text(act(id))

    app.post("/x/<id>")(tag(endpoint))
    return app


def _django(act: Act, tag: Tag) -> Any:
    from django.http import HttpRequest, HttpResponse
    from django.urls import clear_url_caches, path

    app = django_app.build(lambda place: None)

    async def endpoint(request: HttpRequest, id: str) -> HttpResponse:
        return HttpResponse(act(id))

    settings.ROOT_URLCONF.urlpatterns[:] = [path("x/<str:id>", tag(endpoint))]
    clear_url_caches()
    return app


APPS: dict[str, tuple[Callable[[Act, Tag], Any], str]] = {
    "starlette": (_starlette, "/x/{id}"),
    "fastapi": (_fastapi, "/x/{id}"),
    "litestar": (_litestar, "/x/{id:str}"),
    "quart": (_quart, "/x/<id>"),
    "falcon": (_falcon, "/x/{id}"),
    "blacksheep": (_blacksheep, "/x/{id}"),
    "sanic": (_sanic, "/x/<id>"),
    "django": (_django, "/x/<str:id>"),
}
PIECES: tuple[str, ...] = (
    *("5", "a", "B", "%41", "%20", "%2F", "%2f6", "%3B", ";6", "%00", "%C3%A9", "%E9", "%23", "#x", "%3F", ".", ".."),
    *("%2E%2E", "%252F", "+", "%0A", "%5C", "\\", "&", "=", "@", ":", ",", "%u0035", "%", "%zz", "/", "//", "{5}"),
)
BEFORE = ("/x/", "/x/", "/x/", "//x/", "/x//", "/./x/", "/%78/", "/X/")


def _targets() -> list[str]:
    picked = random.Random(1)  # noqa: S311 - the same ones each time
    return [f"/x/{piece}" for piece in PIECES] + [
        picked.choice(BEFORE) + "".join(picked.choices(PIECES, k=picked.randint(1, 4))) for _ in range(120)
    ]


def shown(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows of a path."""
    return [("Id", repr(scope["path_params"]["id"]))]


@asynccontextmanager
async def _before(folder: Path, framework: str, by: str, ran: list[str]) -> AsyncIterator[tuple[ASGIApp, Person]]:
    make, pattern = APPS[framework]

    def act(text: str) -> str:
        ran.append(text)
        return "ran"

    tag = requires_step_up(PURPOSE, details=shown) if by == "a tag" else lambda endpoint: endpoint
    rules = [Rule("POST", pattern, purpose=PURPOSE, details=shown)] if by == "a rule" else []
    site = Site(str(folder / "stepup.db"), frameworks=())
    inner = make(act, tag)
    app = StepUpMiddleware(inner, stepup=site.stepup, rules=rules)
    async with site.stepup, life(app):
        person = Person(app, None, ip=HOME)
        person.http.cookies.set("session", "ada")
        await person.enrol_passkey()
        yield app, person


async def _answer(app: ASGIApp, scope: Scope) -> Answer:
    """Send a request without a body, by a client that waits; a path that a framework cannot read has no answer."""
    sent: list[Message] = []
    answered = asyncio.Event()
    waiting: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if waiting:
            return waiting.pop()
        await answered.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            answered.set()

    with suppress(Exception):
        await app(scope, receive, send)
    return Answer(sent or [{"type": "http.response.start", "status": 400}])


# B12
@pytest.mark.parametrize("by", ["a tag", "a rule"])
@pytest.mark.parametrize("framework", APPS)
@pytest.mark.sweep()
async def test_details_show_of_a_path_what_the_endpoint_acts_on(framework: str, by: str, tmp_path: Path) -> None:
    ran: list[str] = []
    times = 0
    async with _before(tmp_path, framework, by, ran) as (app, ada):
        for target in _targets():
            raw = target.encode("latin-1")
            path = unquote_to_bytes(raw).decode("utf-8", "replace")
            cookie = ("cookie", "session=ada")
            asked = await _answer(app, scope_of("POST", path, raw_path=raw, headers=[cookie]))
            assert ran == [], target
            if asked.status != 401:
                continue
            problem = asked.json()
            token = await ada.prove(httpx2.Response(401, headers={"stepup-prompt": problem["prompt"]["url"]}))
            proved = scope_of("POST", path, raw_path=raw, headers=[cookie, ("stepup-token", token)])
            await _answer(app, proved)
            assert [["Id", repr(each)] for each in ran] in ([], problem["details"]), target
            times += len(ran)
            ran.clear()
    assert times >= 40


KINDS: dict[str, tuple[Any, list[str]]] = {
    "a number": (int, ["7", "007", "+7", "-0", "1_000", "%37", "%D9%A7"]),
    "a float": (float, ["1e3", "0.10", "-0.0", "1_0.5"]),
    "a decimal": (Decimal, ["1e3", "0.10", "00.1"]),
    "a UUID": (UUID, ["00000000000040008000000000000ABC", "{00000000-0000-4000-8000-000000000abc}"]),
    "a date": (date, ["2026-11-28", "1764288000"]),
    "stripped text": (Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True)], ["%20Ada%20", "a"]),
    "an answer": (bool, ["yes", "0"]),
}


def shown_as_text(scope: Scope) -> list[tuple[str, str]]:
    """Return what the modal shows of a path, by the app that takes a parameter for the text that it is."""
    return [("Id", scope["path_params"]["item"])]


def handed_by_fastapi(kind: Any, act: Act, tag: Tag, raw: list[Any], *, alias: bool) -> Any:
    """Tell what FastAPI hands to an endpoint, and what its request has."""
    app = FastAPI()

    async def named(request: Request, item: Any) -> str:
        raw.append(request.path_params["item"])
        return act(str(item))

    async def aliased(request: Request, given: Any) -> str:
        raw.append(request.path_params["item"])
        return act(str(given))

    named.__annotations__ = {"request": Request, "item": kind}
    aliased.__annotations__ = {"request": Request, "given": Annotated[kind, FromThePath(alias="item")]}
    app.post("/x/{item}")(tag(aliased if alias else named))
    return app


def handed_by_litestar(kind: Any, act: Act, tag: Tag, raw: list[Any], **_: Any) -> Any:
    """Tell what Litestar hands to a handler that wants more than its route says; it knows no alias of a parameter."""

    async def endpoint(request: Any, item: Any) -> Response[str]:
        raw.append(request.path_params["item"])
        return Response(act(str(item)))

    wanted = FromPath[kind]
    endpoint.__annotations__ = {"request": LitestarRequest, "item": wanted, "return": Response[str]}
    return Litestar([litestar_post("/x/{item:str}")(tag(endpoint))])


# B12
@pytest.mark.parametrize(
    ("kind", "make", "alias"),
    [
        *((kind, make, False) for make in (handed_by_fastapi, handed_by_litestar) for kind in KINDS),
        ("a number", handed_by_fastapi, True),
    ],
)
async def test_details_show_the_value_that_an_endpoint_is_handed_in_its_own_type(
    tmp_path: Path, kind: str, alias: bool, make: Callable[..., Any]
) -> None:
    annotation, spellings = KINDS[kind]
    ran: list[str] = []
    raw: list[Any] = []

    def act(text: str) -> str:
        ran.append(text)
        return "ran"

    site = Site(str(tmp_path / "stepup.db"), frameworks=())
    tag = requires_step_up(PURPOSE, details=shown_as_text)
    app = StepUpMiddleware(make(annotation, act, tag, raw, alias=alias), stepup=site.stepup)
    shown: list[str] = []
    async with site.stepup, life(app):
        ada = Person(app, None, ip=HOME)
        ada.http.cookies.set("session", "ada")
        await ada.enrol_passkey()
        for spelling in spellings:
            asked = await ada.http.post(f"/x/{spelling}")
            if asked.status_code != 401:  # no value of this kind to the framework
                continue
            token = await ada.prove(asked)
            answer = await ada.http.post(f"/x/{spelling}", headers={"stepup-token": token})
            assert answer.status_code < 300, answer.text
            shown.append(asked.json()["details"][0][1])
            assert raw[-1] == unquote_to_bytes(spelling).decode()  # the app reads its request as ever
    assert shown == ran
    assert len(ran) >= 1
