"""Stage: caption. Routes what has no task, then runs the agents of the sample's domain on the same media.

python -m MetaCaptioner.captionpipeline --plan data/split_plan.jsonl --output-dir Output/Caption --model M
"""

from collections.abc import Sequence

from MetaCaptioner.engine import Completion
from MetaCaptioner.inferdomain import Router
from MetaCaptioner.media import Media
from MetaCaptioner.metafile import Sample
from MetaCaptioner.Prompt import Prompts
from MetaCaptioner.rank_loop import RunSample
from MetaCaptioner.results import Record
from MetaCaptioner.stage import Stage, add_plan_arguments, open_plan_work, run_stage
from MetaCaptioner.supervise import run_supervised
from MetaCaptioner.workflow import Generate, base_texts, run_workflow


def agent_record(completion: Completion) -> Record:
    """What a caption record keeps of one agent's answer."""
    return {
        "text": completion.text.strip(),
        "finish_reason": completion.finish_reason,
        "input_tokens": completion.input_tokens,
        "cached_tokens": completion.cached_tokens,
        "output_tokens": completion.output_tokens,
    }


def run_sample(prompts: Prompts) -> RunSample:
    """The caption stage."""
    router = Router(prompts)

    async def run(sample: Sample, media: Media, generate: Generate) -> Record:
        routed: Record = {}
        task, subdomain = sample.task, None
        if task is None:
            route = await router.route(sample, media, generate)
            routed, task, subdomain = route.fields(), route.task, route.subdomain
        workflow = prompts.workflows[task]
        completions = await run_workflow(workflow, base_texts(sample, media, subdomain), generate)
        summary = completions[workflow.agents[-1].name]
        return {
            **routed,
            "caption": summary.text.strip(),
            "truncated": summary.finish_reason == "length",
            "agents": {name: agent_record(completion) for name, completion in completions.items()},
        }

    return run


STAGE = Stage("captionpipeline", run_sample, add_plan_arguments, open_plan_work)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run this process's rank of the stage; returns the exit status."""
    return run_stage(STAGE, arguments)


if __name__ == "__main__":
    run_supervised(main)
