"""The part of JSON Schema (2020-12) that the published schemas use, so that they are what is checked.

Known keywords: ``type``, ``const``, ``enum``, ``pattern``, ``minLength``, ``minimum``, ``maximum``, ``required``,
``properties``, ``additionalProperties: false``, ``items``, ``minItems``, ``anyOf`` and ``$ref`` into ``$defs``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_ANNOTATIONS = frozenset(
    {"$schema", "$id", "$defs", "title", "description", "$comment", "contentMediaType", "contentSchema"}
)
_KNOWN = frozenset(
    {
        "type", "const", "enum", "pattern", "minLength", "minimum", "maximum", "required", "properties",
        "additionalProperties", "items", "minItems", "anyOf", "$ref",
    }
)  # fmt: skip
_TYPES: Mapping[str, type] = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}

Violation = tuple[str, str]


def violations(schema: Mapping[str, Any], value: object) -> Iterator[Violation]:
    """Yield the path and the problem of everything in a JSON value that a schema forbids.

    A path reads like ``segments[0].head.link``; it is empty for the whole value. Raises ``ValueError`` for a
    keyword that this module does not know, rather than pass over it.
    """
    yield from _check(schema, value, "", schema.get("$defs", {}))


def _check(schema: Mapping[str, Any], value: object, path: str, definitions: Mapping[str, Any]) -> Iterator[Violation]:
    unknown = schema.keys() - _KNOWN - _ANNOTATIONS
    if unknown:
        raise ValueError(f"keywords {sorted(unknown)} are not understood")
    if "$ref" in schema:
        yield from _check(definitions[schema["$ref"].removeprefix("#/$defs/")], value, path, definitions)
    if "anyOf" in schema:
        yield from _any_of(schema["anyOf"], value, path, definitions)
    if "type" in schema and not _is(schema["type"], value):
        yield path, f"is not of type {schema['type']}"
        return
    if "const" in schema and (type(value) is not type(schema["const"]) or value != schema["const"]):
        yield path, f"is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield path, f"is none of {schema['enum']}"
    match value:
        case str():
            if "pattern" in schema and not re.fullmatch(schema["pattern"].removeprefix("^").removesuffix("$"), value):
                yield path, f"does not match {schema['pattern']}"
            if len(value) < schema.get("minLength", 0):
                yield path, "is too short"
        case bool():
            pass
        case int():
            if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
                yield path, "is out of range"
        case list():
            if len(value) < schema.get("minItems", 0):
                yield path, f"has fewer than {schema['minItems']} entries"
            if "items" in schema:
                for index, item in enumerate(value):
                    yield from _check(schema["items"], item, f"{path}[{index}]", definitions)
        case dict():
            yield from _object(schema, value, path, definitions)


def _any_of(
    choices: list[Mapping[str, Any]], value: object, path: str, definitions: Mapping[str, Any]
) -> Iterator[Violation]:
    """Yield the violations of the choice that comes closest: the first one of the value's type."""
    found = [list(_check(choice, value, path, definitions)) for choice in choices]
    if all(found):
        deeper = [faults for faults in found if all(where != path for where, _ in faults)]
        yield from (deeper or found)[0]


def _object(
    schema: Mapping[str, Any], value: dict[str, Any], path: str, definitions: Mapping[str, Any]
) -> Iterator[Violation]:
    properties: Mapping[str, Any] = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield _member(path, name), "is missing"
    for name, member in value.items():
        if name in properties:
            yield from _check(properties[name], member, _member(path, name), definitions)
        elif schema.get("additionalProperties") is False:
            yield _member(path, name), "is not a member that the format has"


def _member(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is(wanted: str, value: object) -> bool:
    if wanted == "null":
        return value is None
    if wanted == "integer" and isinstance(value, bool):
        return False
    return isinstance(value, _TYPES[wanted])
