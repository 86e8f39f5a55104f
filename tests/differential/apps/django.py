"""The echo in Django: async and sync views."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any, cast
from zoneinfo import ZoneInfo

import django
from django import forms
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import clear_url_caches, path
from django.utils import timezone

from stepup_middleware.asgi import ASGIApp

from . import OPEN, PATTERNS, attempt_now, lines, tagged, told

Reading = Callable[[Any], dict[str, Any]]
_TYPES = {
    "x/{a}": "x/<str:a>",
    "x/{a}/{b}": "x/<str:a>/<str:b>",
    "n/{n:int}": "n/<int:n>",
    "p/{rest:path}": "p/<path:rest>",
}


def _file(one: Any) -> Any:
    return one.name, one.size, one.content_type, one.charset, one.content_type_extra, one.read()


def _fields(request: Any) -> list[Any]:
    files = [
        (
            name,
            [(one.name, one.size, one.content_type, one.charset, one.content_type_extra, one.read()) for one in each],
        )
        for name, each in request.FILES.lists()
    ]
    return [list(request.POST.lists()), files, request.encoding]


class Localized(forms.Form):  # type: ignore[misc]  # Django has no types
    """Fields that Django reads by the language and the time zone of the request."""

    amount = forms.DecimalField(localize=True)
    at = forms.DateTimeField(localize=True)


def localized(request: Any) -> dict[str, Any]:
    """Read the fields of a form by language and time zone."""
    values = [value for _, each in request.POST.lists() for value in each]
    data = {"amount": next(iter(values), ""), "at": next(iter(reversed(values)), "")}
    form = Localized(data)
    form.is_valid()
    return {"form": attempt_now(lambda: sorted((name, str(value)) for name, value in form.cleaned_data.items()))}


def time_zone_by_cookie(get_response: Any) -> Any:
    """Activate the time zone that the browser names, as Django's documentation has it."""

    def middleware(request: Any) -> Any:
        name = request.COOKIES.get("tz")
        if not name:
            return get_response(request)
        with timezone.override(ZoneInfo(name)):
            return get_response(request)

    return middleware


def body_first(request: Any) -> dict[str, Any]:
    """Read the bytes, and then whatever they can be read as."""
    raw = attempt_now(lambda: request.body)
    return {
        "raw": raw,
        "form": attempt_now(lambda: _fields(request)),
        "json": attempt_now(lambda: json.loads(request.body)),
    }


def form_first(request: Any) -> dict[str, Any]:
    """Read a form as it comes."""
    return {"form": attempt_now(lambda: _fields(request))}


def streamed(request: Any) -> dict[str, Any]:
    """Read the bytes as a file."""
    return {"raw": attempt_now(request.read)}


READINGS: dict[str, Reading] = {"body": body_first, "form": form_first, "stream": streamed, "localized": localized}
WAYS = tuple(READINGS)


def _answer(route: str, reading: Reading, request: Any, parameters: dict[str, Any]) -> HttpResponse:
    match = request.resolver_match
    parts = {
        "method": request.method,
        "path": (request.path, request.path_info, attempt_now(request.get_host), match.route),
        "parameters": sorted(parameters.items()),
        "query": (request.META.get("QUERY_STRING"), attempt_now(lambda: list(request.GET.lists()))),
        "headers": lines(request.headers.items()),
        "content": (request.content_type, sorted((request.content_params or {}).keys() - {"boundary"})),
    }
    return HttpResponse(told(route, **parts, **reading(request)))


def _view(route: str, reading: Reading) -> Any:
    async def echo(request: Any, **parameters: Any) -> HttpResponse:
        return _answer(route, reading, request, parameters)

    return echo


def build() -> ASGIApp:
    """Build the app. A process has one, for Django keeps its settings in the process."""
    urls = ModuleType("urls")
    patterns = []
    for way, reading in READINGS.items():
        for pattern in PATTERNS:
            route = f"{way}/{_TYPES.get(pattern, pattern)}"
            patterns.append(path(route, tagged(_view(route, reading))))
            patterns.append(path(f"{OPEN}/{route}", _view(f"{OPEN}/{route}", reading)))
    urls.urlpatterns = patterns  # type: ignore[attr-defined]
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="s", LOGGING_CONFIG=None, APPEND_SLASH=False)
        django.setup()
    settings.MIDDLEWARE = ["django.middleware.locale.LocaleMiddleware", f"{__name__}.time_zone_by_cookie"]
    settings.USE_THOUSAND_SEPARATOR = True
    settings.ROOT_URLCONF = urls
    settings.USE_X_FORWARDED_HOST = True
    clear_url_caches()
    return cast(ASGIApp, get_asgi_application())
