"""An app behind rules: which rule a request falls under, before the app sees it."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable

from stepup_middleware.asgi import ASGIApp, Receive, Scope, Send
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.frameworks import ANY, apps_within
from stepup_middleware.gate import run_guarded
from stepup_middleware.mounts import places_of
from stepup_middleware.request.context import guarded_request, logger
from stepup_middleware.request.overrides import form_methods, may_ask_for_a_method
from stepup_middleware.request.when import Undecided
from stepup_middleware.rules import AmbiguousPath, PathTooLong, Rule, RuleTable, Target
from stepup_middleware.web.answers import send_refusal


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
            target = self._table.target(scope)
            overridden = may_ask_for_a_method(scope, target.methods)
            without = await self._table.not_holding(target, scope, receive, any_method=overridden)
            found = self._table.match(target, without=without)
            if overridden and not self._is_meant_as(found, target, without):
                overrides, receive = await form_methods(scope, receive)
                found = self._table.match(target, overrides=overrides, without=without)
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

    def _is_meant_as(
        self, found: tuple[Rule, dict[str, str]] | None, target: Target, without: Collection[Rule]
    ) -> bool:
        """Whether a request falls under what was found, or under nothing, by whatever method it is meant."""
        try:
            other = self._table.match(target, overrides=None, without=without)
        except AmbiguousPath:
            return False
        return other is None or (found is not None and found[0].tag == other[0].tag)
