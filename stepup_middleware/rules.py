"""Rules: tags by path, for an app that one cannot edit. They err on the side of asking.

A table of paths in front of a router is a second router, and two routers never agree about everything.
A rule therefore matches a path in any of the spellings that some router or proxy takes for the same one:
decoded again, without dot segments, doubled slashes, path parameters and trailing marks, in any case.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPMethod
from itertools import product
from typing import Any
from urllib.parse import parse_qsl, unquote, unquote_to_bytes

from stepup_middleware.asgi import ASGIApp, Message, Receive, Scope, Send, headers
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.frameworks import apps_within
from stepup_middleware.gate import always, run_guarded, tagged_with
from stepup_middleware.patterns import compiled, meet, parse
from stepup_middleware.request.bound import METHOD_OVERRIDES, hyphened
from stepup_middleware.request.context import DetailsSource, Tag, guarded_request
from stepup_middleware.request.when import Condition, Undecided, When
from stepup_middleware.web.answers import send_refusal

_SIMPLE = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")  # paths that everybody reads alike
_DECODINGS = 3
PATH_LENGTH = 8192  # characters that are compared with the rules; a longer path runs nothing
_READINGS = tuple(product((True, False), repeat=3))
_TARGETS = frozenset({b"x-original-url", b"x-rewrite-url"})  # a path that the app may take for its own
_METHODS = frozenset(method.value for method in HTTPMethod) | {"QUERY", "PURGE"}
_METHODS |= {"COPY", "LOCK", "MKCOL", "MOVE", "PROPFIND", "PROPPATCH", "SEARCH", "UNLOCK", "REPORT", "ACL", "LINK"}
_METHODS |= {"UNLINK", "BIND", "REBIND", "UNBIND", "CHECKIN", "CHECKOUT", "UNCHECKOUT", "MERGE", "UPDATE", "LABEL"}
_METHODS |= {"MKACTIVITY", "MKCALENDAR", "MKREDIRECTREF", "MKWORKSPACE", "UPDATEREDIRECTREF", "VERSION-CONTROL"}
_METHODS |= {"BASELINE-CONTROL", "ORDERPATCH"}  # the registry of methods of IANA, and the caches' PURGE
_FORMS = (b"application/x-www-form-urlencoded", b"multipart/form-data")
_FORM_LIMIT = 64 * 1024  # bytes in which a form is searched for a method; a longer one may have one
_FORM_SECONDS = 15


EXAMPLE = 'Rule("POST", "/x/{id}", purpose="the_purpose")'


@dataclass(frozen=True, slots=True)
class Rule:
    """A tag for every request of a method and a path, for an app whose code one cannot edit.

    ``method`` is one, a list of them, or ``*`` for any; ``path`` is a pattern as the framework writes it, such as
    ``/x/{id}``, ``/x/<int:id>`` or ``/x/{rest:path}``, matched whole and in every way that a framework may read a path.
    ``purpose``, ``details``, ``bind_body`` and ``bind_headers`` are those of ``requires_step_up``. A rule that meets no
    route of the app stops the start, unless it is ``optional``.

    ``when`` is for a path on which only some requests are an action: a function of the scope, or of the scope and the
    ``Fields`` of the request, sync or async, that says True where the rule holds and False where it does not. Where
    the fields cannot be read for sure (a body of another type or character set, of more than 256 KiB, or spelled as no
    browser spells it) the rule holds unasked; where the function fails, the request is refused.

    Raises ``ConfigurationError`` for an unknown method and for a pattern that is not understood.
    """

    method: str | Iterable[str]
    path: str
    purpose: str = ""
    details: DetailsSource = None
    bind_body: bool = True
    bind_headers: tuple[str, ...] = ()
    optional: bool = False
    when: When | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path.startswith("/"):
            raise ConfigurationError(
                f"the path of a rule begins with a slash, such as /x/{{id}}: {self.path!r} is none"
            )
        if not self.purpose:
            raise ConfigurationError(f"the rule for {self.path} needs a purpose: {EXAMPLE}")
        object.__setattr__(self, "details", always(self.details))
        self.tag  # noqa: B018 - raises for what can be no tag
        given = [self.method] if isinstance(self.method, str) else list(self.method)
        methods = [each.upper() if isinstance(each, str) else each for each in given]
        for each in methods:
            if each not in _METHODS and methods != ["*"]:
                raise ConfigurationError(f"{each!r} is no method: a rule has one, a list of them, or '*': {self!r}")
        if not methods:
            raise ConfigurationError(f"a rule has a method, a list of them, or '*': {self!r}")
        object.__setattr__(self, "method", methods[0] if isinstance(self.method, str) else tuple(methods))
        parse(self.path)
        self.condition  # noqa: B018 - raises for what can be none

    @property
    def condition(self) -> Condition | None:
        """What decides by each request whether the rule holds, None where it always does."""
        return None if self.when is None else Condition(self.when, bind_body=self.bind_body)

    @property
    def tag(self) -> Tag:
        """The tag that a request under this rule runs behind."""
        return tagged_with(self.purpose, self.details, self.bind_body, self.bind_headers)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods in capitals, or ``*`` alone."""
        return (self.method,) if isinstance(self.method, str) else tuple(self.method)

    def meets(self, methods: Iterable[str], path: str) -> bool:
        """Whether some request may fall under this rule and be of a route; for a pattern not understood, it may."""
        mine, theirs = set(self.methods), set(methods)
        theirs |= {"GET"} if "HEAD" in theirs else set()
        if not ({"*"} & (mine | theirs) or mine & theirs or "WEBSOCKET" in theirs):
            return False
        return self.meets_path(path)

    def meets_path(self, path: str) -> bool:
        """Whether some request of whatever method may fall under this rule and be of a route."""
        try:
            return meet(parse(self.path), parse(path))
        except ConfigurationError:
            return True


