"""An app behind rules: which rule a request falls under, before the app sees it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from stepup_middleware.asgi import ASGIApp, Message, Receive, Scope, Send, headers
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.frameworks import ANY, apps_within
from stepup_middleware.gate import run_guarded
from stepup_middleware.mounts import places_of
from stepup_middleware.request.context import guarded_request, logger
from stepup_middleware.request.when import Undecided
from stepup_middleware.rules import AmbiguousPath, PathTooLong, Rule, RuleTable
from stepup_middleware.web.answers import send_refusal

_FORMS = (b"application/x-www-form-urlencoded", b"multipart/form-data")
_FORM_LIMIT = 64 * 1024  # bytes in which a form is searched for a method; a longer one may have one
_FORM_SECONDS = 15


class Ruled:
    """An app behind rules: a request that falls under one runs behind its tag, any other as it is."""

    __stepup_inner__ = "_app"

    def __init__(self, app: ASGIApp, rules: Iterable[Rule]) -> None:
        self._app, self._rules = app, tuple(rules)

    @functools.cached_property
    def _table(self) -> RuleTable:
        """The rules, with what is mounted in the app when its first request comes."""
        outer = next((framework for _, framework, _ in apps_within(self._app)), None)
        places = places_of(self._app)
        return RuleTable(
            self._rules,
            empty=outer is None or places.empty_parameters,
            by_raw_path=(outer or ANY).routes_by_raw_path,
            parameter=(outer or ANY).parameter,
            places=places,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            overridden = _may_be_overridden(scope)
            without = await self._table.not_holding(scope, receive, any_method=overridden)
            found = self._table.match(scope, without=without)
            if overridden and not self._is_meant_as(found, scope, without):
                override, receive = await _searched(scope, receive)
                if override:
                    found = self._table.match(scope, any_method=True, without=without)
        except (AmbiguousPath, Undecided) as error:
            guarded = guarded_request(scope)
            is_long = isinstance(error, PathTooLong)
            if type(error) is AmbiguousPath:
                logger.error(
                    "%s may be meant as requests that rules ask different proofs for (by another spelling of the path, "
                    "or by another method); it is refused",
                    scope["path"],
                )
            guarded.refusal = Refusal(code=RefusalCode.TARGET_TOO_LONG if is_long else RefusalCode.UNAVAILABLE)
            await send_refusal(guarded, guarded.refusal, scope, receive, send)
            return
        if found is None:
            await self._app(scope, receive, send)
            return
        rule, parameters = found
        scope.setdefault("path_params", parameters)
        await run_guarded(self._app, rule.tag, scope, receive, send)

    def _is_meant_as(self, found: tuple[Rule, dict[str, str]] | None, scope: Scope, without: Collection[Rule]) -> bool:
        """Whether a request falls under what was found, or under nothing, by whatever method it is meant."""
        try:
            other = self._table.match(scope, any_method=True, without=without)
        except AmbiguousPath:
            return False
        return other is None or (found is not None and found[0].tag == other[0].tag)


def _may_be_overridden(scope: Mapping[str, Any]) -> bool:
    """Whether a form may say that a POST is meant as another method (``_method``)."""
    if scope["type"] != "http" or str(scope["method"]).upper() != "POST":
        return False
    return any(form in value.lower() for value in headers(scope, b"content-type") for form in _FORMS)


async def _searched(scope: Mapping[str, Any], receive: Receive) -> tuple[bool, Receive]:
    """Return whether a form may have a ``_method``, and a ``receive`` that begins with what was taken.

    A form in a content coding that the app may undo (gzip) may have one.
    """
    if headers(scope, b"content-encoding"):
        return True, receive
    taken: list[Message] = []
    body = b""
    try:
        async with asyncio.timeout(_FORM_SECONDS):
            while len(body) <= _FORM_LIMIT:
                message = await receive()
                taken.append(message)
                body += message.get("body", b"")
                if message["type"] != "http.request" or not message.get("more_body", False):
                    break
    except TimeoutError:
        body += bytes(_FORM_LIMIT)
    given = iter(taken)

    async def again() -> Message:
        return next(given, None) or await receive()

    return len(body) > _FORM_LIMIT or b"_method" in unquote_to_bytes(body).lower(), again
