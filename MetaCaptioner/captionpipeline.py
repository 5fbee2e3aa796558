"""Stage: caption. Routes what has no task, then runs the agents of the sample's domain on the same media.

python -m MetaCaptioner.captionpipeline --plan data/split_plan.jsonl --output-dir Output/Caption --model M
python -m MetaCaptioner.captionpipeline --input Output/Caption --output-dir Output/Short --model M --prompts-dir short

The second form is a second pass: over the captions of earlier results, whose texts its prompts may use. With the same
engine the first one has the judge mark the captions that it has made (--score), and before that routes all samples,
also those whose domain is known (--routes FOLDER).
"""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from MetaCaptioner import inferdomain, inferscore
from MetaCaptioner.agents.captioner import caption, refuse_earlier_texts
from MetaCaptioner.agents.prompts import Prompts
from MetaCaptioner.agents.router import Router
from MetaCaptioner.agents.workflow import Generate, base_texts
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.errors import BadArguments
from MetaCaptioner.launch.supervisor import run_supervised
from MetaCaptioner.media.loader import Media
from MetaCaptioner.planning.plan_file import read_plan
from MetaCaptioner.planning.provenance import Expected
from MetaCaptioner.records.record import Record
from MetaCaptioner.runner.loop import RunSample
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.runner.stage import PlanOptions, Stage, add_output_argument, open_plan_work, run_stage
from MetaCaptioner.runtime.rank import Rank
from MetaCaptioner.stages.second_pass import SecondPassOptions, open_second_pass
from MetaCaptioner.worklist.base import Work
from MetaCaptioner.worklist.earlier_captions import own_shares


def run_sample(prompts: Prompts) -> RunSample:
    """The caption stage."""
    router = Router(prompts)

    async def run(sample: Sample, media: Media, generate: Generate) -> Record:
        routed: Record = {}
        task, subdomain = sample.task, None
        if task is None:
            route = await router.route(sample, media, generate)
            routed, task, subdomain = route.fields(), route.task, route.subdomain
        return {**routed, **await caption(prompts.workflows[task], base_texts(sample, media, subdomain), generate)}

    return run


@dataclass(frozen=True)
class CaptionOptions:
    """What is captioned: a plan, or the captions of earlier results."""

    work: PlanOptions | SecondPassOptions
    then_score: bool = False
    routes: Path | None = None

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """One of the two, and where results go."""
        work = parser.add_mutually_exclusive_group(required=True)
        work.add_argument("--plan", type=Path, help="split_plan.jsonl")
        work.add_argument("--input", type=Path, metavar="FOLDER", help="earlier captions, for a second pass over them")
        add_output_argument(parser)
        marked = "with --plan: then have the judge mark the captions, into OUTPUT_DIR/score, with the same engine"
        parser.add_argument("--score", action="store_true", help=marked)
        routed = "with --plan: before that route every sample, with the same engine, into this folder"
        parser.add_argument("--routes", type=Path, metavar="FOLDER", help=routed)

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace) -> Self:
        """What the flags say.

        Raises:
            BadArguments: they do not go together.
        """
        if arguments.input is None:
            return cls(PlanOptions(arguments.plan, arguments.output_dir), arguments.score, arguments.routes)
        if arguments.score:
            raise BadArguments("--score goes with --plan; score a second pass by itself (metacaptioner score)")
        if arguments.routes:
            raise BadArguments("--routes goes with --plan")
        return cls(SecondPassOptions(arguments.input, arguments.output_dir))


def open_work(
    expected: Expected,
    given: CaptionOptions,
    options: StageOptions,
    rank: Rank,
    prompts: Prompts,
    stack: ExitStack,
) -> Work:
    """What of the plan, or of the earlier captions, falls to this process."""
    if isinstance(given.work, SecondPassOptions):
        return open_second_pass(expected, given.work, options, rank, prompts, stack)
    refuse_earlier_texts(prompts, "only a second pass over earlier captions has it (--input)")
    return open_plan_work(expected, given.work, options, rank, prompts, stack)


def open_scoring(
    expected: Expected,
    given: CaptionOptions,
    options: StageOptions,
    rank: Rank,
    prompts: Prompts,
    stack: ExitStack,
) -> Work:
    """The captions that this process has made, in this run or before, and its share of those of other plans."""
    assert isinstance(given.work, PlanOptions)
    captions = given.work.output_dir
    scores = captions / "score"
    rows, _ = read_plan(given.work.plan)
    shares = own_shares(rank, [row.assign_rank for row in rows], (captions, scores))
    work = inferscore.captions_to_score(captions, scores, expected, options)
    return work.open(rank, options.retry_errors, stack, inferscore.to_score, shares)


def open_routing(
    expected: Expected,
    given: CaptionOptions,
    options: StageOptions,
    rank: Rank,
    prompts: Prompts,
    stack: ExitStack,
) -> Work:
    """What of the plan falls to this process, to be routed."""
    assert isinstance(given.work, PlanOptions)
    assert given.routes is not None
    return open_plan_work(expected, PlanOptions(given.work.plan, given.routes), options, rank, prompts, stack)


def stages_before(given: CaptionOptions) -> list[Stage[CaptionOptions]]:
    """The stage that goes before captioning, if it is asked for."""
    route = inferdomain.STAGE
    return [Stage(route.name, route.asks, route.run_sample, CaptionOptions, open_routing)] if given.routes else []


def stages_after(given: CaptionOptions) -> list[Stage[CaptionOptions]]:
    """The stage that follows captioning, if it is asked for."""
    score = inferscore.STAGE
    return [Stage(score.name, score.asks, score.run_sample, CaptionOptions, open_scoring)] if given.then_score else []


_ABOUT = "Caption every sample of a plan, or the captions of earlier results once more."
STAGE = Stage(
    "captionpipeline",
    ("router", "agents"),
    run_sample,
    CaptionOptions,
    open_work,
    before=stages_before,
    then=stages_after,
    about=_ABOUT,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run this process's rank of the stage; returns the exit status."""
    return run_stage(STAGE, arguments)


if __name__ == "__main__":
    run_supervised(main)
