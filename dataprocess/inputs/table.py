"""A CSV, TSV or Parquet file with a column of paths."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from inputs.found import Found, Given, Input, Notes, modality_of, sound_id
from MetaCaptioner.domains import Modality
from MetaCaptioner.errors import UserError
from MetaCaptioner.source import check_name

_MEDIA_COLUMNS = ("image", "video", "media", "path", "file", "file_name", "filename", "filepath", "file_path")
_CAPTION_COLUMNS = ("caption", "text")
_ID_COLUMNS = ("id",)
_LONGEST_FIELD = 2**24
_BATCH_ROWS = 10_000

TableRow = Mapping[str, object]


@dataclass(frozen=True)
class Columns:
    """The columns that are read."""

    media: str
    caption: str | None
    row_id: str | None

    def names(self) -> list[str]:
        return [name for name in (self.media, self.caption, self.row_id) if name is not None]


def open_table(given: Given, notes: Notes) -> Input:
    """The media that the rows of a table name, in its order; relative paths are taken from its folder or the root.

    Raises:
        UserError: it cannot be read, or has no such columns.
    """
    path = Path(given.place).absolute()
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise UserError(f"input {path}: is no table that is read here ({', '.join(_KINDS)})")
    try:
        columns = choose_columns(kind.columns(path), given, f"input {path}")
    except (OSError, ValueError, csv.Error) as error:  # pyarrow's are OSErrors or ValueErrors
        raise UserError(f"input {path}: cannot be read: {error}") from error
    root = given.root.absolute() if given.root else path.parent
    return Input(root, _found(path, kind.rows(path, columns), columns, notes))


def choose_columns(names: Sequence[str], given: Given, what: str) -> Columns:
    """The columns that the user names, or else those with a usual name.

    Raises:
        UserError: there is none of that name, or none with a usual name for the media.
    """
    for wanted in (given.media_column, given.caption_column, given.id_column):
        if wanted is not None and wanted not in names:
            raise UserError(f"{what}: has no column '{wanted}' (has: {', '.join(names)})")

    def usual(candidates: Sequence[str]) -> str | None:
        return next((name for name in candidates if name in names), None)

    media = given.media_column or usual(_MEDIA_COLUMNS)
    if media is None:
        raise UserError(f"{what}: which column names the files? Say --media-column (has: {', '.join(names)})")
    return Columns(media, given.caption_column or usual(_CAPTION_COLUMNS), given.id_column or usual(_ID_COLUMNS))


def _found(path: Path, rows: Iterator[TableRow], columns: Columns, notes: Notes) -> Iterator[Found]:
    number = -1
    try:
        for number, row in enumerate(rows):
            if (found := _of_row(row, number, columns, notes)) is not None:
                yield found
    except (OSError, ValueError, csv.Error) as error:
        notes.problems.append(f"input {path}: cannot be read behind row {number}: {error}")


def _of_row(row: TableRow, number: int, columns: Columns, notes: Notes) -> Found | None:
    name = row[columns.media]
    if not isinstance(name, str):
        notes.left_out("rows without a path", f"row {number}")
        return None
    try:
        check_name(name, columns.media)
    except ValueError as error:
        notes.left_out("rows whose path is none", f"row {number}: {error}")
        return None
    fallback: Modality = "video" if columns.media == "video" else "image"
    caption = row[columns.caption] if columns.caption else None
    row_id = sound_id(row[columns.row_id]) if columns.row_id else None
    return Found(
        modality_of(name) or fallback,
        name,
        number if row_id is None else row_id,
        caption.strip() or None if isinstance(caption, str) else None,
    )


def _csv_columns(path: Path, delimiter: str) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file, delimiter=delimiter, strict=True), [])


def _csv_rows(path: Path, columns: Columns, delimiter: str) -> Iterator[TableRow]:
    csv.field_size_limit(_LONGEST_FIELD)
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file, delimiter=delimiter, strict=True)


def _parquet_columns(path: Path) -> list[str]:
    return list(pq.read_schema(path).names)


def _parquet_rows(path: Path, columns: Columns) -> Iterator[TableRow]:
    with pq.ParquetFile(path) as table:
        for batch in table.iter_batches(_BATCH_ROWS, columns=columns.names()):
            yield from batch.to_pylist()


@dataclass(frozen=True)
class _Kind:
    columns: Callable[[Path], list[str]]
    rows: Callable[[Path, Columns], Iterator[TableRow]]


_KINDS = {
    ".csv": _Kind(lambda path: _csv_columns(path, ","), lambda path, columns: _csv_rows(path, columns, ",")),
    ".tsv": _Kind(lambda path: _csv_columns(path, "\t"), lambda path, columns: _csv_rows(path, columns, "\t")),
    ".parquet": _Kind(_parquet_columns, _parquet_rows),
}
