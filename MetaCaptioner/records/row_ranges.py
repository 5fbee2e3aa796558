"""How the rows of one dataset ended, as ranges of rows that ended alike: small where work is done in order."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.records.scan import OK, Endings, Rows

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class RowRanges:
    """Rows that have a record: `starts <= row < ends` of each range, in order, how they ended, and their records.

    A row ends ok if any of its `records` is, else as the last of them failed.
    """

    starts: Numbers
    ends: Numbers
    endings: Endings
    records: Numbers
    """How many each row of a range has."""

    @classmethod
    def none(cls) -> Self:
        """No rows."""
        no = np.zeros(0, np.int64)
        return cls(no, no, no.astype(np.uint8), no)

    @classmethod
    def of(cls, rows: Rows, endings: Endings) -> Self:
        """Of records in the order of their file."""
        order = np.argsort(rows, kind="stable")
        in_order, endings = rows[order].astype(np.int64), endings[order]
        first = np.flatnonzero(np.diff(in_order, prepend=-1))
        if not len(first):
            return cls.none()
        records = np.diff(first, append=len(in_order))
        any_ok = np.maximum.reduceat(endings, first) == OK
        each = np.where(any_ok, np.uint8(OK), endings[first + records - 1])
        return cls(in_order[first], in_order[first] + 1, each, records).joined()

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def total(self) -> float:
        """All records of all rows."""
        return float(np.sum((self.ends - self.starts) * self.records.astype(np.float64)))

    def then(self, later: "RowRanges") -> "RowRanges":
        """With the records that came later."""
        if not len(self) or not len(later):
            return later if len(later) else self
        cuts = np.unique(np.concatenate([self.starts, self.ends, later.starts, later.ends]))
        (before, records), (after, more) = self.at(cuts[:-1]), later.at(cuts[:-1])
        endings = np.where((before == OK) | (after == 0), before, after)
        return RowRanges(cuts[:-1], cuts[1:], endings, records + more).only(records + more > 0).joined()

    def only(self, chosen: NDArray[np.bool_]) -> "RowRanges":
        """Some of the ranges."""
        return RowRanges(self.starts[chosen], self.ends[chosen], self.endings[chosen], self.records[chosen])

    def at(self, rows: Numbers) -> tuple[Endings, Numbers]:
        """(ending, records) of each of some rows; 0 where there is none."""
        if not len(self):
            return np.zeros(len(rows), np.uint8), np.zeros(len(rows), np.int64)
        place = np.searchsorted(self.starts, rows, side="right") - 1
        there = (place >= 0) & (rows < self.ends[place])
        return np.where(there, self.endings[place], 0).astype(np.uint8), np.where(there, self.records[place], 0)

    def stretches(self) -> "RowRanges":
        """The same rows, however they ended and how often, in as few ranges as can be."""
        alike = np.zeros(len(self), np.uint8), np.ones(len(self), np.int64)
        return RowRanges(self.starts, self.ends, *alike).joined()

    def joined(self) -> Self:
        """With neighbours that are alike in one range."""
        alike = (self.starts[1:] == self.ends[:-1]) & (self.endings[1:] == self.endings[:-1])
        alike &= self.records[1:] == self.records[:-1]
        first = np.flatnonzero(np.concatenate([[True], ~alike])) if len(self) else np.zeros(0, np.int64)
        last = np.append(first[1:], len(self)) - 1 if len(self) else first
        return type(self)(self.starts[first], self.ends[last], self.endings[first], self.records[first])

    def numbered(self, numbers: Endings) -> "RowRanges":
        """With another number for each ending."""
        return replace(self, endings=numbers[self.endings])

    def each_record(self) -> tuple[Rows, Endings]:
        """(row, ending) of every record, those of a row side by side."""
        lengths = self.ends - self.starts
        begins = np.cumsum(lengths) - lengths
        rows = np.arange(int(lengths.sum())) + np.repeat(self.starts - begins, lengths)
        records, endings = np.repeat(self.records, lengths), np.repeat(self.endings, lengths)
        if len(records) and records.max() > 1:
            rows, endings = np.repeat(rows, records), np.repeat(endings, records)
        return rows.astype(np.int32), endings
