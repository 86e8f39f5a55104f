"""OCSF 1.8.0 as published: the class Authentication (3002) with the profile security_control, as JSON Schema."""

from __future__ import annotations

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

VERSION = "1.8.0"


@cache
def published() -> dict[str, Any]:
    """Return the whole schema of this version, with the captions of its enumerations."""
    schema: dict[str, Any] = get_ocsf_schema(version=VERSION)
    return schema


@cache
def _validator() -> Draft202012Validator:
    schema = OcsfJsonSchemaEmbedded(published()).get_class_schema("authentication", ["security_control"])
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def faults(event: dict[str, Any]) -> list[str]:
    """Return what the published schema has against an event."""
    return [f"{'.'.join(map(str, each.absolute_path))}: {each.message}" for each in _validator().iter_errors(event)]
