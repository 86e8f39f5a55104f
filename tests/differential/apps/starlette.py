"""The echo in Starlette."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Host, Route, Router

from stepup_middleware.asgi import ASGIApp

from . import METHODS, OPEN, OTHER_HOST, PATTERNS, attempt, lines, tagged, told

Reading = Callable[[Request], Awaitable[dict[str, Any]]]


async def fields(request: Request) -> list[Any]:
    """Return the form's fields and files."""
    found: list[Any] = []
    for name, value in (await request.form()).multi_items():
        if isinstance(value, UploadFile):
            found.append((name, value.filename, value.size, value.headers.raw, await value.read()))
        else:
            found.append((name, value))
    return found


async def body_first(request: Request) -> dict[str, Any]:
    """Read the bytes, and then whatever they can be read as."""
    raw = await request.body()
    return {"raw": raw, "form": await attempt(lambda: fields(request)), "json": await attempt(request.json)}


async def form_first(request: Request) -> dict[str, Any]:
    """Read a form as it comes."""
    return {"form": await attempt(lambda: fields(request))}


async def streamed(request: Request) -> dict[str, Any]:
    """Read the bytes as they come."""
    return {"raw": b"".join([chunk async for chunk in request.stream()])}


READINGS: dict[str, Reading] = {"body": body_first, "form": form_first, "stream": streamed}
WAYS = tuple(READINGS)


def asked(request: Request) -> dict[str, Any]:
    """Return everything of a request but its body."""
    url = request.url
    return {
        "method": request.method,
        "path": (request.scope["path"], request.scope.get("root_path"), url.path, url.netloc),
        "parameters": sorted(request.path_params.items()),
        "query": (request.url.query, request.query_params.multi_items()),
        "headers": lines(request.headers.raw),
    }


def endpoint(route: str, reading: Reading) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of one route."""

    async def echo(request: Request) -> Response:
        return Response(told(route, **asked(request), **await reading(request)))

    return echo


def routes(kind: type[Route] = Route) -> list[BaseRoute]:
    """Return all routes: those of one host first."""
    found: list[BaseRoute] = []
    elsewhere: list[BaseRoute] = []
    for way, reading in READINGS.items():
        for pattern in PATTERNS:
            path = f"/{way}/{pattern}"
            found.append(kind(path, tagged(endpoint(path, reading)), methods=list(METHODS)))
            path = f"/{OPEN}{path}"
            found.append(kind(path, endpoint(path, reading), methods=list(METHODS)))
        path = f"/{way}/host"
        elsewhere.append(kind(path, tagged(endpoint("elsewhere " + path, reading)), methods=list(METHODS)))
        elsewhere.append(kind(path + "/{rest:path}", tagged(endpoint("elsewhere", reading)), methods=list(METHODS)))
    return [Host(OTHER_HOST, Router(elsewhere)), *found]


def build() -> ASGIApp:
    """Build the app."""
    return Starlette(routes=routes())
