"""Every way to alter a bundle at one place, and how a bundle would be sealed anew by whoever has the head key."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Tampered:
    """A bundle that differs from a genuine one at ``path``; ``how`` says what was done there."""

    how: str
    path: Path
    bundle: Any

    @property
    def text(self) -> str:
        """The path as the findings write it."""
        return path_text(self.path)


def path_text(path: Path) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every value inside a JSON value, containers included, with its path."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for name, member in value.items():
            yield from walk(member, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from walk(item, (*path, index))


def at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def with_value(bundle: Any, path: Path, new: Any) -> Any:
    changed = copy.deepcopy(bundle)
    at(changed, path[:-1])[path[-1]] = new
    return changed


def other_values(value: Any) -> list[Any]:
    """Return values near this one: another of the same type first, then one of another type."""
    match value:
        case None:
            return ["0" * 64]
        case bool():
            return [not value, None]
        case int():
            return [value + 1, value - 1, str(value)]
        case str():
            return [*flipped(value), "", None, [value]]
        case list() | dict():
            return [None, "", []] if value else [None, ""]
    raise TypeError(value)


def flipped(text: str) -> list[str]:
    """Return the text with its first, its middle and its last character exchanged for a neighbour of their kind."""
    places = sorted({0, len(text) // 2, len(text) - 1}) if text else []
    return [text[:place] + neighbour(text[place]) + text[place + 1 :] for place in places]


def neighbour(character: str) -> str:
    """Return another character: of the same alphabet where it is a digit or one of a to f, else z or y."""
    swapped = character.translate(str.maketrans("0123456789abcdefABCDEF", "1234567890bcdefaBCDEFA"))
    if swapped != character:
        return swapped
    return "y" if character == "z" else "z"


def altered_members(bundle: Any) -> Iterator[Tampered]:
    """Each member and each element in turn, with each other value."""
    for path, value in walk(bundle):
        for new in other_values(value):
            if new != value or type(new) is not type(value):
                yield Tampered("altered", path, with_value(bundle, path, new))


def restructured(bundle: Any) -> Iterator[Tampered]:
    """Change what there is; in a list, the place is the list, for its elements have no names.

    Each member and element deleted, each element doubled, each neighbours exchanged, each list cut, members added.
    """
    for path, _ in walk(bundle):
        changed = copy.deepcopy(bundle)
        del at(changed, path[:-1])[path[-1]]
        yield Tampered("deleted", path[:-1] if isinstance(path[-1], int) else path, changed)
    for path, value in [((), bundle), *walk(bundle)]:
        if isinstance(value, dict):
            changed = copy.deepcopy(bundle)
            at(changed, path)["added"] = 1
            yield Tampered("added", (*path, "added"), changed)
        elif isinstance(value, list):
            for index in range(len(value)):
                changed = copy.deepcopy(bundle)
                at(changed, path).insert(index, copy.deepcopy(value[index]))
                yield Tampered("doubled", path, changed)
                if index + 1 < len(value) and value[index] != value[index + 1]:
                    changed = copy.deepcopy(bundle)
                    items = at(changed, path)
                    items[index], items[index + 1] = items[index + 1], items[index]
                    yield Tampered("exchanged", path, changed)
                changed = copy.deepcopy(bundle)
                del at(changed, path)[index:]
                yield Tampered("cut", path, changed)
