"""Stage: caption. Routes what has no task, then runs the agents of the sample's domain on the same media.

python -m MetaCaptioner.captionpipeline --plan data/split_plan.jsonl --output-dir Output/Caption --model M
python -m MetaCaptioner.captionpipeline --input Output/Caption --output-dir Output/Short --model M --prompts-dir short

The second form is a second pass: over the captions of earlier results, whose texts its prompts may use.
"""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from MetaCaptioner.engine import Completion
from MetaCaptioner.errors import UserError
from MetaCaptioner.inferdomain import Router
from MetaCaptioner.media import Media
from MetaCaptioner.metafile import Sample
from MetaCaptioner.options import StageOptions
from MetaCaptioner.Prompt import Prompts
from MetaCaptioner.provenance import Expected
from MetaCaptioner.rank_loop import RunSample
from MetaCaptioner.ranks import Rank
from MetaCaptioner.record import Record
from MetaCaptioner.second_pass import open_second_pass
from MetaCaptioner.stage import Stage, add_output_argument, open_plan_work, run_stage
from MetaCaptioner.supervise import run_supervised
from MetaCaptioner.work import Work
from MetaCaptioner.workflow import Generate, Workflow, base_texts, is_earlier_text, run_workflow


def agent_record(completion: Completion) -> Record:
    """What a caption record keeps of one agent's answer."""
    return {
        "text": completion.text.strip(),
        "finish_reason": completion.finish_reason,
        "input_tokens": completion.input_tokens,
        "cached_tokens": completion.cached_tokens,
        "output_tokens": completion.output_tokens,
    }


async def caption(workflow: Workflow, texts: Mapping[str, str], generate: Generate) -> Record:
    """Run a domain's agents; what a record keeps of their answers.

    Raises:
        SampleError: an agent failed.
    """
    completions = await run_workflow(workflow, texts, generate)
    summary = completions[workflow.agents[-1].name]
    return {
        "caption": summary.text.strip(),
        "truncated": summary.finish_reason == "length",
        "agents": {name: agent_record(completion) for name, completion in completions.items()},
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
        return {**routed, **await caption(prompts.workflows[task], base_texts(sample, media, subdomain), generate)}

    return run


def refuse_earlier_texts(prompts: Prompts, why: str) -> None:
    """Refuse prompts that use texts of an earlier result where there are none.

    Raises:
        UserError: names the prompt file.
    """
    for name, workflow in prompts.workflows.items():
        for text, agent in workflow.uses().items():
            if is_earlier_text(text):
                raise UserError(f"prompt file {prompts.files[name]}: agent '{agent}' uses '{{{text}}}': {why}")


def add_work_arguments(parser: argparse.ArgumentParser) -> None:
    """What is captioned: a plan, or the captions of earlier results."""
    work = parser.add_mutually_exclusive_group(required=True)
    work.add_argument("--plan", type=Path, help="split_plan.jsonl")
    work.add_argument("--input", type=Path, metavar="FOLDER", help="earlier captions, for a second pass over them")
    add_output_argument(parser)


def open_work(
    expected: Expected,
    arguments: argparse.Namespace,
    options: StageOptions,
    rank: Rank,
    prompts: Prompts,
    stack: ExitStack,
) -> Work:
    """What of the plan, or of the earlier captions, falls to this process."""
    if arguments.input is not None:
        return open_second_pass(expected, arguments, options, rank, prompts, stack)
    refuse_earlier_texts(prompts, "only a second pass over earlier captions has it (--input)")
    return open_plan_work(expected, arguments, options, rank, prompts, stack)


STAGE = Stage("captionpipeline", ("router", "agents"), run_sample, add_work_arguments, open_work)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run this process's rank of the stage; returns the exit status."""
    return run_stage(STAGE, arguments)


if __name__ == "__main__":
    run_supervised(main)
