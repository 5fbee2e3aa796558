"""What a rank knows of samples without a record: which are in flight, how often each was tried or was at a crash.

A worker that is killed cannot say what it was at; the journal beside the result files says it. Every line tells all
there is to tell of one sample, and a later line of the same sample takes the place of an earlier one. A line is written
when a sample begins; that it has ended is told by its record. So the file holds some thousand lines at most beside what
is known of samples with a past. Nothing is synced: what the kernel has been given outlives any process.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MetaCaptioner.errors import UserError
from MetaCaptioner.records.row_map import Row, RowNumbers, row_of
from MetaCaptioner.utils.atomic_io import atomic_write, write_whole
from MetaCaptioner.utils.json_text import from_json, to_json
from MetaCaptioner.utils.safe_open import open_file

CRASHES_BEFORE_ALONE = 2
"""A sample that was in flight at so many crashes is tried with nothing else in flight; one crash more is its own."""
_LINES_BEFORE_REWRITE = 1000


@dataclass(frozen=True)
class Past:
    """What a sample has behind it: attempts that ended in an error record, crashes that it was in flight at."""

    attempts: int = 0
    crashes: int = 0


class Journal:
    """The journal of one rank, for the one process that holds the rank's lock.

    Raises:
        UserError: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._attempts = RowNumbers(np.int32)  # when failures are done again, there may be one for every row
        self._crashes: dict[Row, int] = {}
        self._in_flight: set[Row] = set()
        self._descriptor: int | None = None
        self._lines = self._lines_at_first = 0
        for row, past, in_flight in _read(path):
            self._note(row, past)
            (self._in_flight.add if in_flight else self._in_flight.discard)(row)

    def settle(self, finished: Callable[[str, int], bool], crashed: bool) -> None:
        """Begin where another worker ended: samples that have a record are forgotten.

        If that worker `crashed`, each sample that it had in flight was there at one crash more.
        """
        if crashed:
            self._crashes |= {row: self._crashes.get(row, 0) + 1 for row in self._in_flight}
        self._in_flight.clear()
        for row in self._known():
            if finished(*row):
                self.end(*row)
        if self._path.exists():
            self._rewrite()

    def past(self, name: str, index: int) -> Past:
        return Past(self._attempts.get(name, index), self._crashes.get((name, index), 0))

    def remember(self, samples: Iterable[tuple[Row, Past]]) -> None:
        """Note what samples have behind them, no more and no less, whose records are about to be taken out."""
        noted = False
        for row, past in samples:
            self._note(row, past)
            noted = True
        if noted:
            self._rewrite()

    def begin(self, name: str, index: int) -> None:
        """Note that a sample is in flight from now on."""
        self._in_flight.add((name, index))
        if self._descriptor is None or self._lines >= _LINES_BEFORE_REWRITE + self._lines_at_first:
            self._rewrite()
            return
        try:
            write_whole(self._descriptor, self._line((name, index)))
        except OSError as error:
            raise UserError(f"journal {self._path}: cannot be written: {error.strerror}") from error
        self._lines += 1

    def end(self, name: str, index: int) -> None:
        """The sample has its record."""
        self._in_flight.discard((name, index))
        self._note((name, index), Past())

    def close(self) -> None:
        """Leave the file for the next worker; there is none when nothing is left to tell."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if next(self._known(), None) is None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _note(self, row: Row, past: Past) -> None:
        if past.attempts != self._attempts.get(*row):
            self._attempts.set(*row, past.attempts)
        if past.crashes:
            self._crashes[row] = past.crashes
        else:
            self._crashes.pop(row, None)

    def _known(self) -> Iterator[Row]:
        """The samples of which there is something to tell; what is told of them may change meanwhile."""
        few = {*self._crashes, *self._in_flight}
        yield from few
        yield from (row for row in self._attempts.rows() if row not in few)

    def _line(self, row: Row) -> bytes:
        past = self.past(*row)
        fields = {"data_name": row[0], "index": row[1], "attempts": past.attempts, "crashes": past.crashes}
        return to_json({**fields, "in_flight": row in self._in_flight}) + b"\n"

    def _rewrite(self) -> None:
        """Write the file anew with what still matters, in one atomic step, and go on after that."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._lines = 0
        with atomic_write(self._path, "journal", sync=False) as file:
            for row in self._known():
                file.write(self._line(row))
                self._lines += 1
        self._lines_at_first = self._lines
        try:
            self._descriptor = os.open(self._path, os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            raise UserError(f"journal {self._path}: cannot be written: {error.strerror}") from error


def _read(path: Path) -> Iterator[tuple[Row, Past, bool]]:
    """(sample, its past, whether it is in flight) of every whole line; a torn one has not happened."""
    try:
        with open_file(path) as file:
            for line in file:
                with suppress(ValueError, KeyError, TypeError, AttributeError, OverflowError):
                    fields = from_json(line)
                    row, past = row_of(fields), Past(int(fields["attempts"]), int(fields["crashes"]))
                    if row is not None:
                        yield row, past, bool(fields["in_flight"])
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"journal {path}: cannot be read: {error.strerror}") from error
