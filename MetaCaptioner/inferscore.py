"""Stage: score. A judge looks at the media and its caption and marks it in some dimensions, those of judge.yaml.

python -m MetaCaptioner.inferscore --data-folder Output/Caption --model M [--resample N]
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from MetaCaptioner.agents.judge import Judge
from MetaCaptioner.agents.prompts import Prompts
from MetaCaptioner.agents.workflow import Generate, base_texts
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.errors import ErrorKind, SampleError
from MetaCaptioner.launch.supervisor import run_supervised
from MetaCaptioner.media.loader import Media
from MetaCaptioner.planning.provenance import Expected
from MetaCaptioner.records.caption_records import is_caption, sample_from_record
from MetaCaptioner.records.claims import told_claims
from MetaCaptioner.records.done import recorded_rows
from MetaCaptioner.records.record import Record
from MetaCaptioner.records.row_map import caption_hash
from MetaCaptioner.records.scan import Rows
from MetaCaptioner.runner.loop import RunSample
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.runner.stage import Stage, run_stage, said_to
from MetaCaptioner.runtime.rank import Rank
from MetaCaptioner.stages import resample
from MetaCaptioner.stages.next_commands import to_filter
from MetaCaptioner.stages.resample import ScoreOptions
from MetaCaptioner.utils.cli import note
from MetaCaptioner.worklist.base import Work
from MetaCaptioner.worklist.best_caption import read_first
from MetaCaptioner.worklist.earlier_captions import Earlier, check_are_captions


def run_sample(prompts: Prompts) -> RunSample:
    """The score stage: one agent that is given the caption."""
    judge = Judge(prompts)
    for line in prompts.notes:
        note(line)

    async def run(sample: Sample, media: Media, generate: Generate) -> Record:
        if sample.carried.get("media_hash") not in (None, media.content_hash):
            raise SampleError(ErrorKind.MEDIA_CHANGED, f"{sample.source}: is another than the caption was made from")
        return await judge.mark(base_texts(sample, media, None), generate)

    return run


def to_score(rank: int, record: Record) -> Sample | None:
    """The sample of a caption; there is nothing to score where that failed."""
    if not is_caption(record):
        return None
    told = {"media_hash": record["media_hash"]} if "media_hash" in record else {}
    sample = sample_from_record(record)
    fields = {**sample.fields, "claims": told_claims(record)}
    return replace(sample, carried={"caption_hash": caption_hash(record["caption"]), **told}, fields=fields)


def open_work(expected: Expected, options: ScoreOptions, rank: Rank, prompts: Prompts, stack: ExitStack) -> Work:
    """The captions that fall to this process."""
    captions = options.data_folder
    resample.check(options, prompts)
    check_are_captions(captions, read_first(captions))
    work = captions_to_score(captions, options.scores, expected, options)
    return work.open(rank, options.retry_errors, stack, to_score)


def captions_to_score(captions: Path, scores: Path, expected: Expected, options: StageOptions) -> Earlier:
    """The captions of a folder, whose marks go to another."""

    def to_do(number: int) -> Iterator[tuple[str, Rows]]:
        return recorded_rows(captions, number, only_ok=True)

    return Earlier(captions, read_first(captions), expected, scores, options.allow_outside_root, to_do)


def leads_to(options: ScoreOptions) -> tuple[Path, Sequence[str]]:
    """The filter."""
    return options.scores, [to_filter(options.data_folder, options.output_dir, options)]


_ABOUT = "Have a judge mark every caption of a result folder."
OPTIONS = ScoreOptions
STAGE = Stage(
    "inferscore",
    ("judge",),
    run_sample,
    OPTIONS,
    open_work,
    then=resample.stages,
    about=_ABOUT,
    leads_to=leads_to,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run this process's rank of the stage; returns the exit status."""
    return run_stage(STAGE, arguments)


if __name__ == "__main__":
    run_supervised(main, partial(said_to, STAGE))
