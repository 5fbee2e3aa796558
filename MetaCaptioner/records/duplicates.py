"""Which record of a sample counts where it has several: the one place that decides it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from MetaCaptioner.records.done import DoneSamples
from MetaCaptioner.records.reader import read_told
from MetaCaptioner.records.record import Told
from MetaCaptioner.records.row_map import Row, RowNumbers

_OK, _PREFERRED = 2, 1


class Once:
    """Lets one record of each sample through: the first that is ok, or else the first, in order of files and lines.

    With `prefers` one that it prefers goes before others that are ok, or have failed, as well; it is asked with the
    file and the row of a record.

    The records of `paths` are shown to it in their order. Two bytes a row on the disk. The files are read through by
    `read` when the first record is met that a later one might beat.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        read: Callable[[Path], Iterator[Told]] = read_told,
        prefers: Callable[[Path, Row], bool] | None = None,
        gone: DoneSamples | None = None,
    ) -> None:
        self.passed_over = 0
        """Further records of samples that have another one."""
        self.gone = 0
        """Records of rows that are `gone`, of which none is let through."""
        self._gone = gone
        self._paths = paths
        self._read = read
        self._prefers = prefers
        self._highest = _OK | (_PREFERRED if prefers else 0)
        self._seen = DoneSamples()
        self._best: RowNumbers | None = None

    def counts(self, path: Path, row: Row | None, ok: bool) -> bool:
        """Whether the next record, of that file, is the one of its sample; one without a sound identity always is."""
        if row is None:
            return True
        if self._gone is not None and self._gone.has(*row):
            self.gone += 1
            return False
        goodness = self._goodness(path, row, ok)
        if self._seen.has(*row) or (goodness < self._highest and goodness < self.best_of(row)):
            self.passed_over += 1
            return False
        self._seen.mark(*row)
        return True

    def is_another_preferred(self, path: Path, row: Row) -> bool:
        """Whether the record that counts is not one that is preferred, though there is such a one in that file."""
        return self._prefers is not None and self._prefers(path, row) and not self.best_of(row) & _PREFERRED

    def best_of(self, row: Row) -> int:
        """How good the best record of a sample is; greater is better."""
        if self._best is None:
            self._best = RowNumbers(np.uint8)
            for path in self._paths:
                for told in self._read(path):
                    if (of := told.row) is not None:
                        goodness = self._goodness(path, of, told.status == "ok")
                        if goodness > self._best.get(*of):
                            self._best.set(*of, goodness)
        return self._best.get(*row)

    def _goodness(self, path: Path, row: Row, ok: bool) -> int:
        preferred = self._prefers is not None and self._prefers(path, row)
        return (_OK if ok else 0) | (_PREFERRED if preferred else 0)
