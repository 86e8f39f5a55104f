"""The echo in Falcon."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import falcon.asgi

from stepup_middleware.asgi import ASGIApp

from . import OPEN, PATTERNS, attempt, attempt_now, lines, tagged, told

Reading = Callable[[Any], Awaitable[dict[str, Any]]]


async def _media(req: Any) -> Any:
    media = await req.get_media()
    if not isinstance(media, falcon.asgi.multipart.MultipartForm):
        return media
    return [(*attempt_now(partial(_names, part)), part.content_type, await part.stream.read()) async for part in media]


def _names(part: Any) -> tuple[Any, Any]:
    return part.name, part.filename


async def by_media(req: Any) -> dict[str, Any]:
    """Read what the handler of the content type makes of the body."""
    return {"media": await attempt(lambda: _media(req))}


async def as_bytes(req: Any) -> dict[str, Any]:
    """Read the bytes."""
    return {"raw": await attempt(req.stream.read)}


async def bounded(req: Any) -> dict[str, Any]:
    """Read the bytes that were declared."""
    return {"raw": await attempt(req.bounded_stream.read)}


READINGS: dict[str, Reading] = {"media": by_media, "raw": as_bytes, "bounded": bounded}
WAYS = tuple(READINGS)


async def _answer(route: str, reading: Reading, req: Any, resp: Any, parameters: dict[str, Any]) -> None:
    parts = {
        "method": req.method,
        "path": (req.path, req.root_path, attempt_now(lambda: req.host), attempt_now(lambda: req.port)),
        "forwarded": attempt_now(lambda: req.forwarded_host),
        "template": req.uri_template,
        "parameters": sorted(parameters.items()),
        "query": (req.query_string, list(req.params.items())),
        "headers": lines(req.scope["headers"]),
        "content": (req.content_type or "").partition("boundary=")[0],
    }
    resp.data = told(route, **parts, **await reading(req))


class Echo:
    """The resource of one route."""

    def __init__(self, route: str, reading: Reading) -> None:
        async def respond(req: Any, resp: Any, **parameters: Any) -> None:
            await _answer(route, reading, req, resp, parameters)

        async def tagged_respond(req: Any, resp: Any, **parameters: Any) -> None:
            await _answer(route, reading, req, resp, parameters)

        responder = respond if route.startswith(f"/{OPEN}/") else tagged(tagged_respond)
        self.on_get = self.on_post = self.on_put = self.on_patch = self.on_delete = responder


def build() -> ASGIApp:
    """Build the app."""
    app = falcon.asgi.App()
    app.req_options.strip_url_path_trailing_slash = False
    for way, reading in READINGS.items():
        for pattern in PATTERNS:
            for route in (f"/{way}/{pattern}", f"/{OPEN}/{way}/{pattern}"):
                app.add_route(route, Echo(route, reading))
    return cast(ASGIApp, app)
