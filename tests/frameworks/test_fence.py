"""A tagged function runs behind a gate alone, wherever and whenever a framework was given the function itself."""

from __future__ import annotations

import functools
import inspect
import secrets
import types
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import falcon
import falcon.asgi
import httpx2
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
from starlette.routing import Mount, Route

from stepup_middleware import ConfigurationError, RequireStepUp, StepUpMiddleware, requires_step_up
from stepup_middleware.frameworks.entries import mark_async
from stepup_middleware.frameworks.fence import fence, let_through
from tests.guide.person import Person
from tests.support import call, scope_of

from .apps import PURPOSE
from .site import ORIGIN, Site, life

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


class _Acts:
    """What is registered, by what its place hands it: it notes that it ran."""

    def __init__(self) -> None:
        self.runs: list[int] = []

    async def plain(self, *values: Any, **named: Any) -> Any:
        self.runs.append(1)
        return "ran"

    async def response(self, *values: Any, **named: Any) -> Any:
        self.runs.append(1)
        return PlainTextResponse("ran")

    def sync(self, request: Any, error: Exception) -> Any:
        self.runs.append(1)
        return Response("ran")

    async def handed(self, request: Any, handler: Any) -> Any:
        self.runs.append(1)


def _method_at(place: str) -> Any:
    by_place = {"litestar: a handler's exception_handlers": _Acts.sync, "blacksheep: a middleware": _Acts.handed}
    return by_place.get(place, _Acts.response if place.startswith("starlette") else _Acts.plain)


def _copied(function: Any) -> Any:
    """Return a function of its own, so that one case has nothing of another."""
    return types.FunctionType(function.__code__, function.__globals__, function.__name__)


def _as_function(method: Any, acts: _Acts) -> tuple[Any, Any]:
    source = inspect.getsource(method)
    named: dict[str, Any] = {"self": acts, "Any": Any, "PlainTextResponse": PlainTextResponse, "Response": Response}
    exec(inspect.cleandoc("\n" + source).replace("(self, ", "(", 1), named)  # noqa: S102 - a method of the class above
    return named[method.__name__], named[method.__name__]


def _as_method(method: Any, acts: _Acts) -> tuple[Any, Any]:
    bound = types.MethodType(_copied(method), acts)
    return bound, types.MethodType(bound.__func__, acts)  # another object each time that it is asked for


def _as_object(method: Any, acts: _Acts) -> tuple[Any, Any]:
    called = type("Called", (), {"__call__": _copied(method), "__name__": "called"})()
    called.runs = acts.runs
    if inspect.iscoroutinefunction(method):
        mark_async(called)
    return called, called


def _as_class_method(method: Any, acts: _Acts) -> tuple[Any, Any]:
    kind = type("Kind", (), {"runs": acts.runs, "act": classmethod(_copied(method))})
    return kind.act, kind.act  # type: ignore[attr-defined]


def _as_partial(method: Any, acts: _Acts) -> tuple[Any, Any]:
    partial = functools.partial(_copied(method), acts)
    return partial, partial


def _as_wrapped(method: Any, acts: _Acts) -> tuple[Any, Any]:
    function, _ = _as_function(method, acts)

    @functools.wraps(function)
    async def over(*values: Any, **named: Any) -> Any:
        return await function(*values, **named)

    return function, over


# what is registered, and what is tagged afterwards
KINDS: dict[str, Callable[[Any, _Acts], tuple[Any, Any]]] = {
    "a function": _as_function,
    "the method of an object": _as_method,
    "an object that can be called": _as_object,
    "a class method": _as_class_method,
    "a partial": _as_partial,
    "a function that was wrapped": _as_wrapped,
}


async def _runs(kind: str, place: str, tagged: Callable[[Any], Any], site: Site) -> int:
    """Return how often something ran that was registered at a place and tagged afterwards."""
    acts = _Acts()
    registered, below = KINDS[kind](_method_at(place), acts)
    try:
        inner = PLACES[place](registered)
    except Exception:
        return -1  # the framework does not take it
    tagged(below)
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
    return len(acts.runs)


