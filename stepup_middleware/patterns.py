"""Path patterns in the spelling of any framework: understood, and widened, or refused.

A parameter is any segment, whatever converter it has: a rule is never narrower than the framework's own matching.
``{x:path}``, ``<path:x>`` and a ``*`` at the end are any rest, also none. Where two frameworks read a pattern
differently, the wider reading is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product
from typing import NamedTuple
from urllib.parse import quote, unquote

from stepup_middleware.errors import ConfigurationError

# of Starlette, FastAPI, Litestar, Quart, Sanic, Django, Falcon and BlackSheep; each takes one segment at most
_SEGMENT = frozenset(
    {"str", "string", "int", "float", "uuid", "decimal", "date", "datetime", "time", "timedelta", "slug"}
)
_SEGMENT |= {"alpha", "any", "ymd", "ext", "dt", "guid", "bool", "number"}
_REST = frozenset({"path", "strorempty"})  # which may be empty, too
_PARAMETER = re.compile(r"\{([^{}<>/]*(?:\([^()]*\))?[^{}<>/]*)\}|<([^{}<>/]*(?:\([^()]*\))?[^{}<>/]*)>")
_NAME = r"\s*([A-Za-z_]\w*)\s*(?:\([^()]*\))?\s*"
_PARTS = re.compile(f"{_NAME}(?::{_NAME})?", re.ASCII)
_COLON = re.compile(r":([A-Za-z_]\w*)", re.ASCII)  # BlackSheep
_FOREIGN = re.compile(r"[()\[\]{}<>|^$\\?#*]|%(?![0-9A-Fa-f]{2})")  # of a regular expression; no path has them
# of a regular expression: what it surely begins with, and what may stand behind the last character of that
_BEGINNING = re.compile(r"/[^.()\[\]{}<>|^$\\?#*+%]*")
_REPEATED = ("?", "*", "+", "{")
_ATOMS = re.compile(r"\\.|\[\^?\]?[^\]]*\]", re.DOTALL)
_GROUP = re.compile(r"\([^()]*\)")
_DECODINGS = 3
_READINGS = tuple(product((False, True), repeat=3))  # what changes least first


class Segment(NamedTuple):
    """The text between two slashes: a parameter, if it has a name, between two literals; or a whole rest."""

    before: str
    name: str = ""
    after: str = ""
    rest: bool = False


_REST_OF_PATH = Segment("", "rest", rest=True)


def parse(path: str) -> tuple[Segment, ...]:
    """Return the segments of a pattern. Raises ``ConfigurationError`` for one that is not understood."""
    if not path.startswith("/"):
        raise ConfigurationError(f"a path pattern begins with a slash; a regular expression is none: {path!r}")
    normal = path.strip("/")
    open_end = normal.endswith("*")  # BlackSheep takes /files/* for /filesX as well
    if open_end:
        normal = normal[:-1].rstrip("/")
    texts = re.split(r"/+", normal) if normal or open_end else []
    last = _open_end(texts.pop(), path) if open_end else []
    segments = [_segment(each, path) for each in texts] + last
    if any(each.rest for each in segments[:-1]):
        before_end = [place for place, each in enumerate(segments) if each.rest]
        if len(before_end) > 1:
            raise ConfigurationError(f"a path pattern has at most one parameter of the kind {{x:path}}: {path!r}")
    return tuple(segments)


def parse_route(path: str) -> tuple[Segment, ...]:
    """Return the segments of a route's pattern. One that is not understood is what it begins with, and any rest."""
    try:
        return parse(path)
    except ConfigurationError:
        begins = _BEGINNING.match(path)
        if begins is None or _has_alternatives(path):
            return (_REST_OF_PATH,)
        return parse((begins[0][:-1] if path[begins.end() :].startswith(_REPEATED) else begins[0]) + "*")


def is_understood(path: str) -> bool:
    """Whether a route's pattern is one that ``parse`` takes."""
    try:
        parse(path)
    except ConfigurationError:
        return False
    return True


def of_expression(text: str) -> str:
    """Return a regular expression as a part of a route's pattern. One that looks like a path takes more by its dots."""
    return text if _FOREIGN.search(text) else text.replace(".", "(?:.)")


