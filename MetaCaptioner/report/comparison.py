"""Two runs over the same data, joined sample by sample."""

from collections import Counter
from collections.abc import Sequence

from MetaCaptioner.records.record import Record
from MetaCaptioner.records.row_map import RowNumbers, row_of
from MetaCaptioner.report.entry import Entry


def code(entry: Entry) -> int:
    """Marks of a caption in one number, never 0: its overall mark in hundredths, and below that bit by bit:

    three bits of the lowest mark, one each of whether it is below a threshold of one dimension, truncated, and there.

    A caption without marks has 0 for both.
    """
    hundredths = 0 if entry.overall is None else round(entry.overall * 100)
    return (hundredths * 8 + (entry.lowest or 0)) * 8 + entry.is_below * 4 + entry.truncated * 2 + 1


class Comparison:
    """Counts how the marks of the samples that both runs have go together, in four bytes a sample.

    First `note` every caption of the other run, then `add` those of this one.
    """

    def __init__(self) -> None:
        self._codes = RowNumbers("int32")
        self._pairs: Counter[tuple[str, str, int, int]] = Counter()
        self._noted = 0
        self.common = 0
        self.only_here = 0

    def note(self, entry: Entry) -> None:
        """A caption of the other run."""
        row = row_of(entry.record)
        if row is not None:
            self._codes.set(*row, code(entry))
        self._noted += 1

    def add(self, entry: Entry) -> str:
        """A caption of this run.

        Returns:
            What became of it in the other run: `better`, `worse`, `same`, `unmarked` or `absent`.
        """
        row = row_of(entry.record)
        theirs, mine = self._codes.get(*row) if row else 0, code(entry)
        if not theirs:
            self.only_here += 1
            return "absent"
        self.common += 1
        self._pairs[entry.domain, entry.dataset, mine, theirs] += 1
        before, after = mine // 64, theirs // 64
        if not before or not after:
            return "unmarked"
        return "better" if after > before else "worse" if after < before else "same"

    def content(self, domains: Sequence[str], datasets: Sequence[str]) -> Record:
        """What the page is given: rows of domain, dataset, code here, code there, count."""
        return {
            "common": self.common,
            "onlyA": self.only_here,
            "onlyB": self._noted - self.common,
            "pairs": [
                [domains.index(domain), datasets.index(dataset), mine, theirs, count]
                for (domain, dataset, mine, theirs), count in self._pairs.items()
            ],
        }
