"""Worker side. Values drawn from JSON schemas are valid, and schemas that nothing fulfils are refused quickly."""

from __future__ import annotations

from random import Random
from typing import Any

import jsonschema
import pytest

from providers.simulator.schema import Sampler, UnusableSchema

TREE = {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "value": {"type": "integer"}}}
BOUNDED = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": -5, "maximum": -3},
        {"type": "integer", "exclusiveMinimum": 6, "multipleOf": 7},
        {"type": "integer", "maximum": 0},
        BOUNDED,
        {"type": "number", "minimum": 0.11, "maximum": 0.12},
        {"type": "string", "minLength": 40},
        {"type": "string", "maxLength": 2},
        {"type": "array", "items": {"type": "boolean"}, "maxItems": 1},
        {"type": "array", "prefixItems": [{"type": "integer"}, {"const": "x"}], "items": {"type": "null"}},
        {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True},
        {"type": ["null", "integer"]},
        {"oneOf": [{"type": "null"}, {"type": "string"}]},
        {"allOf": [{"properties": {"a": {"type": "integer"}}}, {"required": ["a", "b"]}], "type": "object"},
        {"properties": {"a": {"$ref": "#/definitions/b~1c"}}, "definitions": {"b/c": {"const": 7}}, "required": ["a"]},
        {"enum": [{"deep": [1]}]},
        {},
        TREE,
    ],
)
def test_drawn_values_are_valid(schema: dict[str, Any]) -> None:
    for seed in range(20):
        value = Sampler(schema, Random(seed), prefix="alpha ").draw()

        jsonschema.validate(value, schema)


def test_a_nullable_recursion_ends_with_null() -> None:
    schema = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["next"],
    }

    value = Sampler(schema, Random(1)).draw()

    jsonschema.validate(value, schema)
    while value is not None:
        value = value["next"]


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#/$defs/missing"},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "array", "items": {"type": "integer"}, "minItems": 10**9},
        {"type": "string", "minLength": 10**9},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "unheard-of"},
        {"type": "integer", "minimum": "three"},
        {"type": "integer", "multipleOf": 1e-320, "minimum": 3},
        {"type": "object", "properties": [1]},
        {"properties": {"a": 3}},
    ],
)
def test_a_schema_that_nothing_fulfils_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(UnusableSchema):
        Sampler(schema, Random(1)).draw()
