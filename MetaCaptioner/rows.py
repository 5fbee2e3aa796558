"""Which row of which dataset, with which caption; small numbers for rows, in a fraction of a dictionary's memory."""

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import DTypeLike, NDArray

HIGHEST_ROW = 2**31 - 1
"""Beyond any row of any dataset; a number above it is no row's, and would cost memory without end."""
Row = tuple[str, int]
"""Name of the dataset and number of the row, from 0: what a sample is known by."""


def row_of(record: Mapping[str, object]) -> Row | None:
    """Dataset and row of the sample that a record is of; None where it has no sound identity."""
    name, index = record.get("data_name"), record.get("index")
    is_row = isinstance(index, int) and not isinstance(index, bool) and 0 <= index <= HIGHEST_ROW
    return (name, index) if isinstance(name, str) and isinstance(index, int) and is_row else None


def caption_hash(caption: str) -> str:
    """Sixteen hexadecimal digits that tell one caption from another."""
    return hashlib.sha256(caption.encode("utf-8", "replace")).hexdigest()[:16]


class RowNumbers:
    """Numbers of one NumPy type by dataset and row; 0 where none was set. Takes room up to a dataset's highest row."""

    def __init__(self, dtype: DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._rows: dict[str, NDArray[np.generic]] = {}

    def set(self, name: str, index: int, number: int) -> None:
        rows = self._rows.get(name, np.zeros(0, dtype=self._dtype))
        if index >= len(rows):
            grown = np.zeros(max(index + 1, 2 * len(rows)), dtype=self._dtype)
            grown[: len(rows)] = rows
            rows = self._rows[name] = grown
        rows[index] = number

    def get(self, name: str, index: int) -> int:
        rows = self._rows.get(name)
        return int(rows[index]) if rows is not None and index < len(rows) else 0

    def rows(self) -> Iterator[Row]:
        """The rows with a number other than 0; numbers may be set to 0 meanwhile."""
        for name, rows in self._rows.items():
            yield from ((name, int(index)) for index in np.flatnonzero(rows))

    def count(self, name: str, start: int, end: int) -> int:
        """How many of the rows `start <= index < end` have a number other than 0."""
        rows = self._rows.get(name)
        return 0 if rows is None else int(np.count_nonzero(rows[start:end]))
