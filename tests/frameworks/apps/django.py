"""The app in Django: async and sync views, a class of handlers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any, cast

import django
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import clear_url_caches, path
from django.views import View

from stepup_middleware import require_step_up, requires_step_up
from stepup_middleware.asgi import ASGIApp

from . import PIECES, PURPOSE, STRICT, Ran, kind_of, shown

tagged = requires_step_up(PURPOSE, details=shown)


def build(ran: Ran) -> ASGIApp:
    """Build the app. A process has one, for Django keeps its settings in the process."""

    async def open_page(request: HttpRequest) -> HttpResponse:
        return JsonResponse({"open": True})

    @tagged
    async def function(request: Any) -> HttpResponse:
        ran("function")
        return JsonResponse({"ran": "function", "factor": kind_of(request.scope)})

    @tagged
    class Endpoint(View):  # type: ignore[misc] # untyped
        """A class of handlers."""

        async def post(self, request: Any) -> HttpResponse:
            ran("class")
            return JsonResponse({"ran": "class", "factor": kind_of(request.scope)})

    async def inside(request: HttpRequest) -> HttpResponse:
        proof = await require_step_up(request, STRICT, details=[("Run", "2026-06")])
        ran("inside")
        return JsonResponse({"ran": "inside", "factor": proof.factor_kind})

    @tagged
    def sync(request: Any) -> HttpResponse:
        ran("sync")
        return JsonResponse({"ran": "sync", "factor": kind_of(request.scope)})

    def asking(request: HttpRequest) -> HttpResponse:
        amount = json.loads(request.body)["amount"]
        proof = async_to_sync(require_step_up)(request, PURPOSE, details=[("Amount", str(amount))])
        ran("asking")
        return JsonResponse({"ran": "asking", "factor": proof.factor_kind})

    @requires_step_up(PURPOSE)
    async def bound(request: HttpRequest) -> HttpResponse:
        ran("bound")
        return HttpResponse(request.body)

    @tagged
    async def stream(request: HttpRequest) -> StreamingHttpResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for piece in PIECES:
                yield piece

        ran("stream")
        return StreamingHttpResponse(pieces())

    @tagged
    async def background(request: HttpRequest) -> HttpResponse:
        response = JsonResponse({"ran": "background"})
        response._resource_closers.append(lambda: ran("background"))  # Django's own tasks are a queue's
        return response

    async def ruled(request: Any, id: str) -> HttpResponse:
        ran("ruled")
        return JsonResponse({"ran": "ruled", "factor": kind_of(request.scope)})

    urls = ModuleType("urls")
    urls.urlpatterns = [  # type: ignore[attr-defined]
        path("open", open_page),
        path("function", function),
        path("class", Endpoint.as_view()),
        path("inside", inside),
        path("sync", sync),
        path("asking", asking),
        path("bound", bound),
        path("stream", stream),
        path("background", background),
        path("ruled/<str:id>", ruled),
    ]
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], MIDDLEWARE=[], SECRET_KEY="s", LOGGING_CONFIG=None, APPEND_SLASH=False)
        django.setup()
    settings.ROOT_URLCONF = urls
    clear_url_caches()
    return cast(ASGIApp, get_asgi_application())
