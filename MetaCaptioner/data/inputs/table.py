"""A CSV, TSV or Parquet file with a column of paths."""

import ast
import csv
import ntpath
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from MetaCaptioner.data.inputs.base import OUTSIDE, Found, Given, Input, Notes, modality_of
from MetaCaptioner.data.inputs.cell_values import CAPTION_COLUMNS, caption_of, dig, id_or
from MetaCaptioner.data.inputs.csv_rows import BrokenTable, open_delimited
from MetaCaptioner.data.media_source import check_name
from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.safe_open import leads_out, open_file

_MEDIA_COLUMNS = ("image", "video", "media", "path", "file", "file_name", "filename", "filepath", "file_path")
_ID_COLUMNS = ("id",)
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_PARQUET = ".parquet"
_BATCH_ROWS = 10_000
_LONGEST_PATH = 4096  # PATH_MAX of Linux
_LONGEST_LIST = 2**16
_BASE64_BEGINNINGS = ("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR", "Qk0")  # of JPEG, PNG, GIF, WebP, BMP

TableRow = Mapping[str, object]
Rows = Iterator[tuple[int, str, TableRow]]
"""(number from 0, where it stands, the values by column) of each row."""


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
    suffix = path.suffix.lower()
    what = f"input {path}"
    if suffix not in (*_DELIMITERS, _PARQUET):
        raise UserError(f"{what}: is no table that is read here ({', '.join((*_DELIMITERS, _PARQUET))})")
    try:
        open_file(path).close()  # a FIFO would be waited for
        if suffix == _PARQUET:
            columns, rows = _open_parquet(path, given, what)
        else:
            table = open_delimited(path, _DELIMITERS[suffix], notes)
            columns, rows = choose_columns(table.columns, given, what), table.rows(notes)
    except (OSError, ValueError, csv.Error) as error:  # pyarrow's are OSErrors or ValueErrors
        raise UserError(f"{what}: cannot be read: {error}") from error
    root = given.root.absolute() if given.root else path.parent
    return Input(root, _Reader(path, root, columns, notes, given.allow_outside_root).found(rows))


def choose_columns(names: Sequence[str], given: Given, what: str) -> Columns:
    """The columns that the user names, or else those with a usual name in any case.

    Raises:
        UserError: there is none of that name, or none with a usual name for the media.
    """
    for wanted in (given.media_column, given.caption_column, given.id_column):
        if wanted is not None and wanted not in names and wanted.partition(".")[0] not in names:
            raise UserError(f"{what}: has no column '{wanted}' (has: {', '.join(names)})")
    by_usual = {name.casefold(): name for name in reversed(names)}

    def usual(candidates: Sequence[str]) -> str | None:
        return next((by_usual[name] for name in candidates if name in by_usual), None)

    media = given.media_column or usual(_MEDIA_COLUMNS)
    if media is None:
        raise UserError(f"{what}: which column names the files? Say --media-column (has: {', '.join(names)})")
    return Columns(media, given.caption_column or usual(CAPTION_COLUMNS), given.id_column or usual(_ID_COLUMNS))


def _open_parquet(path: Path, given: Given, what: str) -> tuple[Columns, Rows]:
    with open_file(path) as file:  # pyarrow itself takes no name that is not UTF-8
        schema = pq.read_schema(file)
    columns = choose_columns(schema.names, given, what)
    if columns.media in schema.names:
        kind = schema.field(columns.media).type
        if pa.types.is_struct(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            raise UserError(
                f"{what}: the column '{columns.media}' is no path but {kind}; if that is the pictures themselves, "
                "read it by --format huggingface"
            )
    return columns, _parquet_rows(path, columns)


def _parquet_rows(path: Path, columns: Columns) -> Rows:
    with open_file(path) as file, pq.ParquetFile(file) as table:
        number = 0
        for batch in table.iter_batches(_BATCH_ROWS, columns=columns.names()):
            for row in batch.to_pylist():
                yield number, f"row {number}", row
                number += 1


@dataclass(frozen=True)
class _Reader:
    """Makes rows of those of a table."""

    path: Path
    root: Path
    columns: Columns
    notes: Notes
    allow_outside_root: bool

    def found(self, rows: Rows) -> Iterator[Found]:
        """The pictures and clips that the rows name."""
        where = "its beginning"
        try:
            for number, where, row in rows:
                if (found := self._of_row(row, number, where)) is not None:
                    yield found
        except BrokenTable as error:
            self.notes.problems.append(f"input {self.path}: cannot be read to its end: {error}")
        except (OSError, ValueError) as error:
            self.notes.problems.append(f"input {self.path}: cannot be read behind {where}: {error}")

    def _of_row(self, row: TableRow, number: int, where: str) -> Found | None:
        name = self._name(dig(row, self.columns.media), where)
        if name is None:
            return None
        fallback: Modality = "video" if self.columns.media.casefold() == "video" else "image"
        caption = caption_of(dig(row, self.columns.caption), where, self.notes) if self.columns.caption else None
        row_id = id_or(dig(row, self.columns.row_id), number, where, self.notes) if self.columns.row_id else number
        return Found(modality_of(name) or fallback, name, row_id, caption)

    def _name(self, value: object, where: str) -> str | None:
        names = value if isinstance(value, list) else _listed(value)
        if len(names) > 1:
            self.notes.left_out("rows that name several files", where)
            return None
        name = names[0] if names else None
        if not isinstance(name, str) or not name.strip():
            self.notes.left_out("rows without a path", where)
            return None
        if len(name) > _LONGEST_PATH:
            if name.startswith(_BASE64_BEGINNINGS):
                raise UserError(
                    f"input {self.path}: the column '{self.columns.media}' holds pictures as base64 text, not "
                    "paths: write them out as files first, or as bytes into Parquet for --format huggingface"
                )
            self.notes.left_out("rows whose path is longer than one can be", where)
            return None
        try:
            check_name(name, self.columns.media)
        except ValueError as error:
            self.notes.left_out("rows whose path is none", f"{where}: {error}")
            return None
        plain = self._with_slashes(name, where)
        if plain is not None and not self.allow_outside_root and leads_out(self.root, plain):
            self.notes.left_out(OUTSIDE, f"{where}: {name}")
            return None
        return plain

    def _with_slashes(self, name: str, where: str) -> str | None:
        """A path as it stands, or with the slashes of this system where it was written on Windows."""
        if "\\" not in name or os.path.exists(self.root / name):  # noqa: PTH110 pathlib raises where a name is too long
            return name
        if ntpath.splitdrive(name)[0]:
            self.notes.left_out("rows whose path is on a Windows drive", f"{where}: {name}")
            return None
        self.notes.noted("paths with back-slashes, which are read as slashes", f"{where}: {name}")
        return name.replace("\\", "/")


def _listed(value: object) -> Sequence[object]:
    """The texts of a list that was written as text, as JSON or by Python; else the value alone."""
    if isinstance(value, str) and len(value) <= _LONGEST_LIST and value.startswith("[") and value.endswith("]"):
        try:
            items = ast.literal_eval(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return (value,)
        if isinstance(items, list) and all(isinstance(item, str) for item in items):
            return items
    return (value,)
