"""Metafile (+ results so far) -> balanced `split_plan.jsonl`.

python -m MetaCaptioner.plan --metafile data/Metafile.json --num-ranks 32 --output data/split_plan.jsonl
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from pydantic import model_validator

from MetaCaptioner.agents.prompts import PromptsOption, load_prompts
from MetaCaptioner.data.metafile import metafile_digest, read_metafile
from MetaCaptioner.errors import BadArguments, UserError
from MetaCaptioner.media.loader import MediaBudget
from MetaCaptioner.planning.plan_file import PlanRow, read_plan, write_plan
from MetaCaptioner.planning.plan_of_folder import handed_over, refuse_to_replace, refuse_to_replace_another
from MetaCaptioner.planning.provenance import OthersOption
from MetaCaptioner.planning.remaining import take_off_results
from MetaCaptioner.planning.shards import cut
from MetaCaptioner.planning.survey import DatasetWork, survey_all
from MetaCaptioner.records.reader import file_sizes
from MetaCaptioner.stages.next_commands import tell_to_follow
from MetaCaptioner.utils.cli import complain, note, run_main, say
from MetaCaptioner.utils.common_options import MetafileOption, OutsideOption, SingleLaunchOption
from MetaCaptioner.utils.options import Flag, option
from MetaCaptioner.utils.options_sources import read
from MetaCaptioner.utils.text import counted


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
    planned = f"{counted(remain, 'sample')} of {counted(len(works), 'dataset')}{done}{unusable}"
    return f"{planned} in {counted(len(rows), 'shard')} for {counted(num_ranks, 'rank')}{uneven}"


class PlanOptions(MetafileOption, PromptsOption, OutsideOption, OthersOption, SingleLaunchOption):
    """What is planned, for how many ranks."""

    command: ClassVar[str] = "plan"

    num_ranks: int = option(..., "how many ranks will work", ge=1)
    output: Path = option(..., "the plan to write, JSONL", Flag("FILE"))
    results: Path | None = option(None, "result folder of earlier runs: plan only what remains", Flag("FOLDER"))
    retry_errors: bool = option(False, "with --results: take failed samples out and plan them again")
    if_missing: bool = option(
        False, "keep a plan that is there already, if it was made from this Metafile as it is now"
    )
    made_from: Path | None = option(
        None, "the Metafile that --metafile was made from, if any: what --if-missing asks about", Flag("METAFILE")
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.retry_errors and not self.results:
            raise BadArguments("--retry-errors needs --results")
        return self


OPTIONS = PlanOptions


def _survey_metafile(options: PlanOptions) -> tuple[list[DatasetWork], list[str]]:
    """The work of every sound dataset, and a line for each broken one; tells the user of both.

    Raises:
        UserError: there is no sound dataset.
    """
    prompts = load_prompts(options.prompts_dir)
    datasets, problems = read_metafile(options.metafile, prompts.domains)
    works: list[DatasetWork] = []
    surveyed = survey_all(datasets, prompts, MediaBudget(), options.allow_outside_root)
    for name, found in zip(datasets, surveyed, strict=True):
        if isinstance(found, str):
            problems.append(f"Metafile {options.metafile}: dataset '{name}': {found}")
            continue
        works.append(found)
        for told in found.notes:
            note(f"dataset '{name}': {told}")
    for problem in problems:
        complain(problem)
    if not works:
        raise UserError(f"Metafile {options.metafile}: no dataset can be planned")
    return works, problems


def _keep(plan: Path, metafile: Path, digest: str) -> list[PlanRow]:
    """Keep a plan that is there; returns its rows. One that does not tell what it was made from is believed.

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
        note(f"{plan}: kept as it is there; it does not tell from which Metafile it was made")
        return rows
    if made_from != {digest}:
        raise UserError(
            f"plan {plan}: is there already, but was not made from Metafile {metafile} as it is now: that, or an "
            "annotation file of it, has changed. Plan what remains (RESULTS=…, --results), or name another --output"
        )
    say(f"{plan}: kept as it is there: Metafile {metafile} has not changed since")
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the plan. Status 1 where a dataset had to be left out; the plan then holds the others."""
    options = read(OPTIONS, arguments, "Cut datasets into rank shards.")
    if options.is_typed("others") and not options.results:  # said for all commands, it is not of this one's plan
        raise BadArguments(f"--{options.others} needs --results")
    origin = options.made_from or options.metafile
    digest = metafile_digest(origin)
    if options.if_missing and os.path.lexists(options.output):
        rows = _keep(options.output, origin, digest)
        tell_to_follow(options.output, rows, options.results, options)
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
        note(f"left out: {len(problems)} of {len(problems) + len(works)} datasets; mend them and plan again")
    else:
        tell_to_follow(options.output, rows, options.results, options)
    return 1 if problems else 0


if __name__ == "__main__":
    run_main(main)
