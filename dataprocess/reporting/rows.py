"""A number for each row of each dataset, in a few bytes a row: what joins results of several folders by sample."""

import numpy as np
from numpy.typing import DTypeLike, NDArray

from MetaCaptioner.results import Record


class RowNumbers:
    """Whole numbers by the sample of a record; 0 where none was set. A dataset takes room up to its highest row."""

    def __init__(self, dtype: DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._rows: dict[str, NDArray[np.generic]] = {}

    def set(self, record: Record, number: int) -> None:
        """Note the number of a record's sample; a record without a sound identity is passed over."""
        name, index = record.get("data_name"), record.get("index")
        if not isinstance(name, str) or not isinstance(index, int) or index < 0:
            return
        rows = self._rows.get(name, np.zeros(0, self._dtype))
        if index >= len(rows):
            grown = np.zeros(max(index + 1, 2 * len(rows)), self._dtype)
            grown[: len(rows)] = rows
            rows = self._rows[name] = grown
        rows[index] = number

    def get(self, record: Record) -> int:
        """The number of a record's sample."""
        rows, index = self._rows.get(str(record.get("data_name"))), record.get("index")
        if rows is None or not isinstance(index, int) or not 0 <= index < len(rows):
            return 0
        return int(rows[index])
