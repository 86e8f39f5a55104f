"""The echo in Litestar."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, cast

from litestar import Litestar, Request, Response, route
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.types import Method

from stepup_middleware.asgi import ASGIApp

from . import METHODS, OPEN, PATTERNS, attempt, lines, tagged, told

Asked = Request[Any, Any, Any]
Reading = Callable[[Asked], Awaitable[dict[str, Any]]]
_WITH_BODY = [method for method in METHODS if method != "GET"]
_TYPES = {"x/{a}": "x/{a:str}", "x/{a}/{b}": "x/{a:str}/{b:str}"}


async def _value(value: Any) -> Any:
    if isinstance(value, UploadFile):
        return (value.filename, value.content_type, sorted(value.headers.items()), await value.read())
    return value


async def _fields(request: Asked) -> list[Any]:
    return [(name, await _value(value)) for name, value in (await request.form()).multi_items()]


async def body_first(request: Asked) -> dict[str, Any]:
    """Read the bytes, and then whatever they can be read as."""
    raw = await request.body()
    return {"raw": raw, "form": await attempt(lambda: _fields(request)), "json": await attempt(request.json)}


async def form_first(request: Asked) -> dict[str, Any]:
    """Read a form as it comes."""
    return {"form": await attempt(lambda: _fields(request))}


async def streamed(request: Asked) -> dict[str, Any]:
    """Read the bytes as they come."""
    return {"raw": b"".join([chunk async for chunk in request.stream()])}


READINGS: dict[str, Reading] = {"body": body_first, "form": form_first, "stream": streamed}
WAYS = (*READINGS, "multipart", "urlencoded", "typed")


def _asked(request: Asked) -> dict[str, Any]:
    return {
        "method": request.method,
        "path": (request.url.path, request.scope["path"], request.url.netloc, request.scope["path_template"]),
        "parameters": sorted((name, repr(value)) for name, value in request.path_params.items()),
        "query": (request.url.query, list(request.query_params.multi_items())),
        "headers": lines(request.headers.multi_items()),
    }


def _by_request(reading: Reading, name: str) -> Any:
    async def echo(request: Asked) -> Response[bytes]:
        return Response(told(name, **_asked(request), **await reading(request)), media_type="text/plain")

    return echo


async def _shown(data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    found = []
    for name, value in data.items():
        several = value if isinstance(value, list) else [value]
        found.append((name, isinstance(value, list), [await _value(one) for one in several]))
    return found


def _parsed(way: str, name: str) -> Any:
    """Return an endpoint that is handed the body as Litestar parsed it."""

    async def multipart(
        request: Asked, data: Annotated[dict[str, Any], Body(media_type=RequestEncodingType.MULTI_PART)]
    ) -> Response[bytes]:
        return Response(told(name, **_asked(request), data=await _shown(data)), media_type="text/plain")

    async def urlencoded(
        request: Asked, data: Annotated[dict[str, Any], Body(media_type=RequestEncodingType.URL_ENCODED)]
    ) -> Response[bytes]:
        return Response(told(name, **_asked(request), data=await _shown(data)), media_type="text/plain")

    async def typed(request: Asked, data: Any) -> Response[bytes]:
        return Response(told(name, **_asked(request), data=await _shown(data)), media_type="text/plain")

    return {"multipart": multipart, "urlencoded": urlencoded, "typed": typed}[way]


def _handlers(way: str, tag: Callable[[Any], Any], prefix: str) -> list[Any]:
    handlers = []
    methods = cast(list[Method], _WITH_BODY if way not in READINGS else list(METHODS))
    for pattern in PATTERNS:
        path = f"{prefix}/{way}/{_TYPES.get(pattern, pattern)}"
        echo = _by_request(READINGS[way], path) if way in READINGS else _parsed(way, path)
        handlers.append(route(path, http_method=methods, status_code=200)(tag(echo)))
    return handlers


def build() -> ASGIApp:
    """Build the app."""
    handlers = [
        handler
        for way in WAYS
        for handler in (*_handlers(way, tagged, ""), *_handlers(way, lambda echo: echo, f"/{OPEN}"))
    ]
    return cast(ASGIApp, Litestar(handlers, openapi_config=None))
