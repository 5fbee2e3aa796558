"""How many records the result files hold, and of which samples, counted again and again while they grow."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from MetaCaptioner.errors import ResultError
from MetaCaptioner.records.done import DoneSamples
from MetaCaptioner.records.reader import ResultName, read_told, result_files
from MetaCaptioner.records.scan import OK, Found, Kinds, Piece, Place, Reading, Rows, blocks_of, count_block, read_on
from MetaCaptioner.utils.parallel import side_by_side
from MetaCaptioner.utils.safe_open import open_file

_SIDE_BY_SIDE_FROM_BYTES = 2**30  # read in a second or so, which is what it takes to start processes


@dataclass
class TalliedFile:
    """A result file as far as it was read: all its records, and the time of its last change in seconds (Unix)."""

    name: ResultName
    place: Place
    found: Found

    @property
    def changed(self) -> float:
        return self.place.changed_ns / 1e9


@dataclass(frozen=True)
class Change:
    """What has come to a file. `anew`: what was there before is gone, the pieces are all that it holds."""

    file: ResultName
    pieces: Sequence[Piece]
    anew: bool


def recorded_rows(folder: Path, rank: int, only_ok: bool) -> Iterator[tuple[str, Rows]]:
    """(dataset, rows) of the records in the files of a rank, or of those that are ok, some hundred at a time.

    Raises:
        ResultError: a file cannot be read, or has a line that is no record.
    """
    for path, _ in result_files(folder, rank):
        try:
            with open_file(path) as file:
                for block, end in blocks_of(file.fileno(), 0, os.fstat(file.fileno()).st_size):
                    found = Found()
                    count_block(block, end, found)
                    _check_whole(path, found)
                    for piece in found.pieces:
                        yield piece.data_name, piece.rows[piece.endings == OK] if only_ok else piece.rows
        except OSError as error:
            raise ResultError(f"result file {path}: cannot be read: {error.strerror}") from error


def _check_whole(path: Path, found: Found) -> None:
    """Refuse a file in which lines were found that are no records.

    Raises:
        ResultError: that; it names the first one and says what to do.
    """
    if found.broken:
        deque(read_told(path), maxlen=0)


class BegunRows:
    """The rows that have a record in the files of a rank, each byte of which is read once."""

    def __init__(self, folder: Path, rank: int) -> None:
        self._folder = folder
        self._rank = rank
        self._places: dict[Path, Place] = {}
        self._rows = DoneSamples()

    def look(self) -> DoneSamples:
        """Read what is new; all rows so far. Where a file was written anew, rows that it has no more may be among them.

        Raises:
            ResultError: a file cannot be read, or has a line that is no record.
        """
        for path, _ in result_files(self._folder, self._rank):
            reading = read_on((path, self._places.get(path)))
            if reading is not None and reading.place is not None:
                self._places[path] = reading.place
                _check_whole(path, reading.found)
                for piece in reading.found.pieces:
                    self._rows.mark_all(piece.data_name, piece.rows)
        return self._rows


class RecordCounts:
    """The result files of a folder, each read as far as it was at the last `look`."""

    def __init__(self, folder: Path) -> None:
        self.files: dict[Path, TalliedFile] = {}
        self.kinds = Kinds()
        self._folder = folder

    def look(self) -> list[Change]:
        """Read what is new; a change for each file that has any.

        Raises:
            ResultError: a file cannot be read.
        """
        named = dict(result_files(self._folder))
        named |= {path: file.name for path, file in self.files.items()}
        paths = list(named)
        tasks = [(path, self.files[path].place if path in self.files else None) for path in paths]
        readings = map(read_on, tasks) if self.files else side_by_side(read_on, tasks, paths, _SIDE_BY_SIDE_FROM_BYTES)
        return [
            self._take(path, named[path], reading)
            for path, reading in zip(paths, readings, strict=True)
            if reading is not None
        ]

    def _take(self, path: Path, name: ResultName, reading: Reading) -> Change:
        known = self.files.get(path)
        if reading.place is None:
            self.files.pop(path, None)
            return Change(name, [], anew=True)
        if known is None or reading.anew:
            self.files[path] = TalliedFile(name, reading.place, Found(kinds=self.kinds))
            pieces = self.files[path].found.add(reading.found)
            return Change(name, pieces, anew=known is not None)
        known.place = reading.place
        return Change(name, known.found.add(reading.found), anew=False)
