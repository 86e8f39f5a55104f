"""One app in each framework that notes every field it is handed: of the query, of a form, and of a form in parts."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from types import ModuleType
from typing import Annotated, Any, cast

import django as django_library
import falcon.asgi
import litestar as litestar_library
from blacksheep import Application as BlackSheep
from blacksheep import Request as BlackSheepRequest
from blacksheep import Response as BlackSheepResponse
from blacksheep import Router
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path
from fastapi import FastAPI, Form, Query
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.types import Method
from quart import Quart
from quart import request as quart_request
from sanic import Request as SanicRequest
from sanic import Sanic
from sanic.response import HTTPResponse, empty
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stepup_middleware.asgi import ASGIApp

PATH = "/read"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
read: ContextVar[list[tuple[str, Any]]] = ContextVar("read")


def note(pairs: Iterable[tuple[Any, Any]]) -> None:
    """Note pairs; of a list of values, or of several readings of a file, each."""
    for name, value in pairs:
        for each in value if isinstance(value, list | tuple) else [value]:
            read.get().append((name.decode() if isinstance(name, bytes) else str(name), each))


async def noted(reading: Callable[[], Awaitable[Iterable[tuple[Any, Any]]]]) -> None:
    """Note what a reading gives, if it does."""
    with suppress(Exception):
        note(await reading())


def of_starlette() -> ASGIApp:

    async def endpoint(request: Request) -> Response:
        note(request.query_params.multi_items())
        await noted(lambda: _starlette_form(request))
        return Response()

    return Starlette(routes=[Route(PATH, endpoint, methods=list(METHODS))])


async def _starlette_form(request: Any) -> list[tuple[str, Any]]:
    items = (await request.form()).multi_items()
    return [(name, value if isinstance(value, str) else await value.read()) for name, value in items]


def of_fastapi() -> ASGIApp:

    app = FastAPI()

    @app.api_route(PATH, methods=list(METHODS))
    async def endpoint(
        request: Request,
        action: Annotated[list[str] | None, Form()] = None,
        asked: Annotated[list[str] | None, Query(alias="action")] = None,
    ) -> None:
        note([("action", action or []), ("action", asked or []), *request.query_params.multi_items()])
        await noted(lambda: _starlette_form(request))

    return cast(ASGIApp, app)


def of_litestar() -> ASGIApp:

    def shown(request: Any) -> None:
        note(request.query_params.multi_items())
        with suppress(Exception):
            note([(name, [value, *several]) for name, value, *several in request.query_params.items()])

    async def values(pairs: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
        found = []
        for name, value in pairs:
            several = value if isinstance(value, list) else [value]
            found += [(name, await each.read() if hasattr(each, "read") else each) for each in several]
        return found

    async def form(request: litestar_library.Request[Any, Any, Any]) -> None:
        shown(request)
        await noted(lambda: _litestar_form(request, values))

    async def multipart(
        request: litestar_library.Request[Any, Any, Any],
        data: Annotated[dict[str, Any], Body(media_type=RequestEncodingType.MULTI_PART)],
    ) -> None:
        shown(request)
        note(await values(data.items()))

    async def urlencoded(
        request: litestar_library.Request[Any, Any, Any],
        data: Annotated[dict[str, Any], Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> None:
        shown(request)
        note(await values(data.items()))

    methods = cast(list[Method], list(METHODS))
    handlers = [litestar_library.route(PATH, http_method=methods, status_code=200)(form)]

    async def typed(request: litestar_library.Request[Any, Any, Any], data: dict[str, Any]) -> None:
        shown(request)
        note(await values(data.items()))

    for name, handler in {"multipart": multipart, "urlencoded": urlencoded, "typed": typed}.items():
        reads = litestar_library.route(f"{PATH}/{name}", http_method=methods[1:], status_code=200)
        handlers.append(reads(handler))
    return cast(ASGIApp, litestar_library.Litestar(handlers, openapi_config=None))


async def _litestar_form(request: Any, values: Any) -> Any:
    return await values((await request.form()).multi_items())


def of_quart() -> ASGIApp:

    app = Quart(__name__, static_folder=None)

    async def form() -> Any:
        return (await quart_request.form).items(multi=True)

    async def files() -> Any:
        return [(name, one.read()) for name, one in (await quart_request.files).items(multi=True)]

    async def together() -> Any:
        return (await quart_request.values).items(multi=True)

    @app.route(PATH, methods=list(METHODS))
    async def endpoint() -> str:
        note(quart_request.args.items(multi=True))
        for reading in (form, files, together):
            await noted(reading)
        return ""

    return cast(ASGIApp, app)


def of_django() -> ASGIApp:

    async def endpoint(request: Any) -> HttpResponse:
        note(request.GET.lists())
        with suppress(Exception):
            note(request.POST.lists())
            note([(name, [one.read() for one in several]) for name, several in request.FILES.lists()])
        return HttpResponse()

    urls = ModuleType("urls_of_fields")
    urls.urlpatterns = [path(PATH[1:], endpoint)]  # type: ignore[attr-defined]
    settings.configure(
        ALLOWED_HOSTS=["*"], MIDDLEWARE=[], SECRET_KEY="s", LOGGING_CONFIG=None, APPEND_SLASH=False, ROOT_URLCONF=urls
    )
    django_library.setup()
    return cast(ASGIApp, get_asgi_application())


def of_falcon() -> ASGIApp:

    class Reader:
        async def on_get(self, req: Any, resp: Any) -> None:
            note(req.params.items())
            await noted(lambda: self.media(req))

        on_post = on_put = on_patch = on_delete = on_get

        async def media(self, req: Any) -> Any:
            media = await req.get_media()
            if isinstance(media, dict):
                return media.items()
            return [(part.name, await self.content(req, part)) async for part in media]

        async def content(self, req: Any, part: Any) -> Any:
            if req.path.endswith("/media"):
                return await part.get_media()
            if req.path.endswith("/text"):
                return await part.text
            return await part.stream.read()

    app = falcon.asgi.App()
    app.req_options.keep_blank_qs_values = True
    app.req_options.auto_parse_qs_csv = True  # an option of apps, with the most readings
    for read_by in PATHS["falcon"]:
        app.add_route(read_by, Reader())
    return cast(ASGIApp, app)


def of_blacksheep() -> ASGIApp:

    def values(items: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        return [
            (name, each if isinstance(each, str | bytes) else each.data)
            for name, value in items
            for each in (value if isinstance(value, list) else [value])
        ]

    async def endpoint(request: BlackSheepRequest) -> BlackSheepResponse:
        note(request.query.items())
        await noted(lambda: form(request))
        await noted(lambda: parts(request))
        return BlackSheepResponse(200)

    async def form(request: BlackSheepRequest) -> Any:
        return values((await request.form() or {}).items())

    async def parts(request: BlackSheepRequest) -> Any:
        return [(part.name, part.data) for part in await request.multipart() or ()]

    router = Router()
    for method in METHODS:
        router.add(method, PATH, endpoint)
    return cast(ASGIApp, BlackSheep(router=router))


def of_sanic() -> ASGIApp:

    app: Sanic[Any, Any] = Sanic("fields" + secrets.token_hex(4), configure_logging=False)
    app.config.TOUCHUP = False
    app.config.MOTD = False

    async def endpoint(request: SanicRequest) -> HTTPResponse:
        note(request.get_args(keep_blank_values=True).items())
        note(request.get_query_args(keep_blank_values=True))
        with suppress(Exception):
            note((request.get_form(keep_blank_values=True) or {}).items())
            note((name, [one.body for one in several]) for name, several in (request.files or {}).items())
        return empty(200)

    app.add_route(endpoint, PATH, methods=METHODS)
    return cast(ASGIApp, app)


READERS: dict[str, Callable[[], ASGIApp]] = {
    each.__name__.removeprefix("of_"): each
    for each in (
        of_blacksheep,
        of_django,
        of_falcon,
        of_fastapi,
        of_litestar,
        of_quart,
        of_sanic,
        of_starlette,
    )
}
PATHS = {
    "falcon": (PATH, f"{PATH}/media", f"{PATH}/text"),
    "litestar": (PATH, f"{PATH}/multipart", f"{PATH}/urlencoded", f"{PATH}/typed"),
}
