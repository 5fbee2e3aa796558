"""What the columns of a question's row mean, whoever named them."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from MetaCaptioner.data.inputs.cell_values import sound_id
from MetaCaptioner.data.question import LETTERS, AnswerType
from MetaCaptioner.utils.json_text import from_json

_QUESTION = ("question", "query")
_ANSWERS = ("answer", "answers", "label", "gt_answer", "answer_option")
_OPTIONS = ("options", "choices", "candidates")
_CATEGORY = ("category", "subfield", "domain", "duration", "problem_version", "task", "split")
_HINT = ("hint", "context")
_ID = ("index", "id", "question_id", "qid", "pid", "sample_index")
MEDIA = ("image", "images", "decoded_image", "image_path", "video", "videos", "video_path")
"""Of which the first that a row fills counts; then `image_1` and on."""
_NUMBERED = re.compile(r"image_(\d+)$")
_LONGEST_LIST = 2**16
_LEAD = re.compile(r"^\(?([A-Z])\s*[.:)]\s*")
_TYPES: Mapping[str, AnswerType] = {"integer": "integer", "int": "integer", "float": "float", "list": "list"}


def is_empty(value: object) -> bool:
    """Whether a cell says nothing; pandas writes NaN for that."""
    return value is None or value == [] or (isinstance(value, float) and value != value) or str(value).strip() == ""


def first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value of the first of some columns that a row fills."""
    by_name = {name.casefold(): value for name, value in row.items()}
    return next((by_name[name] for name in names if not is_empty(by_name.get(name))), None)


def media_cells(row: Mapping[str, Any]) -> Iterator[object]:
    """The cells of a row that hold or name its pictures or clips."""
    numbered = sorted((int(found[1]), row[name]) for name in row if (found := _NUMBERED.match(name)))
    filled = [cell for _, cell in numbered if not is_empty(cell)]
    yield from filled or filter(None, [first(row, MEDIA)])


def each_question(row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The row, or where it has several `questions` about its pictures one row for each."""
    several = row.get("questions")
    if isinstance(several, Mapping):  # columns of lists, as some versions of the library have a list of objects
        several = [dict(zip(several, values, strict=False)) for values in zip(*several.values(), strict=False)]
    if not isinstance(several, list):
        yield row
        return
    for number, one in enumerate(several):
        told = {name: f"{value}-{number}" if name in _ID else value for name, value in row.items()}
        yield {**told, **(one if isinstance(one, Mapping) else {"question": one})}


def fields_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `Question` that a row says, but for its benchmark and what it is about.

    Raises:
        ValueError: it has no question, or no answer; the message is a reason to leave it out.
    """
    question, answers = first(row, _QUESTION), [*_texts(first(row, _ANSWERS))]
    if question is None:
        raise ValueError("rows without a question")
    if not answers or answers == ["?"]:
        raise ValueError("rows without an answer, which nothing can mark")
    precision = first(row, ("precision",))
    found = {
        "question": str(question),
        "answers": answers,
        "options": _options(row),
        "id": sound_id(first(row, _ID)),
        "category": _text(first(row, _CATEGORY)),
        "hint": _text(first(row, _HINT)),
        "answer_type": _TYPES.get(str(first(row, ("answer_type",))).casefold(), "text"),
        "precision": _whole(precision),
    }
    return {name: value for name, value in found.items() if value not in (None, {})}


def _whole(value: object) -> int | None:
    with suppress(ValueError, TypeError, OverflowError):
        number = int(float(str(value)))
        return number if 0 <= number <= 20 else None
    return None


def _text(value: object) -> str | None:
    if is_empty(value):
        return None
    return ", ".join(_texts(value))


def _texts(value: object) -> Iterator[str]:
    """The texts of a cell, or of the list that it is or writes."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, str) and (items := listed(value)) is not None:
        yield from (str(item) for item in items)
    elif not is_empty(value):
        yield _plain(value)


def _plain(value: object) -> str:
    """A value as text; a whole number that pandas has made a float of, as a whole one."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def listed(text: str) -> list[Any] | None:
    """The items of a list that was written as text, by Python or as JSON; None where it is none."""
    if not (text.startswith("[") and text.rstrip().endswith("]")) or len(text) > _LONGEST_LIST:
        return None
    for read in (ast.literal_eval, from_json):
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            items = read(text)
            # Numbers in brackets are an answer, such as [2, 3], and no list of answers.
            return items if isinstance(items, list) and all(isinstance(item, str) for item in items) else None
    return None


def _options(row: Mapping[str, Any]) -> dict[str, str]:
    """The options by letter: the columns A, B and on, or a list or an object of them, without letters before them."""
    by_column = {letter: _plain(row[letter]) for letter in LETTERS if not is_empty(row.get(letter))}
    if len(by_column) > 1:
        return by_column
    given = first(row, _OPTIONS)
    if isinstance(given, Mapping):
        return {str(name): _plain(text) for name, text in given.items() if not is_empty(text)}
    texts = [*_texts(given)]
    if len(texts) < 2:
        return {}
    leads = [_LEAD.match(text) for text in texts]
    if all(lead is not None and lead[1] == letter for lead, letter in zip(leads, LETTERS, strict=False)):
        texts = [_LEAD.sub("", text) for text in texts]
    return dict(zip(LETTERS, texts, strict=False))
