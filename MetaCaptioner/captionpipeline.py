"""Stage: caption. Routes what has no task, then runs the agents of the sample's domain on the same media.

python -m MetaCaptioner.captionpipeline --plan data/split_plan.jsonl --output-dir Output/Caption --model M
python -m MetaCaptioner.captionpipeline --input Output/Caption --output-dir Output/Short --model M --prompts-dir short

The second form is a second pass: over the captions of earlier results, whose texts its prompts may use. With the same
engine the first one has the judge mark the captions that it has made (--score), and before that routes all samples,
also those whose domain is known (--routes FOLDER).
"""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import ClassVar, Self

from pydantic import model_validator

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
from MetaCaptioner.runner.stage import Stage, open_plan_work, run_stage, said_to
from MetaCaptioner.runtime.rank import Rank
from MetaCaptioner.stages.next_commands import to_filter, to_score
from MetaCaptioner.stages.second_pass import open_second_pass
from MetaCaptioner.utils.options import Flag, option
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


class CaptionOptions(StageOptions):
    """What is captioned, a plan or the captions of earlier results, and where results go."""

    command: ClassVar[str] = "caption"

    plan: Path | None = option(None, "split_plan.jsonl", Flag("FILE"))
    input: Path | None = option(
        None, "in place of --plan: earlier captions, for a second pass over them", Flag("FOLDER")
    )
    output_dir: Path = option(..., "where the result files go", Flag("FOLDER"))
    score: bool = option(
        False, "with --plan: then have the judge mark the captions, into OUTPUT_DIR/score, with the same engine"
    )
    routes: Path | None = option(
        None,
        "with --plan: before that route every sample, with the same engine, into this folder",
        Flag("FOLDER"),
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.input is not None:
            if self.plan is not None:
                raise BadArguments("--plan and --input do not go together: say one of the two")
            if self.score:
                raise BadArguments("--score goes with --plan; score a second pass by itself (metacaptioner score)")
            if self.routes is not None:
                raise BadArguments("--routes goes with --plan")
        elif self.plan is None:
            raise BadArguments("missing: --plan (split_plan.jsonl), or --input (earlier captions, for a second pass)")
        return self

    @property
    def followed(self) -> Path:
        """The plan, of what is no second pass."""
        assert self.plan is not None
        return self.plan


def open_work(expected: Expected, options: CaptionOptions, rank: Rank, prompts: Prompts, stack: ExitStack) -> Work:
    """What of the plan, or of the earlier captions, falls to this process."""
    if options.input is not None:
        return open_second_pass(expected, options.input, options.output_dir, options, rank, prompts, stack)
    refuse_earlier_texts(prompts, "only a second pass over earlier captions has it (--input)")
    unlooked = [name for name, workflow in prompts.workflows.items() if not workflow.looks()]
    return open_plan_work(expected, options.followed, options.output_dir, options, rank, prompts, stack, unlooked)


def open_scoring(expected: Expected, options: CaptionOptions, rank: Rank, prompts: Prompts, stack: ExitStack) -> Work:
    """The captions that this process has made, in this run or before, and its share of those of other plans."""
    captions = options.output_dir
    scores = captions / "score"
    rows, _ = read_plan(options.followed)
    shares = own_shares(rank, [row.assign_rank for row in rows], (captions, scores))
    work = inferscore.captions_to_score(captions, scores, expected, options)
    return work.open(rank, options.retry_errors, stack, inferscore.to_score, shares)


def open_routing(expected: Expected, options: CaptionOptions, rank: Rank, prompts: Prompts, stack: ExitStack) -> Work:
    """What of the plan falls to this process, to be routed."""
    assert options.routes is not None
    return open_plan_work(expected, options.followed, options.routes, options, rank, prompts, stack)


def stages_before(options: CaptionOptions) -> list[Stage[CaptionOptions]]:
    """The stage that goes before captioning, if it is asked for."""
    route = inferdomain.STAGE
    return [Stage(route.name, route.asks, route.run_sample, CaptionOptions, open_routing)] if options.routes else []


def stages_after(options: CaptionOptions) -> list[Stage[CaptionOptions]]:
    """The stage that follows captioning, if it is asked for."""
    score = inferscore.STAGE
    return [Stage(score.name, score.asks, score.run_sample, CaptionOptions, open_scoring)] if options.score else []


def routes(options: StageOptions) -> bool:
    """Whether what has no domain is routed: in a second pass all have that of the first."""
    return not (isinstance(options, CaptionOptions) and options.input is not None)


def leads_to(options: CaptionOptions) -> tuple[Path, Sequence[str]]:
    """The marks, or where those are made already the filter."""
    captions = options.output_dir
    return captions, [to_filter(captions, None, options) if options.score else to_score(captions, options)]


_ABOUT = "Caption every sample of a plan, or the captions of earlier results once more."
OPTIONS = CaptionOptions
STAGE = Stage(
    "captionpipeline",
    ("router", "agents"),
    run_sample,
    OPTIONS,
    open_work,
    before=stages_before,
    then=stages_after,
    routes=routes,
    about=_ABOUT,
    leads_to=leads_to,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run this process's rank of the stage; returns the exit status."""
    return run_stage(STAGE, arguments)


if __name__ == "__main__":
    run_supervised(main, partial(said_to, STAGE))