# L05
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.sweep()
async def test_a_function_that_lost_its_tag_runs_nowhere(kind: str, place: str, site: Site) -> None:
    assert await _runs(kind, place, tag, site) <= 0


# L05
@pytest.mark.parametrize("kind", KINDS)
async def test_the_places_at_which_it_is_tried_run_what_is_not_tagged(kind: str, site: Site) -> None:
    untagged = {place for place in PLACES if await _runs(kind, place, lambda function: function, site) <= 0}
    # Sanic has its signals once a server of its own has started; Falcon takes coroutine functions of a class alone
    assert untagged <= {"sanic: a signal", "falcon: a middleware"}
    assert kind not in ("a function", "the method of an object") or "falcon: a middleware" not in untagged


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


# L07
async def test_a_function_that_lost_its_tag_is_not_run_by_the_proof_of_another_action(site: Site) -> None:
    runs: list[int] = []

    async def erase(request: Any) -> Any:
        runs.append(1)

    requires_step_up("account_erasure_finalize")(erase)

    @tag
    async def act(request: Any) -> Any:
        await erase(request)

    mounted = Starlette()
    app = Starlette(routes=[Route("/act", act, methods=["POST"]), Mount("/m", app=RequireStepUp(mounted, PURPOSE))])
    ada = Person(None, None, origin=ORIGIN)  # type: ignore[arg-type]
    transport = httpx2.ASGITransport(
        app=StepUpMiddleware(app, stepup=site.stepup), client=("192.0.2.1", 5000), raise_app_exceptions=False
    )
    headers = {"origin": ORIGIN, "accept": "application/json"}
    async with httpx2.AsyncClient(
        transport=transport, base_url=ORIGIN, headers=headers, cookies={"session": "ada"}
    ) as ada.http:
        await ada.enrol_passkey()
        for path in ("/act", "/m/erase"):
            token = await ada.prove(await ada.ask("POST", path))
            answer = await ada.http.post(path, headers={"stepup-token": token})
            assert (answer.status_code, answer.json()["code"]) == (409, "STEPUP_PARTLY_DONE"), path
            mounted.router.routes.append(Route("/erase", erase, methods=["POST"]))  # too late to be found
    assert runs == []
    with pytest.raises(ConfigurationError, match="without the tag"):
        StepUpMiddleware(app, stepup=site.stepup)


# L05
def test_the_method_of_one_object_that_is_tagged_leaves_those_of_the_others_as_they_are() -> None:
    class Desk:
        def sign(self) -> Any:
            return self

        def __call__(self) -> Any:
            return self

    tagged, other = Desk(), Desk()
    tag(tagged.sign)
    tag(tagged)
    for act in (tagged.sign, tagged, lambda: Desk.sign(tagged), lambda: Desk.__call__(tagged)):
        with pytest.raises(ConfigurationError, match="past its tag"):
            act()
    assert [other.sign(), other(), Desk.sign(other)] == [other] * 3


# L05
def test_what_a_framework_made_of_a_function_is_no_function_to_tag() -> None:
    @post("/x")
    async def act() -> None: ...

    with pytest.raises(ConfigurationError, match="below the decorator"):
        tag(act)
    hook: Any = Sanic("fence" + secrets.token_hex(4), configure_logging=False).on_request(lambda request: None)
    with pytest.raises(ConfigurationError, match="below the decorator"):
        tag(hook)


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
    places = fence(function, "the tag", lambda *_: ConfigurationError("past its tag"))
    after = inspect.signature(function), function.__doc__, function.__qualname__, function.__code__.co_firstlineno
    assert (before, kind) == (after, inspect.iscoroutinefunction(function))
    given = [9] if names and plain > 0 else []
    with let_through(*places):
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
