"""What a program ends with: the command that goes on from there, ready to be pasted."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from MetaCaptioner.utils.cli import as_typed, say

_COMMAND = "metacaptioner"
_IS_PART = "_METACAPTIONER_IS_PART"
"""The variable that tells a process that it is a step of something that goes on by itself."""


@contextmanager
def goes_on_by_itself() -> Iterator[None]:
    """In the block no program names a next command, here or in a process that is started: that follows anyway."""
    before = os.environ.get(_IS_PART)
    os.environ[_IS_PART] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_IS_PART]


def command(name: str, *words: Path | str) -> str:
    """A command of `metacaptioner` as it can be typed in the current folder."""
    return " ".join([_found(), name, *map(as_typed, words)])


def tell_next(typed: str, begin: str = "next") -> None:
    """Name the command that goes on from here, unless that is done without the user."""
    if not os.environ.get(_IS_PART):
        say(f"{begin}: {typed}")


def _found() -> str:
    """`metacaptioner`, or how it is called where the shell does not find it."""
    if shutil.which(_COMMAND):
        return _COMMAND
    program = Path(sys.executable).with_name(_COMMAND)
    found, more = (program, "") if program.is_file() else (Path(sys.executable), " -m MetaCaptioner")
    here = Path.cwd()
    return f"{as_typed(found.relative_to(here) if here in found.parents else found)}{more}"
