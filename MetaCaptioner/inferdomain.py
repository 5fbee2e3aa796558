"""Stage: route. Which of the domains, and which subdomain, a picture or clip belongs to.

python -m MetaCaptioner.inferdomain --plan data/split_plan.jsonl --output-dir Output/Domain --model M
"""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import ClassVar

from MetaCaptioner.agents.prompts import Prompts
from MetaCaptioner.agents.router import Router
from MetaCaptioner.agents.workflow import Generate
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.errors import UserError
from MetaCaptioner.launch.supervisor import run_supervised
from MetaCaptioner.media.loader import Media
from MetaCaptioner.planning.plan_file import PlanRow, read_plan
from MetaCaptioner.planning.provenance import Expected
from MetaCaptioner.records.record import Record
from MetaCaptioner.runner.loop import RunSample
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.runner.stage import Stage, open_plan_work, run_stage, said_to
from MetaCaptioner.runtime.rank import Rank
from MetaCaptioner.stages.next_commands import CAPTION, to_apply, to_follow
from MetaCaptioner.utils.common_options import PlanOption
from MetaCaptioner.utils.options import Flag, option
from MetaCaptioner.worklist.base import Work


def run_sample(prompts: Prompts) -> RunSample:
    """The route stage: one agent, whatever task the dataset names."""
    router = Router(prompts)

    async def run(sample: Sample, media: Media, generate: Generate) -> Record:
        return (await router.route(sample, media, generate)).fields()

    return run


class RouteOptions(PlanOption, StageOptions):
    """What is routed, and where results go."""

    command: ClassVar[str] = "route"

    output_dir: Path = option(..., "where the result files go", Flag("FOLDER"))


def open_work(expected: Expected, options: RouteOptions, rank: Rank, prompts: Prompts, stack: ExitStack) -> Work:
    """What of the plan falls to this process."""
    return open_plan_work(expected, options.plan, options.output_dir, options, rank, prompts, stack)


def leads_to(options: RouteOptions) -> tuple[Path, Sequence[str]]:
    """The domains into the annotation files; or captions, by the plan as it is."""
    rows: list[PlanRow] = []
    with suppress(UserError):  # by now the plan may be gone; all that it was needed for is done
        rows, _ = read_plan(options.plan)
    captions = to_follow(options.plan, CAPTION, options.output_dir.parent / "Caption", options)
    return options.output_dir, [to_apply(options.output_dir, options.plan, rows, options), captions]


_ABOUT = "Route every sample of a plan to one of the domains."
OPTIONS = RouteOptions
STAGE = Stage("inferdomain", ("router",), run_sample, OPTIONS, open_work, about=_ABOUT, leads_to=leads_to)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run this process's rank of the stage; returns the exit status."""
    return run_stage(STAGE, arguments)


if __name__ == "__main__":
    run_supervised(main, partial(said_to, STAGE))
