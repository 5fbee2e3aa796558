"""The commands by name, and where each is: modules that are imported when one is chosen."""

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from MetaCaptioner.utils.options import Options


PREFIX = "METACAPTIONER_"
"""Of the variables that say an option: METACAPTIONER_MAX_PIXELS=…"""
CONFIG_VARIABLE = f"{PREFIX}CONFIG"
"""Names the file where no flag does."""


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
        Command("evaluate", "evaluate", "answer questions from captions alone: what the captions are worth", True),
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


def module_of(command: Command) -> ModuleType:
    """The module of a command."""
    return importlib.import_module(f"MetaCaptioner.{command.module}")


def options_of(name: str) -> "type[Options]":
    """The options of the command of that name."""
    options: type[Options] = module_of(COMMANDS[name]).OPTIONS
    return options
