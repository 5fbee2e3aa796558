"""How programs of this project speak and exit: one clear line for an error, no traceback for the user's mistakes."""

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.text import shown

_NOT_ASCII = 0x7F


def say(message: str) -> None:
    """One line for the person at the terminal, on stderr, written at once; nothing in it acts on the terminal."""
    sys.stderr.write(f"{shown(message)}\n")
    sys.stderr.flush()


def as_typed(word: Path | str) -> str:
    """A path or word as a shell takes it, for what the user is told to type; controls in it as bash's `$'…'`."""
    name = str(word)
    if shown(name) == name:
        return shlex.quote(name)
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    octal = (f"\\{byte:03o}" if byte < ord(" ") or byte >= _NOT_ASCII else chr(byte) for byte in os.fsencode(quoted))
    return f"$'{''.join(octal)}'"


def run_main(main: Callable[[], int]) -> NoReturn:
    """Run a program's `main` and exit with its status; a `UserError` becomes one line and its own status."""
    try:
        status = main()
        sys.stdout.flush()
    except UserError as error:
        say(f"error: {error}")
        status = error.exit_status
    except KeyboardInterrupt:
        say("stopped; run the same command again to go on")
        status = 3
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)
