"""The echo in Sanic, which routes by the raw path, and by the host."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

from sanic import Request, Sanic
from sanic.response import HTTPResponse, raw

from stepup_middleware.asgi import ASGIApp

from . import METHODS, OPEN, OTHER_HOST, PATTERNS, attempt_now, lines, tagged, told

Reading = Callable[[Request], Awaitable[dict[str, Any]]]
HOSTS = ("localhost:8000", "127.0.0.1", "app.example:8443")
_TYPES = {
    "x/{a}": "x/<a>",
    "x/{a}/{b}": "x/<a>/<b>",
    "n/{n:int}": "n/<n:int>",
    "p/{rest:path}": "p/<rest:path>",
}


def _fields(request: Request) -> Any:
    files = [(name, [tuple(one) for one in several]) for name, several in (request.files or {}).items()]
    return [list((request.form or {}).items()), files]


async def body_first(request: Request) -> dict[str, Any]:
    """Read the bytes, and then whatever they can be read as."""
    return {
        "raw": request.body,
        "form": attempt_now(lambda: _fields(request)),
        "json": attempt_now(lambda: request.load_json()),
    }


async def streamed(request: Request) -> dict[str, Any]:
    """Read the bytes as they come."""
    return {"raw": b"".join([chunk async for chunk in cast(AsyncIterator[bytes], request.stream)])}


READINGS: dict[str, Reading] = {"body": body_first, "stream": streamed}
WAYS = tuple(READINGS)


def _endpoint(route: str, reading: Reading) -> Any:
    async def echo(request: Request, **parameters: Any) -> HTTPResponse:
        parts = {
            "method": request.method,
            "path": (request.path, request.raw_url, request.host, str(request.route and request.route.path)),
            "parameters": sorted(parameters.items()),
            "query": (request.query_string, list(request.args.items()), request.query_args),
            "headers": lines(request.headers.items()),
        }
        return raw(told(route, **parts, **await reading(request)))

    return echo


def build() -> ASGIApp:
    """Build the app."""
    app: Sanic[Any, Any] = Sanic("echo" + secrets.token_hex(4), configure_logging=False, strict_slashes=True)
    app.config.TOUCHUP = False  # it rewrites the class itself, once a process
    app.config.MOTD = False
    app.config.FALLBACK_ERROR_FORMAT = "text"
    count = 0

    def add(path: str, way: str, view: Any, **more: Any) -> None:
        nonlocal count
        count += 1
        app.add_route(view, path, methods=METHODS, name=f"echo{count}", stream=way == "stream", **more)

    for way, reading in READINGS.items():
        for pattern in PATTERNS:
            # a path with a host has no route without one beside it
            more = {"host": list(HOSTS)} if pattern == "host" else {}
            path = f"/{way}/{_TYPES.get(pattern, pattern)}"
            add(path, way, tagged(_endpoint(path, reading)), **more)
            add(f"/{OPEN}{path}", way, _endpoint(f"/{OPEN}{path}", reading), **more)
        add(f"/{way}/host", way, tagged(_endpoint("elsewhere", reading)), host=OTHER_HOST)
    return cast(ASGIApp, app)
