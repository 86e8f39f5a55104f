"""Rules: tags by path, for an app that one cannot edit. They err on the side of asking.

A table of paths in front of a router is a second router, and two routers never agree about everything.
A rule therefore matches a path in any of the spellings that some router or proxy takes for the same one:
decoded again, without dot segments, doubled slashes, path parameters and trailing marks, in any case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from stepup_middleware.errors import ConfigurationError
from stepup_middleware.exchange import DetailsSource, Tag
from stepup_middleware.service.visitor import headers

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(:path)?\}")
_OVERRIDES = (b"x-http-method-override", b"x-http-method", b"x-method-override")


@dataclass(frozen=True, slots=True)
class Rule:
    """A tag for a method (``*``: any) and a path pattern such as ``/x/{id}`` or ``/x/{rest:path}``."""

    method: str
    path: str
    purpose: str = ""
    details: DetailsSource = None
    bind_body: bool = False

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
        return Tag(purpose=self.purpose, details=self.details, bind_body=self.bind_body)


class RuleTable:
    """The rules of an app, compiled."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = [(rule, self._compiled(rule.path)) for rule in rules]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def __iter__(self) -> Any:
        return iter(rule for rule, _ in self._rules)

    @staticmethod
    def _compiled(path: str) -> re.Pattern[str]:
        parts, end = [], 0
        normal = path.rstrip("/") or "/"
        for found in _PARAMETER.finditer(normal):
            parts.append(re.escape(normal[end : found.start()]))
            parts.append(f"(?P<{found.group(1)}>{'.+' if found.group(2) else '[^/]+'})")
            end = found.end()
        parts.append(re.escape(normal[end:]))
        return re.compile("".join(parts), re.DOTALL | re.IGNORECASE)

    def match(self, scope: Mapping[str, Any]) -> tuple[Rule, dict[str, str]] | None:
        """Return the first rule that a request may be meant by, with its path parameters."""
        methods = _methods(scope)
        spellings = _spellings(scope)
        for rule, pattern in self._rules:
            if rule.method != "*" and methods is not None and rule.method.upper() not in methods:
                continue
            for spelling in spellings:
                found = pattern.fullmatch(spelling)
                if found:
                    return rule, found.groupdict()
        return None


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
    path = str(scope["path"])
    root = str(scope.get("root_path", ""))
    plain = [path]
    if "://" in path:  # a request target in absolute form (RFC 9112 §3.2.2) that a server did not take apart
        plain.append("/" + path.partition("://")[2].partition("/")[2])
    if root and path.startswith(root):
        plain.append(path[len(root) :] or "/")
    return plain + [normal for each in plain for normal in _normal(each)]


def _normal(path: str) -> list[str]:
    found = []
    for _ in range(3):
        found.append(_collapsed(path))
        decoded = unquote(path)
        if decoded == path:
            break
        path = decoded
    return found


def _collapsed(path: str) -> str:
    kept: list[str] = []
    path = path.replace("\\", "/").partition("?")[0].partition("#")[0]
    for segment in path.split("/"):
        segment = "".join(character for character in segment if character.isprintable()).partition(";")[0].strip()
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return "/" + "/".join(kept)
