"""The rows of a file of questions, one by one: TSV or CSV as of VLMEvalKit, JSON, or a Hugging Face dataset."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from MetaCaptioner.data.annotation import AnnotationFile
from MetaCaptioner.data.inputs.base import Given, Notes
from MetaCaptioner.data.inputs.csv_rows import BrokenTable, open_delimited
from MetaCaptioner.data.inputs.huggingface import features_of_the_first, open_split, told_of
from MetaCaptioner.data.inputs.huggingface_features import undecoded
from MetaCaptioner.data.inputs.huggingface_origin import Origin
from MetaCaptioner.errors import UserError

QuestionRow = Mapping[str, Any]
Rows = Iterator[tuple[str, QuestionRow]]
"""(where it stands, the values by column) of each row."""

_DELIMITERS = {".tsv": "\t", ".csv": ","}
_JSON = (".jsonl", ".json")


def question_rows(given: Given, origin: Origin, notes: Notes) -> Rows:
    """The rows of an input, read as they are asked for, of `given.split` alone if that is named.

    What breaks off is told as a problem; the rows before it count.

    Raises:
        UserError: it cannot be opened.
    """
    path = Path(given.place)
    suffix = path.suffix.lower()
    if suffix in _DELIMITERS:
        return _of_split(_delimited(path, _DELIMITERS[suffix], notes), given, notes)
    if suffix in _JSON:
        return _of_split(_json(path, notes), given, notes)
    return _huggingface(given, origin)


def _delimited(path: Path, delimiter: str, notes: Notes) -> Rows:
    """Fields are quoted as in CSV, in TSV too: that is how pandas writes the files of VLMEvalKit."""
    try:
        table = open_delimited(path, delimiter, notes, is_quoted=True)
    except (OSError, ValueError) as error:
        raise UserError(f"input {path}: cannot be read: {error}") from error
    return _told(path, ((where, row) for _, where, row in table.rows(notes)), notes)


def _json(path: Path, notes: Notes) -> Rows:
    file = AnnotationFile(path)

    def rows() -> Rows:
        for index, row in file.rows(0, len(file)):
            if isinstance(row, Mapping):
                yield f"row {index}", row
            else:
                notes.left_out("rows that are no JSON object", f"row {index}")

    return _told(path, rows(), notes)


def _told(path: Path, rows: Rows, notes: Notes) -> Rows:
    where = "its beginning"
    try:
        for where, row in rows:
            yield where, row
    except BrokenTable as error:
        notes.problems.append(f"input {path}: cannot be read to its end: {error}")
    except (OSError, ValueError) as error:
        notes.problems.append(f"input {path}: cannot be read behind {where}: {error}")


def _of_split(rows: Rows, given: Given, notes: Notes) -> Rows:
    """The rows whose column `split` says the wanted one; where none is wanted all, and which splits there are."""
    seen: dict[str, int] = {}
    for where, row in rows:
        split = str(row.get("split") or "")
        seen[split] = seen.get(split, 0) + 1
        if given.split is None or split == given.split:
            yield where, row
    told = ", ".join(f"{name or '(none)'} {count}" for name, count in seen.items())
    if given.split is not None and given.split not in seen:
        raise UserError(f"input {given.place}: has no split '{given.split}' (has: {told or 'no rows'})")
    if given.split is None and len(seen) > 1:
        notes.tell(f"questions of all splits are taken ({told}); --split takes one")


def _huggingface(given: Given, origin: Origin) -> Rows:
    with told_of(given.place):
        rows = open_split(given, origin)
        for name, feature in dict(rows.features or features_of_the_first(rows)).items():
            if (kept := undecoded(feature)) != feature:
                rows = rows.cast_column(name, kept)
    return _read(rows, given.place)


def _read(rows: Any, place: str) -> Rows:
    with told_of(place):
        for number, row in enumerate(rows):
            yield f"row {number}", row
