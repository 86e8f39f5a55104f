"""A tagged function runs behind a gate alone, wherever and whenever a framework was given the function itself."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import falcon
import falcon.asgi
import pytest
from blacksheep import Application, Router
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar, Response, post
from quart import Quart
from sanic import Sanic
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from stepup_middleware import ConfigurationError, RequireStepUp, StepUpMiddleware, requires_step_up
from stepup_middleware.frameworks.fence import fence, let_through
from tests.support import call, scope_of

from .apps import PURPOSE
from .site import Site, life

Registered = Callable[[Any], Any]  # an app in which a function was registered
tag = requires_step_up(PURPOSE)


def _starlette_hook(function: Any) -> Any:
    app = FastAPI()
    app.middleware("http")(function)
    return app


def _starlette_default(function: Any) -> Any:
    app = Starlette()
    app.router.default = function
    return app


def _starlette_later(function: Any) -> Any:
    @asynccontextmanager
    async def life_of(app: Starlette) -> AsyncIterator[None]:
        app.router.routes.append(Route("/x", function, methods=["POST"]))
        yield

    return Starlette(lifespan=life_of)


def _starlette_lazily(function: Any) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Starlette(routes=[Route("/x", function, methods=["POST"])])(scope, receive, send)

    return app


def _starlette_inside(function: Any) -> Any:
    async def outer(request: Any) -> Any:
        return await function(request)

    return Starlette(routes=[Route("/x", outer, methods=["POST"])])


def _quart(place: str) -> Registered:
    def made(function: Any) -> Any:
        app = Quart("fence")

        async def other() -> str:
            return "other"

        app.add_url_rule("/x", view_func=other, methods=["POST"])
        getattr(app, place)(function)
        return app

    return made


def _litestar(**settings: str) -> Registered:
    def made(function: Any) -> Any:
        ((name, _),) = settings.items()
        value = {Exception: function} if name == "exception_handlers" else function
        given: dict[str, Any] = {name: value}

        @post("/x", **given)
        async def other() -> str:
            if name == "exception_handlers":
                raise ValueError
            return "other"

        return Litestar([other])

    return made


def _falcon_hook(function: Any) -> Any:
    class Resource:
        @falcon.before(function)
        async def on_post(self, req: Any, resp: Any) -> None:
            resp.text = "other"

    app = falcon.asgi.App()
    app.add_route("/x", Resource())
    return app


def _falcon_middleware(function: Any) -> Any:
    class Hooked:
        process_request = function

    return falcon.asgi.App(middleware=[Hooked()])


def _falcon_method(function: Any) -> Any:
    class Resource:
        on_post = function

    app = falcon.asgi.App()
    app.add_route("/x", Resource())
    return app


def _blacksheep_middleware(function: Any) -> Any:
    app = Application(router=Router())
    app.middlewares.append(function)
    return app


def _sanic(place: str) -> Registered:
    def made(function: Any) -> Any:
        app: Any = Sanic("fence" + secrets.token_hex(4), configure_logging=False)
        app.config.TOUCHUP = False  # it rewrites the class itself, once a process

        @app.post("/x")  # type: ignore[untyped-decorator]
        async def other(request: Any) -> Any:
            return None

        if place == "on_request":
            app.on_request(function)
        else:
            app.signal("http.routing.after")(function)
        return app

    return made


PLACES: dict[str, Registered] = {
    "starlette: a middleware": _starlette_hook,
    "starlette: a route that a lifespan adds": _starlette_later,
    "starlette: an app that is made later": _starlette_lazily,
    "starlette: another endpoint": _starlette_inside,
    "starlette: the router's default": _starlette_default,
    "quart: before_request": _quart("before_request"),
    "quart: after_request": _quart("after_request"),
    "litestar: before_request": _litestar(before_request=""),
    "litestar: after_request": _litestar(after_request=""),
    "litestar: a handler's exception_handlers": _litestar(exception_handlers=""),
    "falcon: a hook": _falcon_hook,
    "falcon: a middleware": _falcon_middleware,
    "falcon: a method": _falcon_method,
    "blacksheep: a middleware": _blacksheep_middleware,
    "sanic: on_request": _sanic("on_request"),
    "sanic: a signal": _sanic("signal"),
}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A StepUp without apps."""
    site = Site(str(tmp_path / "stepup.db"), frameworks=())
    async with site.stepup:
        yield site


