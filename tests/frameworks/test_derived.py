"""A method in the place of a tagged one runs behind a tag, or the start is stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import falcon.asgi
import pytest
from django.views import View
from quart import Quart
from quart.views import MethodView
from sanic import Sanic
from sanic.views import HTTPMethodView
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.routing import Route

from stepup_middleware import ConfigurationError, StepUpMiddleware, requires_step_up
from stepup_middleware.asgi import AnyASGIApp
from stepup_middleware.inspection import routes_of

from .apps import PURPOSE
from .shapes import django as shapes
from .site import Site


def _falcon(kind: Any) -> AnyASGIApp:
    app = falcon.asgi.App()
    app.add_route("/x", kind())
    return app


def _quart(kind: Any) -> AnyASGIApp:
    app = Quart(__name__)
    app.add_url_rule("/x", view_func=kind.as_view("x"))
    return app


def _sanic(kind: Any) -> AnyASGIApp:
    Sanic.test_mode = True
    app = Sanic(f"derived{id(kind)}")
    app.add_route(kind.as_view(), "/x")
    return app


SHAPES: dict[str, tuple[type[Any], str, Callable[[Any], AnyASGIApp]]] = {
    "starlette": (HTTPEndpoint, "post", lambda kind: Starlette(routes=[Route("/x", kind)])),
    "django": (View, "post", lambda kind: shapes.app(kind.as_view())),
    "falcon": (object, "on_post", _falcon),
    "quart": (MethodView, "post", _quart),
    "sanic": (HTTPMethodView, "post", _sanic),
}


async def act(self: Any, *args: Any, **named: Any) -> Any:
    raise AssertionError("ran")


async def other(self: Any, *args: Any, **named: Any) -> Any:
    raise AssertionError("ran")


@pytest.mark.parametrize("framework", SHAPES)
def test_a_method_without_a_tag_in_the_place_of_a_tagged_one_stops_the_start(framework: str, tmp_path: Path) -> None:
    base, name, app = SHAPES[framework]
    stepup = Site(str(tmp_path / "stepup.db"), frameworks=()).stepup
    tagged = type("Tagged", (base,), {name: requires_step_up(PURPOSE)(act)})
    mixin = type("Mixin", (), {name: other})
    for kind in (
        type("Derived", (tagged,), {name: other}),
        type("Further", (type("Derived", (tagged,), {name: other}),), {}),
        type("Mixed", (mixin, tagged), {}),
    ):
        with pytest.raises(ConfigurationError, match=f"{kind.__name__}.{name} in the place of a tagged one"):
            StepUpMiddleware(app(kind), stepup=stepup)


@pytest.mark.parametrize("framework", SHAPES)
def test_a_tagged_method_in_its_place_and_one_that_is_inherited_are_taken(framework: str, tmp_path: Path) -> None:
    base, name, app = SHAPES[framework]
    stepup = Site(str(tmp_path / "stepup.db"), frameworks=()).stepup
    tag = requires_step_up(PURPOSE)
    tagged = type("Tagged", (base,), {name: tag(act)})
    for kind in (
        tagged,
        type("Derived", (tagged,), {"more": other}),
        type("Again", (tagged,), {name: tag(act)}),
        tag(type("Whole", (tagged,), {name: other})),
    ):
        built = app(kind)
        assert [route.fault for route in routes_of(built)][-1:] == [""]
        StepUpMiddleware(built, stepup=stepup)
