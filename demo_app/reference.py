"""The guide's reference: ``reference.md`` names what is public, the docstrings of the library say the rest.

A list item that is a dotted name becomes a section of its own, with its signature, its docstring and, for a class, its
documented methods and properties. The sources are read, not imported (griffe).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import cast

import griffe

PACKAGE = "stepup_middleware"
_ITEM = re.compile(rf"^- `({PACKAGE}\.[\w.]+)`$", re.MULTILINE)
_LINE = 100  # characters of a signature on one line


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A public name: the path that an app imports it by, and what stands there in the sources."""

    path: str
    found: griffe.Object

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def heading(self) -> str:
        """Return the name as a heading: with its module where the library itself has another one of that name."""
        module, _, name = self.path.rpartition(".")
        return (
            f"{module.rpartition('.')[2]}.{name}"
            if module != PACKAGE and f"{PACKAGE}.{name}" in exported(PACKAGE)
            else name
        )

    @property
    def members(self) -> list[griffe.Object]:
        """Return the methods and properties that are shown: what has a docstring of its own, without underscore."""
        if not isinstance(self.found, griffe.Class):
            return []
        members = [member for member in self.found.members.values() if isinstance(member, griffe.Object)]
        return [each for each in members if _is_part(each) and each.has_docstring]

    @property
    def undocumented(self) -> list[str]:
        """Return what a reader would miss: the name itself, its methods and properties, its fields.

        A method may have its docstring from a base class. A field is told of by its name in the docstring of the
        class, or by a docstring of its own; the members of an enumeration are told by their values.
        """
        missing = [] if self.found.has_docstring else [self.path]
        if not isinstance(self.found, griffe.Class):
            return missing
        told = self.found.docstring.value if self.found.docstring else ""
        bases = [base for base in self.found.mro() if isinstance(base, griffe.Class)]
        for name, member in self.found.members.items():
            if name.startswith("_") or not isinstance(member, griffe.Object) or member.has_docstring:
                continue
            if _is_part(member):
                inherited = any(name in base.members and base.members[name].has_docstring for base in bases)
                missing += [] if inherited else [f"{self.path}.{name}"]
            elif _is_field(self.found, member) and not re.search(rf"``{name}\b", told):
                missing.append(f"{self.path}.{name}")
        return missing


def names(text: str) -> list[str]:
    """Return the public names that the page lists, in its order."""
    return _ITEM.findall(text)


@cache
def _package() -> griffe.Module:
    return cast(griffe.Module, griffe.load(PACKAGE, allow_inspection=False, resolve_aliases=True))


def entry(path: str) -> Entry:
    """Return a public name with what stands there. Raises ``KeyError`` when nothing does."""
    found = _package()[path.removeprefix(f"{PACKAGE}.")]
    return Entry(path=path, found=found.final_target if isinstance(found, griffe.Alias) else found)


def exported(module: str) -> list[str]:
    """Return the paths of the names that a module of the package exports by ``__all__``."""
    found = _package() if module == PACKAGE else _package()[module.removeprefix(f"{PACKAGE}.")]
    return [f"{module}.{name}" for name in found.exports or ()]


def expanded(text: str) -> str:
    """Return the page with each name that it lists replaced by a section about it, as Markdown."""
    entries = {path: entry(path) for path in names(text)}
    known = {each.name for each in entries.values()}
    return _ITEM.sub(lambda item: "\n".join(_section(entries[item[1]], known)), text)


def _section(entry: Entry, known: set[str]) -> Iterator[str]:
    yield f"### {entry.heading}\n"
    yield f"```python\n{_import(entry)}{_signature(entry.found, entry.name)}\n```\n"
    yield _prose(entry.found, known - {entry.name})
    if isinstance(entry.found, griffe.Class) and _is_enumeration(entry.found):
        values = [each for each in entry.found.members.values() if isinstance(each, griffe.Attribute) and each.value]
        yield "".join(f"- `{each.name}` is `{each.value}`\n" for each in values if "property" not in each.labels)
    for member in entry.members:
        yield f"#### {entry.name}.{member.name}\n"
        yield f"```python\n{_signature(member, member.name)}\n```\n"
        yield _prose(member, known)


def _import(entry: Entry) -> str:
    return f"from {entry.path.rpartition('.')[0]} import {entry.name}\n\n"


def _prose(found: griffe.Object, known: set[str]) -> str:
    """Return a docstring as Markdown: names in single backquotes, those of this page as links."""
    text = found.docstring.value if found.docstring else ""
    text = re.sub(r"``(.+?)``", r"`\1`", text)
    return re.sub(r"(?<!\[)`(\w+)`", lambda name: _linked(name[1], known), text) + "\n"


def _linked(name: str, known: set[str]) -> str:
    return f"[`{name}`](#{name.lower()})" if name in known and name != "__version__" else f"`{name}`"


def _signature(found: griffe.Object, name: str) -> str:
    if isinstance(found, griffe.Attribute):
        return f"{name}: {found.annotation}" if found.annotation else f"{name} = {found.value}"
    if isinstance(found, griffe.Class):
        if _is_enumeration(found) or not found.parameters:
            return f"class {name}({', '.join(str(base) for base in found.bases)})".replace("()", "")
        return _call(f"class {name}", found.parameters, "")
    function = cast(griffe.Function, found)
    start = "async def" if "async" in function.labels else "def"
    return _call(f"{start} {name}", function.parameters, f" -> {function.returns}" if function.returns else "")


def _call(start: str, parameters: griffe.Parameters, end: str) -> str:
    parts: list[str] = []
    keywords = False
    for each in parameters:
        if each.name in ("self", "cls"):
            continue
        if each.kind is griffe.ParameterKind.keyword_only and not keywords:
            keywords = True
            parts.append("*")
        star = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(each.kind, "")
        keywords = keywords or star == "*"
        annotation = f": {each.annotation}" if each.annotation else ""
        default = f" = {each.default}" if each.default is not None and not star else ""
        parts.append(f"{star}{each.name}{annotation}{default}")
    line = f"{start}({', '.join(parts)}){end}"
    if len(line) <= _LINE:
        return line
    return f"{start}(\n" + "".join(f"    {part},\n" for part in parts) + f"){end}"


def _is_part(member: griffe.Object) -> bool:
    """Tell a public method or property from a field and from what is internal."""
    if member.name.startswith("_"):
        return False
    return isinstance(member, griffe.Function) or "property" in member.labels


def _is_field(owner: griffe.Class, member: griffe.Object) -> bool:
    if not isinstance(member, griffe.Attribute) or _is_enumeration(owner):
        return False
    return "class-attribute" in member.labels or "dataclass" in owner.labels


def _is_enumeration(found: griffe.Class) -> bool:
    return any(str(base).rpartition(".")[2] in ("Enum", "StrEnum", "IntEnum") for base in found.bases)
