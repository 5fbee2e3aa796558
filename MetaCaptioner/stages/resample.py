"""Follows the score stage: captions what the judge rejects again, and has the new caption judged, in several rounds.

python -m MetaCaptioner.inferscore --data-folder Output/Caption --model M --resample 2

A caption's rounds are one piece of work, with its media decoded once, and end in one record: the best caption that was
made, its marks, and what became of every round. It lies in SCORES/resample/N, so that a later run with more rounds goes
on after those of earlier runs. The caption record itself stays as it is; which of them is better is for the filter.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from MetaCaptioner.agents.captioner import caption, refuse_earlier_texts
from MetaCaptioner.agents.changed_prompts import resampling
from MetaCaptioner.agents.judge import Judge
from MetaCaptioner.agents.prompts import Prompts
from MetaCaptioner.agents.thresholds import ThresholdOptions, Thresholds, why_unmarked
from MetaCaptioner.agents.workflow import Agent, Generate, base_texts
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.engine.base import Completion
from MetaCaptioner.errors import ErrorKind, SampleError, UserError
from MetaCaptioner.media.loader import Media
from MetaCaptioner.planning.provenance import Expected
from MetaCaptioner.records.caption_records import is_caption, resample_folder, resample_folders, sample_from_record
from MetaCaptioner.records.claims import told_claims
from MetaCaptioner.records.reader import read_records, result_files
from MetaCaptioner.records.record import Record, is_error
from MetaCaptioner.runner.loop import RunSample
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.runner.stage import Stage
from MetaCaptioner.runtime.rank import Rank
from MetaCaptioner.stages.second_pass import check_texts
from MetaCaptioner.utils.common_options import DataFolderOption
from MetaCaptioner.utils.options import Flag, option
from MetaCaptioner.worklist.base import Work
from MetaCaptioner.worklist.best_caption import Candidate, Candidates, best, is_rescued, read_first
from MetaCaptioner.worklist.earlier_captions import (
    Earlier,
    SampleOf,
    caption_ranks,
    caption_shares,
    lineage,
    some_records,
    with_source,
)

_ROUND = "round"


class ScoreOptions(DataFolderOption, StageOptions, ThresholdOptions):
    """Whose captions are marked, and in how many rounds what the thresholds reject is made again."""

    command: ClassVar[str] = "score"

    output_dir: Path | None = option(None, "where the scores go (default: DATA_FOLDER/score)", Flag("FOLDER"))
    resample: int = option(
        0, "then caption what the thresholds reject again, with the judge's reason, in up to N rounds", ge=0
    )

    @property
    def scores(self) -> Path:
        """The folder of the scores."""
        return self.output_dir or self.data_folder / "score"


def of_round(generate: Generate, number: int) -> Generate:
    """The same `generate` for one round: requests have names of their own, and so other seeds."""

    async def again(agent: Agent, instruction: str) -> Completion:
        return await generate(replace(agent, name=f"{agent.name}@{number}"), instruction)

    return again


def run_sample(rounds: int, thresholds: Thresholds) -> Callable[[Prompts], RunSample]:
    """Caption and judge until the thresholds let it through, at most to round `rounds`; a failed round is a round."""

    def with_prompts(prompts: Prompts) -> RunSample:
        judge = Judge(prompts)

        async def run(sample: Sample, media: Media, generate: Generate) -> Record:
            texts = base_texts(sample, media, None)
            made: list[Candidate] = []
            told: list[Record] = []
            failure = SampleError(ErrorKind.UNEXPECTED, "there is no round left")
            for number in range(int(texts[_ROUND]), rounds + 1):
                again = of_round(generate, number)
                try:
                    record = await caption(prompts.workflows[str(sample.task)], texts, again)
                    judged = {"caption": record["caption"], "claims": told_claims(record)}
                    marks = await judge.mark({**texts, **judged}, again)
                except SampleError as error:
                    failure = error
                    told.append({"round": number, "error": {"kind": error.kind.value, "message": error.message}})
                    continue
                made.append(Candidate({**record, **marks, "status": "ok"}, {**marks, "status": "ok"}, number))
                tried = {"caption": record["caption"], "reason": marks["reason"]}
                reasons = made[-1].against(thresholds)
                told.append({"round": number, "overall": marks["overall"], "rejected": reasons, **tried})
                if not reasons:
                    break
                texts |= tried
            if not made:
                raise failure
            chosen = best(made, thresholds)
            return {**chosen.record, "round": chosen.rounds, "rounds": told}

        return run

    return with_prompts


def to_resample(scores: Path, rounds: int, thresholds: Thresholds) -> SampleOf:
    """Takes the captions whose marks are too low, also those of earlier runs with other numbers of rounds."""
    folders = [folder for number, folder in resample_folders(scores).items() if number != rounds]
    of_rank: dict[int, Candidates] = {}

    def sample_of(rank: int, record: Record) -> Sample | None:
        if not is_caption(record):
            return None
        if rank not in of_rank:
            of_rank[rank] = Candidates(scores, rank, folders)
        candidates = of_rank[rank].of(record)
        first = candidates[0]
        begun = max(candidate.rounds for candidate in candidates)
        if first.score is None or why_unmarked(first.record, first.score) is not None:
            return None
        if begun >= rounds or not best(candidates, thresholds).against(thresholds):
            return None
        source = {**lineage(first.record), "overall": first.score["overall"]}
        texts = {**_newest(candidates), _ROUND: str(begun + 1), **_subdomain(record)}
        return with_source(sample_from_record(record), source, **texts)

    return sample_of


def _newest(candidates: Sequence[Candidate]) -> dict[str, str]:
    """The caption that was tried last, and the judge's reason against it."""
    newest = max(candidates, key=lambda candidate: candidate.rounds)
    tried = [{**newest.record, **(newest.score or {})}, *newest.record.get("rounds", ())]
    return {name: next(one[name] for one in reversed(tried) if name in one) for name in ("caption", "reason")}


