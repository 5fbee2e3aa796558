import json
from typing import Any

import pytest

from MetaCaptioner.agents.answer_schema import _FORMATS, check_schema, validator_of
from MetaCaptioner.agents.dimensions import SHIPPED
from MetaCaptioner.agents.judge import verdict_schema
from MetaCaptioner.engine.example_answer import example_answer

NODE = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}}}
SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"a": {"type": "string", "minLength": 20}, "b": {"type": "integer"}}},
    {"type": "array", "items": {"enum": ["a", 1, None]}, "minItems": 2, "maxItems": 3},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}], "items": False, "minItems": 2},
    {"type": "integer", "minimum": 3, "maximum": 4},
    {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    {"type": "integer", "maximum": -2},
    {"type": ["string", "null"], "maxLength": 3},
    {"const": {"a": [1]}},
    {"oneOf": [{"type": "null"}, {"type": "boolean"}]},
    {"$defs": {"n": {**NODE, "required": ["next"]}}, "$ref": "#/$defs/n"},
    {"$defs": {"n": NODE}, "type": "array", "items": {"$ref": "#/$defs/n"}},
    {"properties": {"a": {}}, "required": ["a"]},
    *({"type": "string", "format": name} for name in sorted(_FORMATS)),
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=json.dumps)
def test_what_is_answered_fits_the_schema(schema: dict[str, Any]) -> None:
    check_schema(schema)
    for number in (0, 1, 2, 5, 0x9E3779B9, 0xFFFFFFFF):
        value = json.loads(example_answer(schema, number, "scripted 12345678"))
        assert validator_of(schema).is_valid(value), value


def test_marks_are_those_of_earlier_versions() -> None:
    number = 0x12345678
    marks = {one.name: 1 + (number >> place) % 5 for place, one in enumerate(SHIPPED, start=1)}
    assert json.loads(example_answer(verdict_schema(SHIPPED), number, "x")) == {"reason": "x", **marks}
