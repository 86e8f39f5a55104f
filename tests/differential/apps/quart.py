"""The echo in Quart, which routes by the host as well."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from quart import Quart, Response, request

from stepup_middleware.asgi import ASGIApp

from . import METHODS, OPEN, OTHER_HOST, PATTERNS, attempt, lines, tagged, told

Reading = Callable[[], Awaitable[dict[str, Any]]]
_TYPES = {
    "x/{a}": "x/<a>",
    "x/{a}/{b}": "x/<a>/<b>",
    "n/{n:int}": "n/<int:n>",
    "p/{rest:path}": "p/<path:rest>",
}


async def _fields() -> list[Any]:
    form = list((await request.form).items(multi=True))
    files = [
        (name, one.filename, one.content_type, list(one.headers.items()), one.read())
        for name, one in (await request.files).items(multi=True)
    ]
    return [form, files]


async def body_first() -> dict[str, Any]:
    """Read the bytes, and then whatever they can be read as."""
    raw = await request.get_data()
    return {
        "raw": raw,
        "json": await attempt(lambda: request.get_json(force=True)),
        "form": await attempt(_fields),
    }


async def form_first() -> dict[str, Any]:
    """Read a form as it comes."""
    return {"form": await attempt(_fields)}


async def streamed() -> dict[str, Any]:
    """Read the bytes as they come."""
    return {"raw": b"".join([chunk async for chunk in request.body])}


READINGS: dict[str, Reading] = {"body": body_first, "form": form_first, "stream": streamed}
WAYS = tuple(READINGS)


def _endpoint(route: str, reading: Reading) -> Any:
    async def echo(**parameters: Any) -> Response:
        parameters.pop("_host", None)
        parts = {
            "method": request.method,
            "path": (request.path, request.full_path, request.script_root, request.host, str(request.url_rule)),
            "parameters": sorted(parameters.items()),
            "query": (request.query_string, list(request.args.items(multi=True))),
            "headers": lines(request.headers.items()),
        }
        return Response(told(route, **parts, **await reading()))

    return echo


def build() -> ASGIApp:
    """Build the app."""
    app = Quart(__name__, host_matching=True, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = None

    def add(path: str, name: str, view: Any, host: str) -> None:
        app.add_url_rule(path, endpoint=name.replace(".", "_"), view_func=view, methods=list(METHODS), host=host)

    for way, reading in READINGS.items():
        for pattern in PATTERNS:
            path = f"/{way}/{_TYPES.get(pattern, pattern)}"
            add(path, path, tagged(_endpoint(path, reading)), "<_host>")
            add(f"/{OPEN}{path}", f"/{OPEN}{path}", _endpoint(f"/{OPEN}{path}", reading), "<_host>")
        path = f"/{way}/host"
        add(path, "elsewhere" + path, tagged(_endpoint("elsewhere " + path, reading)), OTHER_HOST)
    return cast(ASGIApp, app)
