"""What a rank still has to do: here the rows of its plan, less what has a record."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from MetaCaptioner.annotation import AnnotationFile, BrokenAnnotation
from MetaCaptioner.claims import Chunk, Claims
from MetaCaptioner.domains import Domain
from MetaCaptioner.errors import ENGINE_CRASH, SampleError, UserError
from MetaCaptioner.expected import NOBODY, expected_rows
from MetaCaptioner.journal import CRASHES_BEFORE_ALONE, Past
from MetaCaptioner.metafile import Sample, sample_from_row
from MetaCaptioner.named_media import RowMedia
from MetaCaptioner.plan_file import PlanRow
from MetaCaptioner.planned_media import Annotations
from MetaCaptioner.provenance import Expected
from MetaCaptioner.ranks import Rank
from MetaCaptioner.record import Record, has_failed, is_error, may_yet_succeed
from MetaCaptioner.results import DoneSamples, RankResults, read_glances, result_files
from MetaCaptioner.source import WHAT_TO_DO
from MetaCaptioner.tally import BegunRows
from MetaCaptioner.terminal import say

_PROBED_SAMPLES = 20


@dataclass(frozen=True)
class Item:
    """A sample to do, where its record goes, and what it has behind it: attempts in earlier runs, crashes it was at."""

    sample: Sample
    results: RankResults
    stem: str
    past: Past

    @property
    def suspect(self) -> bool:
        """Whether it may be what killed two workers: it is then done with nothing else in flight."""
        return self.past.crashes == CRASHES_BEFORE_ALONE

    def begin(self) -> None:
        """Note that it is in flight.

        Raises:
            SampleError: it has killed a worker alone.
        """
        if self.past.crashes > CRASHES_BEFORE_ALONE:
            raise SampleError(
                ENGINE_CRASH, f"was in flight at {self.past.crashes} deaths of the worker, at the last one alone"
            )
        self.results.journal.begin(self.sample.data_name, self.sample.index)

    def write(self, record: Record) -> None:
        self.results.append(self.stem, record)


class Work(Protocol):
    """What a stage works through."""

    folder: Path
    """Where its results go."""
    problems: list[str]
    """One line for each thing that cannot be worked on, such as a plan row out of range."""
    taken_over: int
    """Samples that this run has taken over from other processes."""

    def total(self) -> int:
        """How many samples are this rank's."""
        ...

    def pending(self) -> int:
        """How many of them have no record yet."""
        ...

    def help_wanted(self) -> bool:
        """Whether other processes have work that this one could take over."""
        ...

    def items(self) -> Iterator[Item]:
        """The pending samples, read as they are asked for."""
        ...

    def take_over(self) -> Iterator[Item] | None:
        """Claim some samples of a slower rank; None where there are none to be had.

        To look for them may take a while. It may be done in a thread of its own, the samples be asked for in another.
        """
        ...


@dataclass
class RankFiles:
    """The results of one assigned rank: open, recovered, with what is done."""

    results: RankResults
    done: DoneSamples

    def item(self, sample: Sample, stem: str) -> Item:
        return Item(sample, self.results, stem, self.results.journal.past(sample.data_name, sample.index))


