"""Which samples have a record."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.records.reader import read_told, result_files
from MetaCaptioner.records.record import Told
from MetaCaptioner.records.row_map import RowNumbers


class DoneSamples:
    """Which samples have a record, by dataset and row."""

    def __init__(self) -> None:
        self._rows = RowNumbers(np.bool_)

    def add(self, told: Told) -> None:
        """Note the sample of a record; one without a sound identity is passed over."""
        if (row := told.row) is not None:
            self.mark(*row)

    def mark(self, name: str, index: int) -> None:
        self._rows.set(name, index, True)

    def mark_all(self, name: str, indexes: NDArray[np.integer]) -> None:
        self._rows.set_all(name, indexes, True)

    def has(self, name: str, index: int) -> bool:
        return bool(self._rows.get(name, index))

    def have(self, name: str, indexes: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which of many rows are done, in their order."""
        return self._rows.get_all(name, indexes).astype(np.bool_)

    def without(self, name: str, start: int, end: int) -> Iterator[int]:
        """Those of the rows `start <= index < end` that are not done."""
        return self._rows.without(name, start, end)

    def count(self, name: str, start: int, end: int) -> int:
        """How many of the rows `start <= index < end` are done."""
        return self._rows.count(name, start, end)


def done_samples(folder: Path, rank: int | None = None) -> DoneSamples:
    """The samples that have a record in the files of a rank, or of all."""
    done = DoneSamples()
    for path, _ in result_files(folder, rank):
        for told in read_told(path):
            done.add(told)
    return done
