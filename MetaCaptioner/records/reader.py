"""The result files of a folder: their names, and what is in them, line by line or by place."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from MetaCaptioner.errors import ResultError
from MetaCaptioner.records.record import Record, Told, glance, parse_record
from MetaCaptioner.records.torn_lines import is_torn, what_is_wrong
from MetaCaptioner.utils.file_names import shortened
from MetaCaptioner.utils.file_pool import PooledFile
from MetaCaptioner.utils.safe_open import open_file

_NAME = re.compile(r"Rank(?P<rank>\d+)_node(?P<node>\d+)_(?P<stem>.+?)(?:~(?P<part>\d+))?\.jsonl", re.DOTALL)
_PART = re.compile(r"~\d+$")
PATTERN = "Rank*_node*_*.jsonl"


_LONGEST_STEM_BYTES = 100  # file systems take names of 255, some of 143; rank, node, part and suffix stand around it


class Word(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a process at work tells others: what it makes its records with, and the fingerprint of its plan, if any."""

    stage: str
    model: str
    prompts: str
    plan: str = ""
    models: dict[str, str] = {}


@dataclass(frozen=True)
class ResultName:
    """What the name of a result file says. A rank's work that several processes share is in parts, from 0."""

    rank: int
    node: int
    stem: str
    part: int = 0

    def __str__(self) -> str:
        # A stem that ends like a part always gets one, so that the last "~n" of a name is its part.
        part = f"~{self.part}" if self.part or _PART.search(self.stem) else ""
        return f"Rank{self.rank}_node{self.node}_{self.stem}{part}.jsonl"

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """The parts of a file name, or None where it is not that of a result file."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        return cls(int(match["rank"]), int(match["node"]), match["stem"], int(match["part"] or 0))


def stem_in_names(stem: str) -> str:
    """The stem of an annotation file as names of result files have it: of a long one the beginning and a hash."""
    return shortened(stem, _LONGEST_STEM_BYTES)


def result_files(folder: Path, rank: int | None = None) -> list[tuple[Path, ResultName]]:
    """The result files of `folder` (of one rank) in order of their names; an absent folder has none."""
    pattern = PATTERN if rank is None else f"Rank{rank}_node*_*.jsonl"
    named = ((path, ResultName.parse(path.name)) for path in sorted(folder.glob(pattern)))
    return [(path, name) for path, name in named if name is not None]


def file_sizes(folder: Path) -> dict[str, int]:
    """The result files of `folder` by name, with their bytes."""
    return {path.name: path.stat().st_size for path, _ in result_files(folder)}


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a result file with their numbers, from 1."""
    try:
        with open_file(path) as file:
            yield from enumerate(file, start=1)
    except OSError as error:
        raise ResultError(f"result file {path}: cannot be read: {error.strerror}") from error


def read_lines(path: Path) -> Iterator[tuple[int, bytes, Record | None]]:
    """(line number from 1, line, record or None where it is no record), a line at a time; empty ones are passed over.

    Raises:
        ResultError: the file cannot be read.
    """
    return ((number, line, parse_record(line)) for number, line in numbered_lines(path) if not line.isspace())


def read_glances(path: Path) -> Iterator[tuple[int, bytes, Told | None]]:
    """As `read_lines`, with a glance at each line instead of its record.

    Raises:
        ResultError: the file cannot be read.
    """
    return ((number, line, glance(line)) for number, line in numbered_lines(path) if not line.isspace())


def read_records(path: Path) -> Iterator[Record]:
    """The records of one result file, a line at a time. A last line that is not whole (yet) is not there.

    Raises:
        ResultError: the file cannot be read, or has another line that is no record.
    """
    for number, line, record in read_lines(path):
        if record is not None:
            yield record
        else:
            check_torn(path, number, line)


def read_told(path: Path) -> Iterator[Told]:
    """The same, with a glance at each record.

    Raises:
        ResultError: as `read_records`.
    """
    return (told for _, told in read_places(path))


def read_places(path: Path) -> Iterator[tuple[int, Told]]:
    """(offset in bytes, what is told there) of each record.

    Raises:
        ResultError: as `read_records`.
    """
    offset = 0
    for number, line in numbered_lines(path):
        if (told := glance(line)) is not None:
            yield offset, told
        elif not line.isspace():
            check_torn(path, number, line)
        offset += len(line)


def check_torn(path: Path, number: int, line: bytes) -> None:
    """Refuse a line that is no record, unless it is the last one, which a crash may have left unfinished.

    Raises:
        ResultError: that; it names the line and says what to do.
    """
    if is_torn(line):
        return
    try:
        raise ResultError(what_is_wrong(path, number))
    except OSError as error:
        raise ResultError(f"result file {path}: cannot be read: {error.strerror}") from error


class PlacedRecords:
    """Files of records, each with a number from 1, and the records at their places in them."""

    _OFFSET_BITS = 44

    def __init__(self) -> None:
        self._paths: list[Path] = []
        self._files: dict[Path, PooledFile] = {}

    def add_file(self, path: Path) -> int:
        """The number of a file."""
        self._paths.append(path)
        return len(self._paths)

    def place(self, number: int, offset: int) -> int:
        """What stands for the line that begins at `offset` bytes of a file; 64 bits, never 0."""
        return number << self._OFFSET_BITS | offset

    def path(self, place: int) -> Path:
        """The file of a place."""
        return self._paths[(place >> self._OFFSET_BITS) - 1]

    def read(self, place: int) -> Record | None:
        """The record at a place; None where there is none (any more).

        Raises:
            ResultError: its file cannot be read.
        """
        path, offset = self.path(place), place & (1 << self._OFFSET_BITS) - 1
        try:
            if path not in self._files:
                self._files[path] = PooledFile(path)
            return parse_record(self._files[path].line(offset))
        except OSError as error:
            raise ResultError(f"result file {path}: cannot be read: {error.strerror}") from error

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()
