"""The command `metacaptioner`: every program of the package under one name.

    metacaptioner plan --metafile data/Metafile.json --num-ranks 8 --output data/split_plan.jsonl
    metacaptioner caption --plan data/split_plan.jsonl --output-dir Output/Caption

A command is a module's `main`; one of a stage starts the ranks of this machine. Nothing is imported before one is
chosen.
"""

import difflib
import os
import sys
from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import NoReturn

from MetaCaptioner import __version__
from MetaCaptioner.errors import BadArguments, UserError
from MetaCaptioner.utils.cli import PROGRAM, program, run_main
from MetaCaptioner.utils.commands import COMMANDS, GROUPS, Command, module_of
from MetaCaptioner.utils.import_path import leave_out_current_folder


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
        return module_of(command)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "MetaCaptioner":
            raise
        raise UserError(
            f"{sys.executable} lacks the package '{error.name}': use .venv/bin/python (bash script/setup.sh makes it) "
            "or install what is needed: pip install CHECKOUT[gpu], or [cpu]"
        ) from error


def _start_ranks(command: Command, arguments: Sequence[str]) -> NoReturn:
    """Check the options, so that a mistake is told once and at once, then start the ranks with what was read here."""
    from MetaCaptioner.launch import local
    from MetaCaptioner.launch.local import Launch

    local.keep_signals()
    stage = _load(command).STAGE
    from pydantic import create_model

    from MetaCaptioner.launch.options import LaunchOptions
    from MetaCaptioner.stages.launching import launched
    from MetaCaptioner.utils.options import as_flags
    from MetaCaptioner.utils.options_sources import READ_NO_FILE, read

    here = create_model("Here", __base__=(stage.options, LaunchOptions))
    options = read(here, arguments, stage.about)
    stages = (*stage.before(options), stage, *stage.then(options))

    def launch_of(gpus_a_rank: int, serves: bool) -> Launch | None:
        ranks: Launch | None = options.launch(gpus_a_rank, os.environ, serves)
        return ranks

    launch = launched(stages, options, lambda: stage.leads_to(options)[0], launch_of)
    local.become(launch, f"MetaCaptioner.{command.module}", [*as_flags(options, stage.options), READ_NO_FILE])


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
