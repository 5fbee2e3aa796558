"""The JSON Schema that an agent's answer has to fit: what of it is refused when prompts are loaded.

Only what the grammars of engines hold an answer to is let through: a schema of which half was passed over would be
found out sample by sample, in answers that do not fit. Source: XGrammar's `json_schema_converter`, and what vLLM says
of it in `has_xgrammar_unsupported_json_features`.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from MetaCaptioner.utils.json_text import from_json, to_json
from MetaCaptioner.utils.options import nearest

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

Schema = Mapping[str, Any]

_ABOUT = frozenset(
    ("$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly")
)
"""Keywords that ask nothing of an answer."""
_PARTS = ("$defs", "definitions", "properties")
"""Keywords whose values are schemas by name."""
_CHOICES = ("anyOf", "oneOf")
_HELD = (
    *("type", "enum", "const", "required", "additionalProperties", "items", "prefixItems", "minItems", "maxItems"),
    *("minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("$ref", *_CHOICES, *_PARTS),
)
_FORMATS = frozenset(
    (
        *("email", "date", "time", "date-time", "duration", "ipv4", "ipv6", "hostname", "uuid", "uri"),
        *("uri-reference", "uri-template", "json-pointer", "relative-json-pointer"),
    )
)
_MOST_REFERENCES = 50
_MESSAGE_CHARACTERS = 160


def check_schema(schema: Schema) -> None:
    """Refuse what is no JSON Schema, and what no engine can hold an answer to.

    Raises:
        ValueError: that; the message is one line, and says where in the schema.
    """
    from jsonschema.exceptions import SchemaError

    if from_json(to_json(schema)) != schema:
        raise ValueError("holds what JSON has no word for, such as a name that is a number: write it in quotes")
    if not isinstance(schema.get("$schema", ""), str):
        raise ValueError("'$schema' must be text")
    kind = _kind_of(schema)
    try:
        kind.check_schema(schema, format_checker=kind.FORMAT_CHECKER)
    except SchemaError as error:
        message = " ".join(error.message.split())
        raise ValueError(f"is no JSON Schema: {_at(error.absolute_path)}{message:.{_MESSAGE_CHARACTERS}}") from error
    if not schema.keys() - _ABOUT - {"$defs", "definitions"}:
        raise ValueError("asks nothing of an answer")
    for place, part in _parts(schema, ()):
        _check_part(schema, place, part)


def _kind_of(schema: Schema) -> Any:
    """The validator for the draft that a schema names, or for the newest."""
    from jsonschema.validators import Draft202012Validator, validator_for

    return validator_for(schema, default=Draft202012Validator)


def _at(place: Sequence[object]) -> str:
    return f"at {'.'.join(map(str, place))}: " if place else ""


def _parts(schema: object, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Schema]]:
    """(place, schema) of a schema and all within it."""
    if not isinstance(schema, dict):
        return
    yield place, schema
    for keyword in _PARTS:
        for name, part in schema.get(keyword, {}).items():
            yield from _parts(part, (*place, keyword, name))
    for keyword in ("items", "additionalProperties"):
        yield from _parts(schema.get(keyword), (*place, keyword))
    for keyword in ("prefixItems", *_CHOICES):
        for number, part in enumerate(schema.get(keyword, ())):
            yield from _parts(part, (*place, keyword, str(number)))


def _check_part(root: Schema, place: Sequence[str], part: Schema) -> None:
    """Refuse what is not held in one schema of a schema, the ones within it left out.

    Raises:
        ValueError: that.
    """
    where = _at(place)
    for keyword in part:
        if keyword not in _ABOUT and keyword not in _HELD:
            raise ValueError(f"{where}no engine can hold an answer to '{keyword}'{nearest(keyword, _HELD)}")
    for alone in ("$ref", *_CHOICES):
        beside = sorted(part.keys() - _ABOUT - {alone, "$defs", "definitions"})
        if alone in part and beside:
            raise ValueError(f"{where}no engine can hold an answer to '{beside[0]}' beside '{alone}'")
    if isinstance(part.get("items"), list):
        raise ValueError(f"{where}no engine can hold an answer to a list in 'items'; write 'prefixItems'")
    if part.get("format", "date") not in _FORMATS:
        raise ValueError(f"{where}no engine can hold an answer to the format '{part['format']}'")
    if part.keys() & {"pattern", "format"} and part.keys() & {"minLength", "maxLength"}:
        raise ValueError(f"{where}no engine can hold an answer to a length beside 'pattern' or 'format'")
    unnamed = [name for name in part.get("required", ()) if name not in part.get("properties", {})]
    if unnamed:
        raise ValueError(f"{where}'{unnamed[0]}' is required, but not among the properties")
    for value in (*part.get("enum", ()), *([part["const"]] if "const" in part else [])):
        if "type" in part and not validator_of({"type": part["type"]}).is_valid(value):
            raise ValueError(f"{where}{to_json(value).decode()} is no {part['type']} (YAML's yes and no need quotes)")
    _resolved(root, part, where)


def _resolved(root: Schema, part: object, where: str = "") -> Schema:
    """What a schema refers to, or itself; an empty one stands for `true` and `false`.

    Raises:
        ValueError: there is no such place within the whole schema, or it refers to itself.
    """
    for _ in range(_MOST_REFERENCES):
        if not isinstance(part, dict):
            return {}
        if "$ref" not in part:
            return part
        reference = str(part["$ref"])
        if reference != "#" and not reference.startswith("#/"):
            raise ValueError(f"{where}'$ref' must be of a place within the schema ('#/$defs/NAME'), not '{reference}'")
        part = root
        for name in reference.split("/")[1:]:
            name = name.replace("~1", "/").replace("~0", "~")
            if not isinstance(part, dict) or name not in part:
                raise ValueError(f"{where}'$ref': there is no '{reference}' in the schema")
            part = part[name]
    raise ValueError(f"{where}'$ref' refers to itself")


def check_field(schema: Schema, path: Sequence[str]) -> None:
    """Refuse a field that an answer that fits may be without.

    Raises:
        ValueError: that; the message says of which property, and which there are.
    """
    part: object = schema
    for name in path:
        there = _resolved(schema, part)
        properties = there.get("properties", {})
        if name not in properties:
            known = f"it has {', '.join(properties)}" if properties else "it has no properties"
            raise ValueError(f"the schema has no property '{name}'{nearest(name, properties)} ({known})")
        if name not in there.get("required", ()):
            raise ValueError(f"an answer may be without '{name}': name it in 'required' of the schema")
        part = properties[name]


def validator_of(schema: Schema) -> "Validator":
    """What tells whether a value fits a schema; it opens no address that one may refer to."""
    return _made(to_json(schema))


@cache
def _made(schema: bytes) -> "Validator":
    from referencing import Registry

    content = from_json(schema)
    kind = _kind_of(content)
    made: Validator = kind(content, registry=Registry(), format_checker=kind.FORMAT_CHECKER)
    return made