def open_results(
    stack: ExitStack,
    folder: Path,
    rank: Rank,
    assigned: int,
    expected: Expected,
    retried: Callable[[Record], bool] | None,
    share: tuple[int, int] = (0, 1),
    outdated: Callable[[Record], bool] | None = None,
) -> RankFiles:
    """Open the results that a stage has of one assigned rank, or of a share (turn, processes) of it.

    Records that are `retried` are taken out and count as attempts, but only by the first worker of a run: the next one
    finds them out, or made anew. `outdated` ones are just taken out, and so are those that are not as `expected` and to
    be made again. Where a rank is shared, such a record may lie in a part of another process, which takes it out, while
    its sample is this process's turn: that is pending all the same.

    Raises:
        UserError: the results cannot be written, another process has them, or they are of another plan or stage or
            made otherwise.
    """
    results = stack.enter_context(RankResults(folder, assigned, rank.node, *share, single_launch=rank.single_launch))
    if not results.lock.kept:
        say(f"note: {folder}: the file system keeps no locks there: no other launch may work on it")
    gone = [test for test in (outdated, retried) if test is not None]
    if told := expected.check(results, lambda record: any(test(record) for test in gone)):
        say(told)
    scattered = expected.agree(results)
    if outdated is not None:
        results.drop(outdated)
    if expected.others == "redo":
        results.drop(expected.is_redone)
    if retried is not None and not rank.restarts:
        results.retry(retried)
    unwanted = [*gone, expected.is_redone] if expected.others == "redo" else gone
    done = results.done(lambda record: any(test(record) for test in unwanted), scattered)
    results.journal.settle(done.has, crashed=rank.restarts > 0)
    return RankFiles(results, done)


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
                say(told)
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
    claims: Claims
    takes_over: bool
    annotations: Annotations = field(default_factory=Annotations)
    allow_outside_root: bool = False
    taken_over: int = 0
    _begun: dict[int, BegunRows] = field(default_factory=dict)

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

        What its ranks have begun without a claim, they claim now. Without claims each rank has one chunk.
        """
        chunks: list[Chunk] = []
        for rank, mine in self.files.items():
            if not self.claims.size:
                chunks.append(Chunk(rank, 0, rank, tuple(row for row in self.rows if row.assign_rank == rank)))
                continue
            chunks += self.claims.taken_over(rank)
            for chunk in self.claims.chunks(rank):
                begun = any(mine.done.count(row.data_name, row.start_idx, row.end_idx) for row in chunk.rows)
                holder = self.claims.holder(chunk)
                if holder == rank or (holder is None and (not begun or self.claims.claim(chunk))):
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
            if not self.claims.size or self.claims.claim(chunk):
                yield from self._chunk_items(chunk)

    def take_over(self) -> Iterator[Item] | None:
        for chunk in self._open_chunks():
            mine = chunk.given_to(min(self.files))
            if self.claims.claim(mine):
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
        for chunk in self.claims.unclaimed() if self.takes_over else ():
            if chunk.owner != owner:
                owner = chunk.owner
                begun = self._begun.setdefault(owner, BegunRows(self.folder, owner)).look()
            rows = [row for row, _ in self._shards(chunk.rows)]
            if rows and not any(begun.count(row.data_name, row.start_idx, row.end_idx) for row in rows):
                yield chunk

    def _sample(self, row: PlanRow, annotation: AnnotationFile, index: int) -> Sample:
        return sample_from_row(
            annotation.row(index),
            row.data_name,
            index,
            Path(row.root),
            row.modality,
            row.task,
            self.domains,
            self.allow_outside_root,
        )

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


def check_root(data_name: str, root: str | Path, samples: Iterable[Sample]) -> None:
    """Refuse a root under which none of some samples is found, or none that may be read.

    Raises:
        UserError: the root is no folder, or there are two samples or more and no file of them is there, or all that are
            there are links out of it.
    """
    sources = [sample.source for sample in samples if sample.problem is None]
    there = [source for source in sources if os.path.exists(source.path)]  # noqa: PTH110 Path.exists fails on odd names
    if len(there) > 1 and all(source.leaves_root() for source in there):
        raise UserError(
            f"dataset '{data_name}': all of {len(there)} files looked at lie outside the root {root}, behind links "
            f"(such as {there[0].path}, which is {os.path.realpath(there[0].path)}): {WHAT_TO_DO}"
        )
    if not sources or there:
        return
    if not Path(root).is_dir():
        raise UserError(f"dataset '{data_name}': root {root} is not a folder")
    if len(sources) > 1:
        raise UserError(
            f"dataset '{data_name}': root {root} looks wrong: none of {len(sources)} files looked for is there "
            f"(such as {sources[0].path}{sources[0].hint()})"
        )


def _name(row: PlanRow) -> str:
    return f"{row.data_name} [{row.start_idx}, {row.end_idx})"
