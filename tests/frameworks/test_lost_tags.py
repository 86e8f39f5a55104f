"""A tag above the decorator that registers the function is found behind any wrapper, and stops the start."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from blacksheep import Application, Router
from fastapi import APIRouter, FastAPI
from litestar import Controller, Litestar, asgi, get
from quart import Quart
from sanic import Sanic
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Host, Mount, Route

from stepup_middleware import ConfigurationError, RequireStepUp, StepUpMiddleware, requires_step_up
from stepup_middleware.asgi import ASGIApp
from stepup_middleware.inspection import routes_of

from .apps import PURPOSE
from .site import Site
from .wrappers import WRAPPERS

tagged = requires_step_up(PURPOSE)


def _act() -> Callable[[], Any]:
    async def act() -> str:
        raise AssertionError("ran")

    return act


def _fastapi() -> ASGIApp:
    app = FastAPI()
    tagged(app.post("/x")(_act()))
    return app


def _below_a_decorator() -> ASGIApp:
    def logged(endpoint: Callable[[], Any]) -> Callable[[], Any]:
        @functools.wraps(endpoint)
        async def logging() -> Any:
            return await endpoint()

        return logging

    app = FastAPI()
    tagged(logged(logged(app.post("/x")(_act()))))
    return app


def _instance() -> ASGIApp:
    class Act:
        async def __call__(self) -> str:
            raise AssertionError("ran")

    app, act = FastAPI(), Act()
    tagged(app.post("/x")(act))
    return app


def _included() -> ASGIApp:
    router, app = APIRouter(), FastAPI()
    tagged(router.post("/x")(_act()))
    app.include_router(router, prefix="/api")
    return app


def _quart() -> ASGIApp:
    app = Quart("lost")
    tagged(app.post("/x")(_act()))
    return cast(ASGIApp, app)


def _blacksheep() -> ASGIApp:
    app = Application(router=Router())
    tagged(app.router.post("/x")(_act()))
    return cast(ASGIApp, app)


def _sanic() -> ASGIApp:
    app: Sanic[Any, Any] = Sanic("lost" + secrets.token_hex(4), configure_logging=False)
    app.config.TOUCHUP = False  # it rewrites the class itself, once a process

    async def act(request: Any) -> None:
        raise AssertionError("ran")

    registered: Any = app.post("/x")
    tagged(registered(act))
    return cast(ASGIApp, app)


APPS = {
    "fastapi": _fastapi,
    "a decorator": _below_a_decorator,
    "an instance": _instance,
    "included": _included,
    "quart": _quart,
    "blacksheep": _blacksheep,
    "sanic": _sanic,
}
MOUNTS: dict[str, Callable[[ASGIApp], Any]] = {
    "a mount of Starlette": lambda app: Starlette(routes=[Mount("/m", app=app)]),
    "a mount in a mount": lambda app: Starlette(routes=[Mount("/m", routes=[Mount("/n", app=app)])]),
    "a host of Starlette": lambda app: Starlette(routes=[Host("a.example", app=app)]),
    "a mount of Litestar": lambda app: Litestar([asgi("/m", is_mount=True, copy_scope=True)(app)]),
    "a session middleware": lambda app: SessionMiddleware(app, secret_key="s"),
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A StepUp without apps."""
    return Site(str(tmp_path / "stepup.db"), frameworks=())


# L02
@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("app", APPS)
@pytest.mark.sweep()
def test_a_lost_tag_stops_the_start_behind_any_wrapper(app: str, wrapper: str, site: Site) -> None:
    with pytest.raises(ConfigurationError, match="below the decorator"):
        StepUpMiddleware(WRAPPERS[wrapper](APPS[app]()), stepup=site.stepup)


async def _lost(*values: Any) -> None:
    raise AssertionError("ran")


def _on_an_error(framework: str) -> ASGIApp:
    app: Any
    handlers: Any = {404: _lost}
    match framework:
        case "fastapi":
            app = FastAPI(exception_handlers=handlers)
        case "litestar":
            app = Litestar([], exception_handlers=handlers)
        case "quart":
            app = Quart("lost")
            app.register_error_handler(404, _lost)
        case "sanic":
            app = Sanic("lost" + secrets.token_hex(4), configure_logging=False)
            app.config.TOUCHUP = False  # it rewrites the class itself, once a process
            app.exception(ValueError)(_lost)
        case _:
            app = Application(router=Router())
            app.exceptions_handlers[404] = _lost
    tagged(_lost)
    return cast(ASGIApp, app)


