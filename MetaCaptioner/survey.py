"""What every dataset of a Metafile still needs: the cost of each of its rows. Large datasets are read side by side."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.annotation import AnnotationFile, parse_row
from MetaCaptioner.cost import Estimator
from MetaCaptioner.domains import ROUTED_TASKS, find_domain
from MetaCaptioner.errors import UserError
from MetaCaptioner.media import MediaBudget
from MetaCaptioner.metafile import Dataset, Sample, glance, sample_from_row
from MetaCaptioner.Prompt import Prompts
from MetaCaptioner.ranks import kill_when_parent_ends

_SIDE_BY_SIDE_FROM_BYTES = 64 * 2**20  # below that, starting processes takes longer than it saves
_MOST_PROCESSES = 8


@dataclass(frozen=True)
class DatasetWork:
    """What one dataset still needs: its cost row by row, and which rows are to be done.

    `costs` and `pending` have one entry for each selected row of the annotation file. `notes` are for the user.
    """

    name: str
    dataset: Dataset
    costs: NDArray[np.float32]
    pending: NDArray[np.bool_]
    notes: tuple[str, ...] = ()


def survey_all(datasets: Mapping[str, Dataset], prompts: Prompts, budget: MediaBudget) -> Iterator[DatasetWork | str]:
    """Every dataset's work in their order, or what is wrong with the dataset."""
    processes = min(len(os.sched_getaffinity(0)), len(datasets), _MOST_PROCESSES)
    if processes < 2 or sum(map(_file_size, datasets.values())) < _SIDE_BY_SIDE_FROM_BYTES:
        for name, dataset in datasets.items():
            yield _survey_or_problem(name, dataset, prompts, budget)
        return
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawned, initializer=_begin_helper) as executor:
        yield from _in_order(executor, datasets, prompts, budget)


def _in_order(
    executor: Executor, datasets: Mapping[str, Dataset], prompts: Prompts, budget: MediaBudget
) -> Iterator[DatasetWork | str]:
    """Begin with the largest files, so that none is left alone at the end."""
    running: dict[str, Future[DatasetWork | str]] = {}
    for name in sorted(datasets, key=lambda name: _file_size(datasets[name]), reverse=True):
        running[name] = executor.submit(_survey_or_problem, name, datasets[name], prompts, budget)
    for name in datasets:
        yield running.pop(name).result()


def _begin_helper() -> None:
    """A helper ends with the planner; Ctrl-C is the planner's to answer."""
    kill_when_parent_ends()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _file_size(dataset: Dataset) -> int:
    try:
        return dataset.annotation.stat().st_size
    except OSError:
        return 0


def _survey_or_problem(name: str, dataset: Dataset, prompts: Prompts, budget: MediaBudget) -> DatasetWork | str:
    try:
        return survey(name, dataset, prompts, budget)
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
        for index, text in annotation.texts(0, selected):
            rows.add(index, text)
    costs, pending = rows.estimate.costs(), np.ones(selected, dtype=np.bool_)
    return DatasetWork(name, dataset, costs, pending, (*notes, *rows.notes()))


class _Rows:
    """Takes in the rows of one dataset, in order."""

    def __init__(self, name: str, dataset: Dataset, prompts: Prompts, budget: MediaBudget, count: int) -> None:
        self.estimate = Estimator(prompts, budget, dataset.root)
        self._name = name
        self._dataset = dataset
        self._domains = prompts.domains
        self._tasks: dict[str | None, tuple[str | None, str | None]] = {}
        self._ids = np.zeros(count, dtype=np.int64)
        self._has_id = np.zeros(count, dtype=np.bool_)
        self._bad = 0
        self._first_bad = ""

    def add(self, index: int, text: bytes) -> None:
        """Take in the row in `text`."""
        row = glance(text)
        if row is None:
            self._add_unusual(index, text)
            return
        self._note_id(index, row.id)
        domain, problem = self._tasks.get(row.task) or self._look_up(row.task)
        if problem is None:
            self.estimate.add(row.modality, row.media_name, domain, row.width, row.height)
        else:
            self._add_bad(f"row {index}: {problem}")

    def _add_unusual(self, index: int, text: bytes) -> None:
        sample = self._sample(index, text)
        self._note_id(index, sample.row_id)
        if sample.problem is None:
            self.estimate.add(sample.modality, sample.media_name, sample.task, sample.width, sample.height)
        else:
            self._add_bad(sample.problem)

    def _sample(self, index: int, text: bytes) -> Sample:
        of = self._dataset
        return sample_from_row(parse_row(text), self._name, index, of.root, of.modality, of.task, self._domains)

    def _add_bad(self, problem: str) -> None:
        self.estimate.add_bad()
        self._first_bad = self._first_bad or problem
        self._bad += 1

    def _note_id(self, index: int, row_id: object) -> None:
        if row_id is not None:
            self._ids[index] = hash(repr(row_id))
            self._has_id[index] = True

    def _look_up(self, task: str | None) -> tuple[str | None, str | None]:
        """(domain or None for the router, what is wrong with it) of a row's `task`, remembered."""
        wanted = self._dataset.task if task is None else task
        domain = problem = None
        try:
            if wanted.strip().casefold() not in ROUTED_TASKS:
                domain = find_domain(wanted, self._domains).name
        except ValueError as error:
            problem = str(error)
        self._tasks[task] = domain, problem
        return domain, problem

    def notes(self) -> Iterator[str]:
        """What the user should know of the rows."""
        if self._bad:
            yield f"{self._bad} rows will end as bad_row records (first: {self._first_bad})"
        ids = np.sort(self._ids[self._has_id])
        doubled = np.unique(ids[1:][ids[1:] == ids[:-1]])
        if len(doubled):  # harmless here, since a sample is its row, but often a sign of a bad merge
            first = int(np.flatnonzero(np.isin(self._ids, doubled) & self._has_id)[0])
            yield f"{len(doubled)} ids occur more than once (first in row {first}); each row counts by itself"
