"""A value that fits a JSON Schema, made from a number: what an engine without a model answers."""

import json
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]
_OF_FORMAT = {
    "email": "a@example.org",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "date-time": "2026-01-31T12:00:00Z",
    "duration": "P1D",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "hostname": "example.org",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
    "uri": "https://example.org/a",
    "uri-reference": "a/b",
    "uri-template": "a/{b}",
    "json-pointer": "/a",
    "relative-json-pointer": "1/a",
}
_DEEPEST = 6
"""So deep a schema that refers to itself is followed, where it lets an answer end."""


def example_answer(schema: Schema, number: int, text: str) -> str:
    """JSON that fits a schema: choices follow the bits of `number`, strings are `text` where they may be.

    Lengths, ranges, choices, formats and required fields are kept; patterns of strings are not.
    """
    return json.dumps(_Example(schema, text).value(schema, number, 0))  # noqa: TID251 an answer, not a file


class _Example:
    def __init__(self, root: Schema, text: str) -> None:
        self._root = root
        self._text = text

    def value(self, schema: object, number: int, depth: int) -> object:
        """A value that fits; `depth` counts the objects and lists around it."""
        if not isinstance(schema, Mapping) or not schema:
            return self._text
        if "$ref" in schema:
            return self.value(self._referred(str(schema["$ref"])), number, depth)
        if "const" in schema:
            return schema["const"]
        choices = schema.get("enum")
        if choices:
            return choices[number % len(choices)]
        for alternatives in filter(None, (schema.get("anyOf"), schema.get("oneOf"))):
            simplest = min(alternatives, key=lambda one: "$ref" in one) if depth >= _DEEPEST else None
            return self.value(simplest or alternatives[number % len(alternatives)], number, depth)
        kind = schema.get("type", "object" if "properties" in schema else "string")
        kind = kind if isinstance(kind, str) else kind[number % len(kind)]
        if kind == "object":
            return self._object(schema, number, depth)
        if kind == "array":
            return self._array(schema, number, depth)
        return self._plain(kind, schema, number)

    def _referred(self, reference: str) -> object:
        found: Any = self._root
        for name in reference.split("/")[1:]:
            found = found[name.replace("~1", "/").replace("~0", "~")]
        return found

    def _object(self, schema: Schema, number: int, depth: int) -> dict[str, object]:
        named = schema.get("properties", {})
        wanted = named if depth < _DEEPEST else schema.get("required", ())
        return {name: self.value(named[name], number >> place, depth + 1) for place, name in enumerate(wanted)}

    def _array(self, schema: Schema, number: int, depth: int) -> list[object]:
        first = schema.get("prefixItems", [])
        least = schema.get("minItems", 0)
        count = max(least, min(schema.get("maxItems", len(first) + 2), len(first) + (depth < _DEEPEST) * number % 3))
        rest = schema.get("items", True)
        kinds = [*first, *[rest] * max(0, count - len(first))] if rest is not False else [*first]
        return [self.value(one, number + place, depth + 1) for place, one in enumerate(kinds)]

    def _plain(self, kind: str, schema: Schema, number: int) -> object:
        if kind == "boolean":
            return number % 2 == 1
        if kind == "null":
            return None
        if kind == "string":
            if schema.get("format") in _OF_FORMAT:
                return _OF_FORMAT[schema["format"]]
            least, most = schema.get("minLength", 0), schema.get("maxLength", len(self._text))
            return self._text.ljust(least, ".")[: max(least, most)]
        step = 1 if kind == "integer" else 0.5
        least = schema["exclusiveMinimum"] + step if "exclusiveMinimum" in schema else schema.get("minimum")
        most = schema["exclusiveMaximum"] - step if "exclusiveMaximum" in schema else schema.get("maximum")
        if least is None:
            return number % 5 if most is None else most - number % 5
        return least if most is None or most < least else least + number % (int(most - least) + 1)
