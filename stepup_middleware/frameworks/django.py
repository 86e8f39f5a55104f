"""Django. Loaded once the app has loaded it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.http import HttpResponse
from django.urls import get_resolver, get_urlconf
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import get_language
from django.views import View

from stepup_middleware.asgi import Scope
from stepup_middleware.core.binding import Lines
from stepup_middleware.core.refusals import Refusal

from .base import Below, FoundRoute, Framework, RequestLine, never_awaited, tag_of
from .entries import Entry, checked, generic_entries, maker

BY_METHOD_DECORATOR = (
    "has a tag by method_decorator on a method that is not async, which Django would not await: put "
    "@requires_step_up(...) on the class, or on the method itself"
)


class DjangoFramework(Framework):
    """Django, which logs every exception with its traceback, and an answer with its path."""

    name = "django"
    app_class = "ASGIHandler"
    quiet = ("django.core.exceptions", "PermissionDenied")

    def own_root(self, app: Any) -> str:
        """Return ``FORCE_SCRIPT_NAME``, which takes the place of the server's root path."""
        return str(settings.FORCE_SCRIPT_NAME or "") if settings.configured else ""

    def reached(self, request: Any, scope: Scope) -> RequestLine | None:
        if not hasattr(request, "path_info"):
            return None
        return RequestLine(str(request.method), f"{getattr(request, 'script_name', '')}{request.path_info}")

    def path_parameters(self, request: Any) -> Mapping[str, Any]:
        match = getattr(request, "resolver_match", None)
        return {} if match is None else match.kwargs

    def cookies(self) -> tuple[bytes, ...]:
        """Return the name of the cookie that has the language, by which localized fields of a form are read."""
        if not settings.configured or not settings.USE_I18N:
            return ()
        return (str(settings.LANGUAGE_COOKIE_NAME).encode("latin-1"),)

    def reading(self) -> Lines:
        """Return language, time zone and table of routes, whatever has chosen them: a header, the session, the app."""
        urls = get_urlconf() or settings.ROOT_URLCONF
        own = () if urls == settings.ROOT_URLCONF else (("urls", str(getattr(urls, "__name__", urls))),)
        return (("language", str(get_language())), ("time zone", get_current_timezone_name()), *own)

    def page(self, refusal: Refusal) -> Any:
        return HttpResponse(status=refusal.status)

    def keep_nothing(self, request: Any, scope: Scope) -> None:
        """Tell ``cache_page`` and the middleware that does the same, which hear nothing of an answer's way out."""
        if hasattr(request, "_cache_update_cache"):
            request._cache_update_cache = False

    async def run_sync(self, endpoint: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Run a sync view in the one thread that Django wants."""
        return await sync_to_async(endpoint, thread_sensitive=True)(*args, **kwargs)

    def entries(self, kind: type[Any]) -> dict[str, Entry]:
        """``as_view`` makes what a URL leads to; ``setup`` and ``dispatch`` are what an earlier one would call."""
        found = generic_entries(kind)
        return {"as_view": maker, "setup": checked, "dispatch": checked, **found} if _is_view(kind) else found

    def routes(self, app: Any, prefix: str, below: Below) -> Iterator[FoundRoute]:
        yield from _below(get_resolver().url_patterns, prefix + "/")


def _is_view(kind: type[Any]) -> bool:
    return issubclass(kind, View)


def _below(patterns: Any, path: str) -> Iterator[FoundRoute]:
    for pattern in patterns:
        here = path + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from _below(pattern.url_patterns, here)
        else:
            name = str(pattern.name or pattern.lookup_str)
            view = pattern.callback
            fault = BY_METHOD_DECORATOR if _is_never_awaited(getattr(view, "view_class", None)) else never_awaited(view)
            yield FoundRoute(path=here, methods=("*",), name=name, tag=tag_of(view), endpoint=view, fault=fault)


def _is_never_awaited(kind: Any) -> bool:
    """Whether a method of a view has a tag and is not async, which only ``method_decorator`` makes of one."""
    methods = [getattr(kind, name, None) for name in ("dispatch", *getattr(kind, "http_method_names", ()))]
    return any(tag_of(method) is not None and not iscoroutinefunction(method) for method in methods)


FRAMEWORK = DjangoFramework()
