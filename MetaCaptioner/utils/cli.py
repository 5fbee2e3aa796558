"""How programs of this project speak and exit: one clear line for an error, no traceback for the user's mistakes."""

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.log_lines import ERROR, INFO, LOGGER, NOTE, speak
from MetaCaptioner.utils.text import shown

_NOT_ASCII = 0x7F
PROGRAM = "_METACAPTIONER_PROGRAM"
"""The variable that tells a process what the user typed, where that is not the process itself."""


def say(message: str) -> None:
    """One line for the person at the terminal; nothing in it acts on the terminal."""
    LOGGER.log(INFO, "%s", shown(message), stacklevel=2)


def show(text: str) -> None:
    """Lines as they stand, such as a table; nothing in them acts on the terminal.

    They go where all is said: what a rank prints otherwise is kept with what its engine prints.
    """
    sys.stderr.write(shown(text, lines=True))
    sys.stderr.flush()


def note(message: str) -> None:
    """One line of what the user should look at, though the work goes on."""
    LOGGER.log(NOTE, "%s", shown(message), stacklevel=2)


def complain(message: str) -> None:
    """One line of what went wrong."""
    LOGGER.log(ERROR, "%s", shown(message), stacklevel=2)


def program() -> str:
    """What the user typed: `metacaptioner plan`, `python -m MetaCaptioner.plan`, or a bash script."""
    if told := os.environ.get(PROGRAM):
        return told
    specification = sys.modules["__main__"].__spec__
    if specification is not None:
        return f"python -m {specification.name.removesuffix('.__main__')}"
    return sys.argv[0] if sys.argv[0].endswith(".py") else Path(sys.argv[0]).name


def as_typed(word: Path | str) -> str:
    """A path or word as a shell takes it, for what the user is told to type; controls in it as bash's `$'…'`.

    A path is never taken for a flag.
    """
    name = f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)
    if shown(name) == name:
        return shlex.quote(name)
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    octal = (f"\\{byte:03o}" if byte < ord(" ") or byte >= _NOT_ASCII else chr(byte) for byte in os.fsencode(quoted))
    return f"$'{''.join(octal)}'"


def run_main(main: Callable[[], int]) -> NoReturn:
    """Run a program's `main` and exit with its status; a `UserError` becomes one line and its own status."""
    speak()
    try:
        status = main()
        sys.stdout.flush()
    except UserError as error:
        complain(str(error))
        status = error.exit_status
    except KeyboardInterrupt:
        note("stopped; run the same command again to go on")
        status = 3
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)
