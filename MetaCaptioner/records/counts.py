"""How the records of each result file of a folder ended, counted again and again while the files grow."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from MetaCaptioner.records.growing_file import Place, read_on
from MetaCaptioner.records.reader import ResultName, result_files
from MetaCaptioner.records.row_ranges import RowRanges
from MetaCaptioner.records.scan import Kinds, Piece
from MetaCaptioner.utils.parallel import parallel_map

_PARALLEL_FROM_BYTES = 2**30  # read in a second or so, which is what it takes to start processes
_RECENT_RECORDS = 2**16


@dataclass(frozen=True)
class Change:
    """What has come to a file. `anew`: what was there before is gone, the pieces are all that it holds."""

    file: ResultName
    pieces: Sequence[Piece]
    anew: bool = False


@dataclass
class CountedFile:
    """A result file as far as it was read: how its rows ended, in memory that grows with the ranges of rows alone.

    `broken` lines are no records; `strays` name no row of a dataset.
    """

    path: Path
    name: ResultName
    kinds: Kinds
    place: Place | None = None
    rows: dict[str, RowRanges] = field(default_factory=dict)
    broken: int = 0
    strays: int = 0
    _recent: list[Piece] = field(default_factory=list)

    @property
    def changed(self) -> float:
        """The time of its last change, in seconds (Unix)."""
        return self.place.changed_ns / 1e9 if self.place is not None else 0.0

    def read_on(self) -> Iterator[Change]:
        """Read what is new, a block at a time: whoever breaks off goes on from there the next time.

        Raises:
            ResultError: it cannot be read.
        """
        was_read = self.place is not None
        for reading in read_on(self.path, self.place):
            if reading.anew:
                self.rows, self.broken, self.strays, self._recent = {}, 0, 0, []
            self.place = reading.place
            self.broken += reading.found.broken
            self.strays += reading.found.strays
            pieces = reading.found.pieces_in(self.kinds)
            self._recent += pieces
            if sum(len(piece.rows) for piece in self._recent) > _RECENT_RECORDS:
                self.join()
            yield Change(self.name, pieces, anew=reading.anew and was_read)

    @property
    def ranges(self) -> int:
        """How many ranges it is held in, but for what was read of late."""
        return sum(map(len, self.rows.values()))

    def join(self) -> None:
        """Put what was read of late into ranges."""
        by_name: dict[str, list[Piece]] = defaultdict(list)
        for piece in self._recent:
            by_name[piece.data_name].append(piece)
        for name, pieces in by_name.items():
            rows = np.concatenate([piece.rows for piece in pieces])
            recent = RowRanges.of(rows, np.concatenate([piece.endings for piece in pieces]))
            self.rows[name] = self.rows.get(name, RowRanges.none()).then(recent)
        self._recent = []

    def pieces(self) -> list[Piece]:
        """All that was read; the records of a row side by side."""
        self.join()
        return [Piece(name, *ranges.each_record()) for name, ranges in self.rows.items()]

    def spans(self) -> Iterator[tuple[str, int, int]]:
        """(dataset, first row, row behind the last one) of stretches of rows that have a record."""
        self.join()
        for name, ranges in self.rows.items():
            whole = ranges.stretches()
            for start, end in zip(whole.starts.tolist(), whole.ends.tolist(), strict=True):
                yield name, start, end

    def number_as(self, kinds: Kinds) -> None:
        """Number the kinds of errors as others do."""
        self.join()
        numbers = self.kinds.numbers_in(kinds)
        self.rows = {name: ranges.numbered(numbers) for name, ranges in self.rows.items()}
        self.kinds = kinds


def _counted(named: tuple[Path, ResultName]) -> CountedFile:
    """A result file, read for the first time."""
    file = CountedFile(*named, Kinds())
    for _ in file.read_on():
        pass
    file.join()
    return file


class RecordCounts:
    """The result files of a folder, each read as far as it was at the last `look`.

    Of those that are `known` already what follows is read, or all where they are not what they were.
    """

    def __init__(self, folder: Path, known: Iterable[CountedFile] = ()) -> None:
        self.files: dict[Path, CountedFile] = {}
        self.kinds = Kinds()
        self._folder = folder
        self._known = list(known)

    def look(self) -> list[Change]:
        """Read what is new; what has come, in order of the files.

        Raises:
            ResultError: a file cannot be read.
        """
        changes = {file.path: [self._take(file)] for file in self._known}
        self._known = []
        new = [named for named in result_files(self._folder) if named[0] not in self.files]
        for path, file in self.files.items():
            changes[path] = [*changes.get(path, ()), *file.read_on()]
        self.files = {path: file for path, file in self.files.items() if file.place is not None}
        for file in parallel_map(_counted, new, [path for path, _ in new], _PARALLEL_FROM_BYTES):
            if file.place is not None:  # it is still there
                changes[file.path] = [self._take(file)]
        return [change for path in sorted(changes) for change in changes[path]]

    def _take(self, file: CountedFile) -> Change:
        """Take in a file that was counted elsewhere."""
        file.number_as(self.kinds)
        self.files[file.path] = file
        return Change(file.name, file.pieces())
