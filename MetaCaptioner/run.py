"""From a folder of pictures and clips, or another input, to captions with marks, a report and an export: one command.

    metacaptioner run photos --output Output/photos --export txt --beside
    metacaptioner run data/Metafile.json --output Output/all --ranks 8 --model M

All that is made lies below --output. Run again it goes on: what is done is not done again, what is new in the input is
captioned, and what is gone from there is left out of the filter, the report and the export. The model is loaded once a
rank, for captions and marks, and not at all where there is nothing to do.
"""

import argparse
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import msgspec

from MetaCaptioner import build_metafile, filter, plan
from MetaCaptioner.agents.prompts import load_prompts
from MetaCaptioner.agents.thresholds import add_threshold_arguments, thresholds_from
from MetaCaptioner.data.inputs.detection import METAFILE, detect
from MetaCaptioner.data.inputs.registry import FORMATS
from MetaCaptioner.data.metafile import read_entries, read_metafile
from MetaCaptioner.errors import BadArguments, StoppedEarly, UserError
from MetaCaptioner.export import command as export
from MetaCaptioner.export.filtered import read_summary
from MetaCaptioner.export.registry import FORMATS as EXPORTS
from MetaCaptioner.launch import local
from MetaCaptioner.planning.plan_of_folder import stated_plan
from MetaCaptioner.records.gone_rows import note_gone_rows
from MetaCaptioner.records.reader import result_files
from MetaCaptioner.report import command as report
from MetaCaptioner.runner import options as stage_flags
from MetaCaptioner.runtime.signals import STOP_SIGNALS
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
from MetaCaptioner.utils.cli import as_typed, command_line, run_main, say

_IN_SHARDS = ("webdataset", "huggingface")
_INPUT_FLAGS = ("name", "task", "root", "media_column", "caption_column", "id_column", "split", "subset")
_FOR_ALL = ("single_launch",)


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


@dataclass
class Run:
    """What is asked for, where everything lies, and what has become of it so far."""

    options: argparse.Namespace
    out: Path
    origin: Origin
    ranks: int
    lock: int
    """Descriptor of the lock that this run holds, and its ranks as long as they live."""
    stops: Stops
    rows: dict[str, Rows] = field(default_factory=dict)
    problems: int = 0

    @property
    def metafile(self) -> Path:
        return Path(self.origin.input) if self.origin.format == METAFILE else self.out / "data" / "Metafile.json"

    @property
    def plan(self) -> Path:
        return self.out / PLAN

    @property
    def captions(self) -> Path:
        return self.out / "Caption"

    @property
    def report(self) -> Path:
        return self.captions / "report.html"

    @property
    def exported(self) -> Path:
        name = self.options.export
        return self.out / "export" / ("captions.parquet" if name == "parquet" else name)

    def flags(self, *names: str) -> list[str]:
        """The flags of these names as they are given here, for a command that has them too."""
        return _as_flags({name: getattr(self.options, name) for name in (*names, *_FOR_ALL)})

    def read_rows(self) -> dict[str, Rows]:
        """The rows of all sound datasets."""
        if self.origin.format != METAFILE and not self.metafile.exists():
            return {}
        return rows_of(read_metafile(self.metafile, load_prompts(self.options.prompts_dir).domains)[0])


def _as_flags(values: Mapping[str, object]) -> list[str]:
    flags: list[str] = []
    for name, value in values.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            flags.append(flag)
        elif value is not None and value is not False:
            flags += [f"{flag}={one}" for one in (value if isinstance(value, list) else [value])]
    return flags


def _stage_flags(options: argparse.Namespace) -> list[str]:
    """The flags of the stages that are given, and not just as they would be without a word."""
    parser = argparse.ArgumentParser()
    stage_flags.add_arguments(parser)
    without = vars(parser.parse_args([]))
    given = {name: getattr(options, name) for name in without if getattr(options, name) != without[name]}
    others = given.pop("others", None)
    return [*_as_flags(given), *([f"--{others}"] if others else [])]


def build(run: Run) -> int:
    """The annotation file and the Metafile, made or brought up to date; what is new or gone is told."""
    if run.origin.format != METAFILE:
        kind, is_there = FORMATS[run.origin.format], bool(read_entries(run.metafile))
        if is_there and not kind.can_update:
            say(f"note: {run.origin.input}: was packed when it was first read, and is not looked at again")
        else:
            before = run.read_rows()
            how = ["--update"] if is_there else ["--replace"] if run.metafile.parent.exists() else []
            given = run.flags("prompts_dir", "allow_outside_root", *_INPUT_FLAGS)
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
            say(f"{name}: is not in {run.metafile} any more; its captions are left out")
    note_gone_rows(run.captions, gone)


def make_plan(run: Run) -> int:
    """A plan of all rows, unless there is one of the input as it is now for as many ranks."""
    if run.origin.ranks == run.ranks and is_plan_of(run.plan, run.metafile):
        say(f"{run.plan}: kept as it is there")
        return 0
    run.plan.unlink(missing_ok=True)  # what is done counts as done by any plan (--adopt-plan)
    given = run.flags("prompts_dir", "allow_outside_root")
    where = [f"--metafile={run.metafile}", f"--num-ranks={run.ranks}", f"--output={run.plan}"]
    run.problems += plan.main([*where, *given])
    run.origin = msgspec.structs.replace(run.origin, ranks=run.ranks)
    state_origin(run.out, run.origin)
    return 0


