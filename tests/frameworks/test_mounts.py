"""Rules over mounted apps: by whatever path a mounted app is reached, its rule is asked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from stepup_middleware import Rule, StepUpMiddleware
from stepup_middleware.asgi import ASGIApp
from stepup_middleware.mounts import Piece, places_of

from .apps import PURPOSE
from .mounting import OWN_ROOT, own_root
from .rules_differential import BUILD, sent
from .site import Site, life

ONE = {  # a route with one parameter, as each framework writes it
    "starlette": "/x/{id}",
    "fastapi": "/x/{id}",
    "litestar": "/x/{id:str}",
    "quart": "/x/<id>",
    "django": "/x/<id>",
    "falcon": "/x/{id}",
    "blacksheep": "/x/{id}",
    "sanic": "/x/<id>",
}


async def ran(app: ASGIApp, rule: str, targets: Sequence[tuple[str, str]], runs: list[int], where: Path) -> list[Any]:
    """Return the targets, each with its root path, for which the router alone runs the endpoint, and with the rule."""
    site = Site(str(where / "stepup.db"), frameworks=())
    ruled = StepUpMiddleware(app, stepup=site.stepup, rules=[Rule("POST", rule, purpose=PURPOSE)])
    found = []
    async with site.stepup:
        for target, root in targets:
            counts = []
            for each in (app, ruled):
                runs.clear()
                await sent(each, target, root)
                counts.append(len(runs))
            if any(counts):
                found.append((target, root, *counts))
    return found


# J12
@pytest.mark.parametrize("framework", ONE)
async def test_a_mounted_app_that_takes_the_whole_path_for_its_own_is_behind_its_rule(
    framework: str, tmp_path: Path
) -> None:
    """hypercorn's root path does not begin the path, so that a mount takes nothing away; Falcon and Sanic never do."""
    runs: list[int] = []
    app = BUILD[framework](ONE[framework], lambda: runs.append(1))
    outer = Starlette(routes=[Mount("/x", app=app)])
    targets = [("/x/x/5", ""), ("/x/5", ""), ("/x/5", "/api"), ("/x/x/5", "/api"), ("/api/x/x/5", "/api")]
    async with AsyncExitStack() as stack:
        if framework != "django":
            await stack.enter_async_context(life(app))
        found = await ran(outer, "/x" + ONE[framework], targets, runs, tmp_path)
    assert len(found) >= 2  # what the router alone runs
    assert [each for each in found if each[3]] == []


# J12
@pytest.mark.parametrize("framework", ["litestar", "quart", "django"])
async def test_a_mounted_app_that_takes_the_root_path_away_once_more_is_behind_its_rule(
    framework: str, tmp_path: Path
) -> None:
    from litestar import Litestar, asgi
    from litestar.types import Receive, Scope, Send

    runs: list[int] = []
    pattern = {"litestar": "/x/{id:path}"}.get(framework, "/x/<path:id>")  # Litestar ends the path with a slash
    app = BUILD[framework](pattern, lambda: runs.append(1))

    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)  # type: ignore[arg-type]

    mounted.__annotations__ = {"scope": Scope, "receive": Receive, "send": Send, "return": None}
    outer: Any = Litestar([asgi("/sub", is_mount=True, copy_scope=True)(mounted)])
    async with AsyncExitStack() as stack:
        for each in (outer, *([] if framework == "django" else [app])):
            await stack.enter_async_context(life(each))
        found = await ran(outer, "/sub" + pattern, [("/api/sub/api/x/5", "/api")], runs, tmp_path)
    assert found == [("/api/sub/api/x/5", "/api", 1, 0)]


# J12
async def test_what_begins_as_a_mount_of_blacksheep_reaches_its_app_and_is_behind_its_rule(tmp_path: Path) -> None:
    from blacksheep import Application, Router

    runs: list[int] = []
    app = BUILD["starlette"]("/{all:path}", lambda: runs.append(1))
    outer: Any = Application(router=Router())
    outer.mount("/admin", app)
    async with life(outer):
        found = await ran(outer, "/admin/{all:path}", [("/administer/5", ""), ("/admin/5", "")], runs, tmp_path)
    assert found == [("/administer/5", "", 1, 0), ("/admin/5", "", 1, 0)]


# J13
@pytest.mark.parametrize("framework", ["fastapi", "django"])
async def test_a_path_below_a_root_path_that_the_app_gives_itself_is_behind_its_rule(
    framework: str, tmp_path: Path
) -> None:
    """``FastAPI(root_path=)`` and ``FORCE_SCRIPT_NAME`` are in no scope that the middleware sees."""
    runs: list[int] = []
    app = BUILD[framework](ONE[framework], lambda: runs.append(1))
    with own_root(app):
        found = await ran(app, ONE[framework], [("/x/5", ""), (f"{OWN_ROOT}/x/5", "")], runs, tmp_path)
    assert found == [("/x/5", "", 1, 0), (f"{OWN_ROOT}/x/5", "", 1, 0)]


async def test_a_rule_for_one_thing_below_a_mount_asks_for_no_list_of_them(tmp_path: Path) -> None:
    """Only where a path can be read in two ways is more asked than the rule says."""
    runs: list[int] = []
    outer = Starlette(routes=[Mount("/users", app=BUILD["starlette"]("/{all:path}", lambda: runs.append(1)))])
    targets = [("/users/", ""), ("/api/users/", "/api"), ("/users/5", ""), ("/users/5/posts", "")]
    found = await ran(outer, "/users/{id}", targets, runs, tmp_path)
    assert [each[3] for each in found] == [1, 1, 0, 1]


def test_the_mounts_of_an_app_are_found_through_whatever_leads_to_them() -> None:
    falcon = BUILD["falcon"]("/y", lambda: None)
    inner = Starlette(routes=[Mount("/b", app=falcon)])
    found = places_of(Starlette(routes=[Mount("/a", app=inner), Mount("/loop", routes=[Mount("/a", app=inner)])]))
    assert found.empty_parameters  # Falcon's
    by_whole_path = [mount.pieces for mount in found.mounts if mount.by_whole_path]
    assert by_whole_path == [
        (Piece("/a", is_text=False), Piece("/b", is_text=False)),
        (Piece("/loop", is_text=False), Piece("/a", is_text=False), Piece("/b", is_text=False)),
    ]
