"""What every dataset of a Metafile still needs: the cost of each of its rows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.annotation import AnnotationFile, parse_row
from MetaCaptioner.cost import BAD_ROW, Estimator
from MetaCaptioner.domains import ROUTED_TASKS, find_domain
from MetaCaptioner.errors import UserError
from MetaCaptioner.media import MediaBudget
from MetaCaptioner.metafile import MOST_PIXELS_A_SIDE, Dataset, PlainRow, Sample, glance, sample_from_row
from MetaCaptioner.named_media import mark, of_plain
from MetaCaptioner.Prompt import Prompts
from MetaCaptioner.side_by_side import side_by_side

_BAD_TASK = "\0"  # no domain has this name


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


def survey_all(datasets: Mapping[str, Dataset], prompts: Prompts, budget: MediaBudget) -> Iterator[DatasetWork | str]:
    """Every dataset's work in their order, or what is wrong with the dataset."""
    tasks = [(name, dataset, prompts, budget) for name, dataset in datasets.items()]
    return side_by_side(_survey_or_problem, tasks, [dataset.annotation for dataset in datasets.values()])


def _survey_or_problem(task: tuple[str, Dataset, Prompts, MediaBudget]) -> DatasetWork | str:
    try:
        return survey(*task)
    except UserError as error:
        return str(error)


def survey(name: str, dataset: Dataset, prompts: Prompts, budget: MediaBudget) -> DatasetWork:
    """Read a dataset's annotation file and estimate what each selected row costs.

    Raises:
        UserError: the dataset's root or annotation file cannot be used.
    """
    if not dataset.root.is_dir():
        raise UserError(f"root {dataset.root} is not a folder")
    notes = []
    if dataset.model_extra:
        notes.append(f"unknown entries are left alone: {', '.join(dataset.model_extra)}")
    with closing(AnnotationFile(dataset.annotation)) as annotation:
        length = len(annotation)
        if dataset.length is not None and dataset.length != length:
            notes.append(f"length says {dataset.length}, the annotation file has {length} rows")
        selected = length if dataset.sample_count is None else min(dataset.sample_count, length)
        rows = _Rows(name, dataset, prompts, budget, selected)
        for first, texts in annotation.blocks(0, selected):
            rows.add(first, texts)
    costs, pending = rows.estimate.costs(), np.ones(selected, dtype=np.bool_)
    return DatasetWork(name, dataset, costs, pending, rows.media, length, (*notes, *rows.notes()))


class _Rows:
    """Takes in the rows of one dataset, in order."""

    def __init__(self, name: str, dataset: Dataset, prompts: Prompts, budget: MediaBudget, count: int) -> None:
        self.estimate = Estimator(prompts, budget, dataset.root)
        self.media = np.zeros(count, dtype=np.uint32)
        self._name = name
        self._dataset = dataset
        self._domains = prompts.domains
        self._domain_of = cache(self._find_domain)
        self._ids = np.zeros(count, dtype=np.int64)
        self._has_id = np.zeros(count, dtype=np.bool_)
        self._bad = 0
        self._first_bad: str | None = None

    def add(self, first: int, texts: Sequence[bytes]) -> None:
        """Take in the rows in `texts`, of which the first has the index `first`."""
        rows = glance(texts) or [self._plain(first + place, text) for place, text in enumerate(texts)]
        domains = [self._domain_of(row.task) for row in rows]
        if bad := domains.count(BAD_ROW):
            place = domains.index(BAD_ROW)
            self._first_bad = self._first_bad or self._sample(first + place, texts[place]).problem
            self._bad += bad
        self.estimate.add(
            domains,
            media_names=[row.image or row.video or "" for row in rows],
            are_videos=[row.video is not None for row in rows],
            pixels=[(row.width or 0) * (row.height or 0) for row in rows],
            tars=[row.tar for row in rows],
        )
        self.media[first : first + len(rows)] = [mark(of_plain(row)) for row in rows]
        # Python gives -1 and -2 the same hash.
        self._ids[first : first + len(rows)] = [hash(row.id) + (row.id == -1) for row in rows]
        self._has_id[first : first + len(rows)] = [row.id is not None for row in rows]

    def _plain(self, index: int, text: bytes) -> PlainRow:
        """The row as a thorough look finds it, put plainly."""
        sample = self._sample(index, text)
        row_id = sample.row_id if isinstance(sample.row_id, str | int | float) else None
        if sample.problem is not None:
            return PlainRow(row_id, task=_BAD_TASK)
        width, height = (min(max(side or 0, 0), MOST_PIXELS_A_SIDE) for side in (sample.width, sample.height))
        image, video = (sample.media_name if sample.modality == kind else None for kind in ("image", "video"))
        return PlainRow(row_id, image, video, sample.task or "auto", width, height, sample.tar)

    def _sample(self, index: int, text: bytes) -> Sample:
        of = self._dataset
        return sample_from_row(parse_row(text), self._name, index, of.root, of.modality, of.task, self._domains)

    def _find_domain(self, task: str | None) -> str | None:
        """The domain of a row with this `task`, None where the router decides, `BAD_ROW` where there is no such."""
        wanted = self._dataset.task if task is None else task
        if wanted.strip().casefold() in ROUTED_TASKS:
            return None
        try:
            return find_domain(wanted, self._domains).name
        except ValueError:
            return BAD_ROW

    def notes(self) -> Iterator[str]:
        """What the user should know of the rows."""
        if self._bad:
            yield f"{self._bad} rows will end as bad_row records (first: {self._first_bad})"
        ids = np.sort(self._ids[self._has_id])
        doubled = np.unique(ids[1:][ids[1:] == ids[:-1]])
        if len(doubled):  # harmless here, since a sample is its row, but often a sign of a bad merge
            first = int(np.flatnonzero(np.isin(self._ids, doubled) & self._has_id)[0])
            yield f"{len(doubled)} ids occur more than once (first in row {first}); each row counts by itself"