def _subdomain(record: Record) -> dict[str, str]:
    return {"subdomain": record["subdomain"]} if isinstance(record.get("subdomain"), str) else {}


def open_work(expected: Expected, options: ScoreOptions, rank: Rank, prompts: Prompts, stack: ExitStack) -> Work:
    """The rejected captions that fall to this process."""
    captions, folder = options.data_folder, resample_folder(options.scores, options.resample)
    earlier = Earlier(captions, read_first(captions), expected, folder, options.allow_outside_root)
    sample_of = to_resample(options.scores, options.resample, options.thresholds())
    return earlier.open(rank, options.retry_errors, stack, sample_of)


def check(options: ScoreOptions, prompts: Prompts) -> None:
    """Refuse what cannot be sampled again, before anything is scored.

    Raises:
        UserError: the prompts or the captions are those of a second pass, or a domain has no prompts.
    """
    if not options.resample:
        return
    if options.min_claim is not None and options.claims is None:
        raise UserError("--min-claim with --resample needs --claims, or no new caption would have any claims")
    options.thresholds().check_dimensions([one.name for one in prompts.dimensions], "judge.yaml")
    refuse_earlier_texts(prompts, "captions cannot be sampled again with the prompts of a second pass")
    folder = options.data_folder
    some = some_records(folder, read_first(folder))
    if any("source" in record for record in some):
        raise UserError(
            f"data folder {folder}: captions of a second pass cannot be sampled again; leave out --resample"
        )
    check_texts(some, prompts, str(folder))


def conclude(folder: Path, captions: Path, rank: Rank) -> list[str]:
    """What has become, so far, of the rejected captions of the ranks that this process takes."""
    numbers = caption_shares(rank, caption_ranks(captions))
    paths = [path for path, name in result_files(folder) if name.rank in numbers]
    made = rescued = better = 0
    for record in (record for path in paths for record in read_records(path) if not is_error(record)):
        made += 1
        rescued += is_rescued(record)
        better += record["overall"] > record["source"]["overall"]
    return [f"resample: {rescued} of {made} rejected captions are rescued, {better} have better marks than before"]


def stages(options: ScoreOptions) -> list[Stage[ScoreOptions]]:
    """The stage that follows scoring, if it is asked for."""
    if options.resample == 0:
        return []
    run = run_sample(options.resample, options.thresholds())

    def told(folder: Path, rank: Rank, options: ScoreOptions) -> list[str]:
        return conclude(folder, options.data_folder, rank)

    return [
        Stage(
            "resample",
            ("agents", "judge"),
            run,
            ScoreOptions,
            open_work,
            adapt=lambda prompts, options: resampling(prompts),
            conclude=told,
        )
    ]
