"""What an input has -> an annotation file."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from MetaCaptioner.data.inputs.base import Found, Input, Notes, Row, nothing_found
from MetaCaptioner.data.inputs.kept_rows import in_old_places
from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.atomic_io import atomic_write
from MetaCaptioner.utils.json_text import to_json
from MetaCaptioner.utils.text import is_whole

LONGEST_STEM = 150  # in bytes, of a file name, before and behind which more may stand


@dataclass
class Written:
    """What was found, and the number of rows in the annotation file, which has more where some are gone."""

    modalities: Counter[Modality]
    captions: int = 0
    rows: int = 0


def write_annotation(path: Path, found: Input, instruction: str, notes: Notes, updates: bool = False) -> Written:
    """Write the rows of an annotation file (JSONL) as they are found, or where the one that is updated has them.

    Raises:
        UserError: nothing is found, or the file cannot be written; an earlier one is then untouched.
    """
    written = Written(Counter())
    with atomic_write(path, "annotation file") as file:
        rows = _sound(tqdm(found.items, desc=path.name, unit=" rows", disable=None), instruction, written, notes)
        lines = in_old_places(path, rows, notes) if updates else (line for _, line in rows)
        for line in lines:
            file.write(line + b"\n")
            written.rows += 1
        if not written.modalities:
            raise UserError(nothing_found(str(found.root), notes))
    return written


def _sound(items: Iterable[Found], instruction: str, written: Written, notes: Notes) -> Iterator[tuple[Row, bytes]]:
    """The rows of what is found, which `written` counts, and their lines."""
    for item in items:
        row = item.row(instruction)
        if not is_whole(item.name if item.tar is None else item.tar.file + item.name):
            notes.left_out("names that are no UTF-8 text", ascii(item.name))
            continue
        written.modalities[item.modality] += 1
        written.captions += item.caption is not None
        yield row, to_json(row)
