"""What a cell, a field of JSON or a text file says: ids, captions, and where in a nested row they stand."""

import codecs
import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from MetaCaptioner.data.inputs.base import Notes, RowId
from MetaCaptioner.utils.json_text import from_json

LONGEST_CAPTION_BYTES = 2**20
CAPTION_COLUMNS = ("caption", "captions", "text")

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SEVERAL_CAPTIONS = "rows with several captions, of which the first is kept"


def dig(row: Any, path: str) -> Any:
    """The value at `path`, a column's name or `a.b` for a part of it, None if absent; of a list, those of its items."""
    if isinstance(row, list):
        return [dig(item, path) for item in row]
    if not isinstance(row, Mapping):
        return None
    if path in row:
        return row[path]
    column, dot, rest = path.partition(".")
    return dig(row.get(column), rest) if dot else None


def sound_id(value: object) -> RowId | None:
    """An id as rows have it, None where the value is none.

    A whole number that came as a float, as pandas makes them of integers where one is missing, is an integer again.
    """
    if isinstance(value, UUID | Decimal):
        return str(value)
    if isinstance(value, float):
        return None if not math.isfinite(value) else int(value) if value.is_integer() else value
    return value if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def id_or(value: object, otherwise: RowId, where: str, notes: Notes) -> RowId:
    """The id that a value is, or what takes its place, which is then counted."""
    row_id = sound_id(value)
    if row_id is None:
        notes.noted(
            "ids that are missing, or neither text nor number: the row's number or key takes their place", where
        )
        return otherwise
    return row_id


def caption_of(value: object, where: str, notes: Notes) -> str | None:
    """The caption that a value is, the first of a list of them; None where it is none.

    A text that is a JSON list of texts is a list.
    """
    if _is_nothing(value):
        return None
    texts = [text.strip() for text in _texts(value)]
    captions = [text for text in texts if text]
    if len(captions) > 1:
        notes.noted(_SEVERAL_CAPTIONS, where)
    if not texts:
        what = f"an object of {', '.join(map(str, value))}" if isinstance(value, Mapping) else type(value).__name__
        notes.left_out(f"captions that are no text but {what}", where)
    return captions[0] if captions else None


def _is_nothing(value: object) -> bool:
    """Whether there is no value: none, NaN, or a list of nothing else."""
    if isinstance(value, list):
        return all(map(_is_nothing, value))
    return value is None or (isinstance(value, float) and math.isnan(value))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from _listed(value) or (value,)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _listed(text: str) -> list[str] | None:
    """The texts of a JSON list of nothing else."""
    if not (text.startswith("[") and text.rstrip().endswith("]")):
        return None
    try:
        items = from_json(text)
    except ValueError:
        return None
    return items if items and all(isinstance(item, str) for item in items) else None


def caption_text(content: bytes, where: str, notes: Notes) -> str | None:
    """The text of a file, UTF-8 or marked as UTF-16; None where it is empty, something else, or too long."""
    if len(content) > LONGEST_CAPTION_BYTES:
        notes.left_out(f"captions over {LONGEST_CAPTION_BYTES:,} bytes", where)
        return None
    try:
        return content.decode("utf-16" if content.startswith(_UTF16_MARKS) else "utf-8-sig").strip() or None
    except UnicodeDecodeError:
        notes.left_out("captions that are no UTF-8 text", where)
        return None
