"""What is let through when prompts are loaded is what the grammar of the engine's back end holds answers to."""

import json
from typing import Any

import pytest

from MetaCaptioner.agents.answer_schema import _ABOUT, _FORMATS, _HELD, check_schema, validator_of
from MetaCaptioner.engine.example_answer import example_answer

xgrammar = pytest.importorskip("xgrammar", reason="comes with vLLM")

A = {"properties": {"a": {"type": "integer"}}, "type": "object"}
HELD: dict[str, tuple[dict[str, Any], object, object]] = {
    "type": ({"type": "integer"}, 3, "3"),
    "type, several": ({"type": ["integer", "null"]}, None, "3"),
    "enum": ({"enum": ["a", 1, None]}, None, "b"),
    "const": ({"const": "a"}, "a", "b"),
    "properties": ({**A, "required": ["a"]}, {"a": 1}, {"a": "x"}),
    "required": ({**A, "required": ["a"]}, {"a": 1}, {}),
    "additionalProperties": ({**A, "additionalProperties": {"type": "null"}}, {"b": None}, {"b": 1}),
    "items": ({"type": "array", "items": {"type": "integer"}}, [1, 2], ["x"]),
    "prefixItems": ({"type": "array", "prefixItems": [{"type": "null"}], "items": False}, [None], [1]),
    "minItems": ({"type": "array", "items": {"type": "null"}, "minItems": 2}, [None, None], [None]),
    "maxItems": ({"type": "array", "items": {"type": "null"}, "maxItems": 1}, [None], [None, None]),
    "minLength": ({"type": "string", "minLength": 2}, "ab", "a"),
    "maxLength": ({"type": "string", "maxLength": 2}, "ab", "abc"),
    "pattern": ({"type": "string", "pattern": "^[a-z]+$"}, "ab", "AB"),
    "format": ({"type": "string", "format": "date"}, "2026-01-31", "yesterday"),
    "minimum": ({"type": "integer", "minimum": 3}, 3, 2),
    "maximum": ({"type": "number", "maximum": 3}, 2.5, 4),
    "exclusiveMinimum": ({"type": "integer", "exclusiveMinimum": 3}, 4, 3),
    "exclusiveMaximum": ({"type": "integer", "exclusiveMaximum": 3}, 2, 3),
    "$ref": ({"$defs": {"n": A}, "type": "array", "items": {"$ref": "#/$defs/n"}}, [{"a": 1}], [{"a": "x"}]),
    "$defs": ({"$defs": {"n": A}, "$ref": "#/$defs/n"}, {"a": 1}, 3),
    "definitions": ({"definitions": {"n": A}, "$ref": "#/definitions/n"}, {"a": 1}, 3),
    "anyOf": ({"anyOf": [{"type": "null"}, A]}, {"a": 1}, 3),
    "oneOf": ({"oneOf": [{"type": "null"}, A]}, None, 3),
}


def holds(schema: dict[str, Any], value: object) -> bool:
    """Whether an engine that is held to a schema can write a value."""
    grammar = xgrammar.Grammar.from_json_schema(json.dumps(schema))
    return bool(xgrammar.testing._is_grammar_accept_string(grammar, json.dumps(value)))


@pytest.mark.parametrize("name", HELD)
def test_each_keyword_that_is_let_through_is_held(name: str) -> None:
    schema, fits, fits_not = HELD[name]
    check_schema(schema)
    assert validator_of(schema).is_valid(fits)
    assert not validator_of(schema).is_valid(fits_not)
    assert holds(schema, fits)
    assert not holds(schema, fits_not)


def test_no_keyword_is_let_through_untried() -> None:
    assert {name.partition(",")[0] for name in HELD} == set(_HELD)
    check_schema({"type": "string", **dict.fromkeys(_ABOUT - {"$schema", "$id", "examples", "deprecated"}, "x")}
                 | {"readOnly": True, "writeOnly": False})  # fmt: skip


@pytest.mark.parametrize("name", sorted(_FORMATS))
def test_each_format_is_held(name: str) -> None:
    schema = {"type": "string", "format": name}
    check_schema(schema)
    assert not holds(schema, "%%% no such thing \n")
    assert holds(schema, json.loads(example_answer(schema, 0, "")))


@pytest.mark.parametrize(
    ("schema", "passed"),
    [
        ({"not": {"type": "string"}}, "a"),
        ({"type": "object", "required": ["a"]}, {}),
        ({"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 5}]}, 9),
        ({"type": "string", "pattern": "^[a-z]+$", "maxLength": 2}, "abc"),
    ],
)
def test_what_is_refused_would_have_been_passed_over(schema: dict[str, Any], passed: object) -> None:
    """Should a version of the back end hold answers to it, it may be let through."""
    with pytest.raises(ValueError, match=r"no engine can hold|is required, but"):
        check_schema(schema)
    assert not validator_of(schema).is_valid(passed)
    assert holds(schema, passed)
