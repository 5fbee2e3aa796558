"""What every dataset of a Metafile still needs: the cost of each of its rows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.agents.prompts import Prompts
from MetaCaptioner.data.annotation import AnnotationFile, parse_row
from MetaCaptioner.data.annotation_blocks import BrokenAnnotation
from MetaCaptioner.data.metafile import Dataset, is_folder
from MetaCaptioner.data.sample import PlainRow, Sample, glance, sample_from_row
from MetaCaptioner.data.taxonomy import ROUTED_TASKS, find_domain
from MetaCaptioner.errors import ErrorKind, UserError
from MetaCaptioner.media.loader import MediaBudget
from MetaCaptioner.planning.cost import BAD_ROW, NO_MEDIA_ROW, OUTSIDE_ROW, Estimator
from MetaCaptioner.records.media_identity import mark, of_plain, of_rows
from MetaCaptioner.utils.parallel import parallel_map

_UNUSABLE = (NO_MEDIA_ROW, BAD_ROW, OUTSIDE_ROW)
# No domain has these names.
_BAD_TASK = "\0"
_OUTSIDE_TASK = "\1"
_OF_PROBLEMS = (_BAD_TASK, _OUTSIDE_TASK)


@dataclass(frozen=True)
class DatasetWork:
    """What one dataset still needs: its cost row by row, and which rows are to be done.

    `costs`, `pending` and `media`, the mark of what the row names, have one entry for each selected row of the
    annotation file, which has `length` rows in all. `notes` are for the user.
    """

    name: str
    dataset: Dataset
    costs: NDArray[np.float32]
    pending: NDArray[np.bool_]
    media: NDArray[np.uint32]
    length: int
    notes: tuple[str, ...] = ()


def survey_all(
    datasets: Mapping[str, Dataset], prompts: Prompts, budget: MediaBudget, allow_outside_root: bool = False
) -> Iterator[DatasetWork | str]:
    """Every dataset's work in their order, or what is wrong with the dataset."""
    tasks = [(name, dataset, prompts, budget, allow_outside_root) for name, dataset in datasets.items()]
    return parallel_map(_survey_or_problem, tasks, [dataset.annotation for dataset in datasets.values()])


def _survey_or_problem(task: tuple[str, Dataset, Prompts, MediaBudget, bool]) -> DatasetWork | str:
    try:
        return survey(*task)
    except UserError as error:
        return str(error)


def survey(
    name: str, dataset: Dataset, prompts: Prompts, budget: MediaBudget, allow_outside_root: bool = False
) -> DatasetWork:
    """Read a dataset's annotation file and estimate what each selected row costs.

    Raises:
        UserError: the dataset's root or annotation file cannot be used.
    """
    annotation = _open(dataset)
    notes = []
    if unknown := dataset.unknown_keys():
        notes.append(f"unknown keys are left alone: {', '.join(unknown)}")
    with closing(annotation):
        length = len(annotation)
        if not length:
            notes.append(f"annotation file {dataset.annotation} has no rows")
        if dataset.length is not None and dataset.length != length:
            notes.append(f"length says {dataset.length}, the annotation file has {length} rows")
        selected = length if dataset.sample_count is None else min(dataset.sample_count, length)
        rows = _Rows(name, dataset, prompts, budget, selected, allow_outside_root)
        for first, texts in annotation.blocks(0, selected):
            rows.add(first, texts)
    if selected and rows.unusable() == selected:
        told = f"none of {selected:,} rows can be used (first: {rows.first_problem()})"
        raise UserError(f"annotation file {dataset.annotation}: {told}")
    costs, pending = rows.estimate.costs(), np.ones(selected, dtype=np.bool_)
    return DatasetWork(name, dataset, costs, pending, rows.media, length, (*notes, *rows.notes()))


def _open(dataset: Dataset) -> AnnotationFile:
    """The annotation file of a dataset whose root is there.

    Raises:
        UserError: either cannot be used; the message tells of both.
    """
    wrong_root = "" if is_folder(dataset.root) else f"root {dataset.root} is not a folder"
    try:
        annotation = AnnotationFile(dataset.annotation)
    except BrokenAnnotation as error:
        raise UserError(f"{wrong_root}; {error}" if wrong_root else str(error)) from error
    if wrong_root:
        annotation.close()
        raise UserError(wrong_root)
    return annotation


@dataclass(frozen=True)
class _Unusable:
    """Rows of one kind that no caption can come of: the index of the first, how many, what is wrong with the first."""

    first: int
    count: int
    problem: str


