"""Rules: tags by path, for an app that one cannot edit. They err on the side of asking.

A table of paths in front of a router is a second router, and two routers never agree about everything.
A rule therefore matches a path in any of the spellings that some router or proxy takes for the same one:
decoded again, without dot segments, doubled slashes, path parameters and trailing marks, in any case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any
from urllib.parse import unquote

from stepup_middleware.asgi import ASGIApp, Receive, Scope, Send
from stepup_middleware.core.refusals import Refusal, RefusalCode
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.gate import run_guarded, tagged_with
from stepup_middleware.headers import headers
from stepup_middleware.request.context import DetailsSource, Tag
from stepup_middleware.web.answers import guarded_at, send_refusal

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(:path)?\}")
_SIMPLE = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")  # paths that everybody reads alike
_DECODINGS = 3
_READINGS = tuple(product((True, False), repeat=3))
_OVERRIDES = (b"x-http-method-override", b"x-http-method", b"x-method-override")


@dataclass(frozen=True, slots=True)
class Rule:
    """A tag for every request of a method and a path, for an app whose code one cannot edit.

    ``method`` is one, or ``*`` for any; ``path`` is a pattern such as ``/x/{id}`` or ``/x/{rest:path}``, matched
    whole and in every way that a framework may read a path. ``purpose``, ``details``, ``bind_body`` and
    ``bind_headers`` are those of ``requires_step_up``.

    Raises ``ConfigurationError`` for a pattern that could not match, or not in bounded time.
    """

    method: str
    path: str
    purpose: str = ""
    details: DetailsSource = None
    bind_body: bool = True
    bind_headers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or not self.purpose:
            raise ConfigurationError(f"a rule has a path that begins with / and a purpose: {self!r}")
        long = sum(bool(found.group(2)) for found in _PARAMETER.finditer(self.path))
        if long > 1 or any(len(_PARAMETER.findall(segment)) > 1 for segment in self.path.split("/")):
            # with more, the time to match grows faster than the path, and the path is the client's
            raise ConfigurationError(
                f"a rule has at most one parameter between two slashes, and one of the kind {{x:path}}: {self.path!r}"
            )

    @property
    def tag(self) -> Tag:
        """The tag that a request under this rule runs behind."""
        return tagged_with(self.purpose, self.details, self.bind_body, self.bind_headers)


class AmbiguousPath(Exception):
    """The path can be read in ways that fall under rules which ask for different proofs."""


class RuleTable:
    """The rules of an app, compiled."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = [(rule, self._compiled(rule.path)) for rule in rules]

    @staticmethod
    def _compiled(path: str) -> re.Pattern[str]:
        parts, end = [], 0
        normal = path.rstrip("/") or "/"
        for found in _PARAMETER.finditer(normal):
            before, end = normal[end : found.start()], found.end()
            if found.group(2):  # a router takes nothing for a {x:path} as well, so the slash before it may be missing
                slash = "/" if before.endswith("/") else ""
                parts.append(f"{re.escape(before.removesuffix('/'))}(?:{slash}(?P<{found.group(1)}>.*))?")
            else:
                parts.append(f"{re.escape(before)}(?P<{found.group(1)}>[^/]+)")
        parts.append(re.escape(normal[end:]))
        return re.compile("".join(parts), re.DOTALL | re.IGNORECASE)

    def match(self, scope: Mapping[str, Any]) -> tuple[Rule, dict[str, str]] | None:
        """Return the first rule that a request may be meant by, with its path parameters.

        Raises ``AmbiguousPath`` when one spelling of the path falls under one rule and another spelling under a
        rule that asks for something else: which of them the app takes is not known here.
        """
        methods = _methods(scope)
        rules = [
            (rule, pattern)
            for rule, pattern in self._rules
            if rule.method == "*" or methods is None or rule.method.upper() in methods
        ]
        meant: tuple[Rule, dict[str, str]] | None = None
        for spelling in _spellings(scope):
            for rule, pattern in rules:
                found = pattern.fullmatch(spelling)
                if found:
                    if meant is None:
                        meant = rule, found.groupdict(default="")
                    elif meant[0].tag != rule.tag:
                        raise AmbiguousPath
                    break
        return meant


class Ruled:
    """An app behind rules: a request that falls under one runs behind its tag, any other as it is."""

    __stepup_inner__ = "_app"

    def __init__(self, app: ASGIApp, rules: Iterable[Rule]) -> None:
        self._app = app
        self._table = RuleTable(rules)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            found = self._table.match(scope)
        except AmbiguousPath:
            guarded = guarded_at(scope)
            guarded.refusal = Refusal(code=RefusalCode.UNAVAILABLE)
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
    for name in _OVERRIDES:
        methods.update(value.decode("latin-1").strip().upper() for value in headers(scope, name))
    if "HEAD" in methods:
        methods.add("GET")
    return methods


def _spellings(scope: Mapping[str, Any]) -> list[str]:
    """Return every path that some router or proxy may take the path of a request for."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    raw = bytes(scope.get("raw_path") or b"").partition(b"?")[0].decode("latin-1")
    if not root and raw in ("", path) and _SIMPLE.fullmatch(path):
        return [path]
    given = {path: None, raw: None}
    for each in (path, raw):
        if not each.startswith("/") or "://" in each:
            # a request target in absolute form (RFC 9112 §3.2.2) that a server did not take apart
            rest = each.partition(":")[2]
            given |= dict.fromkeys(["/" + each, rest, "/" + rest.lstrip("/").partition("/")[2]])
        if root and each.startswith(root):
            given[each[len(root) :] or "/"] = None
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
    """Return a path without empty segments, as it is read by whoever minds these things or does not.

    ``slashes``: a backslash is one. ``marks``: a segment ends before ``;``, the path before ``?`` and ``#``, and
    what cannot be printed is nothing. ``dots``: dot segments lead somewhere.
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
