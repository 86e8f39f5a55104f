"""``python -m tests.frameworks.rules_differential [--targets N] [FRAMEWORK...]``: rules against routers.

For every pattern that a framework takes there is an app with that route alone, and a rule with the very same spelling
in front of it, and the same app mounted in others or below a root path of its own. Generated targets are sent signed
out, in process, through the framework's own router: whenever its endpoint runs, the rule was narrower than the router.
A spelling that is refused when the rule is built is listed so.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import secrets
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast
from urllib.parse import unquote

from stepup_middleware import ConfigurationError, Rule, StepUpMiddleware
from stepup_middleware.asgi import ASGIApp, Message

from .apps import PURPOSE
from .mounting import PLACEMENTS, ROOTED, Placement, own_root
from .site import Site, life

Ran = Callable[[], None]


def _starlette(pattern: str, ran: Ran) -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def act(request: Request) -> PlainTextResponse:
        ran()
        return PlainTextResponse("ran")

    return Starlette(routes=[Route(pattern, act, methods=["POST", "GET"])])


def _fastapi(pattern: str, ran: Ran) -> ASGIApp:
    from fastapi import FastAPI

    app = FastAPI()
    app.router.routes += _starlette(pattern, ran).routes  # type: ignore[attr-defined]
    return app


def _litestar(pattern: str, ran: Ran) -> ASGIApp:
    from litestar import HttpMethod, Litestar, route

    async def act() -> None:
        ran()

    act.__annotations__ = {"return": None}
    made = Litestar([route(pattern, http_method=[HttpMethod.GET, HttpMethod.POST], status_code=204)(act)])
    return cast(ASGIApp, made)


def _quart(pattern: str, ran: Ran) -> ASGIApp:
    from quart import Quart

    async def act(**given: Any) -> str:
        ran()
        return "ran"

    app = Quart("rules")
    app.add_url_rule(pattern, "act", act, methods=["POST", "GET"])
    return cast(ASGIApp, app)


def _django(pattern: str, ran: Ran) -> ASGIApp:
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import clear_url_caches, path

    from .shapes.django import app as configured

    async def act(request: Any, **given: Any) -> HttpResponse:
        ran()
        return HttpResponse("ran")

    app = configured(act)
    urls = ModuleType("urls")
    urls.urlpatterns = [path(pattern.removeprefix("/"), act)]  # type: ignore[attr-defined]
    settings.ROOT_URLCONF = urls
    clear_url_caches()
    return app


def _falcon(pattern: str, ran: Ran) -> ASGIApp:
    import falcon.asgi

    class Act:
        """A resource."""

        async def on_post(self, req: Any, resp: Any, **given: Any) -> None:
            ran()

        on_get = on_post

    app = falcon.asgi.App()
    app.add_route(pattern, Act())
    return cast(ASGIApp, app)


def _blacksheep(pattern: str, ran: Ran) -> ASGIApp:
    from blacksheep import Application, Request, Response, Router, text

    async def act(request: Request) -> Response:
        ran()
        return text("ran")

    act.__annotations__ = {"request": Request, "return": Response}
    app = Application(router=Router())
    app.router.add_post(pattern, act)
    return cast(ASGIApp, app)


def _sanic(pattern: str, ran: Ran) -> ASGIApp:
    from sanic import Sanic
    from sanic.response import text

    async def act(request: Any, **given: Any) -> Any:
        ran()
        return text("ran")

    app: Sanic[Any, Any] = Sanic("app" + secrets.token_hex(4), configure_logging=False)
    app.config.TOUCHUP = False
    app.config.MOTD = False
    app.add_route(act, pattern, methods=["POST", "GET"])
    return cast(ASGIApp, app)


BUILD: dict[str, Callable[[str, Ran], ASGIApp]] = {
    "starlette": _starlette,
    "fastapi": _fastapi,
    "litestar": _litestar,
    "quart": _quart,
    "django": _django,
    "falcon": _falcon,
    "blacksheep": _blacksheep,
    "sanic": _sanic,
}
_STARLETTE = ["/x", "/x/", "/x/{id}", "/x/{id:str}", "/x/{id:int}", "/x/{id:float}", "/x/{id:uuid}", "/x/{id:path}"]
_STARLETTE += ["/x/{id}/act", "/{a}/{b}", "/x/{id}.json", "/x/v{id:int}", "/{all:path}", "/x/{id:path}/act", "/{a}-{b}"]
PATTERNS: dict[str, list[str]] = {
    "starlette": _STARLETTE,
    "fastapi": _STARLETTE,
    "litestar": [
        "/x",
        "/x/{id:str}",
        "/x/{id:int}",
        "/x/{id:float}",
        "/x/{id:uuid}",
        "/x/{id:decimal}",
        "/x/{id:date}",
        "/x/{id:datetime}",
        "/x/{id:time}",
        "/x/{id:timedelta}",
        "/x/{id:path}",
        "/x/{id:int}/act",
    ],
    "quart": [
        "/x",
        "/x/",
        "/x/<id>",
        "/x/<string:id>",
        "/x/<string(length=2):id>",
        "/x/<int:id>",
        "/x/<int(signed=True):id>",
        "/x/<float:id>",
        "/x/<uuid:id>",
        "/x/<any(a, b):id>",
        "/x/<path:id>",
        "/x/<path:id>/act",
        "/x/<int:id>/act/",
        "/x/<a>-<b>",
    ],
    "django": [
        "/x",
        "/x/",
        "/x/<id>",
        "/x/<str:id>",
        "/x/<int:pk>",
        "/x/<slug:id>",
        "/x/<uuid:id>",
        "/x/<path:id>",
        "/x/<int:id>/act/",
        "/x/<path:id>/act",
        "/x/<int:a>-<int:b>",
    ],
    "falcon": [
        "/x",
        "/x/{id}",
        "/x/{id:int}",
        "/x/{id:int(2)}",
        "/x/{id:int(min=1, max=9)}",
        "/x/{id:uuid}",
        "/x/{id:float}",
        "/x/{id:dt}",
        '/x/{id:dt("%Y-%m-%d")}',
        "/x/{id:path}",
        "/x/{id}/act",
        "/x/v{id:int}",
        "/x/{a}-{b}",
    ],
    "blacksheep": [
        "/x",
        "/x/:id",
        "/x/{id}",
        "/x/<id>",
        "/x/{int:id}",
        "/x/{uuid:id}",
        "/x/{float:id}",
        "/x/{str:id}",
        "/x/{path:id}",
        "/x/*",
        "/x/:id/act",
        "/x*",
        "/x/:id/*",
        "/x/{id}/*",
    ],
    "sanic": [
        "/x",
        "/x/",
        "/x/<id>",
        "/x/<id:str>",
        "/x/<id:strorempty>",
        "/x/<id:int>",
        "/x/<id:float>",
        "/x/<id:alpha>",
        "/x/<id:slug>",
        "/x/<id:uuid>",
        "/x/<id:ymd>",
        "/x/<id:path>",
        "/x/<id:ext>",
        "/x/<id:int>/act",
        "/x/<id:[a-z]+>",
        r"/x/<id:(?P<id>[a-z]{3}).txt>",
    ],
}
VALUES = ["1", "-1", "12", "1.5", "a", "b", "ab", "abc", "a.json", "1.json", "v1", "file.tar", "abc.txt", "a-b", "1-2"]
VALUES += ["2026-01-31", "2026-01-31T00:00:00Z", "2026-01-31T00:00:00", "12:00:00", "PT1H", "P1D", "é", "٣", "a b", ""]
VALUES += ["123e4567-e89b-12d3-a456-426614174000", "a/b", "a/b/act", "1/2", "..", ".", "x" * 300, "NaN", "inf", "1e5"]


class Row(NamedTuple):
    """What became of one pattern. ``routed`` counts the targets for which the router alone ran the endpoint."""

    framework: str
    pattern: str
    routed: int
    ran: list[str]
    refused: str = ""


def targets(pattern: str, number: int, seed: str) -> list[tuple[str, str]]:
    """Return raw targets that a router may take for a pattern, from honest ones on, each with a root path or none."""
    import re

    dice = random.Random(seed)  # noqa: S311 - the same ones each time
    found = []
    for place in range(number):
        honest = re.sub(r"\{[^}]*\}|<[^>]*>|:\w+|\*", lambda _: dice.choice(VALUES), pattern)
        if place % 3:
            honest = _disguised(honest, dice)
        found.append(_below(honest, dice) if place % 4 == 1 else (honest, ""))
    return found


def _below(path: str, dice: random.Random) -> tuple[str, str]:
    """Return a target of a server with a root path, and that: before the path, as ASGI says, or anywhere else."""
    root = dice.choice(["/pre", "/a/b", "/é", "/x"])
    before = dice.choice(["", root, root, root * 2, f"/q{root}", f"{root}/q", f"{root}/q{root}", f"/q{root}/"])
    return before + path, root


def _disguised(path: str, dice: random.Random) -> str:
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(path) + 1)
        choice = dice.randrange(9)
        if choice == 0 and at < len(path):
            path = path[:at] + f"%{ord(path[at]) % 256:02{dice.choice('xX')}}" + path[at + 1 :]
        elif choice == 1:
            path = path[:at] + dice.choice(["/", "//", "/./", "%2f", "%2F", "\\", "/a/../"]) + path[at:]
        elif choice == 2:
            path = path[:at] + path[at:].swapcase()
        elif choice == 3:
            path += dice.choice(["/", "//", "%00", "%0a", "%20", ";a=1", "%3F", "%23", ".", "%"])
        elif choice == 4:
            path = dice.choice(["//", "/.", "/%2e%2e", ""]) + path
        elif choice == 5 and at < len(path):
            path = path[:at] + path[at + 1 :]
        elif choice == 6:
            path = path[:at] + dice.choice([";x", "%25", "\t", "+", "~", ":", "X"]) + path[at:]
        elif choice == 7:
            path += dice.choice(VALUES)
    return path if path.startswith("/") else "/" + path


async def measured(framework: str, number: int, folder: Path) -> list[Row]:
    """Return a row for each pattern of a framework, after ``number`` targets in all."""
    rows = []
    each = max(number // len(PATTERNS[framework]), 1)
    site = Site(str(folder / f"{framework}.db"), frameworks=())
    async with site.stepup:
        for place, pattern in enumerate(PATTERNS[framework]):
            runs: list[int] = []

            def ran(runs: list[int] = runs) -> None:
                runs.append(1)

            try:
                rule = Rule(["POST", "GET"], pattern, purpose=PURPOSE)
            except ConfigurationError as error:
                rows.append(Row(framework, pattern, 0, [], str(error)))
                continue
            seed = f"{framework} {pattern}"
            app = BUILD[framework](pattern, ran)
            ruled = StepUpMiddleware(app, stepup=site.stepup, rules=[rule])
            alone = targets(pattern, each - each // 4, seed)
            async with AsyncExitStack() as stack:
                if framework != "django":
                    await stack.enter_async_context(life(app))
                row = await _row(framework, pattern, app, ruled, runs, alone)
            for placement, number in _places(framework, each // 4, place):
                there = await _mounted(framework, pattern, placement, site, runs, number)
                row = row._replace(routed=row.routed + there.routed, ran=row.ran + there.ran)
            rows.append(row)
    return rows


def _places(framework: str, number: int, first: int) -> list[tuple[Placement, int]]:
    """Return where else an app is put, one place after the other, and how many targets it gets there."""
    known = [ROOTED, *PLACEMENTS] if framework in ("fastapi", "django") else [*PLACEMENTS]
    count = max(min(len(known), number // 6), 1)
    return [(known[(first + place) % len(known)], number // count) for place in range(count)]


async def _mounted(framework: str, pattern: str, placement: Placement, site: Site, runs: list[int], number: int) -> Row:
    """Send targets to an app of a framework that is mounted somewhere, behind a rule for it there."""
    app = BUILD[framework](pattern, lambda: runs.append(1))
    outer = placement.put(app)
    rule = Rule(["POST", "GET"], placement.pattern + pattern, purpose=PURPOSE, optional=True)
    ruled = StepUpMiddleware(outer, stepup=site.stepup, rules=[rule])
    seed = f"{framework} {pattern} {placement.name}"
    dice = random.Random(seed)  # noqa: S311 - the same ones each time
    there = [placement.below(each, dice) for each in targets(pattern, number, seed)]
    there = [(_disguised(path, dice), root) if dice.random() < 0.3 else (path, root) for path, root in there]
    async with AsyncExitStack() as stack:
        if placement is ROOTED:
            stack.enter_context(own_root(app))
        if framework != "django":
            await stack.enter_async_context(life(app))
        if outer is not app:
            await stack.enter_async_context(life(outer))
        row = await _row(framework, pattern, outer, ruled, runs, there)
    return row._replace(ran=[f"{each}, {placement.name}" for each in row.ran])


async def _row(
    framework: str, pattern: str, app: ASGIApp, ruled: ASGIApp, runs: list[int], sent_to: Sequence[tuple[str, str]]
) -> Row:
    routed, narrow = 0, []
    for target, root in sent_to:
        await sent(app, target, root)
        if not runs:
            continue
        routed += 1
        runs.clear()
        await sent(ruled, target, root)
        if runs:
            narrow.append(f"{target} below {root}" if root else target)
            runs.clear()
    return Row(framework, pattern, routed, narrow)


async def sent(app: ASGIApp, target: str, root: str = "") -> None:
    """Send a POST as a server hands on its target: the path decoded once, the raw one as it came."""
    raw = target.encode("utf-8", "surrogatepass")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "http",
        "method": "POST",
        "path": unquote(target),
        "raw_path": raw,
        "query_string": b"",
        "root_path": root,
        "headers": [(b"host", b"localhost:8000"), (b"content-length", b"0")],
        "client": ("192.0.2.1", 5000),
        "server": ("localhost", 8000),
        "state": {},
    }
    coming: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if not coming:
            await asyncio.Event().wait()
        return coming.pop()

    async def send(message: Message) -> None:
        """Take the answer."""

    with suppress(Exception):  # a router may fail over a target; what counts is what ran
        await asyncio.wait_for(app(scope, receive, send), 10)


def table(rows: list[Row]) -> str:
    """Return the rows as text."""
    lines = []
    for row in rows:
        said = (
            f"refused: {row.refused}" if row.refused else f"{row.routed} routed, {len(row.ran)} ran {row.ran[:3] or ''}"
        )
        lines.append(f"{row.framework:11}{row.pattern:36}{said}")
    lines.append(
        f"{sum(row.routed for row in rows)} targets routed, {sum(len(row.ran) for row in rows)} ran without a proof"
    )
    return "\n".join(lines)


def main() -> int:
    """Print the table. Returns 1 if anything ran."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--targets", type=int, default=10_000, help="for each framework (default: 10,000)")
    parser.add_argument("frameworks", nargs="*", metavar="FRAMEWORK")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for framework in options.frameworks or BUILD:
            rows += asyncio.run(measured(framework, options.targets, Path(folder)))
    print(table(rows))  # noqa: T201
    return 1 if any(row.ran for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