def checked_rules(rules: object) -> tuple[Rule, ...]:
    """Return rules as they were given, or raise ``ConfigurationError`` for what is no list of them."""
    if isinstance(rules, Rule) or not isinstance(rules, Iterable) or isinstance(rules, str | Mapping):
        raise ConfigurationError(f"rules is a list: write rules=[{EXAMPLE}]")
    found = tuple(rules)
    for rule in found:
        if not isinstance(rule, Rule):
            raise ConfigurationError(f"{rule!r} is no rule: write rules=[{EXAMPLE}]")
    return found


class AmbiguousPath(Exception):
    """The path can be read in ways that fall under rules which ask for different proofs."""


class PathTooLong(AmbiguousPath):
    """The path is longer than is compared with rules."""


class RuleTable:
    """The rules of an app, compiled."""

    def __init__(self, rules: Iterable[Rule], *, empty: bool = False) -> None:
        self._rules = [(rule, compiled(parse(rule.path), empty=empty)) for rule in rules]
        self._conditions = {id(rule): found for rule, _ in self._rules if (found := rule.condition) is not None}

    async def not_holding(self, scope: Scope, receive: Receive, *, any_method: bool) -> list[Rule]:
        """Return the rules that a request may be meant by, and whose condition says that they do not hold for it.

        Raises ``PathTooLong`` and ``Undecided``.
        """
        if not self._conditions:
            return []
        rules = [each for each in self._of_method(scope, any_method=any_method) if id(each[0]) in self._conditions]
        spellings = _spellings(scope) if rules else []
        meant = [rule for rule, pattern in rules if any(map(pattern.fullmatch, spellings))]
        return [rule for rule in meant if not await self._conditions[id(rule)].asks(scope, receive)]

    def match(
        self, scope: Mapping[str, Any], *, any_method: bool = False, without: Collection[Rule] = ()
    ) -> tuple[Rule, dict[str, str]] | None:
        """Return the first rule that a request may be meant by, with its path parameters.

        ``any_method``: it may end up as any; ``without``: rules that do not hold for it. Raises ``AmbiguousPath`` when
        one spelling of the path falls under one rule and another spelling under a rule that asks for something else:
        which of them the app takes is not known here; and for a path too long to be compared with every rule.
        """
        rules = [
            each for each in self._of_method(scope, any_method=any_method) if all(each[0] is not no for no in without)
        ]
        meant: tuple[Rule, dict[str, str]] | None = None
        for spelling in _spellings(scope) if rules else ():
            for rule, pattern in rules:
                found = pattern.fullmatch(spelling)
                if found:
                    if meant is None:
                        meant = rule, found.groupdict(default="")
                    elif meant[0].tag != rule.tag:
                        raise AmbiguousPath
                    break
        return meant

    def _of_method(self, scope: Mapping[str, Any], *, any_method: bool) -> list[tuple[Rule, re.Pattern[str]]]:
        if len(scope["path"]) > PATH_LENGTH or len(scope.get("raw_path") or b"") > 3 * PATH_LENGTH:
            raise PathTooLong
        if sum(len(value) for name, value in scope["headers"] if hyphened(name) in _TARGETS) > PATH_LENGTH:
            raise PathTooLong
        methods = None if any_method else _methods(scope)
        return [
            (rule, pattern)
            for rule, pattern in self._rules
            if methods is None or rule.methods == ("*",) or not methods.isdisjoint(rule.methods)
        ]


