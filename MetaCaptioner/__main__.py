"""The command `metacaptioner`: every program of the package under one name.

    metacaptioner plan --metafile data/Metafile.json --num-ranks 8 --output data/split_plan.jsonl
    metacaptioner caption --plan data/split_plan.jsonl --output-dir Output/Caption

A command is a module's `main`; one of a stage starts the ranks of this machine. Nothing is imported before one is
chosen.
"""

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import NoReturn

from MetaCaptioner import __version__
from MetaCaptioner.errors import BadArguments, UserError
from MetaCaptioner.utils.cli import PROGRAM, program, run_main
from MetaCaptioner.utils.import_path import leave_out_current_folder


@dataclass(frozen=True)
class Command:
    """What the user types, the module that does it, a line about it; `on_ranks` where that is a stage."""

    name: str
    module: str
    about: str
    on_ranks: bool = False


GROUPS = {
    "all in one": (
        Command("run", "run", "caption a folder, or another input: build to export, with one load of the model"),
    ),
    "before": (
        Command("build", "build_metafile", "make an annotation file and its Metafile entry of data as they are"),
        Command("plan", "plan", "cut the datasets of a Metafile into balanced rank shards"),
    ),
    "stages, on all ranks of this machine": (
        Command("route", "inferdomain", "route every sample of a plan to one of the domains", True),
        Command("caption", "captionpipeline", "caption every sample of a plan, or earlier captions once more", True),
        Command("score", "inferscore", "have a judge mark every caption of a result folder", True),
    ),
    "between and after": (
        Command("status", "status", "show how far all ranks are"),
        Command("apply", "apply_domains", "write the router's domains back into annotation files"),
        Command("filter", "filter", "keep the captions that the judge marked well"),
        Command("verify", "verify", "prove that every sample of a plan has exactly one record"),
        Command("report", "report.command", "make one HTML page that shows a run"),
        Command("export", "export.command", "turn captions into training data"),
    ),
}
COMMANDS = {command.name: command for group in GROUPS.values() for command in group}


def _help() -> str:
    lines = [
        f"usage: {program()} COMMAND ...",
        "",
        "Dense captions for image and video datasets, by agents on vLLM.",
        "",
    ]
    for group, commands in GROUPS.items():
        lines += [f"{group}:", *(f"  {command.name:<10}{command.about}" for command in commands), ""]
    lines += [
        "options:",
        f"  {'-h, --help':<12}show this; {program()} COMMAND --help shows a command's flags",
        f"  {'--version':<12}show the version",
    ]
    return "\n".join(lines) + "\n"


def _find(name: str) -> Command:
    """The command of that name.

    Raises:
        BadArguments: there is none; says which one is nearest.
    """
    if name in COMMANDS:
        return COMMANDS[name]
    names = {known: command.name for command in COMMANDS.values() for known in (command.module, command.name)}
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{names[near[0]]}'? " if near else ""
    raise BadArguments(f"there is no command '{name}'; {hint}{program()} --help lists all")


def _load(command: Command) -> ModuleType:
    """The module of a command.

    Raises:
        UserError: a package that it needs is not installed.
    """
    try:
        return importlib.import_module(f"MetaCaptioner.{command.module}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "MetaCaptioner":
            raise
        raise UserError(
            f"{sys.executable} lacks the package '{error.name}': use .venv/bin/python (bash script/setup.sh makes it) "
            "or install what is needed: pip install CHECKOUT[gpu], or [cpu]"
        ) from error


def _start_ranks(command: Command, arguments: Sequence[str]) -> NoReturn:
    """Check the flags, so that a mistake is told once and at once, then start the ranks."""
    from MetaCaptioner.launch import local

    local.keep_signals()
    mine, flags = local.split(arguments)
    if local.is_one_of_several():  # whose flags its launcher's other ranks would check as well
        local.become(mine, f"MetaCaptioner.{command.module}", flags)
    stage = _load(command)
    from MetaCaptioner.runner.stage import read_options, stage_command_line

    parser = stage_command_line(stage.STAGE)
    local.add_arguments(parser)
    options = parser.parse_args(arguments)
    read_options(stage.STAGE, options)
    os.environ["TP"] = str(options.tensor_parallel_size)
    local.become(mine, stage.__name__, flags)


def _run(command: Command, arguments: Sequence[str]) -> int:
    if command.on_ranks:
        _start_ranks(command, arguments)
    status: int = _load(command).main(arguments)
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that is named first; the exit status is its."""
    first, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if first in ("-h", "--help"):
        sys.stdout.write(_help())
        return 0
    if first == "--version":
        sys.stdout.write(f"metacaptioner {__version__}\n")
        return 0
    if not first:
        raise BadArguments(f"name a command; {program()} --help lists all")
    command = _find(first)
    os.environ.setdefault(PROGRAM, f"{program()} {command.name}")
    return _run(command, rest)


def run() -> NoReturn:
    """What `metacaptioner` runs."""
    leave_out_current_folder()
    run_main(main)


def run_script(name: str) -> NoReturn:
    """What a script of `dataprocess` runs: the command of that name, without having it named once more."""
    leave_out_current_folder()
    run_main(partial(_run, COMMANDS[name], sys.argv[1:]))


if __name__ == "__main__":
    run()
