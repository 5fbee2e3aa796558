"""Prove that every sample of a plan has exactly one record.

    python dataprocess/verify.py --plan data/split_plan.jsonl --data-folder Output/Caption

Exit status 0 if complete, 1 if not. Error records count as records (that is what they are for); --fail-on-errors
makes them count as missing, but for those of rows without media, of which nothing can be made. --scores asks for one
score of every caption as well. Records that were not all made with the same model and prompts, or are of other media
than their rows name now, are a mixture: not complete, unless that was wanted (--keep). --check-media N looks at N
records drawn by chance: whether the file that the annotation row names is still the one that the caption was made from.
--mend first leaves one record of each sample, one that is ok before one that failed, then that of its rank, then the
first, and moves the others, and lines that are no records, to `mended.jsonl` in the folder.
"""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from MetaCaptioner.errors import UserError
from MetaCaptioner.monitor.mending import describe, mend, ranks_by_captions, ranks_by_plan
from MetaCaptioner.monitor.verification import (
    ELSEWHERE,
    EXAMPLES,
    FAILED,
    MENDED,
    MISSING,
    MIXTURES,
    MOVED,
    NOT_COMPARED,
    OTHER_PLAN,
    UNMARKED,
    UNUSABLE,
    Findings,
    MediaCanary,
    check_records,
    check_scores,
)
from MetaCaptioner.planning.expected_rows import expected_rows
from MetaCaptioner.planning.plan_file import PlanRow, read_plan, without_overlaps
from MetaCaptioner.planning.plan_of_folder import told_of_another
from MetaCaptioner.planning.provenance import stated
from MetaCaptioner.planning.row_media import Annotations, PlannedMedia
from MetaCaptioner.records.caption_records import resample_folders
from MetaCaptioner.records.reader import result_files
from MetaCaptioner.stages.next_commands import CAPTION, ROUTE, to_apply, to_filter, to_follow, to_score
from MetaCaptioner.utils.cli import complain, run_main, say
from MetaCaptioner.utils.common_options import DataFolderOption, OutsideOption, PlanOption, SingleLaunchOption
from MetaCaptioner.utils.next_command import command, tell_next
from MetaCaptioner.utils.options import option, typed_flags
from MetaCaptioner.utils.options_sources import read


class VerifyOptions(PlanOption, DataFolderOption, OutsideOption, SingleLaunchOption):
    """What is proved, and of which results."""

    command: ClassVar[str] = "verify"

    scores: bool = option(False, "ask for a score of every caption too")
    fail_on_errors: bool = option(False, "error records are not enough")
    keep: bool = option(False, "a mixture is wanted, as of a run with --keep")
    check_media: int = option(0, "compare N records with their media", ge=0)
    seed: int = option(0, "which records --check-media draws")
    mend: bool = option(False, "first move further records of a sample, and lines that are none, aside")


OPTIONS = VerifyOptions


def _read(arguments: Sequence[str] | None) -> VerifyOptions:
    options = read(OPTIONS, arguments, "Prove that every sample of a plan has exactly one record.")
    if not options.data_folder.is_dir():
        raise UserError(f"data folder {options.data_folder}: there is no such folder")
    return options


def _mend(options: VerifyOptions, rows: Sequence[PlanRow]) -> None:
    """Leave one record of each sample in the result folders that are looked at, and tell what was moved aside."""
    captions, score = options.data_folder, options.data_folder / "score"
    say(describe(captions, mend(captions, ranks_by_plan(captions, rows), options.single_launch)))
    further = [score, *resample_folders(score).values()] if options.scores else []
    for folder in (folder for folder in further if folder.is_dir()):
        say(describe(folder, mend(folder, ranks_by_captions(captions), options.single_launch)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Say what was found; status 1 unless complete."""
    options = _read(arguments)
    rows, problems = read_plan(options.plan)
    if options.mend:
        _mend(options, rows)
    findings = Findings()
    for problem in problems:
        findings.add("broken plan lines", problem)
    if told := told_of_another(options.data_folder, options.plan, rows):
        findings.add(OTHER_PLAN, told)
    expected = expected_rows(without_overlaps(rows))
    drawn = (options.check_media, options.seed, options.allow_outside_root)
    canary = MediaCanary(*drawn) if options.check_media else None
    media = PlannedMedia(rows, Annotations(), [path for path, _ in result_files(options.data_folder)])
    for problem in media.unreadable():
        findings.add(NOT_COMPARED, problem)
    sound = check_records(options.data_folder, expected, media, findings, canary)
    if options.scores:
        check_scores(options.data_folder, findings)
    if canary is not None:
        canary.check(rows, findings)
    total = sum(of.count for of in expected.values())
    tolerated = {ELSEWHERE, MOVED, UNUSABLE, NOT_COMPARED, OTHER_PLAN}
    tolerated |= set() if options.fail_on_errors else {FAILED}
    tolerated |= MIXTURES if options.keep else set()
    complete = not any(count for kind, count in findings.counts.items() if kind not in tolerated)
    verdict = "complete" if complete else "NOT complete"
    looked_at = f", the media of {len(canary.lines)} looked at" if canary is not None else ""
    tell = say if complete else complain
    tell(f"{options.data_folder}: {verdict}: {total} samples expected, {sound} ok{looked_at}")
    for kind, count in findings.counts.items():
        if count:
            tell(f"  {count:>7}  {kind}: {'; '.join(findings.examples[kind])}{' …' if count > EXAMPLES else ''}")
    if any(findings.counts[kind] for kind in MENDED):
        tell("--mend moves further records of a sample, and broken lines, aside")
    _tell_next(options, rows, findings, complete)
    return 0 if complete else 1


def _tell_next(options: VerifyOptions, rows: Sequence[PlanRow], findings: Findings, complete: bool) -> None:
    """Name what follows, or what mends the first thing that is wrong."""
    folder, plan = options.data_folder, options.plan
    said = stated(folder)
    stage = said[-1].stage if said else CAPTION
    if complete and stage == ROUTE:
        tell_next(to_apply(folder, plan, rows, options))
    elif complete:
        marked = result_files(folder / "score")
        tell_next(to_filter(folder, None, options) if marked else to_score(folder, options))
    elif any(findings.counts[kind] for kind in MENDED):
        scores = ("--scores",) if options.scores else ()
        held = typed_flags(options, SingleLaunchOption)
        tell_next(command("verify", "--plan", plan, "--data-folder", folder, *scores, *held, "--mend"))
    elif stage in (ROUTE, CAPTION):
        tell = partial(to_follow, plan, stage, folder, options)
        if findings.counts[MISSING]:
            tell_next(tell())
        elif options.fail_on_errors and findings.counts[FAILED]:
            tell_next(tell("--retry-errors"))
        elif findings.counts[UNMARKED]:
            tell_next(to_score(folder, options))


if __name__ == "__main__":
    run_main(main)
