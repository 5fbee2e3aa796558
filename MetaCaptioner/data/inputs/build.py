"""What an input has -> an annotation file, and its entry of a Metafile."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from MetaCaptioner.data.inputs.base import Found, Input, Notes, Row, nothing_found
from MetaCaptioner.data.inputs.bring_up_to_date import in_old_places
from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.atomic_io import NotWritten, atomic_write
from MetaCaptioner.utils.file_names import shortened
from MetaCaptioner.utils.json_file import read_json
from MetaCaptioner.utils.json_text import to_json
from MetaCaptioner.utils.locks import held_alone
from MetaCaptioner.utils.text import is_whole

LONGEST_STEM = 150  # in bytes, of a file name, before and behind which more may stand
_LONGEST_NAME_BYTES = 240  # file systems take names of 255, and a dot and a suffix stand around it


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


def read_entries(metafile: Path) -> dict[str, object]:
    """The datasets of a Metafile, none where there is no such file yet.

    Raises:
        UserError: it is no Metafile.
    """
    entries = read_json(metafile, "Metafile") if metafile.exists() else {}
    if not isinstance(entries, dict):
        raise UserError(f"Metafile {metafile}: must be a JSON object, dataset name -> entry")
    return entries


def add_entry(metafile: Path, name: str, entry: dict[str, object], replaces: bool, single_launch: bool = False) -> None:
    """Put one dataset into the Metafile, which other processes may be adding to.

    Raises:
        UserError: the name is taken (unless it `replaces` that), or the file cannot be written.
    """
    try:
        lock = metafile.with_name(f".{shortened(metafile.name, _LONGEST_NAME_BYTES)}.lock")
        with held_alone(lock, f"Metafile {metafile}", not single_launch):
            entries = read_entries(metafile)
            check_free(metafile, name, entries, replaces)
            with atomic_write(metafile, "Metafile") as file:
                file.write(to_json({**entries, name: entry}, indent=2) + b"\n")
    except OSError as error:
        raise NotWritten(f"Metafile {metafile}: cannot be written: {error.strerror}") from error


def check_free(metafile: Path, name: str, entries: dict[str, object], replaces: bool) -> None:
    """Refuse a name that is taken.

    Raises:
        UserError: it is.
    """
    if name in entries and not replaces:
        raise UserError(
            f"Metafile {metafile}: dataset '{name}' is there already; --update keeps its rows and adds what is new, "
            "--replace makes it anew (its results then fit no longer), or take another --name"
        )


def relative_to(folder: Path, path: Path) -> str:
    """The path as the Metafile names it: from its folder if it lies below, so that both can be moved."""
    absolute = folder.absolute()
    return path.relative_to(absolute).as_posix() if path.is_relative_to(absolute) else str(path)
