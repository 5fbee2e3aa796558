"""Metafile (+ results so far) -> balanced `split_plan.jsonl`.

python -m MetaCaptioner.plan --metafile data/Metafile.json --num-ranks 32 --output data/split_plan.jsonl
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner import Prompt
from MetaCaptioner.errors import BadArguments, UserError
from MetaCaptioner.locks import add_single_launch_argument
from MetaCaptioner.media import MediaBudget
from MetaCaptioner.metafile import metafile_digest, read_metafile
from MetaCaptioner.opening import add_outside_argument
from MetaCaptioner.plan_file import PlanRow, read_plan, write_plan
from MetaCaptioner.planned_by import handed_over, refuse_to_replace, refuse_to_replace_another
from MetaCaptioner.provenance import add_others_arguments
from MetaCaptioner.remaining import take_off_results
from MetaCaptioner.results import file_sizes
from MetaCaptioner.survey import DatasetWork, survey_all
from MetaCaptioner.terminal import run_main, say


def cut(works: Sequence[DatasetWork], num_ranks: int, metafile: str = "") -> list[PlanRow]:
    """Cut what is pending into contiguous shards so that the ranks' costs are as even as single samples allow.

    All pending rows stand in one line, dataset after dataset; rank r gets those whose middle lies in the r-th of
    `num_ranks` equal parts of the whole cost. So there are at most `num_ranks` - 1 cuts beside the ends of datasets and
    the gaps that earlier results left. `metafile` is the digest of what they are planned from.
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
                    metafile=metafile,
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
    kept = "keep a plan that is there already, if it was made from this Metafile as it is now"
    parser.add_argument("--if-missing", action="store_true", help=kept)
    origin = "the Metafile that --metafile was made from, if any: what --if-missing asks about"
    parser.add_argument("--made-from", type=Path, metavar="METAFILE", help=origin)
    add_outside_argument(parser)
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
    surveyed = survey_all(datasets, prompts, MediaBudget(), options.allow_outside_root)
    for name, found in zip(datasets, surveyed, strict=True):
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


def _keep(plan: Path, metafile: Path, digest: str) -> None:
    """Keep a plan that is there. One that does not tell what it was made from is believed.

    Raises:
        UserError: it was made from another Metafile, or cannot be read.
    """
    rows, _ = read_plan(plan)
    if gone := sorted({row.json_url for row in rows if not os.path.exists(row.json_url)}):  # noqa: PTH110 (any name)
        raise UserError(
            f"plan {plan}: is there already, but names annotation file {gone[0]}, which is not there: was something "
            "moved? Plan what remains (RESULTS=…, --results), or name another --output"
        )
    made_from = {row.metafile for row in rows}
    if made_from == {""}:
        say(f"note: {plan}: kept as it is there; it does not tell from which Metafile it was made")
        return
    if made_from != {digest}:
        raise UserError(
            f"plan {plan}: is there already, but was not made from Metafile {metafile} as it is now: that, or an "
            "annotation file of it, has changed. Plan what remains (RESULTS=…, --results), or name another --output"
        )
    say(f"{plan}: kept as it is there: Metafile {metafile} has not changed since")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the plan. Status 1 where a dataset had to be left out; the plan then holds the others."""
    options = _parse(arguments)
    origin = options.made_from or options.metafile
    digest = metafile_digest(origin)
    if options.if_missing and os.path.lexists(options.output):
        _keep(options.output, origin, digest)
        return 0
    works, problems = _survey_metafile(options)
    if options.results:
        refuse_to_replace_another(options.output, options.results)
        before = file_sizes(options.results)
        take_off_results(works, options.results, options.retry_errors, options.others, options.single_launch)
    rows = cut(works, options.num_ranks, digest)
    if options.results:
        with handed_over(options.results, before, rows, options.output, options.single_launch):
            write_plan(rows, options.output)
    else:
        refuse_to_replace(options.output, rows)
        write_plan(rows, options.output)
    say(f"{options.output}: {_describe(rows, works, options.num_ranks)}")
    if problems:
        say(f"left out: {len(problems)} of {len(problems) + len(works)} datasets; mend them and plan again")
    return 1 if problems else 0


if __name__ == "__main__":
    run_main(main)
