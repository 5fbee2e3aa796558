"""Finds the record of a sample in result files without holding the records in memory."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from MetaCaptioner.record import Record
from MetaCaptioner.results import read_at, read_places
from MetaCaptioner.rows import RowNumbers

_OFFSET_BITS = 44
_OK = 1 << 63
"""Set in the place of a record that is ok."""


class RecordIndex:
    """The records of some result files by sample, eight bytes of memory a row.

    Of several of a sample the first that is ok counts, or else the first.

    Raises:
        ResultError: a file cannot be read.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = tuple(paths)
        self._places = RowNumbers(np.uint64)
        for number, path in enumerate(self._paths, start=1):
            for offset, told in read_places(path):
                if (row := told.row) is None:
                    continue
                ok = _OK if told.status == "ok" else 0
                if self._places.get(*row) < max(ok, 1):  # there is none yet, or one that failed
                    self._places.set(*row, ok | number << _OFFSET_BITS | offset)

    def get(self, name: str, index: int) -> Record | None:
        """The record of a sample; None where there is none.

        Raises:
            ResultError: its file cannot be read any more.
        """
        place = self._places.get(name, index) & ~_OK
        if place == 0:
            return None
        return read_at(self._paths[(place >> _OFFSET_BITS) - 1], place & (1 << _OFFSET_BITS) - 1)