def _has_alternatives(expression: str) -> bool:
    """Whether a regular expression has a ``|`` outside of its groups, so that nothing of it need be there."""
    text = _ATOMS.sub("", expression)
    while (outside := _GROUP.sub("", text)) != text:
        text = outside
    return "|" in text


def _open_end(text: str, path: str) -> list[Segment]:
    """Return the last segment of a pattern with ``*`` at its end, and the rest that it is followed by."""
    end = _segment(text, path)
    if not end.name:
        return [Segment(end.before, "rest", rest=True)]
    if end.after:
        raise ConfigurationError(f"a * stands behind a slash or a plain part of a path: {path!r}")
    return [end] if end.rest else [end, _REST_OF_PATH]


def _segment(text: str, path: str) -> Segment:
    colon = _COLON.fullmatch(text)
    if colon:
        return Segment("", colon.group(1))
    found = list(_PARAMETER.finditer(text))
    if not found:
        return Segment(_literal(text, path))
    if len(found) > 1:
        # with more, the time to match grows faster than the path, and the path is the client's
        raise ConfigurationError(f"a path pattern has at most one parameter between two slashes: {path!r}")
    inside = found[0].group(1) if found[0].group(1) is not None else found[0].group(2)
    name, rest = _parameter(inside, path)
    before, after = _literal(text[: found[0].start()], path), _literal(text[found[0].end() :], path)
    if rest and after:
        raise ConfigurationError(f"nothing stands beside a parameter of the kind {{x:path}}: {path!r}")
    return Segment(before, name, after, rest)


def _parameter(inside: str, path: str) -> tuple[str, bool]:
    """Return the name of a parameter, and whether it takes a whole rest: ``id``, ``id:int``, ``int:id``."""
    found = _PARTS.fullmatch(inside)
    if found is None:
        raise ConfigurationError(f"the parameter {inside!r} is not understood: write {{x}} or {{x:path}} in {path!r}")
    first, second = found.groups()
    if second is None:
        return first, first in _REST
    kinds = {first, second} & (_SEGMENT | _REST)
    if not kinds:
        raise ConfigurationError(
            f"the converter of {inside!r} is unknown: write {{x}} for one that takes a single segment, {{x:path}} for "
            f"one that takes several, in {path!r}"
        )
    return (first if second in kinds else second), bool(kinds & _REST)


def _literal(text: str, path: str) -> str:
    if _FOREIGN.search(text):
        raise ConfigurationError(
            f"{text!r} is no plain part of a path: a rule takes patterns of routes, no regular expressions: {path!r}"
        )
    return unquote(text)


def compiled(segments: tuple[Segment, ...], *, empty: bool = False) -> re.Pattern[str]:
    """Return a pattern for paths, whose time grows with the length of the path and no faster.

    ``empty``: a parameter may be nothing between two slashes, or after the last one, as Falcon has it.
    """
    any_segment = "[^/]*" if empty else "[^/]+"
    parts = []
    names: set[str] = set()
    for segment in segments:
        before, after = re.escape(segment.before), re.escape(segment.after)
        if not segment.name:
            parts.append(f"/{before}")
            continue
        name = segment.name if segment.name not in names else f"{segment.name}_{len(names)}"
        names.add(name)
        if segment.rest and before:
            parts.append(f"/{before}(?P<{name}>.*)")
        elif segment.rest:  # it takes nothing as well, so the slash before it may be missing
            parts.append(f"(?:/(?P<{name}>.*))?")
        else:
            parts.append(f"/{before}(?P<{name}>{any_segment}){after}")
    return re.compile("".join(parts) or "/", re.DOTALL | re.IGNORECASE)


def meet(one: tuple[Segment, ...], other: tuple[Segment, ...]) -> bool:
    """Whether some path falls under both patterns."""
    if not one or not other:
        return all(each.rest and not each.before for each in (*one, *other))
    if other[0].rest and not one[0].rest:
        one, other = other, one
    if not one[0].rest:
        return _may_be(one[0], other[0]) and meet(one[1:], other[1:])
    more = (_REST_OF_PATH, *one[1:])  # what is left of a rest that has taken a segment
    if one[0].before and other[0].rest and other[0].before:
        return _may_be(one[0], other[0]) and meet(more, (_REST_OF_PATH, *other[1:]))
    if one[0].before and other[0].rest:
        return meet(one, other[1:]) or meet(more, other)
    if one[0].before:
        return _may_be(one[0], other[0]) and meet(more, other[1:])
    if other[0].rest and other[0].before:
        return meet(one[1:], other) or meet(one, (_REST_OF_PATH, *other[1:]))
    return meet(one[1:], other) or meet(one, other[1:])


