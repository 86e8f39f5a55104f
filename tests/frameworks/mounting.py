"""Where the app of a rule may stand: mounted in one of whatever framework, or below a root path of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from stepup_middleware.asgi import ASGIApp, Receive, Scope, Send

OWN_ROOT = "/api"  # which FastAPI and Django give themselves, whatever the server says


class Placement(NamedTuple):
    """A place: the mount as a rule has it and as a target has it, and what puts an app there."""

    name: str
    pattern: str
    path: str
    put: Callable[[ASGIApp], ASGIApp]

    def below(self, target: tuple[str, str], dice: random.Random) -> tuple[str, str]:
        """Return a target for the app at this place: after the mount, or anywhere else, or again below a root path."""
        path, root = target
        if not root:
            return self.path + path, root
        at = dice.choice([0, len(root), path.find(root) + len(root) if root in path else 0])
        again = dice.choice(["", "", root])
        return path[:at] + self.path + again + path[at:], root


def _by_starlette(*paths: str) -> Callable[[ASGIApp], ASGIApp]:
    def put(app: ASGIApp) -> ASGIApp:
        for path in reversed(paths):
            app = Starlette(routes=[Mount(path, app=app)])
        return app

    return put


def _by_fastapi(app: ASGIApp) -> ASGIApp:
    outer = FastAPI()
    outer.root_path = OWN_ROOT  # as its argument, which is deprecated
    outer.mount("/x", app)
    return outer


def _by_litestar(path: str) -> Callable[[ASGIApp], ASGIApp]:
    def put(app: ASGIApp) -> ASGIApp:
        from litestar import Litestar, asgi

        async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, send)

        mounted.__annotations__ = {"scope": Scope, "receive": Receive, "send": Send, "return": None}
        return cast(ASGIApp, Litestar([asgi(path, is_mount=True, copy_scope=True)(cast(Any, mounted))]))

    return put


def _by_blacksheep(path: str) -> Callable[[ASGIApp], ASGIApp]:
    def put(app: ASGIApp) -> ASGIApp:
        from blacksheep import Application, Router

        outer = Application(router=Router())
        outer.mount(path, cast(Any, app))
        return cast(ASGIApp, outer)

    return put


PLACEMENTS = (
    Placement("in Starlette", "/sub", "/sub", _by_starlette("/sub")),
    Placement("in Starlette, under its own first segment", "/x", "/x", _by_starlette("/x")),
    Placement("in Starlette, under a parameter", "/{place}", "/q", _by_starlette("/{place}")),
    Placement("twice in Starlette", "/a/b", "/a/b", _by_starlette("/a", "/b")),
    Placement("in a FastAPI with a root path of its own", "/x", "/x", _by_fastapi),
    Placement("in Litestar", "/sub", "/sub", _by_litestar("/sub")),
    Placement("in Litestar, under its own first segment", "/x", "/x", _by_litestar("/x")),
    Placement("in BlackSheep", "/é", "/é", _by_blacksheep("/é")),
    Placement("in BlackSheep, under its own first segment", "/x", "/x", _by_blacksheep("/x")),
)
ROOTED = Placement("below a root path of its own", "", OWN_ROOT, lambda app: app)


@contextmanager
def own_root(app: Any) -> Iterator[None]:
    """Let an app take itself to be below a root path, where its framework knows that (FastAPI, Django)."""
    if isinstance(app, FastAPI):
        app.root_path = OWN_ROOT
        yield
        return
    from django.conf import settings

    settings.FORCE_SCRIPT_NAME = OWN_ROOT
    try:
        yield
    finally:
        settings.FORCE_SCRIPT_NAME = None
