"""JSON as this program writes and reads it: one writer and one reader for all of its files.

What is written is UTF-8. An escape stands for what no UTF-8 file can hold (half of a pair of surrogates, as broken
tokenizers and other programs' JSON have them), for what changes how a terminal shows the text around it (controls, the
marks that turn the direction of writing), and for what some readers take for the end of a line. Read back, it is the
same text. Nothing that is read ends in anything but a `ValueError`, however deep, long or odd it is.
"""

import json
import math
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import msgspec

from MetaCaptioner.utils.text import ODD

_Kind = TypeVar("_Kind")
_MOST_SHOWN = 40
NOT_PLAIN_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises; `from_json` then decides, which takes NaN and halves of pairs of surrogates too."""


class NotJson(ValueError):
    """A text is no JSON that can be read, or a value none that can be written; the message says why."""


def to_json(value: object, indent: int | None = None, compact: bool = False, nan: bool = False) -> bytes:
    """A value as JSON; `compact` is without spaces. With `nan` the NaN of a user's own file is handed on as it is.

    Raises:
        NotJson: it holds what JSON has no word for: NaN, infinity, nesting without end, an object of Python's.
    """
    try:
        text = json.dumps(
            value, ensure_ascii=False, allow_nan=nan, indent=indent, separators=(",", ":") if compact else None
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise NotJson(f"cannot be written as JSON: {error}") from error
    return ODD.sub(lambda match: f"\\u{ord(match[0]):04x}", text).encode()


def from_json(
    text: str | bytes,
    finite: bool = False,
    strict: bool = True,
    pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """The value of a JSON text. With `finite`, NaN, infinity and numbers beyond all floats are none.

    Not `strict`, controls may stand in strings as they are. `pairs_hook` makes something else of objects than a dict.

    Raises:
        NotJson: it is nested too deep, or holds a number that is none.
        ValueError: it is no JSON; a `JSONDecodeError` says where, a `UnicodeDecodeError` that it is no UTF-8.
    """
    numbers: dict[str, Any] = {"parse_constant": _refuse, "parse_float": _finite} if finite else {}
    try:
        return json.loads(text, strict=strict, object_pairs_hook=pairs_hook, **numbers)
    except RecursionError as error:
        raise NotJson("is nested too deep") from error
    except (json.JSONDecodeError, UnicodeDecodeError, NotJson):
        raise
    except ValueError as error:  # what Python says of an integer of thousands of digits tells of its own settings
        raise NotJson("holds a number with too many digits") from error


def as_json(struct: msgspec.Struct, indent: int | None = None) -> bytes:
    """A struct as `to_json` writes it, whatever names of files are in it, which may be no UTF-8.

    Raises:
        NotJson: as `to_json`.
    """
    return to_json(msgspec.to_builtins(struct), indent)


def read_as(text: bytes, kind: type[_Kind]) -> _Kind:
    """What a JSON text holds, as a `kind` of value: a struct, or a list of some.

    Raises:
        ValueError: it is no JSON, or holds something else.
    """
    try:
        return msgspec.convert(from_json(text), kind, str_keys=True)  # JSON has no others
    except msgspec.MsgspecError as error:
        raise NotJson(f"holds something else: {error}") from error


def _refuse(constant: str) -> NoReturn:
    raise NotJson(f"holds {constant}, which is no number")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise NotJson(f"holds {number:.{_MOST_SHOWN}}, which is larger than any number")
    return value