class Ruled:
    """An app behind rules: a request that falls under one runs behind its tag, any other as it is."""

    __stepup_inner__ = "_app"

    def __init__(self, app: ASGIApp, rules: Iterable[Rule]) -> None:
        self._app = app
        frameworks = [framework for _, framework, _ in apps_within(app)]
        empty = not frameworks or any(each.empty_parameters for each in frameworks)
        self._table = RuleTable(rules, empty=empty)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            overridden = _may_be_overridden(scope)
            without = await self._table.not_holding(scope, receive, any_method=overridden)
            found = self._table.match(scope, without=without)
            if found is None and overridden and self._table.match(scope, any_method=True, without=without):
                override, receive = await _searched(scope, receive)
                if override:
                    found = self._table.match(scope, any_method=True, without=without)
        except (AmbiguousPath, Undecided) as error:
            guarded = guarded_request(scope)
            is_long = isinstance(error, PathTooLong)
            guarded.refusal = Refusal(code=RefusalCode.TARGET_TOO_LONG if is_long else RefusalCode.UNAVAILABLE)
            await send_refusal(guarded, guarded.refusal, scope, receive, send)
            return
        if found is None:
            await self._app(scope, receive, send)
            return
        rule, parameters = found
        scope.setdefault("path_params", parameters)
        await run_guarded(self._app, rule.tag, scope, receive, send)


def _methods(scope: Mapping[str, Any]) -> set[str] | None:
    """Return every method that a request may end up as; None for a WebSocket, which any rule covers."""
    if scope["type"] == "websocket":
        return None
    methods = {str(scope["method"]).upper()}
    for name, value in scope["headers"]:
        if b"method" in name and hyphened(name) in METHOD_OVERRIDES:
            methods.add(value.decode("latin-1").strip().upper())
    query = bytes(scope.get("query_string", b""))
    if b"method" in unquote_to_bytes(query).lower():
        # also where a semicolon is taken for an ampersand
        for name, value in parse_qsl(query.decode("latin-1").replace(";", "&")):
            if name.lower().endswith(("method", "method-override")):
                methods.add(value.strip().upper())
    if "HEAD" in methods:
        methods.add("GET")
    return methods


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


def _spellings(scope: Mapping[str, Any]) -> list[str]:
    """Return every path that some router or proxy may take the path of a request for."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    raw = bytes(scope.get("raw_path") or b"").partition(b"?")[0].decode("latin-1")
    elsewhere = [value.decode("latin-1") for name, value in scope["headers"] if hyphened(name) in _TARGETS]
    if not root and not elsewhere and raw in ("", path) and _SIMPLE.fullmatch(path):
        return [path]
    given = {path: None, raw: None, **dict.fromkeys(elsewhere)}
    for each in list(given):
        if not each.startswith("/") or "://" in each:
            # a request target in absolute form (RFC 9112 §3.2.2) that a server did not take apart
            rest = each.partition(":")[2]
            given |= dict.fromkeys(["/" + each, rest, "/" + rest.lstrip("/").partition("/")[2]])
        if root and each.startswith(root):
            given[each[len(root) :] or "/"] = None
    given |= dict.fromkeys(["/" + each.lstrip("/") for each in given])  # where leading slashes alone are one
    decoded = list(given)
    for _ in range(_DECODINGS):
        decoded = [unquote(each) for each in decoded]
        given |= dict.fromkeys(decoded)
    found = dict(given)
    for each in given:
        for slashes, marks, dots in _READINGS:
            found[_read(each, slashes=slashes, marks=marks, dots=dots)] = None
    return list(found)


def _read(path: str, *, slashes: bool, marks: bool, dots: bool) -> str:
    """Return a path without empty segments, as it is read where these things count, or do not.

    ``slashes``: a backslash is one. ``marks``: a segment ends before ``;``, the path before ``?`` and ``#``, and
    unprintable characters are dropped. ``dots``: dot segments lead somewhere.
    """
    kept: list[str] = []
    if slashes:
        path = path.replace("\\", "/")
    if marks:
        path = path.partition("?")[0].partition("#")[0]
    for segment in path.split("/"):
        if marks:
            if not segment.isprintable():
                segment = "".join(character for character in segment if character.isprintable())
            segment = segment.partition(";")[0].strip()
        if dots and segment == "..":
            del kept[-1:]
        elif segment and not (dots and segment == "."):
            kept.append(segment)
    return "/" + "/".join(kept)
