"""The published schema is what is checked, and the checker passes over nothing that it does not know."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from stepup_middleware.core.schema import violations
from stepup_middleware.service.evidence import evidence_schema

from .generator import Generator
from .tampering import every_alteration


def test_every_generated_bundle_has_the_published_shape(generator: Generator) -> None:
    for _ in range(50):
        _, bundle = generator.step_up()
        assert list(violations(evidence_schema(), bundle)) == []
        assert json.loads(json.dumps(bundle)) == bundle


def test_a_validator_of_json_schema_comes_to_the_same_result_as_ours(generator: Generator) -> None:
    Draft202012Validator.check_schema(evidence_schema())
    validator = Draft202012Validator(evidence_schema())
    for _ in range(30):
        _, bundle = generator.step_up()
        validator.validate(bundle)
    _, bundle = generator.step_up(plain=True)
    refused = 0
    for tampered in every_alteration(bundle):
        ours = next(violations(evidence_schema(), tampered.bundle), None) is None
        assert validator.is_valid(tampered.bundle) is ours, (tampered.how, tampered.text)
        refused += not ours
    assert refused > 100


def test_the_schema_ships_with_the_package_and_names_its_version() -> None:
    text = files("stepup_middleware").joinpath("schemas", "evidence-1.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["properties"]["version"] == {"const": 1}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, 1, True),
        ({"type": "integer"}, 1, 1.0),
        ({"const": 1}, 1, True),
        ({"type": "integer", "minimum": 1, "maximum": 3}, 3, 4),
        ({"type": "string", "pattern": "^[a-f]+$"}, "abc", "abc\n"),
        ({"type": "string", "minLength": 2}, "ab", "a"),
        ({"enum": ["a", "b"]}, "a", "c"),
        ({"type": "array", "minItems": 1, "items": {"type": "string"}}, ["a"], []),
        ({"type": "array", "items": {"type": "string"}}, ["a"], ["a", 1]),
        ({"type": "object", "required": ["a"], "properties": {"a": {}}}, {"a": 1}, {}),
        ({"type": "object", "additionalProperties": False, "properties": {"a": {}}}, {"a": 1}, {"b": 1}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None, 1),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "null"}}}, None, 1),
    ],
)
def test_each_keyword_lets_the_right_value_pass_and_stops_the_wrong_one(
    schema: dict[str, Any], good: Any, bad: Any
) -> None:
    assert list(violations(schema, good)) == []
    assert len(list(violations(schema, bad))) == 1


def test_an_unknown_keyword_is_an_error_and_not_a_pass() -> None:
    with pytest.raises(ValueError, match="not understood"):
        list(violations({"oneOf": []}, 1))


def test_a_violation_is_named_by_its_path() -> None:
    schema = {"properties": {"a": {"type": "array", "items": {"properties": {"b": {"type": "null"}}}}}}
    assert list(violations(schema, {"a": [{}, {"b": 1}]})) == [("a[1].b", "is not of type null")]
