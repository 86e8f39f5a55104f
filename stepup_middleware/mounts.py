"""Where the apps in an app stand, and which paths each of them may take a request's path for.

A rule is written against whole paths, while a mounted app routes by what it takes to be left of one. It may leave the
whole path as it is (the root path does not begin it), take a root path away once more, or one that it has given itself.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from stepup_middleware.errors import ConfigurationError
from stepup_middleware.frameworks import ANY, apps_within
from stepup_middleware.frameworks.base import DEPTH, FoundRoute, Framework
from stepup_middleware.patterns import Segment, Work, compiled, meet, parse
from stepup_middleware.request.bound_headers import PREFIXES, hyphened


class Piece(NamedTuple):
    """A mount: its pattern within the app that it is in, and whether that begins a path as text (``/x`` in ``/xy``)."""

    path: str
    is_text: bool


Pieces = tuple[Piece, ...]  # outermost first


class Mount(NamedTuple):
    """An app mounted in another: the mounts that lead to it, outermost first.

    ``by_whole_path`` says that its framework routes by the whole path, wherever it is mounted.
    """

    pieces: Pieces
    by_whole_path: bool = False

    @property
    def is_loose(self) -> bool:
        """Whether the app may take another path than what is left, also where there is no root path."""
        return self.by_whole_path or any(piece.is_text for piece in self.pieces)


class Places(NamedTuple):
    """The mounts of an app, and the root paths that apps in it have given themselves.

    ``empty_parameters`` says whether some router in it takes nothing between two slashes for a parameter.
    """

    mounts: tuple[Mount, ...] = ()
    roots: tuple[str, ...] = ()
    empty_parameters: bool = False


NOWHERE = Places()


def places_of(app: Any) -> Places:
    """Return where apps of known frameworks mount others. An app that cannot be read is left out: the start says so."""
    found = list(_places(app, (), ()))
    mounts = dict.fromkeys(Mount(pieces, framework.routes_by_whole_path) for pieces, framework, _ in found if pieces)
    roots = dict.fromkeys(root for *_, root in found if root)
    return Places(tuple(mounts), tuple(roots), any(framework.empty_parameters for _, framework, _ in found))


def _places(app: Any, pieces: Pieces, above: tuple[Any, ...]) -> Iterator[tuple[Pieces, Framework, str]]:
    """Yield every app with the mounts that lead to it, its framework and the root path that it has given itself."""
    yield pieces, ANY, ""
    for inner, framework, _ in apps_within(app):
        if any(inner is each for each in above) or len(above) > DEPTH:
            continue
        yield pieces, framework, framework.own_root(inner)
        mounted: list[tuple[Any, str]] = []
        below = functools.partial(_noted, mounted)
        try:
            for _ in framework.routes(inner, "", below):
                pass
        except Exception:  # noqa: S112 - logged where the routes are listed
            continue
        for each, path in mounted:
            yield from _places(each, (*pieces, Piece(path, framework.mounts_are_text)), (*above, inner))


def _noted(mounted: list[tuple[Any, str]], app: Any, path: str) -> Iterator[FoundRoute]:
    """Note an app that is mounted, whose own routes are not asked for here."""
    mounted.append((app, path))
    return iter(())


class MountReader:
    """What the app of one mount may take a path for, and what the rules say of such a path."""

    def __init__(self, mount: Mount, rules: Iterable[tuple[Any, tuple[Segment, ...]]], *, empty: bool) -> None:
        self._mount = mount
        parsed = [_parsed(piece.path) for piece in mount.pieces]
        self._heads = [compiled(each, empty=empty) if each else None for each in parsed]
        whole = tuple(segment for each in parsed for segment in each)
        self.rules = [
            (rule, compiled(tail, empty=empty)) for rule, path in rules if (tail := _left(path, whole)) is not None
        ]

    def readings(self, spellings: Iterable[str], roots: Iterable[str], work: Work, *, is_whole: bool) -> list[str]:
        """Return the paths by which the app may route, of the spellings of a request's path.

        ``is_whole`` says that some root path does not begin the path, so that an app may take all of it for its own.
        Raises ``TooMuchWork``.
        """
        below = dict.fromkeys(root for root in roots if root)
        if not self.rules or not (below or self._mount.is_loose):
            return []  # the app routes by what is left, and so a rule with the whole path says the same
        is_whole = is_whole or self._mount.is_loose
        found = dict.fromkeys(spellings)
        for head, piece in zip(self._heads, self._mount.pieces, strict=True):
            at_mount: dict[str, None] = {}
            joined: dict[str, None] = {}
            for path in found:
                work.take(len(path))
                end = 0 if head is None else _end(path, head, is_text=piece.is_text)
                if end is None:
                    continue
                rest = "/" + path[end:].lstrip("/")
                work.take((end + len(path)) * len(below))
                joined |= dict.fromkeys(root + path[:end] for root in below)  # the root path of the app that is mounted
                for each in (rest, path) if is_whole else (rest,):
                    work.take(len(each) * (1 + len(below) + len(joined)))
                    at_mount[each] = None
                    at_mount |= dict.fromkeys(_below(each, (*below, *joined)))
            found, below = at_mount, below | joined
        return list(found)


def _parsed(path: str) -> tuple[Segment, ...]:
    """Return the segments of a mount's path; of one that no rule can be written for, none."""
    try:
        return parse(path if path.startswith("/") else f"/{path}")
    except ConfigurationError:
        return ()


def _left(path: tuple[Segment, ...], mount: tuple[Segment, ...]) -> tuple[Segment, ...] | None:
    """Return what is left of the path of a rule in the app of a mount; None where the rule reaches nothing there."""
    rest = next((place for place, each in enumerate(path) if each.rest), len(path))
    count = min(len(mount), rest)
    if count == len(path) < len(mount) or not (count == 0 or meet(path[:count], mount[:count])):
        return None
    return path[count:]


def _end(path: str, head: re.Pattern[str], *, is_text: bool) -> int | None:
    """Return where the part of a path ends by which it comes to a mount, None for one that does not."""
    found = head.match(path)
    if found is None or not (is_text or path[found.end() : found.end() + 1] in ("", "/")):
        return None
    return found.end()


def _below(path: str, roots: Iterable[str]) -> Iterator[str]:
    for root in roots:
        if root in path:
            yield "/" + path.partition(root)[2].lstrip("/")


def roots_of(scope: Mapping[str, Any], places: Places) -> tuple[str, ...]:
    """Return the root paths below which an app may take a request to be: also those that headers name."""
    root = str(scope.get("root_path", ""))
    named = [value for name, value in scope["headers"] if hyphened(name) in PREFIXES]
    given = [each.strip(b" \t").rstrip(b"/").decode("latin-1") for value in named for each in value.split(b",")]
    return tuple(dict.fromkeys(each for each in (root, *places.roots, *given) if each))


def is_outside(scope: Mapping[str, Any], roots: Iterable[str]) -> bool:
    """Whether some root path does not begin the path of a request, decoded or as it came."""
    raw = bytes(scope.get("raw_path") or b"") or str(scope["path"]).encode("utf-8", "surrogatepass")
    return any(
        not (scope["path"].startswith(root) and raw.startswith(root.encode("utf-8", "surrogatepass"))) for root in roots
    )
