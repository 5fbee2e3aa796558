"""Metafile (+ results so far) -> balanced `split_plan.jsonl`, and reading such a plan back.

python -m MetaCaptioner.plan --metafile data/Metafile.json --num-ranks 32 --output data/split_plan.jsonl
"""

import argparse
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from MetaCaptioner import Prompt, cost
from MetaCaptioner.annotation import AnnotationFile, BrokenAnnotation
from MetaCaptioner.domains import Modality
from MetaCaptioner.errors import BadArguments, UserError
from MetaCaptioner.files import atomic_write
from MetaCaptioner.media import MediaBudget
from MetaCaptioner.metafile import Dataset, first_problem, read_metafile, sample_from_row
from MetaCaptioner.results import RankResults, is_error, read_records, result_files
from MetaCaptioner.terminal import run_main, say

log = logging.getLogger(__name__)


class PlanRow(BaseModel):
    """One shard: rows `start_idx <= index < end_idx` of an annotation file, for one rank.

    `total`, `processed` and `remain` count the whole dataset; `cost` is the shard's estimate (see `cost.py`).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    data_name: Annotated[str, Field(min_length=1)]
    json_url: str
    root: str
    task: str = ""
    modality: Modality = "image"
    total: Annotated[int, Field(ge=0)]
    processed: Annotated[int, Field(ge=0)] = 0
    remain: Annotated[int, Field(ge=0)] = 0
    shard_index: Annotated[int, Field(ge=0)] = 0
    num_shards: Annotated[int, Field(ge=1)] = 1
    start_idx: Annotated[int, Field(ge=0)]
    end_idx: Annotated[int, Field(ge=0)]
    anno_file_key: Annotated[str, Field(min_length=1)]
    assign_rank: Annotated[int, Field(ge=0)]
    cost: float | None = None

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.end_idx < self.start_idx:
            raise ValueError(f"end_idx {self.end_idx} is below start_idx {self.start_idx}")
        return self

    @property
    def stem(self) -> str:
        """The annotation file's stem, which names the result file."""
        return Path(self.anno_file_key).stem


