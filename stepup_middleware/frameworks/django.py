"""Django. Loaded once the app has loaded it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.http import HttpResponse
from django.urls import get_resolver, get_urlconf
from django.urls.resolvers import LocalePrefixPattern, RegexPattern
from django.utils.functional import Promise
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import get_language, override
from django.views import View

from stepup_middleware.asgi import Scope
from stepup_middleware.core.binding import Lines
from stepup_middleware.core.refusals import Refusal
from stepup_middleware.patterns import of_expression

from .base import Below, FoundRoute, Framework, RequestLine, never_awaited, tag_of
from .entries import Entry, checked, generic_entries, maker

_PLAIN = re.compile(r"[\w/~-]*")  # text that is no regular expression
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
        for way in _ways(get_resolver().url_patterns):
            pattern = way[-1]
            view = pattern.callback
            fault = BY_METHOD_DECORATOR if _is_never_awaited(getattr(view, "view_class", None)) else never_awaited(view)
            route = FoundRoute("", ("*",), str(pattern.name or pattern.lookup_str), tag_of(view), endpoint=view)
            paths, also = _paths([each.pattern for each in way], prefix + "/")
            for path in paths:
                yield route._replace(path=path, fault=fault, also=also)


def _is_view(kind: type[Any]) -> bool:
    return issubclass(kind, View)


def _ways(patterns: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield every URL pattern that leads to a view, behind those that include it."""
    for pattern in patterns:
        if hasattr(pattern, "url_patterns"):
            yield from _ways(pattern.url_patterns, (*above, pattern))
        else:
            yield (*above, pattern)


def _paths(patterns: list[Any], prefix: str) -> tuple[Iterable[str], tuple[str, ...]]:
    """Return the paths of a route, the language at their beginning as a parameter, and all of them by language."""
    is_translated = any(isinstance(_source(each), Promise) for each in patterns)
    if not is_translated and not any(isinstance(each, LocalePrefixPattern) for each in patterns):
        return [prefix + "".join(map(_text, patterns))], ()
    paths: dict[str, None] = {}
    also: dict[str, None] = {}
    for language in dict.fromkeys((settings.LANGUAGE_CODE, *(code for code, _ in settings.LANGUAGES))):
        with override(language) if is_translated else nullcontext():  # which reads the language's texts from the disk
            texts = [None if isinstance(each, LocalePrefixPattern) else _text(each) for each in patterns]
        begun = [_begun(each, language) if text is None else text for each, text in zip(patterns, texts, strict=True)]
        also[prefix + "".join(begun)] = None
        begun = ["<language>/" if text is None and each else each for each, text in zip(begun, texts, strict=True)]
        paths[prefix + "".join(begun)] = None
    return paths, tuple(also)


def _begun(pattern: LocalePrefixPattern, language: str) -> str:
    """Return how paths begin in a language."""
    return "" if language == settings.LANGUAGE_CODE and not pattern.prefix_default_language else f"{language}/"


def _source(pattern: Any) -> Any:
    """Return what a pattern is made of, which may be translated with each request."""
    return getattr(pattern, "_route", None) or getattr(pattern, "_regex", None)


def _text(pattern: Any) -> str:
    """Return a pattern as text; of a regular expression also whether something may stand before it and behind it."""
    text = str(pattern)
    if not isinstance(pattern, RegexPattern):
        return text
    is_whole = pattern._is_endpoint and text.endswith("$")  # which Django matches with all that is left of a path
    before = "" if is_whole or text.startswith("^") else ".*"
    inside = text.removeprefix("^").removesuffix("$" if is_whole else "")
    if not _PLAIN.fullmatch(inside):
        return before + of_expression(text.removeprefix("^"))
    return before + inside + ("" if is_whole or not pattern._is_endpoint else "*")


def _is_never_awaited(kind: Any) -> bool:
    """Whether a method of a view has a tag and is not async, which only ``method_decorator`` makes of one."""
    methods = [getattr(kind, name, None) for name in ("dispatch", *getattr(kind, "http_method_names", ()))]
    return any(tag_of(method) is not None and not iscoroutinefunction(method) for method in methods)


FRAMEWORK = DjangoFramework()
