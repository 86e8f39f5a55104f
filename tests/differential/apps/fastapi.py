"""The echo in FastAPI: endpoints that take the request, and endpoints that FastAPI hands what it has parsed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, FastAPI, File, Form, Query, Request, UploadFile
from fastapi.responses import Response
from starlette.routing import Host

from stepup_middleware.asgi import ASGIApp

from . import METHODS, OPEN, OTHER_HOST, PATTERNS, tagged, told
from .starlette import READINGS, Reading, asked, endpoint

WAYS = (*READINGS, "typed", "fields")
Texts = Annotated[list[str] | None, Form()]
Files = Annotated[list[UploadFile] | None, File()]
Asked = Annotated[list[str] | None, Query()]


def typed(route: str) -> Any:
    """Return an endpoint whose body FastAPI reads as JSON."""

    async def echo(request: Request, body: Annotated[Any, Body()] = None, q: Asked = None) -> Response:
        return Response(told(route, **asked(request), json=body, q=q))

    return echo


def by_fields(route: str) -> Any:
    """Return an endpoint whose fields and files FastAPI takes out of a form."""

    async def echo(
        request: Request, amount: Texts = None, to: Texts = None, csrf_token: Texts = None, file: Files = None
    ) -> Response:
        files = [(one.filename, one.size, one.headers.raw, await one.read()) for one in file or ()]
        return Response(told(route, **asked(request), amount=amount, to=to, csrf_token=csrf_token, files=files))

    return echo


def by_request(route: str, reading: Reading) -> Any:
    """Return an endpoint that reads the request itself."""
    echo = endpoint(route, reading)

    async def handed(request: Request) -> Response:
        return await echo(request)

    return handed


def made(way: str, route: str) -> Any:
    """Return the endpoint of one route."""
    return (
        {"typed": typed, "fields": by_fields}[way](route) if way not in READINGS else by_request(route, READINGS[way])
    )


def build() -> ASGIApp:
    """Build the app."""
    app = FastAPI(openapi_url=None)
    elsewhere = FastAPI(openapi_url=None)
    app.router.routes.append(Host(OTHER_HOST, elsewhere))
    for way in WAYS:
        for pattern in PATTERNS:
            path = f"/{way}/{pattern}"
            app.add_api_route(path, tagged(made(way, path)), methods=list(METHODS))
            app.add_api_route(f"/{OPEN}{path}", made(way, f"/{OPEN}{path}"), methods=list(METHODS))
        path = f"/{way}/host"
        elsewhere.add_api_route(path, tagged(made(way, "elsewhere " + path)), methods=list(METHODS))
    return app
