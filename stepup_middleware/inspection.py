"""Finds the tags of an app: for the start-up check and for ``stepup routes``.

Routes that a framework does not publish are read from its internals, and only to list them: a tag that is not found
here is checked when it is met, at the endpoint.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from stepup_middleware.core.purposes import unknown
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.frameworks import ANY, apps_within, framework_of
from stepup_middleware.frameworks.base import DEPTH, TWO_GATES, FoundRoute, Framework, behind, tag_of
from stepup_middleware.frameworks.classes import belongs_to, judged
from stepup_middleware.frameworks.entries import TOOL_ATTRIBUTE
from stepup_middleware.frameworks.fence import lost_tags
from stepup_middleware.frameworks.search import within
from stepup_middleware.request.context import logger

if TYPE_CHECKING:
    from stepup_middleware.core.purposes import Catalogue
    from stepup_middleware.rules import Rule


def routes_of(app: Any, prefix: str = "") -> Iterator[FoundRoute]:
    """Yield the routes of the apps of known frameworks in an ASGI callable, through mounts and included routers.

    An app is found inside of any middleware, under any name.
    """
    yield from map(_judged, _routes(app, prefix))  # once the tags of mounts are known


def _routes(app: Any, prefix: str, above: tuple[Any, ...] = ()) -> Iterator[FoundRoute]:
    """Yield routes; ``above`` are the apps in which this one is mounted, none of which is mounted in it again."""
    readable = False
    for inner, framework, around in apps_within(app):
        if any(inner is each for each in above) or len(above) > DEPTH:
            continue
        readable = True
        tag = next((found for found in map(tag_of, around) if found is not None), None)
        try:
            found = list(framework.routes(inner, prefix, functools.partial(_routes, above=(*above, inner))))
            found += _lost_on_errors(framework, inner, prefix)
        except Exception:
            logger.warning("the routes of %s cannot be read", type(inner).__name__, exc_info=True)
            found = [_unreadable(inner, prefix)]
        gate = next((each for each in around if tag_of(each) is not None), None)
        is_direct = gate is not None and getattr(gate, "app", None) is inner
        yield from (behind(route, tag) if is_direct else route._replace(tag=route.tag or tag) for route in found)
    if not readable and tag_of(app) is None:
        yield _unreadable(app, prefix)


def _lost_on_errors(framework: Framework, app: Any, prefix: str) -> Iterator[FoundRoute]:
    """Yield the handlers of errors that have lost their tag: each may answer any request."""
    for name, handler in framework.error_handlers(app):
        if lost_tags(handler):
            yield FoundRoute(prefix + "/*", ("*",), f"the handler of {name}", tag=None, endpoint=handler)


def is_inside(app: Any) -> bool:
    """Whether an app is a part of another one, which builds what is around it with its first event (Starlette)."""
    return any(framework.is_part(inner) for inner, framework, _ in apps_within(app))


def _judged(route: FoundRoute) -> FoundRoute:
    kind = belongs_to(route.endpoint)
    return judged(route, (framework_of(kind) if kind else None) or ANY)


def _unreadable(app: Any, prefix: str) -> FoundRoute:
    name = str(getattr(app, "__qualname__", type(app).__qualname__))
    return FoundRoute(path=prefix + "/*", methods=("*",), name=name, tag=None, readable=False)


def check_tags(app: Any, rules: Collection[Rule], purposes: Catalogue, prefix: str) -> list[FoundRoute]:
    """Raise ``ConfigurationError`` for a tag that names a purpose outside the catalogue, or that cannot fire.

    Likewise for a tool of an MCP server, and for a route that the library's own addresses below ``prefix`` hide.
    Returns the routes of the app.
    """
    for rule in rules:
        if rule.purpose not in purposes:
            raise ConfigurationError(f"the rule for {rule.path} names {unknown(rule.purpose, purposes)}")
    found = list(routes_of(app))
    for route in found:
        if route.tag is not None and route.tag.purpose not in purposes:
            raise ConfigurationError(f"the route {route.path} names {unknown(route.tag.purpose, purposes)}")
        for name, purpose in _tools(route.endpoint):
            if purpose not in purposes:
                raise ConfigurationError(f"the tool {name} at {route.path} names {unknown(purpose, purposes)}")
        if route.fault:
            raise ConfigurationError(f"the route {route.path} {route.fault}")
        if route.path.startswith(prefix + "/"):
            raise ConfigurationError(
                f"the route {route.path} is never reached, for the library answers everything below {prefix}: move "
                'it, or put the library elsewhere with StepUp(prefix="/...")'
            )
        if route.tag is not None and (over := _another_gate(route, rules)) is not None:
            raise ConfigurationError(f"the route {route.path}, with its tag and the rule for {over.path}, {TWO_GATES}")
        if route.kept and (over := next((rule for rule in rules if rule.meets(route.methods, route.path)), None)):
            raise ConfigurationError(f"the route {route.path} is covered by the rule for {over.path} and {route.kept}")
        if (missed := _in_another_language(route, rules)) is not None:
            raise ConfigurationError(
                f"the rule for {missed[0].path} covers {route.path} in some languages, and no rule {missed[1]}: "
                "write rules for all of its paths, as `stepup routes` lists them"
            )
    for rule in rules:
        if not rule.optional and meets_nothing(rule, found):
            raise ConfigurationError(
                f"the rule for {','.join(rule.methods)} {rule.path} meets no route of the app"
                f"{_other_methods(rule, found)}: `stepup routes` lists them; optional=True keeps a rule for a route "
                "that may be missing"
            )
    return found


def _tools(endpoint: Any) -> Iterator[tuple[str, str]]:
    """Yield the name and the purpose of each tagged tool of an MCP server, where that is the endpoint."""
    if str(getattr(endpoint, "__module__", "")).partition(".")[0] == "mcp":
        for tool, _ in within(endpoint, lambda value: TOOL_ATTRIBUTE in getattr(value, "__dict__", ())):
            yield tool.__name__, getattr(tool, TOOL_ATTRIBUTE)


def _another_gate(route: FoundRoute, rules: Iterable[Rule]) -> Rule | None:
    """Return the rule under which a tagged route would be asked something else than its tag asks."""
    for rule in rules:
        if any(rule.takes(route.methods, place, some=True) for place in route.places):
            if rule.tag != route.tag:
                return rule
            if rule.takes(route.methods, route.path):
                return None
    return None


def _in_another_language(route: FoundRoute, rules: Collection[Rule]) -> tuple[Rule, str] | None:
    """Return a rule that meets a route in one language, with a path of it in another where no rule asks the same."""
    for rule in rules:
        if not any(map(rule.meets_path, route.also)):
            continue
        alike = [each for each in rules if each.tag == rule.tag and {"*", *rule.methods} & {*each.methods}]
        for path in route.also:
            if not any(each.meets_path(path) for each in alike):
                return rule, path
    return None


def _other_methods(rule: Rule, found: Iterable[FoundRoute]) -> str:
    """Return by which methods the path of a rule can be reached, where its own are none of them."""
    methods = {each for route in found if rule.meets_path(route.path) for each in route.methods}
    return f", whose methods for this path are {', '.join(sorted(methods))}" if methods else ""


def meets_nothing(rule: Rule, found: Iterable[FoundRoute]) -> bool:
    """Whether a rule meets no route of an app; of a part whose routes cannot be listed, any below its path counts."""

    def places_of(route: FoundRoute) -> tuple[str, ...]:
        return route.places if route.readable else (route.path.removesuffix("/*") + "/{rest:path}",)

    return not any(rule.meets(route.methods, place) for route in found for place in places_of(route))
