"""Where a fault is made: the named places of the package, and a text in one of them, compared word by word."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_WORD = re.compile(
    r"""[A-Za-z]{0,2}(?:'{3}(?:\\.|[^\\])*?'{3}|"{3}(?:\\.|[^\\])*?"{3})  # a long string with its prefix
    | [A-Za-z]{0,2}(?:'(?:\\.|[^\\'\n])*'|"(?:\\.|[^\\"\n])*")             # a string with its prefix
    | \w+
    | (?:\*\*|//|>>|<<|[-+*/%&|^@:<>=!])=|->|\*\*|//|>>|<<|<>|\|\|        # an operator of several characters
    | \S""",
    re.VERBOSE | re.DOTALL,
)
_COMMENTS = {".py": re.compile(r"#.*"), ".sql": re.compile(r"--.*"), ".lua": re.compile(r"--.*")}
_STATEMENT = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Place:
    """A named part of a file: the dotted path of its name, and where its text begins and ends."""

    path: Path
    name: tuple[str, ...]
    start: int
    end: int

    def answers_to(self, at: str) -> bool:
        """Tell whether ``at`` names this place: its last part is the name, the others stand in the path in order."""
        *before, last = at.split(".")
        if last != self.name[-1]:
            return False
        rest = iter(self.name[:-1])
        return all(part in rest for part in before)


def changed(root: Path, *, at: str, old: str, new: str) -> tuple[Path, str]:
    """Return the file below ``root`` that has the fault's place, and its text with the fault.

    Raises ``ValueError``, with the reason, when the place or the text in it is not there, or is not one.
    """
    if old.rstrip().endswith(",") and new.rstrip().endswith(","):
        old, new = old.rstrip()[:-1], new.rstrip()[:-1]  # the last of several arguments need not have one
    places = [place for place in places_of(root) if place.answers_to(at)]
    if not places:
        raise ValueError(f"no function, class, name or statement is called {at}")
    found = [(place, span) for place in places for span in _spans(_read(place.path), place, old)]
    if len(found) != 1:
        where = ", ".join(sorted({str(place.path.relative_to(root)) for place in places}))
        raise ValueError(f"the text stands {len(found)} times at {at} ({where}), not once")
    (place, (start, end)) = found[0]
    text = _read(place.path)
    line = text[text.rfind("\n", 0, start) + 1 : start]
    indented = textwrap.indent(textwrap.dedent(new).strip("\n"), line if not line.strip() else "")
    return place.path, text[:start] + indented.lstrip(" ") + text[end:]


def places_of(root: Path) -> Iterator[Place]:
    """Yield each named place of the Python and SQL files below a folder."""
    for path in sorted(root.rglob("*")):
        if path.suffix in _COMMENTS:
            yield from _places(path, path.relative_to(root).with_suffix("").parts, path.stat().st_mtime_ns)


@lru_cache(maxsize=1024)
def _places(path: Path, module: tuple[str, ...], _changed_at: int) -> tuple[Place, ...]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        lines = [0]
        for line in text.splitlines(keepends=True):
            lines.append(lines[-1] + len(line))
        return tuple(_named(ast.parse(text), module, path, lines))
    heads = list(_STATEMENT.finditer(text))
    if not heads:
        return (Place(path, module, 0, len(text)),)
    ends = [*(head.start() for head in heads[1:]), len(text)]
    return tuple(Place(path, (*module, head[1]), head.end(), end) for head, end in zip(heads, ends, strict=True))


def _named(node: ast.AST, inside: tuple[str, ...], path: Path, lines: list[int]) -> Iterator[Place]:
    for child in ast.iter_child_nodes(node):
        names: list[str] = []
        first = getattr(child, "lineno", 0)
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [child.name]
            first = min([first, *(decorator.lineno for decorator in child.decorator_list)])
        elif isinstance(child, ast.Assign | ast.AnnAssign) and isinstance(node, ast.Module | ast.ClassDef):
            targets = child.targets if isinstance(child, ast.Assign) else [child.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
        for name in names:
            last = getattr(child, "end_lineno", first)
            yield Place(path, (*inside, name), lines[first - 1], lines[last])
        yield from _named(child, (*inside, *names[:1]), path, lines)


def _words(text: str, suffix: str) -> list[tuple[str, int, int]]:
    """Return the words of a text with their places; comments, white space and trailing commas are none."""
    words: list[tuple[str, int, int]] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif (comment := _COMMENTS[suffix].match(text, at)) is not None:
            at = comment.end()
        elif (word := _WORD.match(text, at)) is not None:
            if word[0] in (")", "]", "}") and words and words[-1][0] == ",":
                words.pop()
            words.append((word[0], at, word.end()))
            at = word.end()
    return words


def _spans(text: str, place: Place, old: str) -> list[tuple[int, int]]:
    """Return where ``old`` stands in a place, as words or, failing that, as a part of a string."""
    wanted = [word for word, _, _ in _words(old, place.path.suffix)]
    if not wanted:
        return []
    there = _words(text[place.start : place.end], place.path.suffix)
    words = [word for word, _, _ in there]
    found = [
        (there[at][1], there[at + len(wanted) - 1][2])
        for at in range(len(words) - len(wanted) + 1)
        if words[at : at + len(wanted)] == wanted
    ]
    if not found:
        strings = [(word, start) for word, start, _ in there if word.endswith(("'", '"'))]
        parts = [(start + part.start(), old) for word, start in strings for part in re.finditer(re.escape(old), word)]
        found = [(start, start + len(part)) for start, part in parts]
    return [(place.start + start, place.start + end) for start, end in found]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
