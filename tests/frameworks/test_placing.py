"""The middleware in the wrong place, twice, or around an app of apps: start-up error or refusal, never open."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Mount

from stepup_middleware import EventName, RelyingParty, StepUp, StepUpMiddleware, Subject
from stepup_middleware.asgi import ASGIApp, Receive, Scope, Send
from stepup_middleware.stores.sqlite import SQLiteStore
from tests.guide.person import Person

from .apps import FRAMEWORKS
from .site import KEY, ORIGIN, Site, life

pytestmark = pytest.mark.parametrize("framework", FRAMEWORKS)


@asynccontextmanager
async def living(site: Site, framework: str) -> AsyncIterator[None]:
    """Start the store and the app."""
    async with site.stepup, life(site.apps[framework].app):
        yield


def person_at(app: ASGIApp) -> Person:
    """Return somebody whose browser sends a session's cookie."""
    person = Person(None, None, origin=ORIGIN)  # type: ignore[arg-type]
    person.http = httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app, client=("192.0.2.1", 5000)),
        base_url=ORIGIN,
        headers={"origin": ORIGIN, "sec-fetch-site": "same-origin", "accept": "application/json"},
        cookies={"session": "ada"},
    )
    return person


class Shortened:
    """Hands an app that routes by the whole path the rest of it, as a dispatcher does that knows no ``root_path``."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope["root_path"])
        await self.app({**scope, "path": path, "raw_path": path.encode(), "root_path": ""}, receive, send)


# H17
async def test_installed_twice_it_redeems_once(framework: str, tmp_path: Path) -> None:
    site = Site(str(tmp_path / "stepup.db"), frameworks=(framework,))
    async with living(site, framework):
        person = person_at(StepUpMiddleware(site.apps[framework], stepup=site.stepup))
        await person.enrol_passkey()
        assert (await person.act("POST", "/function")).status_code == 200
        events = [record.event async for record in site.stepup.audit.stream(None)]
    assert events.count(EventName.ACTION_AUTHORIZED) == 1
    assert EventName.REUSED not in events
    assert dict(site.runs) == {f"{framework}/function": 1}


# H18
async def test_outside_the_session_middleware_nothing_tagged_runs(framework: str, tmp_path: Path) -> None:
    runs: list[str] = []

    async def by_session(scope: Scope) -> Subject | None:
        name = scope["session"]["name"]  # what the session middleware puts there, which is inside of ours
        return Subject(id=name, session_id="s", workspace_id="axis", name=name)

    stepup = StepUp(
        secret_key=KEY,
        store=SQLiteStore(tmp_path / "stepup.db"),
        relying_party=RelyingParty(id="localhost", name="Test", origins=[ORIGIN]),
        identify=by_session,
    )
    inner: Any = importlib.import_module(f"tests.frameworks.apps.{framework}").build(runs.append)
    app = StepUpMiddleware(SessionMiddleware(inner, secret_key=KEY), stepup=stepup)
    async with stepup, life(inner):
        for path in ("/function", "/class", "/inside"):
            answer = await person_at(app).http.post(path)
            assert (answer.status_code, answer.json()["code"]) == (503, "STEPUP_UNAVAILABLE")
    assert runs == []


# H08
async def test_mounted_in_another_app_under_one_middleware_it_is_guarded(framework: str, tmp_path: Path) -> None:
    site = Site(str(tmp_path / "stepup.db"), frameworks=(framework,))
    inner: Any = site.apps[framework].app
    if framework in ("falcon", "sanic"):
        inner = Shortened(inner)
    outer = Starlette(routes=[Mount("/a", routes=[Mount("/b", app=inner)])])
    async with living(site, framework):
        person = person_at(StepUpMiddleware(outer, stepup=site.stepup))
        await person.enrol_passkey()
        for path in ("/a/b/function", "/a/b/class", "/a/b/inside"):
            asked = await person.ask("POST", path)
            assert site.runs[f"{framework}/{path.rpartition('/')[2]}"] == 0
            token = await person.prove(asked)
            done = await person.http.post(path, headers={"stepup-token": token})
            assert (done.status_code, done.headers["cache-control"]) == (200, "no-store")
    assert dict(site.runs) == {f"{framework}/{name}": 1 for name in ("function", "class", "inside")}


# T19
async def test_one_app_that_is_mounted_twice_takes_no_token_of_the_other_mount(framework: str, tmp_path: Path) -> None:
    site = Site(str(tmp_path / "stepup.db"), frameworks=(framework,))
    inner = Shortened(site.apps[framework].app)
    outer = Starlette(routes=[Mount("/a", app=inner), Mount("/b", app=inner)])
    async with living(site, framework):
        person = person_at(StepUpMiddleware(outer, stepup=site.stepup))
        await person.enrol_passkey()
        token = await person.prove(await person.ask("POST", "/a/inside"))
        other = await person.http.post("/b/inside", headers={"stepup-token": token})
        assert (other.status_code, other.json()["code"]) == (401, "STEPUP_REQUIRED")
        assert (await person.http.post("/a/inside", headers={"stepup-token": token})).status_code == 200