def read_plan(path: Path) -> tuple[list[PlanRow], list[str]]:
    """The sound rows of a plan, with paths relative to the plan's folder made absolute, and a line for each broken row.

    Raises:
        UserError: the plan is missing or holds no sound row.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"plan {path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    folder = path.resolve().parent
    rows: list[PlanRow] = []
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = PlanRow.model_validate_json(line)
        except ValidationError as error:
            problems.append(f"plan {path}: line {number}: {first_problem(error)}")
            continue
        absolute = {"json_url": str(folder / row.json_url), "root": str(folder / row.root)}
        rows.append(row.model_copy(update=absolute))
    if problems and not rows:
        raise UserError(f"{problems[0]} (no line of the plan can be used)")
    return rows, problems


@dataclass(frozen=True)
class DatasetWork:
    """What one dataset still needs: its cost row by row, zero where it is done.

    `costs` and `pending` have one entry for each selected row of the annotation file.
    """

    name: str
    dataset: Dataset
    costs: NDArray[np.float32]
    pending: NDArray[np.bool_]


def survey(name: str, dataset: Dataset, prompts: Prompt.Prompts, budget: MediaBudget) -> DatasetWork:
    """Read a dataset's annotation file and estimate what each selected row costs.

    Raises:
        BrokenAnnotation: the file cannot be used.
    """
    annotation = AnnotationFile(dataset.annotation)
    selected = len(annotation) if dataset.sample_count is None else min(dataset.sample_count, len(annotation))
    if dataset.length is not None and dataset.length != len(annotation):
        say(f"note: dataset '{name}': length says {dataset.length}, the annotation file has {len(annotation)} rows")
    estimate = cost.Estimator(prompts, budget)
    bad_rows, first_bad = 0, ""
    ids, given = np.zeros(selected, dtype=np.int64), np.zeros(selected, dtype=np.bool_)
    for index, row in annotation.rows(0, selected):
        sample = sample_from_row(row, name, index, dataset.root, dataset.modality, dataset.task, prompts.domains)
        estimate.add(sample)
        if sample.problem is not None:
            first_bad = first_bad or sample.problem
            bad_rows += 1
        ids[index] = hash(repr(sample.row_id))
        given[index] = sample.row_id is not None
    annotation.close()
    if bad_rows:
        say(f"note: dataset '{name}': {bad_rows} rows will end as bad_row records (first: {first_bad})")
    _warn_of_duplicates(name, ids, given)
    return DatasetWork(name, dataset, estimate.costs(), np.ones(selected, dtype=np.bool_))


def _warn_of_duplicates(name: str, ids: NDArray[np.int64], given: NDArray[np.bool_]) -> None:
    """Say once if rows share an `id`: harmless here, since a sample is its row, but often a sign of a bad merge."""
    _, first, counts = np.unique(ids[given], return_index=True, return_counts=True)
    doubled = int((counts > 1).sum())
    if doubled:
        row = int(np.flatnonzero(given)[first[counts > 1].min()])
        say(
            f"note: dataset '{name}': {doubled} ids occur more than once (first in row {row}); "
            "each row counts by itself"
        )


def mark_processed(works: Sequence[DatasetWork], results: Path) -> None:
    """Clear `pending` for every sample that has a record in `results`."""
    by_name = {work.name: work for work in works}
    for path, _ in result_files(results):
        for record in read_records(path):
            work = by_name.get(str(record.get("data_name")))
            index = record.get("index")
            if work is not None and isinstance(index, int) and 0 <= index < len(work.pending):
                work.pending[index] = False


def drop_errors(results: Path) -> int:
    """Take all error records out of the result files, so that they are planned again.

    Raises:
        ResultError: a rank is being worked on.
    """
    dropped = 0
    for rank in sorted({name.rank for _, name in result_files(results)}):
        with RankResults(results, rank, node=0) as files:
            dropped += files.drop(is_error)
    return dropped


def cut(works: Sequence[DatasetWork], num_ranks: int) -> list[PlanRow]:
    """Cut what is pending into contiguous shards so that the ranks' costs are as even as single samples allow.

    All pending rows stand in one line, dataset after dataset; rank r gets those whose middle lies in the r-th of
    `num_ranks` equal parts of the whole cost. So there are at most `num_ranks` - 1 cuts beside the ends of datasets and
    the gaps that earlier results left.
    """
    total = sum(float(work.costs[work.pending].sum(dtype=np.float64)) for work in works)
    shards: list[PlanRow] = []
    offset = 0.0
    for work in works:
        costs = np.where(work.pending, work.costs, 0.0).astype(np.float64)
        ends = offset + np.cumsum(costs)
        scale = num_ranks / total if total else 0.0
        ranks = np.minimum(((ends - costs / 2) * scale).astype(np.int64), num_ranks - 1)
        done = len(work.pending)
        # A dataset that is done keeps an empty shard, so that the plan still tells of it.
        pieces = list(_runs(np.where(work.pending, ranks, -1))) or [(0, done, done)]
        remain = int(work.pending.sum())
        for number, (rank, start, end) in enumerate(pieces):
            shards.append(
                PlanRow(
                    data_name=work.name,
                    json_url=str(work.dataset.annotation),
                    root=str(work.dataset.root),
                    task=work.dataset.task,
                    modality=work.dataset.modality,
                    total=len(work.pending),
                    processed=len(work.pending) - remain,
                    remain=remain,
                    shard_index=number,
                    num_shards=len(pieces),
                    start_idx=start,
                    end_idx=end,
                    anno_file_key=work.dataset.annotation.name,
                    assign_rank=rank,
                    cost=round(float(costs[start:end].sum()), 1),
                )
            )
        offset = float(ends[-1]) if len(ends) else offset
    return shards


def _runs(ranks: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """(rank, start, end) of each stretch of equal values that is not -1."""
    edges = np.flatnonzero(np.diff(ranks)) + 1
    starts = [0, *edges.tolist()] if len(ranks) else []
    for start, end in zip(starts, [*edges.tolist(), len(ranks)], strict=False):
        if ranks[start] >= 0:
            yield int(ranks[start]), start, end


def write_plan(rows: Sequence[PlanRow], path: Path) -> None:
    """Write the plan in one atomic step.

    Raises:
        UserError: it cannot be written.
    """
    with atomic_write(path, "plan") as file:
        file.writelines(json.dumps(row.model_dump(), ensure_ascii=False).encode() + b"\n" for row in rows)


def _describe(rows: Sequence[PlanRow], works: Sequence[DatasetWork], num_ranks: int) -> str:
    loads = dict.fromkeys(range(num_ranks), 0.0)
    for row in rows:
        loads[row.assign_rank] += row.cost or 0.0
    remain = sum(int(work.pending.sum()) for work in works)
    total = sum(len(work.pending) for work in works)
    mean = sum(loads.values()) / num_ranks
    uneven = f", the fullest rank {100 * (max(loads.values()) / mean - 1):.1f}% above the mean" if mean else ""
    done = f" ({total - remain:,} of {total:,} are done)" if remain < total else ""
    return f"{remain:,} samples of {len(works)} datasets{done} in {len(rows)} shards for {num_ranks} ranks{uneven}"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m MetaCaptioner.plan", description="Cut datasets into rank shards.")
    parser.add_argument("--metafile", type=Path, required=True, help="the Metafile: dataset name -> entry")
    parser.add_argument("--num-ranks", type=int, required=True, help="how many ranks will work")
    parser.add_argument("--output", type=Path, required=True, help="the plan to write, JSONL")
    parser.add_argument("--results", type=Path, help="result folder of earlier runs: plan only what remains")
    parser.add_argument(
        "--retry-errors", action="store_true", help="with --results: take failed samples out and plan them again"
    )
    parser.add_argument("--prompts-dir", type=Path, help="folder of prompt files that replace or add domains")
    options = parser.parse_args(arguments)
    if options.num_ranks < 1:
        raise BadArguments("--num-ranks must be at least 1")
    if options.retry_errors and not options.results:
        raise BadArguments("--retry-errors needs --results")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the plan. Status 1 where a dataset had to be left out; the plan then holds the others."""
    options = _parse(arguments)
    prompts = Prompt.load_prompts(options.prompts_dir)
    datasets, problems = read_metafile(options.metafile, prompts.domains)
    works: list[DatasetWork] = []
    for name, dataset in datasets.items():
        if dataset.model_extra:
            say(f"note: dataset '{name}': unknown entries are left alone: {', '.join(dataset.model_extra)}")
        try:
            if not dataset.root.is_dir():
                raise UserError(f"root {dataset.root} is not a folder")
            works.append(survey(name, dataset, prompts, MediaBudget()))
        except (BrokenAnnotation, UserError) as error:
            problems.append(f"Metafile {options.metafile}: dataset '{name}': {error}")
    for problem in problems:
        say(f"error: {problem}")
    if not works:
        raise UserError(f"Metafile {options.metafile}: no dataset can be planned")
    if options.results:
        if not options.results.is_dir():
            raise UserError(f"--results {options.results}: there is no such folder")
        if options.retry_errors:
            say(f"{drop_errors(options.results)} failed samples will be tried again")
        if not result_files(options.results):
            say(f"note: {options.results} holds no results (Rank*_node*_*.jsonl): everything is planned")
        mark_processed(works, options.results)
    rows = cut(works, options.num_ranks)
    write_plan(rows, options.output)
    say(f"{options.output}: {_describe(rows, works, options.num_ranks)}")
    if problems:
        say(f"left out: {len(problems)} of {len(problems) + len(works)} datasets; mend them and plan again")
    return 1 if problems else 0


if __name__ == "__main__":
    run_main(main)