def _may_be(one: Segment, other: Segment) -> bool:
    """Whether some text is taken by both segments."""
    befores = sorted((one.before.lower(), other.before.lower()), key=len)
    afters = sorted((one.after.lower(), other.after.lower()), key=len)
    if one.name and other.name:
        return befores[1].startswith(befores[0]) and afters[1].endswith(afters[0])
    if not one.name and not other.name:
        return befores[0] == befores[1]
    named, plain = (one, other) if one.name else (other, one)
    text = plain.before.lower()
    return text.startswith(named.before.lower()) and text.endswith(named.after.lower())


def covers(one: tuple[Segment, ...], other: tuple[Segment, ...]) -> bool:
    """Whether every path that falls under the other pattern falls under this one."""
    if not one:
        return not other
    head, rest = one[0], one[1:]
    if head.rest:
        taken = range(len(other) + 1)
        if head.before:
            if not other or not _begins(other[0], head):
                return False
            taken = range(1, len(other) + 1)
        return any(covers(rest, other[count:]) for count in taken)
    if not other or other[0].rest:
        return False
    return _takes(head, other[0]) and covers(rest, other[1:])


def _begins(one: Segment, head: Segment) -> bool:
    return one.before.lower().startswith(head.before.lower())


def _takes(one: Segment, other: Segment) -> bool:
    """Whether a segment of a pattern takes whatever another one takes."""
    if not one.name:
        return not other.name and one.before.lower() == other.before.lower()
    if other.name:
        return _begins(other, one) and other.after.lower().endswith(one.after.lower())
    text = other.before.lower()
    fits = text.startswith(one.before.lower()) and text.endswith(one.after.lower())
    return fits and len(text) > len(one.before) + len(one.after)


class TooMuchWork(Exception):
    """More characters would be read than one request is worth."""


class Work:
    """How many characters may still be read for a request: whoever makes or reads a text takes its length first."""

    __slots__ = ("left",)

    def __init__(self, characters: int) -> None:
        self.left = characters

    def take(self, characters: int) -> None:
        """Take so many characters, before they are read. Raises ``TooMuchWork``."""
        self.left -= characters
        if self.left < 0:
            raise TooMuchWork


def spellings(paths: list[str], roots: Iterable[str], work: Work) -> list[str]:
    """Return every path that some router or proxy may take one of these for, below one of the ``roots`` or not.

    Raises ``TooMuchWork``.
    """
    given = dict.fromkeys(paths)
    below = [as_raw for root in roots if root for as_raw in as_written(root)]
    for each in paths:
        if not each.startswith("/") or "://" in each:
            # a request target in absolute form (RFC 9112 §3.2.2) that a server did not take apart
            rest = each.partition(":")[2]
            given |= dict.fromkeys(["/" + each, rest, "/" + rest.lstrip("/").partition("/")[2]])
        work.take(len(each) * len(below))
        for before in below:
            if before in each:  # not only at the beginning: Litestar goes on after it wherever it stands
                given[each.partition(before)[2] or "/"] = None
    given |= dict.fromkeys(["/" + each.lstrip("/") for each in given])  # where leading slashes alone are one
    decoded = list(given)
    for _ in range(_DECODINGS):
        work.take(sum(map(len, decoded)))
        decoded = [unquote(each) for each in decoded]
        given |= dict.fromkeys(decoded)
    found = dict(given)
    for each in given:
        work.take(len(each) * len(_READINGS))
        for slashes, marks, dots in _READINGS:
            found[_read(each, slashes=slashes, marks=marks, dots=dots)] = None
    return list(found)


def as_written(path: str) -> tuple[str, ...]:
    """Return a decoded path, and as it may stand in a raw one: as bytes, or percent-encoded."""
    return path, path.encode("utf-8", "replace").decode("latin-1"), quote(path, errors="replace")


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
