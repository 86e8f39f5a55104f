"""Classes of BlackSheep: its routes keep the functions of a controller from before the class is there."""

from __future__ import annotations

from typing import Any, cast

from blacksheep import Application, Router, text
from blacksheep.server.controllers import Controller
from blacksheep.server.routing import RoutesRegistry

from stepup_middleware.asgi import ASGIApp

from . import Ran, Shape, Tag


def _controller(tag: Tag, ran: Ran) -> ASGIApp:
    app = Application(router=Router())
    app.controllers_router = RoutesRegistry()

    @tag
    class Endpoint(Controller):
        """A controller."""

        @app.controllers_router.get("/x")
        async def act(self) -> Any:
            ran()
            return text("ran")

    return cast(ASGIApp, app)


SHAPES: dict[str, Shape] = {"a controller": _controller}
