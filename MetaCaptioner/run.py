"""From a folder of pictures and clips, or another input, to captions with marks, a report and an export: one command.

    metacaptioner run photos --output Output/photos --export txt --beside
    metacaptioner run data/Metafile.json --output Output/all --ranks 8 --model M

All that is made lies below --output. Run again it goes on: what is done is not done again, what is new in the input is
captioned, and what is gone from there is left out of the filter, the report and the export. The model is loaded once a
rank, for captions and marks, and not at all where there is nothing to do.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, Self

import msgspec
from pydantic import model_validator

from MetaCaptioner import build_metafile, captionpipeline, filter, inferdomain, inferscore, plan
from MetaCaptioner.agents.prompts import PromptsOption, load_prompts
from MetaCaptioner.agents.thresholds import MarksOptions, ThresholdOptions
from MetaCaptioner.build_metafile import DatasetOptions
from MetaCaptioner.data.inputs.detection import METAFILE, detect
from MetaCaptioner.data.inputs.registry import FORMATS
from MetaCaptioner.data.metafile import read_entries, read_metafile
from MetaCaptioner.errors import BadArguments, StoppedEarly, UserError
from MetaCaptioner.export import command as export
from MetaCaptioner.export.command import TextOptions
from MetaCaptioner.export.filtered import read_summary
from MetaCaptioner.export.registry import FORMATS as EXPORTS
from MetaCaptioner.launch.local import Launch, started
from MetaCaptioner.launch.options import RanksOption
from MetaCaptioner.metrics.run_configuration import configuration
from MetaCaptioner.planning.plan_of_folder import stated_plan
from MetaCaptioner.records.gone_rows import note_gone_rows
from MetaCaptioner.records.reader import result_files
from MetaCaptioner.report import command as report
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.runner.stage import Stage
from MetaCaptioner.runtime.signals import STOP_SIGNALS
from MetaCaptioner.stages.launching import launched
from MetaCaptioner.stages.run_folder import (
    PLAN,
    Origin,
    Outcome,
    Rows,
    changes,
    held,
    is_plan_of,
    outcome_of,
    rows_of,
    state_origin,
    stated_origin,
)
from MetaCaptioner.utils.atomic_io import atomic_write
from MetaCaptioner.utils.cli import as_typed, note, run_main, say
from MetaCaptioner.utils.common_options import OutsideOption, SingleLaunchOption
from MetaCaptioner.utils.next_command import goes_on_by_itself
from MetaCaptioner.utils.options import Flag, Options, as_flags, option
from MetaCaptioner.utils.options_sources import READ_NO_FILE, read

_IN_SHARDS = ("webdataset", "huggingface")
CONFIGURATION = "config.yaml"
"""In the output folder: all options of the last run, as --config takes them."""
_KINDS = (*FORMATS, METAFILE)


class Stops:
    """Signals to stop: handed on to the ranks while there are any, else the end of the step that is being done."""

    def __init__(self) -> None:
        self.received = False
        self.ranks: subprocess.Popen[bytes] | None = None
        self._before = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def __enter__(self) -> "Stops":
        for number in STOP_SIGNALS:
            signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        if self.ranks is None:
            raise KeyboardInterrupt
        self.ranks.send_signal(number)


class RunOptions(DatasetOptions, ThresholdOptions, TextOptions, RanksOption, StageOptions):
    """What is captioned, and what comes of it."""

    command: ClassVar[str] = "run"

    input: str = option(
        ..., "a folder, a Metafile, tar shards, a table, a COCO file", Flag(is_place=True, may_be_path=True)
    )
    output: Path = option(..., "where all that is made lies", Flag("FOLDER"))
    format: str | None = option(
        None, f"what INPUT is, of {', '.join(_KINDS)} (default: found out)", Flag("KIND", choices=_KINDS)
    )
    routes: bool = option(
        False, "route all samples first, into FOLDER/Domain (else what has no domain is routed as it is captioned)"
    )
    export: str | None = option(None, "make training data of what is kept", Flag(choices=tuple(EXPORTS)))

    @model_validator(mode="after")
    def _check(self) -> Self:
        for flag, given in (("--beside", self.beside), ("--one-line", self.one_line)):
            if given and self.export != "txt":
                raise BadArguments(f"{flag} goes with --export txt")
        if self.min_claim is not None and self.claims is None:
            raise BadArguments("--min-claim goes with --claims")
        if self.own_texts and not self.beside:
            raise BadArguments("--own-texts goes with --beside")
        return self


OPTIONS = RunOptions


@dataclass
class Run:
    """What is asked for, where everything lies, and what has become of it so far."""

    options: RunOptions
    origin: Origin
    launch: Launch
    lock: int
    """Descriptor of the lock that this run holds, and its ranks as long as they live."""
    stops: Stops
    rows: dict[str, Rows] = field(default_factory=dict)
    problems: int = 0

    @property
    def metafile(self) -> Path:
        return (
            Path(self.origin.input)
            if self.origin.format == METAFILE
            else self.options.output / "data" / "Metafile.json"
        )

    @property
    def plan(self) -> Path:
        return self.options.output / PLAN

    @property
    def captions(self) -> Path:
        return self.options.output / "Caption"

    @property
    def report(self) -> Path:
        return self.captions / "report.html"

    @property
    def exported(self) -> Path:
        name = self.options.export or ""
        return self.options.output / "export" / ("captions.parquet" if name == "parquet" else name)

    def flags(self, *groups: type[Options]) -> list[str]:
        """The options of these groups as they are said here, for a command that has them too."""
        said = [as_flags(self.options, group) for group in groups]
        return [*chain.from_iterable(said), READ_NO_FILE]

    def read_rows(self) -> dict[str, Rows]:
        """The rows of all sound datasets."""
        if self.origin.format != METAFILE and not self.metafile.exists():
            return {}
        return rows_of(read_metafile(self.metafile, load_prompts(self.options.prompts_dir).domains)[0])


def build(run: Run) -> int:
    """The annotation file and the Metafile, made or brought up to date; what is new or gone is told."""
    if run.origin.format != METAFILE:
        kind, is_there = FORMATS[run.origin.format], bool(read_entries(run.metafile))
        if is_there and not kind.can_update:
            note(f"{run.origin.input}: was packed when it was first read, and is not looked at again")
        else:
            before = run.read_rows()
            how = ["--update"] if is_there else ["--replace"] if run.metafile.parent.exists() else []
            given = run.flags(DatasetOptions, PromptsOption, OutsideOption, SingleLaunchOption)
            what = [f"--format={run.origin.format}", f"--input={run.origin.input}", f"--metafile={run.metafile}"]
            run.problems += build_metafile.main([*what, *given, *how])
            if is_there:
                say("; ".join(changes(before, run.read_rows())) or f"nothing in {run.origin.input} is new or gone")
    run.rows = run.read_rows()
    _check_own_texts(run)
    _note_gone(run)
    return 0


def _check_own_texts(run: Run) -> None:
    """Refuse at once what the export would refuse at the end: texts of the user's own beside the media.

    Raises:
        UserError: there are some, and no word of what becomes of them.
    """
    own = sum(rows.captioned for rows in run.rows.values())
    if run.options.beside and run.origin.format == "folder" and own and not run.options.own_texts:
        raise UserError(
            f"{own} pictures or clips of {run.origin.input} have a .txt of your own beside them: --own-texts keep "
            "leaves those, --own-texts replace writes over them"
        )


def _note_gone(run: Run) -> None:
    """What is gone from the input, rows or whole datasets, is noted beside its captions, which then count no more."""
    gone: dict[str, Sequence[int]] = {name: rows.gone for name, rows in run.rows.items()}
    said, there = stated_plan(run.captions), read_entries(run.metafile)
    for name, dataset in (said.datasets if said else {}).items():
        if name not in there:
            gone[name] = range(dataset.total)
            note(f"{name}: is not in {run.metafile} any more; its captions are left out")
    note_gone_rows(run.captions, gone)


def make_plan(run: Run) -> int:
    """A plan of all rows, unless there is one of the input as it is now for as many ranks."""
    if run.origin.ranks == run.launch.ranks and is_plan_of(run.plan, run.metafile):
        say(f"{run.plan}: kept as it is there")
        return 0
    run.plan.unlink(missing_ok=True)  # what is done counts as done by any plan (--adopt-plan)
    given = run.flags(PromptsOption, OutsideOption, SingleLaunchOption)
    where = [f"--metafile={run.metafile}", f"--num-ranks={run.launch.ranks}", f"--output={run.plan}"]
    run.problems += plan.main([*where, *given])
    run.origin = msgspec.structs.replace(run.origin, ranks=run.launch.ranks)
    state_origin(run.options.output, run.origin)
    return 0


def caption(run: Run) -> int:
    """Route, caption and judge, on all ranks, with one load of the model each."""
    where = [f"--plan={run.plan}", f"--output-dir={run.captions}", "--score"]
    routes = [f"--routes={run.options.output / 'Domain'}"] if run.options.routes else []
    adopted = "--adopt-plan"  # last: a file of all options has it as false, and the plan is made anew here all the same
    flags = [*where, *routes, *run.flags(StageOptions), adopted]
    with started(run.launch, "MetaCaptioner.captionpipeline", flags, [run.lock]) as ranks:
        run.stops.ranks = ranks
        status = ranks.wait()
        run.stops.ranks = None
    if run.stops.received or status == StoppedEarly.exit_status:
        raise KeyboardInterrupt
    if status:
        note(
            f"not all of it could be captioned: what was is in {run.captions}; mend what is told above, run this again"
        )
    return status if status >= 0 else UserError.exit_status


def keep_good_ones(run: Run) -> int:
    """The captions that the judge marked well."""
    if not result_files(run.captions / "score"):
        _tell_failures(outcome_of(run.captions))
        raise UserError(f"{run.captions}: there is no caption that could be marked; --retry-errors tries again")
    return filter.main([f"--data-folder={run.captions}", *run.flags(ThresholdOptions, SingleLaunchOption)])


def make_report(run: Run) -> int:
    """The page."""
    what = [f"--data-folder={run.captions}", f"--output={run.report}"]
    return report.main([*what, *run.flags(MarksOptions, OutsideOption)])


def make_export(run: Run) -> int:
    """The captions as training data, in place of an earlier export."""
    place = [] if run.options.beside else [f"--output={run.exported}"]
    given = run.flags(TextOptions, OutsideOption, SingleLaunchOption)
    what = [f"--data-folder={run.captions}", f"--format={run.options.export}", "--overwrite"]
    run.problems += export.main([*what, *place, *given])
    return 0


STEPS: dict[str, Callable[[Run], int]] = {
    "build": build,
    "plan": make_plan,
    "route, caption, score": caption,
    "filter": keep_good_ones,
    "report": make_report,
    "export": make_export,
}


def _tell_failures(outcome: Outcome) -> None:
    for failure in outcome.failures:
        note(f"failed: {failure}")
    if outcome.failed > len(outcome.failures):
        note(f"… and {outcome.failed - len(outcome.failures):,} more, in the report")


def _tell_end(run: Run) -> None:
    """Where everything is, what failed, and what to do next."""
    outcome = outcome_of(run.captions)
    gone = f", {outcome.gone:,} of media that are gone" if outcome.gone else ""
    say(f"captions: {outcome.captions:,} in {run.captions}{gone}; {outcome.failed:,} failed")
    _tell_failures(outcome)
    filtered = run.captions / "filtered"
    say(f"kept: {(read_summary(filtered) or {}).get('kept', 0):,} in {filtered}")
    say(f"report: {run.report}")
    if run.options.export is not None:
        say(f"export: {f'beside the media of {run.origin.input}' if run.options.beside else run.exported}")
    again = "the same command goes on where the input has changed"
    if outcome.failed:
        again = f"{again}; with --retry-errors it tries again what failed"
    elif run.options.export is None:
        again = f"{again}; --export txt makes training data of it ({', '.join(EXPORTS)})"
    say(f"next: open {as_typed(run.report)} in a browser; {again}")


def _launch(options: RunOptions) -> Launch:
    """The ranks to start.

    Raises:
        BadArguments: this is to be one of several processes.
    """
    routing = [inferdomain.STAGE] if options.routes else []
    stages: list[Stage[Any]] = [*routing, captionpipeline.STAGE, inferscore.STAGE]

    def launch_of(gpus_a_rank: int, serves: bool) -> Launch:
        ranks = options.here(gpus_a_rank, os.environ)
        if ranks is None or os.environ.get("NNODES", "") not in ("", "1"):
            raise BadArguments(
                "run is for the GPUs of one machine; on several, start each stage on all (caption, score)"
            )
        return Launch(ranks)

    launch = launched(stages, options, lambda: options.output / "Caption", launch_of)
    assert launch is not None
    return launch


def _origin(options: RunOptions) -> Origin:
    """What the output folder is made from, which it says from now on.

    Raises:
        UserError: it is made from something else, or INPUT is nothing that is known.
    """
    out, place = options.output, options.input
    said = stated_origin(out, place)
    kind = options.format or (said.format if said and _absolute(place, said.format) == said.input else detect(place))
    asked = Origin(_absolute(place, kind), kind)
    if said is not None and (said.input, said.format) != (asked.input, asked.format):
        raise UserError(
            f"output {out}: is made from {said.input} ({said.format}), not from {asked.input} ({asked.format}): name "
            "another --output"
        )
    return said or asked


def _absolute(place: str, kind: str) -> str:
    """A place as it is found from any folder; what is no path is the name of a dataset."""
    return place if kind == "huggingface" and not Path(place).exists() else os.path.abspath(place)  # noqa: PTH100


def _check_before(options: RunOptions, origin: Origin) -> None:
    """Find out now what the filter or an export could not do at the end.

    Raises:
        UserError: that.
    """
    if options.beside and origin.format in _IN_SHARDS:
        raise UserError(f"--beside: {origin.input} holds its media in shards, beside which is no place: leave it out")
    if options.beside and origin.format == "folder" and not os.access(origin.input, os.W_OK):
        raise UserError(f"--beside: nothing can be written into {origin.input}: leave it out")
    marked = [one.name for one in load_prompts(options.prompts_dir).dimensions]
    options.thresholds().check_dimensions(marked, "judge.yaml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do all steps; the exit status is 1 where a part of the input, or of the export, had to be left out."""
    options = read(OPTIONS, arguments, "Caption a folder of pictures and clips, or another input: all in one command.")
    launch, origin = _launch(options), _origin(options)
    _check_before(options, origin)
    out = options.output
    with goes_on_by_itself(), Stops() as stops, held(out, not options.single_launch) as lock:
        said = stated_origin(out, options.input)  # another may have made it while this one waited
        state_origin(out, said or origin)
        with atomic_write(out / CONFIGURATION, "configuration") as file:
            file.write(configuration(options.model_copy(update={"input": origin.input}), {}))
        run = Run(options, said or origin, launch, lock.descriptor, stops)
        for name, step in STEPS.items():
            if name == "export" and options.export is None:
                continue
            say(f"== {name}")
            if status := step(run):
                return status
        _tell_end(run)
    return 1 if run.problems else 0


if __name__ == "__main__":
    run_main(main)