class _Rows:
    """Takes in the rows of one dataset, in order."""

    def __init__(
        self, name: str, dataset: Dataset, prompts: Prompts, budget: MediaBudget, count: int, allow_outside_root: bool
    ) -> None:
        self.estimate = Estimator(prompts, budget, dataset.root, allow_outside_root)
        self._allow_outside_root = allow_outside_root
        self._bound = None if allow_outside_root else dataset.root
        self.media = np.zeros(count, dtype=np.uint32)
        self._name = name
        self._dataset = dataset
        self._domains = prompts.domains
        self._domain_of = cache(self._find_domain)
        self._ids = np.zeros(count, dtype=np.int64)
        self._has_id = np.zeros(count, dtype=np.bool_)
        self._unusable: dict[str, _Unusable] = {}

    def add(self, first: int, texts: Sequence[bytes]) -> None:
        """Take in the rows in `texts`, of which the first has the index `first`."""
        rows = glance(texts, self._bound) or [self._row(first + place, text) for place, text in enumerate(texts)]
        domains = [self._domain_of(row.task) if _is_for_a_stage(row) else NO_MEDIA_ROW for row in rows]
        for kind in _UNUSABLE:
            if count := domains.count(kind):
                place = domains.index(kind)
                earlier = self._unusable.get(kind, _Unusable(first + place, 0, ""))
                problem = earlier.problem or self._sample(first + place, texts[place]).problem or ""
                self._unusable[kind] = _Unusable(earlier.first, earlier.count + count, problem)
        self.estimate.add(
            domains,
            media_names=[row.media_name for row in rows],
            are_videos=[bool(row.video) for row in rows],
            pixels=[(row.width or 0) * (row.height or 0) for row in rows],
            tars=[row.tar for row in rows],
        )
        media = (
            (of_plain(row) if row.task not in _OF_PROBLEMS else None) or of_rows([text])[0]
            for row, text in zip(rows, texts, strict=True)
        )
        self.media[first : first + len(rows)] = list(map(mark, media))
        # Python gives -1 and -2 the same hash.
        self._ids[first : first + len(rows)] = [hash(row.id) + (row.id == -1) for row in rows]
        self._has_id[first : first + len(rows)] = [row.id is not None for row in rows]

    def unusable(self) -> int:
        """How many rows no caption can come of."""
        return sum(one.count for one in self._unusable.values())

    def first_problem(self) -> str:
        """What is wrong with the first of them."""
        return min(self._unusable.values(), key=lambda one: one.first).problem

    def _row(self, index: int, text: bytes) -> PlainRow:
        plain = glance([text], self._bound)
        return plain[0] if plain else self._plain(index, text)

    def _plain(self, index: int, text: bytes) -> PlainRow:
        """The row as a thorough look finds it, put plainly."""
        sample = self._sample(index, text)
        row_id = sample.row_id if isinstance(sample.row_id, str | int | float) else None
        if sample.problem_kind == ErrorKind.NO_MEDIA:
            return PlainRow(row_id)
        if sample.problem is not None:
            task = _OUTSIDE_TASK if sample.problem_kind == ErrorKind.MEDIA_OUTSIDE_ROOT else _BAD_TASK
            return PlainRow(row_id, image=sample.media_name or None, task=task)
        image, video = (sample.media_name if sample.modality == kind else None for kind in ("image", "video"))
        return PlainRow(row_id, image, video, sample.task or "auto", sample.width, sample.height, sample.tar)

    def _sample(self, index: int, text: bytes) -> Sample:
        of = self._dataset
        anywhere = self._allow_outside_root
        return sample_from_row(
            parse_row(text), self._name, index, of.root, of.modality, of.task, self._domains, anywhere
        )

    def _find_domain(self, task: str | None) -> str | None:
        """The domain of a row with this `task`, None where the router decides, `BAD_ROW` where there is no such."""
        if task == _OUTSIDE_TASK:
            return OUTSIDE_ROW
        wanted = self._dataset.task if task is None else task
        if wanted.strip().casefold() in ROUTED_TASKS:
            return None
        try:
            return find_domain(wanted, self._domains).name
        except ValueError:
            return BAD_ROW

    def notes(self) -> Iterator[str]:
        """What the user should know of the rows."""
        if (without := self._unusable.get(NO_MEDIA_ROW)) is not None:
            yield (
                f"{without.count:,} rows have neither image nor video and are left out: no stage can use them "
                f"(first: {without.problem})"
            )
        for row, kind in ((BAD_ROW, ErrorKind.BAD_ROW), (OUTSIDE_ROW, ErrorKind.MEDIA_OUTSIDE_ROOT)):
            if (bad := self._unusable.get(row)) is not None:
                yield f"{bad.count} rows will end as {kind} records (first: {bad.problem})"
        ids = np.sort(self._ids[self._has_id])
        doubled = np.unique(ids[1:][ids[1:] == ids[:-1]])
        if len(doubled):  # harmless here, since a sample is its row, but often a sign of a bad merge
            first = int(np.flatnonzero(np.isin(self._ids, doubled) & self._has_id)[0])
            yield f"{len(doubled)} ids occur more than once (first in row {first}); each row counts by itself"


def _is_for_a_stage(row: PlainRow) -> bool:
    """Whether a row names media, or something else is wrong with it."""
    return bool(row.image or row.video) or row.task in _OF_PROBLEMS
