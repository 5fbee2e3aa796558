"""How far a plan has come: which of its rows have a record, by dataset and by rank, kept up to date as files grow.

A sample counts once, by its identity, however many records it has in however many files: it is ok if any of them is,
else it has failed as the last one that was read says. What a rank has to do are the rows of its shards, less the chunks
that others have taken over, and those that it has taken over; it has done those of them that have a record in its own
files, for it looks nowhere else: what another rank has done of them it would do again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.errors import ErrorKind
from MetaCaptioner.planning.expected_rows import expected_rows
from MetaCaptioner.planning.leases import Leases
from MetaCaptioner.planning.plan_file import PlanRow, without_overlaps
from MetaCaptioner.records.counts import RecordCounts
from MetaCaptioner.records.done import DoneSamples
from MetaCaptioner.records.published_counts import published_counts
from MetaCaptioner.records.reader import ResultName, result_files
from MetaCaptioner.records.scan import OK, Endings, Piece

_SCORES = "score"
"""The folder of scores within that of their captions."""


@dataclass(frozen=True)
class Count:
    """Samples: how many there are to do, how many have a record, and how many of those are errors, by kind.

    Rows without media are no failures: no stage can use them.
    """

    total: int
    done: int
    errors: dict[str, int]

    @property
    def ok(self) -> int:
        return self.done - sum(self.errors.values())

    @property
    def without_media(self) -> int:
        return self.errors.get(ErrorKind.NO_MEDIA, 0)

    @property
    def failed(self) -> int:
        return sum(self.errors.values()) - self.without_media

    @property
    def remaining(self) -> int:
        return self.total - self.done


@dataclass(frozen=True)
class Oddities:
    """What does not fit: nothing of it is counted as done.

    `outside_plan` are records of samples that the plan does not know; `repeated` are further records of samples that
    have one; `broken` are whole lines that are no records. `nobodys` are rows without a record that no rank of the plan
    has to do, since the plan counts them as done: it was made for other results.
    """

    outside_plan: int
    repeated: int
    broken: int
    nobodys: int


class Coverage:
    """The rows of a plan and the result files of a folder.

    In a folder of scores nothing remains to be done of rows whose captions, which lie in the folder above, have failed.
    """

    def __init__(self, rows: Sequence[PlanRow], folder: Path) -> None:
        rows = without_overlaps(rows)
        expected = expected_rows(rows)
        # By dataset, of each row the rank that has to do it (-1: none), and whether it must have a record.
        self._ranks = {name: of.each_rank() for name, of in expected.items()}
        self._recorded = {name: self._ranks[name] >= 0 for name in expected}
        for name, of in expected.items():
            self._recorded[name][:] |= of.all_recorded
        self._shards: dict[int, list[PlanRow]] = {rank: [] for rank in sorted({row.assign_rank for row in rows})}
        for row in rows:
            self._shards[row.assign_rank].append(row)
        self._leases = Leases(folder, rows)
        self._moved: set[str] = set()
        self._counts = RecordCounts(folder, published_counts(folder))
        of_scores = folder.name == _SCORES and bool(result_files(folder.parent))
        self._captions = Coverage(rows, folder.parent) if of_scores else None
        self._clear()

    def _clear(self) -> None:
        # What is done in any file, and in those of the rank that the plan gives it to.
        self._anywhere, self._own = DoneSamples(in_memory=True), DoneSamples(in_memory=True)
        self._records = self._outside = 0

    def look(self) -> set[int]:
        """Take in what has come to the files; returns the ranks of which something was taken away.

        Raises:
            ResultError: a file cannot be read.
        """
        if self._captions is not None:
            self._captions.look()
        changes = self._counts.look()
        self._move_chunks()  # after the look: whoever writes a record has claimed it before
        anew = {change.file.rank for change in changes if change.anew}
        if anew:
            self._clear()
            for file in self._counts.files.values():
                self._take(file.name, file.pieces())
        else:
            for change in changes:
                self._take(change.file, change.pieces)
        return anew

    def _move_chunks(self) -> None:
        """Give the chunks that have been taken over to their takers."""
        self._leases.look()
        for chunk in self._leases.moved():
            if chunk.name in self._moved:
                continue
            self._moved.add(chunk.name)
            for row in chunk.rows:
                self._ranks[row.data_name][row.start_idx : row.end_idx] = chunk.rank
                left = (piece for shard in self._shards[chunk.owner] for piece in _without(shard, row))
                self._shards[chunk.owner] = list(left)
                self._shards[chunk.rank].append(row)

    def _take(self, file: ResultName, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            self._records += len(piece.rows)
            recorded = self._recorded.get(piece.data_name)
            if recorded is None:
                self._outside += len(piece.rows)
                continue
            known = piece.rows < len(recorded)
            known[known] = recorded[piece.rows[known]]
            rows, endings = piece.rows[known], piece.endings[known]
            self._outside += len(piece.rows) - len(rows)
            self._anywhere.note(Piece(piece.data_name, rows, endings))
            own = self._ranks[piece.data_name][rows] == file.rank
            self._own.note(Piece(piece.data_name, rows[own], endings[own]))

    def ranks(self) -> dict[int, Count]:
        """What each rank of the plan has to do and has done, in order of the ranks."""
        return {
            rank: self._count(
                sum(shard.end_idx - shard.start_idx - self._spared_of(shard) for shard in shards),
                [self._own.endings(shard.data_name, shard.start_idx, shard.end_idx) for shard in shards],
            )
            for rank, shards in self._shards.items()
        }

    def datasets(self) -> dict[str, Count]:
        """The same of each dataset, in the order of the plan, over all ranks."""
        counts = {}
        for name, recorded in self._recorded.items():
            endings = self._anywhere.endings(name, 0, len(recorded))
            spared = self._spared(name, 0, recorded, endings)
            counts[name] = self._count(int(np.count_nonzero(recorded)) - spared, [endings])
        return counts

    def _spared_of(self, shard: PlanRow) -> int:
        endings = self._own.endings(shard.data_name, shard.start_idx, shard.end_idx)
        return self._spared(shard.data_name, shard.start_idx, np.ones(len(endings), np.bool_), endings)

    def _spared(self, name: str, start: int, rows: NDArray[np.bool_], done: Endings) -> int:
        """How many of these rows from `start` on have a failed caption, and so need no score, nor have one."""
        if self._captions is None:
            return 0
        captions = self._captions._anywhere.endings(name, start, start + len(rows))
        return int(np.count_nonzero(rows & (captions > 0) & (captions != OK) & (done == 0)))

    def _count(self, total: int, stretches: Sequence[Endings]) -> Count:
        done = sum(int(np.count_nonzero(endings)) for endings in stretches)
        ok = sum(int(np.count_nonzero(endings == OK)) for endings in stretches)
        errors: dict[str, int] = {}
        if done > ok:
            numbers = sum((np.bincount(endings, minlength=OK + 1) for endings in stretches), np.zeros(OK + 1, np.int64))
            names = self._counts.kinds.names()
            errors = {names[number - 1]: int(numbers[number]) for number in np.flatnonzero(numbers[1:OK]) + 1}
        return Count(total, done, dict(sorted(errors.items(), key=lambda entry: -entry[1])))

    def last_changes(self) -> dict[int, float]:
        """When a file of each rank that has any was last changed (Unix time, in seconds)."""
        last: dict[int, float] = {}
        for file in self._counts.files.values():
            last[file.name.rank] = max(file.changed, last.get(file.name.rank, 0.0))
        return last

    def oddities(self) -> Oddities:
        files, done, nobodys = self._counts.files.values(), 0, 0
        for name, recorded in self._recorded.items():
            endings = self._anywhere.endings(name, 0, len(recorded))
            done += int(np.count_nonzero(endings))
            of_nobody = recorded & (self._ranks[name] < 0)
            nobodys += int(np.count_nonzero(of_nobody & (endings == 0))) - self._spared(name, 0, of_nobody, endings)
        return Oddities(
            outside_plan=self._outside + sum(file.strays for file in files),
            repeated=self._records - self._outside - done,
            broken=sum(file.broken for file in files),
            nobodys=nobodys,
        )


def _without(shard: PlanRow, row: PlanRow) -> list[PlanRow]:
    """What is left of a shard before and behind a row."""
    if shard.data_name != row.data_name or row.end_idx <= shard.start_idx or shard.end_idx <= row.start_idx:
        return [shard]
    spans = ((shard.start_idx, row.start_idx), (row.end_idx, shard.end_idx))
    return [shard.model_copy(update={"start_idx": start, "end_idx": end}) for start, end in spans if start < end]