def caption(run: Run) -> int:
    """Route, caption and judge, on all ranks, with one load of the model each."""
    where = [f"--plan={run.plan}", f"--output-dir={run.captions}", "--score", "--adopt-plan"]
    routes = [f"--routes={run.out / 'Domain'}"] if run.options.routes else []
    flags = [*where, *routes, *_stage_flags(run.options)]
    with local.started([f"--ranks={run.ranks}"], "MetaCaptioner.captionpipeline", flags, [run.lock]) as ranks:
        run.stops.ranks = ranks
        status = ranks.wait()
        run.stops.ranks = None
    if run.stops.received or status == StoppedEarly.exit_status:
        raise KeyboardInterrupt
    if status:
        say(f"not all of it could be captioned: what was is in {run.captions}; mend what is told above, run this again")
    return status if status >= 0 else UserError.exit_status


def keep_good_ones(run: Run) -> int:
    """The captions that the judge marked well."""
    if not result_files(run.captions / "score"):
        _tell_failures(outcome_of(run.captions))
        raise UserError(f"{run.captions}: there is no caption that could be marked; --retry-errors tries again")
    thresholds = run.flags("min_overall", "min_dim_score", "drop_truncated")
    return filter.main([f"--data-folder={run.captions}", *thresholds])


def make_report(run: Run) -> int:
    """The page."""
    thresholds = {name: getattr(run.options, name) for name in ("min_overall", "min_dim_score", "allow_outside_root")}
    return report.main([f"--data-folder={run.captions}", f"--output={run.report}", *_as_flags(thresholds)])


def make_export(run: Run) -> int:
    """The captions as training data, in place of an earlier export."""
    place = ["--beside"] if run.options.beside else [f"--output={run.exported}"]
    given = run.flags("one_line", "own_texts", "allow_outside_root")
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
        say(f"  failed: {failure}")
    if outcome.failed > len(outcome.failures):
        say(f"  … and {outcome.failed - len(outcome.failures):,} more, in the report")


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


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    kinds = ", ".join((*FORMATS, METAFILE))
    parser = command_line("Caption a folder of pictures and clips, or another input: all in one command.")
    parser.add_argument("input", metavar="INPUT", help="a folder, a Metafile, tar shards, a table, a COCO file")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where all that is made lies")
    told = f"what INPUT is, of {kinds} (default: found out)"
    parser.add_argument("--format", choices=(*FORMATS, METAFILE), metavar="KIND", help=told)
    build_metafile.add_dataset_arguments(parser.add_argument_group("input"))
    out = parser.add_argument_group("what comes of it")
    routes = "route all samples first, into FOLDER/Domain (else what has no domain is routed as it is captioned)"
    out.add_argument("--routes", action="store_true", help=routes)
    add_threshold_arguments(out)
    out.add_argument("--export", choices=tuple(EXPORTS), help="make training data of what is kept")
    export.add_text_arguments(out)
    local.add_arguments(parser)
    stage_flags.add_arguments(parser)
    options = parser.parse_args(arguments)
    if options.beside and options.export != "txt":
        raise BadArguments("--beside goes with --export txt")
    if options.own_texts and not options.beside:
        raise BadArguments("--own-texts goes with --beside")
    if options.one_line and options.export != "txt":
        raise BadArguments("--one-line goes with --export txt")
    thresholds_from(options)
    stage_flags.from_arguments(options)
    return options


def _ranks_here(options: argparse.Namespace) -> int:
    """How many ranks to start.

    Raises:
        BadArguments: this is to be one of several processes.
    """
    is_one_of_several = local.is_one_of_several()
    os.environ["TP"] = str(options.tensor_parallel_size)
    launch = local.asked_for(options, os.environ, nodes=1 if is_one_of_several else None)
    if is_one_of_several or launch.nodes > 1:
        raise BadArguments("run is for the GPUs of one machine; on several, start each stage on all (caption, score)")
    return launch.ranks


def _origin(options: argparse.Namespace) -> Origin:
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


def _check_before(options: argparse.Namespace, origin: Origin) -> None:
    """Find out now what an export could not do at the end.

    Raises:
        UserError: that.
    """
    if options.beside and origin.format in _IN_SHARDS:
        raise UserError(f"--beside: {origin.input} holds its media in shards, beside which is no place: leave it out")
    if options.beside and origin.format == "folder" and not os.access(origin.input, os.W_OK):
        raise UserError(f"--beside: nothing can be written into {origin.input}: leave it out")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do all steps; the exit status is 1 where a part of the input, or of the export, had to be left out."""
    options = _parse(arguments)
    ranks, origin = _ranks_here(options), _origin(options)
    _check_before(options, origin)
    out: Path = options.output
    with Stops() as stops, held(out, not options.single_launch) as lock:
        said = stated_origin(out, options.input)  # another may have made it while this one waited
        state_origin(out, said or origin)
        run = Run(options, out, said or origin, ranks, lock.descriptor, stops)
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
