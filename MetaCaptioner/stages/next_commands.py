"""Which command follows which, with the folders and the flags of the one before it."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from MetaCaptioner.agents.prompts import PromptsOption
from MetaCaptioner.agents.thresholds import MarksOptions, ThresholdOptions
from MetaCaptioner.data.metafile import metafile_digest
from MetaCaptioner.data.taxonomy import ROUTED_TASKS
from MetaCaptioner.errors import UserError
from MetaCaptioner.planning.plan_file import PlanRow
from MetaCaptioner.planning.provenance import stated
from MetaCaptioner.runner.options import ClaimsOption, MediaOptions, ModelOptions, RolesOption
from MetaCaptioner.runtime.gpus import visible_gpus
from MetaCaptioner.utils.common_options import OutsideOption, SingleLaunchOption
from MetaCaptioner.utils.next_command import command, tell_next
from MetaCaptioner.utils.options import Options, typed_flags

ROUTE, CAPTION = "inferdomain", "captionpipeline"
"""The stages that follow a plan, as records name them."""
_COMMANDS = {ROUTE: "route", CAPTION: "caption"}
_FOLDERS = {ROUTE: Path("Output/Domain"), CAPTION: Path("Output/Caption")}
_OF_A_STAGE = (ModelOptions, RolesOption, MediaOptions, PromptsOption, ClaimsOption, SingleLaunchOption)
_OF_DATA = (PromptsOption, OutsideOption, SingleLaunchOption)


def to_plan(metafile: Path, options: Options) -> str:
    """Plan a Metafile, for as many ranks as there are GPUs here."""
    gpus: Sequence[str] = ()
    with suppress(UserError):
        gpus = visible_gpus(os.environ)
    plan = metafile.with_name("split_plan.jsonl")
    ranks = str(max(len(gpus), 1))
    what = ("--metafile", metafile, "--num-ranks", ranks, "--output", plan)
    return command("plan", *what, *typed_flags(options, *_OF_DATA))


def to_follow(plan: Path, stage: str, folder: Path | None, options: Options, *more: str) -> str:
    """Route or caption by a plan, into a folder of results."""
    what = ("--plan", plan, "--output-dir", folder or _FOLDERS[stage])
    return command(_COMMANDS[stage], *what, *typed_flags(options, *_OF_A_STAGE), *more)


def tell_to_follow(plan: Path, rows: Sequence[PlanRow], results: Path | None, options: Options) -> None:
    """Name the stage that follows a plan: that which has made the results so far, or else captioning."""
    said = stated(results) if results is not None else []
    stage = said[-1].stage if said and said[-1].stage in _COMMANDS else CAPTION
    tell_next(to_follow(plan, stage, results, options))
    if results is None and any(row.task.strip().casefold() in ROUTED_TASKS for row in rows):
        tell_next(to_follow(plan, ROUTE, None, options), "or, to see the domains before")


def to_apply(domains: Path, plan: Path, rows: Sequence[PlanRow], options: Options) -> str:
    """Write domains into the annotation files of the Metafile that a plan was made from."""
    what = ("--domain-folder", domains, "--metafile", _metafile(plan, rows), "--output-dir", domains.parent / "routed")
    return command("apply", *what, *typed_flags(options, PromptsOption))


def _metafile(plan: Path, rows: Sequence[PlanRow]) -> Path | str:
    """The Metafile that a plan was made from, where it lies beside that or beside the annotation files."""
    folders = dict.fromkeys([plan.parent, *(Path(row.json_url).parent for row in rows)])
    made_from = {row.metafile for row in rows}
    for folder in folders:
        with suppress(UserError):
            if made_from == {metafile_digest(folder / "Metafile.json")}:
                return folder / "Metafile.json"
    return "METAFILE"


def to_score(captions: Path, options: Options) -> str:
    """Have captions marked."""
    return command("score", "--data-folder", captions, *typed_flags(options, *_OF_A_STAGE))


def to_filter(captions: Path, scores: Path | None, options: Options) -> str:
    """Keep the good ones; `scores` is where their marks are, if not within their folder."""
    where = ("--score-folder", scores) if scores is not None else ()
    flags = typed_flags(options, ThresholdOptions, SingleLaunchOption)
    return command("filter", "--data-folder", captions, *where, *flags)


def tell_to_take_out(captions: Path, kept: object, options: Options) -> None:
    """Name what shows and what exports captions, where some were kept."""
    tell_next(command("report", "--data-folder", captions, *typed_flags(options, MarksOptions)))
    if kept:
        place = captions.parent / "export" / "txt"
        tell_next(
            command("export", "--data-folder", captions, "--format", "txt", "--output", place),
            "next, for training data (or another --format)",
        )
