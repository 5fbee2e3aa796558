"""The rows of a rank's plan, less what has a record, and what it takes over from others."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from MetaCaptioner.data.annotation import AnnotationFile
from MetaCaptioner.data.annotation_blocks import BrokenAnnotation
from MetaCaptioner.data.sample import Sample, sample_from_row
from MetaCaptioner.data.taxonomy import Domain
from MetaCaptioner.planning.expected_rows import NOBODY, expected_rows
from MetaCaptioner.planning.leases import Chunk, Leases
from MetaCaptioner.planning.plan_file import PlanRow
from MetaCaptioner.planning.provenance import Expected
from MetaCaptioner.planning.row_media import Annotations
from MetaCaptioner.records.done import DoneSamples
from MetaCaptioner.records.media_identity import RowMedia
from MetaCaptioner.records.published_counts import published_counts
from MetaCaptioner.records.reader import read_glances, result_files
from MetaCaptioner.records.record import Record, has_failed, is_error, may_yet_succeed
from MetaCaptioner.records.store import RankResults
from MetaCaptioner.utils.cli import note
from MetaCaptioner.worklist.base import Item, RankFiles, check_root

_PROBED_SAMPLES = 20


def left_by_earlier_plans(folder: Path, rows: Sequence[PlanRow], mine: Collection[int]) -> list[int]:
    """The ranks with results that have no part in a plan, for the process to look after that does its first rank."""
    ranks = {row.assign_rank for row in rows}
    is_first = bool(ranks) and min(ranks) in mine
    return sorted({name.rank for _, name in result_files(folder)} - ranks) if is_first else []


def redo_left(
    folder: Path,
    mine: Iterable[int],
    left: Collection[int],
    expected: Expected,
    retried: Callable[[Record], bool] | None,
    single_launch: bool = False,
) -> None:
    """Take out of the results of ranks `left` by earlier plans what others are to make again.

    Those of the ranks `mine` are looked at before: where these would be refused, nothing is taken out.

    Raises:
        UserError: a rank is being worked on, or nobody would make it again.
    """
    for number in (*mine, *left) if expected.others == "redo" else ():
        with RankResults(folder, number, node=0, single_launch=single_launch) as results:
            expected.check(results, retried or (lambda record: False))
    for number in left:
        with RankResults(folder, number, node=0, single_launch=single_launch) as results:
            if told := expected.check(results, lambda record: False):
                note(told)
            results.drop(expected.is_redone)


def planned(rows: Sequence[PlanRow], annotations: Annotations) -> Callable[[Record], bool]:
    """Whether a record is a failure that these rows of a plan would do again; others must not be taken out.

    A row that had no media is done again if it names some now.
    """

    def tried_again(record: Record) -> bool:
        name, index = record.get("data_name"), record.get("index")
        if not is_error(record) or not isinstance(index, int):
            return False
        own = next((row for row in rows if row.data_name == name and row.start_idx <= index < row.end_idx), None)
        if own is None or may_yet_succeed(record):
            return own is not None
        media = annotations.media(own)
        return isinstance(media, RowMedia) and media.of(index) is not None

    return tried_again


def failures_left_out(rows: Sequence[PlanRow], paths: Iterable[Path]) -> int:
    """How many failures in these result files are of rows that no rank of a plan does, since it counts them as done."""
    expected, found = expected_rows(rows), 0
    for told in (told for path in paths for _, _, told in read_glances(path)):
        if told is not None and has_failed(told) and told.index is not None and told.data_name in expected:
            of, index = expected[told.data_name], told.index
            found += of.all_recorded and 0 <= index < of.total and of.rank(index) == NOBODY
    return found


@dataclass
class PlanWork:
    """The `rows` of a plan that fall to this process; with `takes_over` also what slower ranks have not begun.

    Raises:
        UserError: a dataset's root is wrong, told before any model is loaded.
    """

    rows: Sequence[PlanRow]
    domains: tuple[Domain, ...]
    files: Mapping[int, RankFiles]
    folder: Path
    problems: list[str]
    leases: Leases
    takes_over: bool
    annotations: Annotations = field(default_factory=Annotations)
    allow_outside_root: bool = False
    unlooked: Collection[str] = ()
    """Domains of whose media nobody looks at anything; their files are left alone."""
    taken_over: int = 0
    _begun: dict[int, DoneSamples] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in self.rows:
            annotation = self.annotations.of(row)
            if isinstance(annotation, BrokenAnnotation):
                self.problems.append(f"plan row {_name(row)} is left out: {annotation}")
            elif row.end_idx > len(annotation):
                self.problems.append(
                    f"plan row {_name(row)} is out of range: {row.json_url} has {len(annotation)} rows; "
                    "rows beyond are left out (plan again)"
                )
        self._check_roots()
        self._chunks = self._chunks_to_do()

    def _chunks_to_do(self) -> list[Chunk]:
        """What was taken over in earlier runs, and all that is this process's and no other has taken over.

        Its ranks take the leases now of what they have begun without. Without leases each rank has one chunk.
        """
        chunks: list[Chunk] = []
        for rank, mine in self.files.items():
            if not self.leases.size:
                chunks.append(Chunk(rank, 0, rank, tuple(row for row in self.rows if row.assign_rank == rank)))
                continue
            chunks += self.leases.taken_over(rank)
            for chunk in self.leases.chunks(rank):
                begun = any(mine.done.count(row.data_name, row.start_idx, row.end_idx) for row in chunk.rows)
                holder = self.leases.holder(chunk)
                if holder == rank or (holder is None and (not begun or self.leases.lease(chunk))):
                    chunks.append(chunk)
        return chunks

    def _shards(self, rows: Iterable[PlanRow]) -> Iterator[tuple[PlanRow, AnnotationFile]]:
        """The rows that can be used, cut to what there is, with their annotation files."""
        for row in rows:
            annotation = self.annotations.of(row)
            if not isinstance(annotation, BrokenAnnotation) and row.start_idx < len(annotation):
                yield row.model_copy(update={"end_idx": min(row.end_idx, len(annotation))}), annotation

    def total(self) -> int:
        return sum(row.end_idx - row.start_idx for chunk in self._chunks for row, _ in self._shards(chunk.rows))

    def pending(self) -> int:
        return sum(
            row.end_idx
            - row.start_idx
            - self.files[row.assign_rank].done.count(row.data_name, row.start_idx, row.end_idx)
            for chunk in self._chunks
            for row, _ in self._shards(chunk.rows)
        )

    def help_wanted(self) -> bool:
        return next(self._open_chunks(), None) is not None

    def items(self) -> Iterator[Item]:
        for chunk in self._chunks:
            if not self.leases.size or self.leases.lease(chunk):
                yield from self._chunk_items(chunk)

    def take_over(self) -> Iterator[Item] | None:
        for chunk in self._open_chunks():
            mine = chunk.given_to(min(self.files))
            if self.leases.lease(mine):
                self.taken_over += mine.samples
                return self._chunk_items(mine)
        return None

    def _chunk_items(self, chunk: Chunk) -> Iterator[Item]:
        for row, annotation in self._shards(chunk.rows):
            mine = self.files[row.assign_rank]
            for index in range(row.start_idx, row.end_idx):
                if not mine.done.has(row.data_name, index):
                    yield mine.item(self._sample(row, annotation, index), row.stem)

    def _open_chunks(self) -> Iterator[Chunk]:
        """The chunks that nobody has begun, those of the slowest rank first.

        Results of runs without claims show what their rank has begun; it goes on with that itself.
        """
        owner, begun = -1, DoneSamples()
        for chunk in self.leases.unleased() if self.takes_over else ():
            if chunk.owner != owner:
                owner = chunk.owner
                begun = self._begun_by(owner)
            rows = [row for row, _ in self._shards(chunk.rows)]
            if rows and not any(begun.count(row.data_name, row.start_idx, row.end_idx) for row in rows):
                yield chunk

    def _begun_by(self, owner: int) -> DoneSamples:
        """What another rank has begun. What it has published spares reading all its files.

        Should that be wrong, nothing is lost: what it is said to have begun it does itself, and of what it has begun it
        holds the leases since it has started.
        """
        if owner not in self._begun:
            self._begun[owner] = DoneSamples()
            for file in published_counts(self.folder, owner):
                if file.place is not None:
                    self._begun[owner].know(file.path, file.place, file.spans())
        return self._begun[owner].read(self.folder, owner)

    def _sample(self, row: PlanRow, annotation: AnnotationFile, index: int) -> Sample:
        sample = sample_from_row(
            annotation.row(index),
            row.data_name,
            index,
            Path(row.root),
            row.modality,
            row.task,
            self.domains,
            self.allow_outside_root,
        )
        return replace(sample, unseen="") if sample.task in self.unlooked else sample

    def _check_roots(self) -> None:
        """Look for some files of every dataset that has work left, evenly spread over its rows, done or not."""
        checked: set[str] = set()
        for row, annotation in self._shards(self.rows):
            done = self.files[row.assign_rank].done.count(row.data_name, row.start_idx, row.end_idx)
            if done == row.end_idx - row.start_idx or row.data_name in checked:
                continue
            checked.add(row.data_name)
            spread = np.linspace(0, len(annotation) - 1, _PROBED_SAMPLES).round().astype(int)
            check_root(row.data_name, row.root, (self._sample(row, annotation, i) for i in np.unique(spread).tolist()))


def _name(row: PlanRow) -> str:
    return f"{row.data_name} [{row.start_idx}, {row.end_idx})"
