"""The rows of CSV and TSV files.

CSV is read as RFC 4180 has it, quotation marks strictly; where its head has semicolons and no commas, these part the
fields. TSV knows no quotation marks (IANA, text/tab-separated-values), but some writers quote as in CSV. It is read so
where the whole file keeps to that: every quoted field ends before the next tab, and none holds both a tab and a line's
end, which is what is made of a lone mark at the beginning of a field and the next one.
"""

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from MetaCaptioner.data.inputs.base import Notes, modality_of
from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.safe_open import open_file

_LONGEST_FIELD = 2**26
_ENCODINGS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class BrokenTable(ValueError):
    """A table breaks off; the message tells the line."""


class _BrokenQuoting(BrokenTable):
    """The row that begins in `line` has quotation marks that are none of CSV, or is far too long."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"the row that begins in line {line}: {problem}")
        self.line = line


@dataclass(frozen=True)
class _Dialect:
    """How the fields of a file are parted. `is_padded`: by spaces too, which are none of theirs."""

    encoding: str
    delimiter: str
    is_quoted: bool = True
    is_padded: bool = False


@dataclass(frozen=True)
class Delimited:
    """A CSV or TSV file: how it is read, and the names in its first line."""

    path: Path
    dialect: _Dialect
    columns: tuple[str, ...]

    def rows(self, notes: Notes) -> Iterator[tuple[int, str, dict[str, str]]]:
        """(number from 0, where it stands, the fields by column) of each row that has as many fields as the first line.

        Raises:
            BrokenTable: it breaks off.
        """
        lines = _lines(self.path, self.dialect)
        next(lines, None)
        for number, (line, is_long, fields) in enumerate(lines):
            where = f"line {line}"
            while len(fields) > len(self.columns) and not fields[-1].strip():
                fields.pop()
            if len(fields) != len(self.columns):
                kind = "more" if len(fields) > len(self.columns) else "fewer"
                notes.left_out(f"rows with {kind} fields than the first line", where)
                continue
            if is_long:
                notes.noted("rows that go over several lines, in quotation marks", where)
            yield number, where, dict(zip(self.columns, fields, strict=True))


def open_delimited(path: Path, delimiter: str, notes: Notes, is_quoted: bool | None = None) -> Delimited:
    """Find out how a CSV or TSV file is to be read; `is_quoted` tells it of a TSV, where its writer is known.

    Raises:
        UserError: its first line names no columns.
        BrokenTable: it cannot be read.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    with open_file(path) as file:
        dialect = _Dialect(_ENCODINGS.get(file.read(2), "utf-8-sig"), delimiter)
    if delimiter == "\t":
        quoted = _is_quoted_tsv(path, dialect, notes) if is_quoted is None else is_quoted
        dialect = replace(dialect, is_quoted=quoted)
    head = _first(path, dialect)
    if delimiter == "," and len(head) == 1:
        others = (replace(dialect, delimiter=other) for other in (";", "\t"))
        if (other := next((other for other in others if len(_first(path, other)) > 1), None)) is not None:
            notes.tell(f"{path.name}: its fields are taken to be parted by {other.delimiter!r}, not by commas")
            dialect, head = other, _first(path, other)
    names = tuple(name.strip() for name in head)
    _check(names, dialect, f"input {path}")
    return Delimited(path, replace(dialect, is_padded=names != tuple(head)), names)


def _check(names: tuple[str, ...], dialect: _Dialect, what: str) -> None:
    if sample := next((name for name in names if modality_of(name) or "://" in name), None):
        example = f"image{dialect.delimiter}caption".replace("\t", "<tab>")
        raise UserError(
            f"{what}: its first line looks like data ({sample:.60}), not like the names of columns: put a line such as "
            f"'{example}' before it"
        )
    if twice := next((name for name in names if name and names.count(name) > 1), None):
        raise UserError(f"{what}: the column '{twice}' is there twice")


def _first(path: Path, dialect: _Dialect) -> list[str]:
    return next((fields for *_, fields in _lines(path, dialect)), [])


def _is_quoted_tsv(path: Path, dialect: _Dialect, notes: Notes) -> bool:
    """Whether the whole file keeps to the rule of quoted fields; told where it does not.

    Raises:
        BrokenTable: it is no text.
    """
    rows = _lines(path, dialect)
    try:
        bad = next((line for line, is_long, fields in rows if is_long and any("\t" in field for field in fields)), None)
    except _BrokenQuoting as error:
        bad = error.line
    if bad is not None:
        notes.tell(f"{path.name}: quotation marks are read as plain text, as those in line {bad} do not quote a field")
    return bad is None


def _lines(path: Path, dialect: _Dialect) -> Iterator[tuple[int, bool, list[str]]]:
    """(line it begins in, whether it goes over several, fields) of each row, without blank lines.

    Raises:
        BrokenTable: it breaks off.
    """
    quoting: Any = csv.QUOTE_MINIMAL if dialect.is_quoted else csv.QUOTE_NONE
    begin = 1
    with path.open(encoding=dialect.encoding, newline="") as file:
        reader = csv.reader(
            file, delimiter=dialect.delimiter, strict=True, quoting=quoting, skipinitialspace=dialect.is_padded
        )
        try:
            for fields in reader:
                if any(field.strip() for field in fields):
                    yield begin, reader.line_num > begin, [f.strip() for f in fields] if dialect.is_padded else fields
                begin = reader.line_num + 1
        except csv.Error as error:
            raise _BrokenQuoting(begin, str(error)) from error
        except UnicodeDecodeError as error:
            hint = "is it Windows text? `iconv -f CP1252 -t UTF-8 IN > OUT` makes it so"
            raise BrokenTable(f"is no UTF-8 text at or after line {begin} ({error.reason}; {hint})") from error
