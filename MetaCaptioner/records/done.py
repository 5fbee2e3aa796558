"""Which samples have a record, and how each of them ended."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.records.growing_file import Place, read_whole
from MetaCaptioner.records.reader import result_files
from MetaCaptioner.records.row_map import RowNumbers
from MetaCaptioner.records.scan import OK, Endings, Piece, Rows


class DoneSamples:
    """Which samples have a record, by dataset and row, and how each ended: ok if any of its records is, else as the
    last of them that was noted.

    One byte a row, in a temporary file but for 2 MiB, or all of them `in_memory`.
    """

    def __init__(self, in_memory: bool = False) -> None:
        self._endings = RowNumbers(np.uint8, in_memory)
        self._places: dict[Path, Place] = {}

    def read(self, folder: Path, rank: int | None = None) -> Self:
        """Note what has come to the files of a rank, or of all, since they were last read.

        Of a file that was written anew, rows that it has no more stay.

        Raises:
            ResultError: a file cannot be read, or has a line that is no record.
        """
        for path, _ in result_files(folder, rank):
            for reading in read_whole(path, self._places.get(path)):
                if reading.place is not None:
                    self._places[path] = reading.place
                for piece in reading.found.pieces:
                    self.mark_all(piece.data_name, piece.rows)
        return self

    def know(self, path: Path, place: Place, spans: Iterable[tuple[str, int, int]]) -> None:
        """Note what others have read of a file up to a place, as (dataset, first row, row behind the last one).

        `read` goes on from there.
        """
        self._places[path] = place
        for name, start, end in spans:
            self._endings.set_range(name, start, end, OK)

    def note(self, piece: Piece) -> None:
        """Note how some samples ended. Once ok, always ok: a failure elsewhere takes nothing away."""
        ok = piece.endings == OK
        failed, endings = piece.rows[~ok], piece.endings[~ok]
        if len(failed):
            open_still = self._endings.get_all(piece.data_name, failed) != OK
            self._endings.set_all(piece.data_name, failed[open_still], endings[open_still])
        self._endings.set_all(piece.data_name, piece.rows[ok], OK)

    def mark(self, name: str, index: int) -> None:
        """Note one sample that is ok."""
        self._endings.set(name, index, OK)

    def mark_all(self, name: str, indexes: NDArray[np.integer]) -> None:
        """Note many samples of a dataset, whatever they ended in, for one who need not know it."""
        self._endings.set_all(name, indexes, OK)

    def has(self, name: str, index: int) -> bool:
        """Whether a row is done."""
        return bool(self._endings.get(name, index))

    def have(self, name: str, indexes: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which of many rows are done, in their order."""
        return self._endings.get_all(name, indexes).astype(np.bool_)

    def without(self, name: str, start: int, end: int) -> Iterator[int]:
        """Those of the rows `start <= index < end` that are not done."""
        return self._endings.without(name, start, end)

    def count(self, name: str, start: int, end: int) -> int:
        """How many of the rows `start <= index < end` are done."""
        return self._endings.count(name, start, end)

    def endings(self, name: str, start: int, end: int) -> Endings:
        """How the rows `start <= index < end` ended; 0 where one is not done."""
        return self._endings.between(name, start, end).astype(np.uint8, copy=False)


def recorded_rows(folder: Path, rank: int, only_ok: bool) -> Iterator[tuple[str, Rows]]:
    """(dataset, rows) of the records in the files of a rank, or of those that are ok, some hundred at a time.

    Raises:
        ResultError: a file cannot be read, or has a line that is no record.
    """
    for path, _ in result_files(folder, rank):
        for reading in read_whole(path, None):
            for piece in reading.found.pieces:
                yield piece.data_name, piece.rows[piece.endings == OK] if only_ok else piece.rows
