"""Stage: evaluate. Questions about pictures are answered from their captions alone, and marked by published rules.

python -m MetaCaptioner.evaluate --metafile data/eval/Metafile.json --data-folder Output/Caption --model M
python -m MetaCaptioner.evaluate … --plan data/eval/split_plan.jsonl --one-prompt Output/OnePrompt

The second form captions before, with the same engine: by the agents, and once more by one prompt, to see what the
agents add. The table is printed, and lies in the folder of the answers, which is DATA_FOLDER/answers.
"""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import ClassVar, Self, cast

from pydantic import model_validator

from MetaCaptioner import captionpipeline
from MetaCaptioner.agents.captioner import caption, refuse_earlier_texts
from MetaCaptioner.agents.changed_prompts import with_one_agent
from MetaCaptioner.agents.examinee import Examinee, Variant
from MetaCaptioner.agents.prompts import Prompts
from MetaCaptioner.agents.workflow import Generate, base_texts
from MetaCaptioner.data.metafile import read_metafile
from MetaCaptioner.data.question import question_of
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.errors import BadArguments, UserError
from MetaCaptioner.launch.supervisor import run_supervised
from MetaCaptioner.media.loader import Media
from MetaCaptioner.planning.provenance import Expected, stated
from MetaCaptioner.records.record import Record
from MetaCaptioner.runner.loop import RunSample
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.runner.stage import Stage, open_plan_work, run_stage, said_to
from MetaCaptioner.runtime.rank import Rank
from MetaCaptioner.stages.evaluation_answers import read_answers
from MetaCaptioner.stages.evaluation_table import Cost, Table, cost_of, markdown, table_of
from MetaCaptioner.utils.atomic_io import atomic_write
from MetaCaptioner.utils.cli import show
from MetaCaptioner.utils.common_options import DataFolderOption, MetafileOption
from MetaCaptioner.utils.json_text import to_json
from MetaCaptioner.utils.locks import held_alone
from MetaCaptioner.utils.options import Flag, option
from MetaCaptioner.worklist.base import Work
from MetaCaptioner.worklist.questions import CaptionsOf, QuestionSamples, QuestionSet, open_questions


