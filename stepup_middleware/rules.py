"""Rules: tags by path, for an app that one cannot edit. They err on the side of asking.

A table of paths in front of a router is a second router, and two routers never agree about everything.
A rule therefore matches a path in any of the spellings that some router or proxy takes for the same one:
decoded again, without dot segments, doubled slashes, path parameters and trailing marks, in any case.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stepup_middleware.asgi import Receive, Scope
from stepup_middleware.errors import ConfigurationError
from stepup_middleware.mounts import NOWHERE, MountReader, Places, is_outside, roots_of
from stepup_middleware.patterns import (
    TooMuchWork,
    Work,
    compiled,
    covers,
    is_understood,
    meet,
    parse,
    parse_route,
    spellings,
)
from stepup_middleware.request.bound_headers import TARGETS, hyphened
from stepup_middleware.request.context import DetailsSource, Tag
from stepup_middleware.request.overrides import METHODS, asked_methods
from stepup_middleware.request.when import Condition, When
from stepup_middleware.tags import always, tagged_with

_SIMPLE = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")  # paths that everybody reads alike
PATH_LENGTH = 8192  # characters that are compared with the rules; a longer path runs nothing
WORK = 4_000_000  # characters that are read to find the rules of a path; one that takes more runs nothing
_AT_ONCE = 16  # rules that a text is compared with in the time in which it is read once

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
            if each not in METHODS and methods != ["*"]:
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
        """Whether some request may fall under this rule and be of a route (``patterns.parse_route``)."""
        mine, theirs = set(self.methods), set(methods)
        theirs |= {"GET"} if "HEAD" in theirs else set()
        if not ({"*"} & (mine | theirs) or mine & theirs or "WEBSOCKET" in theirs):
            return False
        return self.meets_path(path)

    def takes(self, methods: Iterable[str], path: str, *, some: bool = False) -> bool:
        """Whether this rule takes every request of a route (``some``: a request), by what is known of its pattern."""
        mine, theirs = set(self.methods), set(methods)
        if some:
            return is_understood(path) and self.meets(methods, path)
        mine |= {"WEBSOCKET", "HEAD"} if "GET" in mine else {"WEBSOCKET"}
        return self.when is None and ("*" in mine or theirs <= mine) and covers(parse(self.path), parse_route(path))

    def meets_path(self, path: str) -> bool:
        """Whether some request of whatever method may fall under this rule and be of a route."""
        return meet(parse(self.path), parse_route(path))


def checked_rules(rules: object) -> tuple[Rule, ...]:
    """Return rules as they were given, or raise ``ConfigurationError`` for what is no list of them."""
    if isinstance(rules, Rule) or not isinstance(rules, Iterable) or isinstance(rules, str | Mapping):
        raise ConfigurationError(f"rules is a list: write rules=[{EXAMPLE}]")
    found = tuple(rules)
    for rule in found:
        if not isinstance(rule, Rule):
            raise ConfigurationError(f"{rule!r} is no rule: write rules=[{EXAMPLE}]")
    for place, rule in enumerate(found):
        for earlier in found[:place]:
            _check_order(earlier, rule)
    return found


def _check_order(earlier: Rule, later: Rule) -> None:
    """Raise ``ConfigurationError`` where the order of two rules would decide what a request is asked.

    One request falls under one rule. Two that may take the same request ask for the same, or the earlier is the
    narrower one: its path takes fewer paths, or it has fewer methods of the same paths, or a condition.
    """
    one, other = set(earlier.methods), set(later.methods)
    if earlier.tag == later.tag or not ({"*"} & (one | other) or one & other):
        return
    first, second = parse(earlier.path), parse(later.path)
    if not meet(first, second):
        return
    narrower, wider = covers(second, first), covers(first, second)
    fewer = one < other or ("*" in other and "*" not in one)
    if narrower and (not wider or fewer or earlier.when is not None):
        return
    names = [f"Rule({','.join(each.methods)} {each.path}, {each.purpose})" for each in (later, earlier)]
    raise ConfigurationError(
        f"{names[0]} and, before it, {names[1]} take the same requests and ask for different proofs: put the rule with "
        "the narrower path or the fewer methods first, or give both the same purpose, details and bindings"
    )


class AmbiguousPath(Exception):
    """The request can be read in ways that fall under rules which ask for different proofs."""


class PathTooLong(AmbiguousPath):
    """The path is longer, or has more spellings, than is compared with rules."""


class Target:
    """What a request is for: its scope, and every path by which some app may route it, found once and when asked for.

    Each path stands with the rules as they are written for it there. Asked for, it raises ``PathTooLong``.
    """

    def __init__(self, table: RuleTable, scope: Mapping[str, Any]) -> None:
        _check_length(scope)
        self.scope, self._table = scope, table

    @functools.cached_property
    def methods(self) -> set[str] | None:
        """What the request may end up as without its form (None: any)."""
        return None if self.scope["type"] == "websocket" else asked_methods(self.scope)

    @functools.cached_property
    def readings(self) -> list[tuple[str, list[_Compiled]]]:
        try:
            return list(self._table.readings(self.scope))
        except TooMuchWork:
            raise PathTooLong from None


class RuleTable:
    """The rules of an app, compiled.

    ``by_raw_path`` and ``parameter`` say how its framework reads a path: so are the path parameters that details show.
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        *,
        empty: bool = False,
        by_raw_path: bool = False,
        parameter: Callable[[str], str] = str,
        places: Places = NOWHERE,
    ) -> None:
        self._by_raw_path, self._parameter, self._places = by_raw_path, parameter, places
        parsed = [(rule, parse(rule.path)) for rule in rules]
        self._rules = [(rule, compiled(path, empty=empty)) for rule, path in parsed]
        self._mounts = [MountReader(mount, parsed, empty=empty) for mount in places.mounts]
        self._conditions = {id(rule): found for rule, _ in self._rules if (found := rule.condition) is not None}

    def target(self, scope: Mapping[str, Any]) -> Target:
        """Return what a request is for. Raises ``PathTooLong``."""
        return Target(self, scope)

    async def not_holding(self, target: Target, scope: Scope, receive: Receive, *, any_method: bool) -> list[Rule]:
        """Return the rules that a request may be meant by, and whose condition says that they do not hold for it.

        Raises ``PathTooLong`` and ``Undecided``.
        """
        if not self._conditions:
            return []
        methods = None if any_method else target.methods
        meant = {
            id(rule): rule
            for path, rules in target.readings
            for rule, pattern in rules
            if id(rule) in self._conditions and _taken(rule, methods) and pattern.fullmatch(path)
        }
        return [rule for rule in meant.values() if not await self._conditions[id(rule)].asks(scope, receive)]

    def match(
        self, target: Target, *, overrides: Collection[str] | None = (), without: Collection[Rule] = ()
    ) -> tuple[Rule, dict[str, str]] | None:
        """Return the rule that a request is meant by, with its path parameters: for a path and a method, the first.

        ``overrides``: further methods that it may end up as (None: any); ``without``: rules that do not hold for it.
        Raises ``AmbiguousPath`` when one spelling of the path, or one method that the request may end up as, falls
        under one rule and another under a rule that asks for something else: which of them the app takes is not known
        here; and for a path too long to be compared with every rule.
        """
        scope = target.scope
        if scope["type"] == "websocket":  # whose handshake is a GET, and which any rule covers
            meant = self._meant(target, without, {"GET"}) or self._meant(target, without, None)
        else:
            asked = target.methods
            meant = self._meant(target, without, None if asked is None or overrides is None else asked.union(overrides))
        return None if meant is None else (meant[0], self._parameters(scope, *meant))

    def readings(self, scope: Mapping[str, Any]) -> Iterator[tuple[str, list[_Compiled]]]:
        """Yield every path by which some app may route a request, with the rules as they are written for it there.

        Raises ``TooMuchWork``.
        """
        work = Work(WORK)
        roots = roots_of(scope, self._places)
        whole = _spellings(scope, roots, work)
        for path in whole:
            work.take(len(path) * len(self._rules) // _AT_ONCE)
            yield path, self._rules
        is_whole = is_outside(scope, roots)
        for mount in self._mounts:
            for path in mount.readings(whole, roots, work, is_whole=is_whole):
                work.take(len(path) * len(mount.rules) // _AT_ONCE)
                yield path, mount.rules

    def _meant(
        self, target: Target, without: Collection[Rule], methods: set[str] | None
    ) -> tuple[Rule, dict[str, str]] | None:
        meant: tuple[Rule, dict[str, str]] | None = None
        if not any(_taken(rule, methods) for rule, _ in self._rules):
            return None
        for path, rules in target.readings:
            for rule, found in _firsts(path, rules, methods, without):
                if meant is None:
                    names = parse(rule.path)
                    meant = rule, {each.name: "" for each in names if each.name} | found.groupdict(default="")
                elif meant[0].tag != rule.tag:
                    raise AmbiguousPath
        return meant

    def _parameters(self, scope: Mapping[str, Any], rule: Rule, otherwise: dict[str, str]) -> dict[str, str]:
        """Return the path parameters as the framework has them, if it comes to this rule by its own path at all."""
        if not otherwise:
            return otherwise
        pattern = next(compiled for each, compiled in self._rules if each is rule)
        path = _raw_path(scope) if self._by_raw_path else str(scope["path"])
        for spelling in spellings([path or str(scope["path"])], roots_of(scope, self._places), Work(WORK)):
            if found := pattern.fullmatch(spelling):
                return {name: self._parameter(text) for name, text in found.groupdict(default="").items()}
        return otherwise


_Compiled = tuple[Rule, re.Pattern[str]]


def _check_length(scope: Mapping[str, Any]) -> None:
    if len(scope["path"]) > PATH_LENGTH or len(scope.get("raw_path") or b"") > 3 * PATH_LENGTH:
        raise PathTooLong
    if sum(map(len, _targets(scope))) > PATH_LENGTH:
        raise PathTooLong


def _firsts(
    spelling: str, rules: list[_Compiled], methods: set[str] | None, without: Collection[Rule]
) -> Iterator[tuple[Rule, re.Match[str]]]:
    """Yield the first rule for each method that a request may end up as (None: any)."""
    taken: set[str] = set()
    for rule, pattern in rules:
        new = _taken(rule, methods)
        if new <= taken or any(rule is no for no in without) or not (found := pattern.fullmatch(spelling)):
            continue
        yield rule, found
        taken |= new
        if "*" in taken or (methods is not None and methods <= taken):
            return


def _taken(rule: Rule, methods: set[str] | None) -> set[str]:
    """Return which methods (None: of all) a rule is for."""
    if methods is None:
        return set(rule.methods)
    return methods if "*" in rule.methods else methods & set(rule.methods)


def _raw_path(scope: Mapping[str, Any]) -> str:
    return bytes(scope.get("raw_path") or b"").partition(b"?")[0].decode("latin-1")


def _targets(scope: Mapping[str, Any]) -> list[str]:
    """Return the paths in headers that an app may take for that of the request."""
    found = [value for name, value in scope["headers"] if hyphened(name) in TARGETS]
    return [value.partition(b"?")[0].decode("latin-1") for value in found]


def _spellings(scope: Mapping[str, Any], roots: Collection[str], work: Work) -> list[str]:
    """Return every path that some router or proxy may take the path of a request for."""
    path = str(scope["path"])
    raw = _raw_path(scope)
    elsewhere = _targets(scope)
    if not roots and not elsewhere and raw in ("", path) and _SIMPLE.fullmatch(path):
        return [path]
    if not raw.isascii():  # bytes that a server lets pass, which some routers read as UTF-8
        elsewhere.append(raw.encode("latin-1").decode("utf-8", "replace"))
    return spellings([path, raw, *elsewhere], roots, work)