@pytest.mark.parametrize("framework", ["fastapi", "litestar", "quart", "sanic", "blacksheep"])
def test_a_tag_lost_on_a_handler_of_errors_stops_the_start(framework: str, site: Site) -> None:
    with pytest.raises(ConfigurationError, match="below the decorator"):
        StepUpMiddleware(_on_an_error(framework), stepup=site.stepup)


# L03
@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("app", ["fastapi", "quart"])
def test_a_lost_tag_stops_the_start_in_a_mounted_app(app: str, mount: str, site: Site) -> None:
    with pytest.raises(ConfigurationError, match="below the decorator"):
        StepUpMiddleware(MOUNTS[mount](WRAPPERS["a closure"](APPS[app]())), stepup=site.stepup)


# L03
def test_a_lost_tag_in_an_app_that_blacksheep_mounts_stops_the_start(site: Site) -> None:
    app = Application(router=Router())
    app.mount("/m", _fastapi())
    with pytest.raises(ConfigurationError, match="below the decorator"):
        StepUpMiddleware(cast(ASGIApp, app), stepup=site.stepup)


# a global has room for one
# L04
@pytest.mark.parametrize("wrapper", [name for name in WRAPPERS if name != "a global of its module"])
def test_what_is_behind_a_wrapper_that_is_tagged_has_its_tag_and_has_lost_none(wrapper: str, site: Site) -> None:
    inner = WRAPPERS[wrapper](RequireStepUp(WRAPPERS[wrapper](_fastapi()), PURPOSE))
    app = StepUpMiddleware(Starlette(routes=[Mount("/m", app=inner)]), stepup=site.stepup)
    tags = {route.path: route.tag for route in routes_of(app)}
    assert (tag := tags["/m/x"]) is not None
    assert tag.purpose == PURPOSE


def test_nothing_is_called_and_nothing_is_taken_for_an_app_that_is_none(site: Site) -> None:
    class Wrapper:
        """Has a property that must not be looked at, and much else."""

        def __init__(self) -> None:
            self.much = [object() for _ in range(10_000)]
            self.itself = self
            self.app = "no app"

        @property
        def trap(self) -> None:
            raise AssertionError("called")

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    (route,) = routes_of(StepUpMiddleware(Wrapper(), stepup=site.stepup))
    assert not route.readable


@pytest.mark.parametrize("shape", ["a function", "a class"])
def test_a_tagged_handler_of_litestar_that_keeps_its_answers_stops_the_start(shape: str, site: Site) -> None:
    handler: Any

    if shape == "a function":
        handler = get("/x", cache=60)(tagged(_act()))
    else:

        @tagged
        class Kept(Controller):
            @get("/x", cache=True)
            async def act(self) -> str:
                raise AssertionError("ran")

        handler = Kept

    with pytest.raises(ConfigurationError, match="take cache= away"):
        StepUpMiddleware(cast(ASGIApp, Litestar([handler])), stepup=site.stepup)


def _not_async(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(endpoint)
    def around(*values: Any, **named: Any) -> Any:
        return endpoint(*values, **named)

    return around


def _below_a_sync_decorator(framework: str) -> ASGIApp:
    act = _not_async(tagged(_lost))
    app: Any
    if framework == "starlette":
        return Starlette(routes=[Route("/x", act)])
    if framework == "fastapi":
        app = FastAPI()
        app.post("/x")(act)
    elif framework == "quart":
        app = Quart("lost")
        app.post("/x")(act)
    elif framework == "blacksheep":
        app = Application(router=Router())
        app.router.post("/x")(act)
    else:
        app = Sanic("lost" + secrets.token_hex(4), configure_logging=False)
        app.post("/x")(act)
    return cast(ASGIApp, app)


# L08
@pytest.mark.parametrize("framework", ["starlette", "quart", "blacksheep"])
def test_a_decorator_above_the_tag_that_nobody_awaits_stops_the_start(framework: str, site: Site) -> None:
    with pytest.raises(ConfigurationError, match="make it an async one"):
        StepUpMiddleware(_below_a_sync_decorator(framework), stepup=site.stepup)


# L08
@pytest.mark.parametrize("framework", ["fastapi", "sanic"])
def test_a_decorator_above_the_tag_whose_framework_awaits_what_it_returns_is_none(framework: str, site: Site) -> None:
    routes = routes_of(StepUpMiddleware(_below_a_sync_decorator(framework), stepup=site.stepup))
    assert [route.tag.purpose for route in routes if route.path == "/x" and route.tag is not None] == [PURPOSE]