class EvaluateOptions(MetafileOption, DataFolderOption, StageOptions):
    """Which questions are asked, what they are answered from, and where the answers go."""

    command: ClassVar[str] = "evaluate"

    output_dir: Path | None = option(
        None, "where the answers and the table go (default: DATA_FOLDER/answers)", Flag("FOLDER")
    )
    plan: Path | None = option(
        None, "before that caption this plan, into DATA_FOLDER and the folder of --one-prompt", Flag("FILE")
    )
    one_prompt: Path | None = option(
        None, "captions of one prompt in place of the agents, for a row of their own", Flag("FOLDER")
    )
    picture: bool = option(False, "answer with the picture itself as well: the most that captions could come to")
    caption_only: bool = option(False, "with --plan: answer nothing, which is left to another model")
    gpu_hour_price: float | None = option(None, "what an hour of one GPU costs", Flag("MONEY"), ge=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.caption_only and self.plan is None:
            raise BadArguments("--caption-only goes with --plan")
        if self.one_prompt is not None and self.one_prompt.resolve() == self.data_folder.resolve():
            raise BadArguments("--one-prompt and --data-folder name the same folder: captions would be mixed there")
        return self

    @property
    def folder(self) -> Path:
        """The folder of the answers."""
        return self.output_dir or self.data_folder / "answers"

    @property
    def captions(self) -> dict[Variant, Path]:
        """The folders of captions, by what answers from them are called."""
        again: dict[Variant, Path] = {"one_prompt": self.one_prompt} if self.one_prompt is not None else {}
        return {"captions": self.data_folder, **again}

    @property
    def variants(self) -> list[Variant]:
        """What questions are answered from."""
        picture: list[Variant] = ["picture"] if self.picture else []
        return [] if self.caption_only else [*self.captions, "none", *picture]


def run_sample(prompts: Prompts) -> RunSample:
    """The evaluate stage."""
    examinee = Examinee(prompts.evaluation)

    async def run(sample: Sample, media: Media, generate: Generate) -> Record:
        question, variant = question_of(sample.carried["asked"]), cast(Variant, sample.carried["variant"])
        return await examinee.answer(question, variant, sample.fields["captions"], generate)

    return run


def answering(prompts: Prompts, options: StageOptions) -> Prompts:
    """The prompts as who answers has them: one agent, that looks only if the picture is to be shown."""
    looks = isinstance(options, EvaluateOptions) and options.picture
    return with_one_agent(prompts, prompts.evaluation.look if looks else prompts.evaluation.answer)


def describe_sample(prompts: Prompts) -> RunSample:
    """The caption stage with one prompt for all domains, so that nobody need be asked which it is."""
    workflow = next(iter(prompts.workflows.values()))

    async def run(sample: Sample, media: Media, generate: Generate) -> Record:
        return await caption(workflow, base_texts(sample, media, None), generate)

    return run


def question_sets(options: EvaluateOptions, prompts: Prompts) -> tuple[list[QuestionSet], list[str]]:
    """The questions of a Metafile, dataset by dataset, and what is wrong with entries that are left out.

    Raises:
        UserError: there are none, or a file of them cannot be read.
    """
    datasets, broken = read_metafile(options.metafile, prompts.domains)
    sets = [QuestionSet.of(name, dataset) for name, dataset in datasets.items() if dataset.questions is not None]
    if not sets:
        told = "".join(f"; {one}" for one in broken)
        raise UserError(
            f"Metafile {options.metafile}: no dataset has questions (metacaptioner build --format questions makes "
            f"some){told}"
        )
    return sets, broken


def open_work(expected: Expected, options: EvaluateOptions, rank: Rank, prompts: Prompts, stack: ExitStack) -> Work:
    """The questions that fall to this process."""
    sets, broken = question_sets(options, prompts)
    folders = {} if options.caption_only else options.captions
    captions = {variant: stack.enter_context(closing(CaptionsOf(folder))) for variant, folder in folders.items()}
    samples = QuestionSamples({one.name: one for one in sets}, captions, prompts.domains, options.allow_outside_root)
    work = open_questions(expected, samples, options.variants, options.folder, rank, options.retry_errors, stack)
    work.problems += broken
    return work


def _open_captions(
    variant: Variant, expected: Expected, options: EvaluateOptions, rank: Rank, prompts: Prompts, stack: ExitStack
) -> Work:
    """What of the plan falls to this process, to be captioned for answers of that variant."""
    assert options.plan is not None
    refuse_earlier_texts(prompts, "only a second pass over earlier captions has it")
    unlooked = [name for name, workflow in prompts.workflows.items() if not workflow.looks()]
    folder = options.captions[variant]
    return open_plan_work(expected, options.plan, folder, options, rank, prompts, stack, unlooked)


def stages_before(options: EvaluateOptions) -> list[Stage[EvaluateOptions]]:
    """The stages that caption, if they are asked for."""
    if options.plan is None:
        return []
    of_agents: Stage[EvaluateOptions] = Stage(
        captionpipeline.STAGE.name,
        captionpipeline.STAGE.asks,
        captionpipeline.STAGE.run_sample,
        EvaluateOptions,
        partial(_open_captions, "captions"),
    )
    of_one_prompt: Stage[EvaluateOptions] = Stage(
        captionpipeline.STAGE.name,
        ("agents",),
        describe_sample,
        EvaluateOptions,
        partial(_open_captions, "one_prompt"),
        adapt=lambda prompts, options: with_one_agent(prompts, prompts.evaluation.describe),
    )
    return [of_agents, *([of_one_prompt] if options.one_prompt is not None else [])]


def conclude(folder: Path, rank: Rank, options: EvaluateOptions) -> list[str]:
    """Write the table of all answers so far; print it once all questions have one, or if nobody else is at work.

    The ranks write it one after the other, so that the last one's has all.
    """
    if options.caption_only:
        return []
    place = folder / "table.md"
    with held_alone(folder / ".table.lock", str(place), needed=False):
        table = made_table(options)
        for path, text in ((place, markdown(table).encode()), (place.with_suffix(".json"), to_json(table.content()))):
            with atomic_write(path, "table") as file:
                file.write(text)
    if table.open and rank.world_size > 1:
        return [f"{table.open:,} answers are not there yet; the table so far is in {place}"]
    if not options.quiet:
        show(f"\n{markdown(table)}\n")
    return [f"the table is in {place}"]


def made_table(options: EvaluateOptions) -> Table:
    """The table of the answers so far."""
    prompts = options.prompts()
    sets, _ = question_sets(options, prompts)
    answers = read_answers(options.folder, sets, options.variants)
    costs: dict[Variant, Cost] = {
        variant: cost_of(folder, options.gpu_hour_price) for variant, folder in options.captions.items()
    }
    made_by: dict[Variant, str] = {variant: _models(folder) for variant, folder in options.captions.items()}
    names = prompts.evaluation.answer.model, prompts.evaluation.grade.model
    answered_by, judged_by = (_models(options.folder, name) for name in names)
    return table_of(answers, costs, made_by, answered_by, judged_by)


def _models(folder: Path, name: str = "") -> str:
    """The models that have made the records of a folder; of several that are asked, those of that name."""
    return ", ".join(dict.fromkeys(one.models.get(name, one.model) for one in stated(folder))) or "(not told)"


_ABOUT = "Answer questions about pictures from their captions alone, and mark the answers: what the captions are worth."
OPTIONS = EvaluateOptions
STAGE = Stage(
    "evaluate",
    ("evaluation",),
    run_sample,
    OPTIONS,
    open_work,
    conclude=conclude,
    before=stages_before,
    adapt=answering,
    about=_ABOUT,
    leads_to=lambda options: (options.folder, ()),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run this process's rank of the stage; returns the exit status."""
    return run_stage(STAGE, arguments)


if __name__ == "__main__":
    run_supervised(main, partial(said_to, STAGE))
