"""Metafile (+ results so far) -> balanced `split_plan.jsonl`, and reading such a plan back.

python -m MetaCaptioner.plan --metafile data/Metafile.json --num-ranks 32 --output data/split_plan.jsonl
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from MetaCaptioner import Prompt
from MetaCaptioner.domains import Modality
from MetaCaptioner.errors import BadArguments, UserError
from MetaCaptioner.files import atomic_write
from MetaCaptioner.locks import add_single_launch_argument
from MetaCaptioner.media import MediaBudget
from MetaCaptioner.metafile import first_problem, read_metafile
from MetaCaptioner.provenance import add_others_arguments
from MetaCaptioner.remaining import take_off_results
from MetaCaptioner.spelling import local_name
from MetaCaptioner.survey import DatasetWork, survey_all
from MetaCaptioner.terminal import run_main, say


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
    absolute = cache(lambda given: str(folder / local_name(given)))
    rows: list[PlanRow] = []
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = PlanRow.model_validate_json(line)
            places = {"json_url": absolute(row.json_url), "root": absolute(row.root)}
        except ValueError as error:
            reason = first_problem(error) if isinstance(error, ValidationError) else error
            problems.append(f"plan {path}: line {number}: {reason}")
            continue
        moved = places != {"json_url": row.json_url, "root": row.root}
        rows.append(row.model_copy(update=places) if moved else row)
    if problems and not rows:
        raise UserError(f"{problems[0]} (no line of the plan can be used)")
    return rows, problems


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
    free = sum(int((work.costs[work.pending] == 0).sum()) for work in works)
    unusable = f", {free:,} of them rows that no stage can use," if free else ""
    planned = f"{remain:,} samples of {len(works)} datasets{done}{unusable}"
    return f"{planned} in {len(rows)} shards for {num_ranks} ranks{uneven}"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m MetaCaptioner.plan", description="Cut datasets into rank shards.")
    parser.add_argument("--metafile", type=Path, required=True, help="the Metafile: dataset name -> entry")
    parser.add_argument("--num-ranks", type=int, required=True, help="how many ranks will work")
    parser.add_argument("--output", type=Path, required=True, help="the plan to write, JSONL")
    parser.add_argument("--results", type=Path, help="result folder of earlier runs: plan only what remains")
    parser.add_argument(
        "--retry-errors", action="store_true", help="with --results: take failed samples out and plan them again"
    )
    add_others_arguments(parser)
    parser.add_argument("--prompts-dir", type=Path, help="folder of prompt files that replace or add domains")
    add_single_launch_argument(parser)
    options = parser.parse_args(arguments)
    if options.num_ranks < 1:
        raise BadArguments("--num-ranks must be at least 1")
    for flag in (
        "--retry-errors" if options.retry_errors else "",
        "" if options.others == "refuse" else "--" + options.others,
    ):
        if flag and not options.results:
            raise BadArguments(f"{flag} needs --results")
    return options


def _survey_metafile(options: argparse.Namespace) -> tuple[list[DatasetWork], list[str]]:
    """The work of every sound dataset, and a line for each broken one; tells the user of both.

    Raises:
        UserError: there is no sound dataset.
    """
    prompts = Prompt.load_prompts(options.prompts_dir)
    datasets, problems = read_metafile(options.metafile, prompts.domains)
    works: list[DatasetWork] = []
    for name, found in zip(datasets, survey_all(datasets, prompts, MediaBudget()), strict=True):
        if isinstance(found, str):
            problems.append(f"Metafile {options.metafile}: dataset '{name}': {found}")
            continue
        works.append(found)
        for note in found.notes:
            say(f"note: dataset '{name}': {note}")
    for problem in problems:
        say(f"error: {problem}")
    if not works:
        raise UserError(f"Metafile {options.metafile}: no dataset can be planned")
    return works, problems


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the plan. Status 1 where a dataset had to be left out; the plan then holds the others."""
    options = _parse(arguments)
    works, problems = _survey_metafile(options)
    if options.results:
        take_off_results(works, options.results, options.retry_errors, options.others, options.single_launch)
    rows = cut(works, options.num_ranks)
    write_plan(rows, options.output)
    say(f"{options.output}: {_describe(rows, works, options.num_ranks)}")
    if problems:
        say(f"left out: {len(problems)} of {len(problems) + len(works)} datasets; mend them and plan again")
    return 1 if problems else 0


if __name__ == "__main__":
    run_main(main)