async def _runs(place: str, tagged: Callable[[Any], Any], site: Site) -> int:
    """Return how often a function ran that was registered at a place and tagged afterwards."""
    runs: list[int] = []

    async def plain(*values: Any, **named: Any) -> Any:
        runs.append(1)
        return PlainTextResponse("ran") if place.startswith("starlette") else "ran"

    def sync(request: Any, error: Exception) -> Any:
        runs.append(1)
        return Response("ran")

    async def handed(request: Any, handler: Any) -> Any:
        runs.append(1)

    act: Any = {"litestar: a handler's exception_handlers": sync, "blacksheep: a middleware": handed}.get(place, plain)
    inner = PLACES[place](act)
    tagged(act)
    try:
        app = StepUpMiddleware(inner, stepup=site.stepup)
    except ConfigurationError as error:
        assert "below" in str(error)
        return 0
    async with AsyncExitStack() as stack:
        with suppress(AssertionError, ConfigurationError):
            await stack.enter_async_context(life(app))
        with suppress(Exception):
            await call(app, scope_of("POST", "/x"))
    return len(runs)


# L05
@pytest.mark.parametrize("place", PLACES)
async def test_a_function_that_lost_its_tag_runs_nowhere(place: str, site: Site) -> None:
    assert await _runs(place, tag, site) == 0


# L05
async def test_the_places_at_which_it_is_tried_run_what_is_not_tagged(site: Site) -> None:
    untagged = [place for place in PLACES if not await _runs(place, lambda function: function, site)]
    assert untagged in ([], ["sanic: a signal"])  # Sanic has its signals once a server of its own has started


# L05
async def test_what_is_below_a_tag_can_be_called_past_it_by_nobody() -> None:
    @tag
    async def act(request: Any) -> None:
        raise AssertionError("ran")

    with pytest.raises(ConfigurationError, match="past its tag"):
        await inspect.unwrap(act)(None)


# L05
async def test_a_function_with_and_without_its_tag_runs_behind_any_gate(site: Site) -> None:
    async def act(request: Any) -> Any:
        raise AssertionError("ran")

    tag(act)
    app = StepUpMiddleware(RequireStepUp(Starlette(routes=[Route("/x", act)]), PURPOSE), stepup=site.stepup)
    assert (await call(app, scope_of("GET", "/x"))).status in (401, 403)


NAMES = st.lists(st.sampled_from("abcdefgh"), max_size=6, unique=True)


# L05
@given(NAMES, st.integers(0, 6), st.integers(0, 6), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 3))
def test_a_fence_changes_nothing_of_a_function_but_who_may_run_it(
    names: list[str], positional: int, plain: int, rest: bool, named: bool, is_async: bool, cells: int
) -> None:
    parameters = [f"{name}={place}" for place, name in enumerate(names)]
    plain = max(plain, positional)
    if 0 < positional <= len(names):
        parameters.insert(positional, "/")
        plain += 1
    if rest:
        parameters.insert(plain, "*rest")
    elif plain < len(parameters):
        parameters.insert(plain, "*")
    if named:
        parameters.append("**named")
    free = [f"cell{number}" for number in range(cells)]
    source = f"""
def made({", ".join(f"{name}={place}" for place, name in enumerate(free))}):
    {"async " if is_async else ""}def function({", ".join(parameters)}):
        "Says what it does."
        return ({", ".join([*names, *free, "rest" if rest else "0", "named" if named else "0"])},)
    return function
"""
    scope: dict[str, Any] = {}
    exec(source, scope)  # noqa: S102 - the generator's own text
    function = scope["made"]()
    before = inspect.signature(function), function.__doc__, function.__qualname__, function.__code__.co_firstlineno
    kind = inspect.iscoroutinefunction(function)
    fence(function, lambda *_: ConfigurationError("past its tag"))
    after = inspect.signature(function), function.__doc__, function.__qualname__, function.__code__.co_firstlineno
    assert (before, kind) == (after, inspect.iscoroutinefunction(function))
    given = [9] if names and plain > 0 else []
    with let_through():
        answer = _result(function(*given))
    expected = _result(scope["made"]()(*given))
    assert answer == expected
    with pytest.raises(ConfigurationError):
        _result(function(*given))


def _result(value: Any) -> Any:
    if not inspect.iscoroutine(value):
        return value
    try:
        value.send(None)
    except StopIteration as stopped:
        return stopped.value
    raise AssertionError("waits")
