"""Stage: route. Which of the domains, and which subdomain, a picture or clip belongs to.

python -m MetaCaptioner.inferdomain --plan data/split_plan.jsonl --output-dir Output/Domain --model M
"""

from collections.abc import Sequence

from MetaCaptioner.agents.prompts import Prompts
from MetaCaptioner.agents.router import Router
from MetaCaptioner.agents.workflow import Generate
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.launch.supervisor import run_supervised
from MetaCaptioner.media.loader import Media
from MetaCaptioner.records.record import Record
from MetaCaptioner.runner.loop import RunSample
from MetaCaptioner.runner.stage import PlanOptions, Stage, open_plan_work, run_stage


def run_sample(prompts: Prompts) -> RunSample:
    """The route stage: one agent, whatever task the dataset names."""
    router = Router(prompts)

    async def run(sample: Sample, media: Media, generate: Generate) -> Record:
        return (await router.route(sample, media, generate)).fields()

    return run


_ABOUT = "Route every sample of a plan to one of the domains."
STAGE = Stage("inferdomain", ("router",), run_sample, PlanOptions, open_plan_work, about=_ABOUT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run this process's rank of the stage; returns the exit status."""
    return run_stage(STAGE, arguments)


if __name__ == "__main__":
    run_supervised(main)
