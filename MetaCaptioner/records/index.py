"""Finds the record of a sample in result files: the one way in which records are joined with scores and routes.

Neither the records nor their places are held in memory, and few of the files are open at a time.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np

from MetaCaptioner.records.reader import PlacedRecords, read_places
from MetaCaptioner.records.record import Record, Told
from MetaCaptioner.records.row_map import RowNumbers

_OK = 1 << 63
"""Set in the place of a record that is ok."""


class RecordIndex:
    """The records of some result files by sample, eight bytes a row on the disk. `wanted` says which count at all.

    Of several of a sample the first that is ok counts, or else the first.

    Raises:
        ResultError: a file cannot be read.
    """

    def __init__(self, paths: Iterable[Path], wanted: Callable[[Told], bool] = lambda told: True) -> None:
        self._records = PlacedRecords()
        self._places = RowNumbers(np.uint64)
        for path in paths:
            number = self._records.add_file(path)
            for offset, told in read_places(path):
                row = told.row if wanted(told) else None
                ok = _OK if told.status == "ok" else 0
                if row is not None and self._places.get(*row) < max(ok, 1):  # there is none yet, or one that failed
                    self._places.set(*row, ok | self._records.place(number, offset))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, name: str, index: int) -> Record | None:
        """The record of a sample; None where there is none.

        Raises:
            ResultError: its file cannot be read any more.
        """
        place = self._place(name, index)
        return None if place == 0 else self._records.read(place)

    def path(self, name: str, index: int) -> Path:
        """The file of a record that is there."""
        return self._records.path(self._place(name, index))

    def rows_of(self, name: str) -> Iterator[int]:
        """The rows of a dataset that have a record."""
        return self._places.rows_of(name)

    def close(self) -> None:
        self._records.close()

    def _place(self, name: str, index: int) -> int:
        return self._places.get(name, index) & ~_OK
