"""The echo in BlackSheep, which routes by the raw path, and by the host."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from blacksheep import Application, Content, Request, Response, Router

from stepup_middleware.asgi import ASGIApp

from . import METHODS, OPEN, OTHER_HOST, PATTERNS, attempt, attempt_now, lines, tagged, told

Reading = Callable[[Request], Awaitable[dict[str, Any]]]
_TYPES = {"n/{n:int}": "n/{int:n}", "p/{rest:path}": "p/{path:rest}"}


def _part(part: Any) -> Any:
    return (part.name, part.file_name, part.content_type, part.charset, part.data)


def _form(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return [
        (name, [each if isinstance(each, str) else _part(each) for each in (one if isinstance(one, list) else [one])])
        for name, one in value.items()
    ]


async def as_bytes(request: Request) -> dict[str, Any]:
    """Read the bytes, and JSON out of them."""
    raw = await request.read()
    return {"raw": raw, "json": await attempt(request.json) if raw else None}  # an empty body would be waited for again


async def as_form(request: Request) -> dict[str, Any]:
    """Read a form."""

    async def form() -> Any:
        return _form(await request.form())

    return {"form": await attempt(form)}


async def as_text(request: Request) -> dict[str, Any]:
    """Read text."""
    return {"text": await attempt(request.text)}


async def as_parts(request: Request) -> dict[str, Any]:
    """Read the parts of a form."""

    async def parts() -> Any:
        return [_part(part) for part in await request.multipart() or ()]

    return {"parts": await attempt(parts)}


async def as_files(request: Request) -> dict[str, Any]:
    """Read the files of a form."""

    async def files() -> Any:
        return [_part(part) for part in await request.files()]

    return {"files": await attempt(files)}


async def streamed_parts(request: Request) -> dict[str, Any]:
    """Read the parts of a form as they come."""

    async def parts() -> Any:
        found = []
        async for part in request.multipart_stream():
            data = b"".join([chunk async for chunk in part.stream()])
            found.append((part.name, part.file_name, part.content_type, part.charset, data))
        return found

    return {"parts": await attempt(parts)}


async def streamed(request: Request) -> dict[str, Any]:
    """Read the bytes as they come."""
    return {"raw": b"".join([chunk async for chunk in request.stream()])}  # type: ignore[attr-defined]


READINGS: dict[str, Reading] = {
    "body": as_bytes,
    "form": as_form,
    "text": as_text,
    "parts": as_parts,
    "files": as_files,
    "pieces": streamed_parts,
    "stream": streamed,
}
WAYS = tuple(READINGS)


def _endpoint(route: str, reading: Reading) -> Any:
    async def echo(request: Request) -> Response:
        parts = {
            "method": request.method,
            "path": (request.path, request.base_path, attempt_now(lambda: request.host), str(request.url.value)),
            "parameters": sorted((request.route_values or {}).items()),
            "query": (request.url.query, attempt_now(lambda: sorted(request.query.items()))),
            "headers": lines(request.headers.items()),
        }
        return Response(200, content=Content(b"text/plain", told(route, **parts, **await reading(request))))

    return echo


def build() -> ASGIApp:
    """Build the app."""
    elsewhere = Router(host=OTHER_HOST)
    router = Router(sub_routers=[elsewhere])
    app = Application(router=router)
    for way, reading in READINGS.items():
        for method in METHODS:
            for pattern in PATTERNS:
                path = f"/{way}/{_TYPES.get(pattern, pattern)}"
                router.add(method, path, tagged(_endpoint(path, reading)))
                router.add(method, f"/{OPEN}{path}", _endpoint(f"/{OPEN}{path}", reading))
            elsewhere.add(method, f"/{way}/host", tagged(_endpoint("elsewhere", reading)))
    return cast(ASGIApp, app)
