"""The lines that the programs of this project say: on stderr, each with the time and its level.

    01:04:50 info: rank 0: loading data/demo/model on the CPU          on a terminal
    2026-11-29 01:04:50 note: results: …                               in a log file

It is Python's logging, by the logger `metacaptioner`. A process that runs a program of the project shows it so
(`speak`); where the package is imported by another program, that program's own settings of logging decide.
"""

import logging
import sys
import time

from MetaCaptioner.utils.text import shown

INFO, NOTE, ERROR = logging.INFO, logging.WARNING, logging.ERROR
"""The levels: how it goes; what to look at; what went wrong."""
LOGGER = logging.getLogger("metacaptioner")
_ON_TERMINAL, _IN_FILE = "%H:%M:%S", "%Y-%m-%d %H:%M:%S"


def line(level: int, message: str, seconds: float | None = None) -> str:
    """A message as it is shown, without the end of the line; `seconds` are of the Unix time, or else now.

    Nothing in it acts on the terminal.
    """
    word = "error" if level >= ERROR else "note" if level >= NOTE else "info"
    when = time.strftime(_ON_TERMINAL if sys.stderr.isatty() else _IN_FILE, time.localtime(seconds))
    return f"{when} {word}: {shown(message)}"


class _Lines(logging.Handler):
    """Writes each line at once and by one write, so that those of several processes do not get into each other.

    To what is `sys.stderr` by then. What goes wrong, and a signal to stop, reaches whoever speaks.
    """

    def emit(self, record: logging.LogRecord) -> None:
        said = line(record.levelno, record.getMessage(), record.created)
        if record.exc_info:
            said = f"{said}\n{logging.Formatter().formatException(record.exc_info)}"
        sys.stderr.write(f"{said}\n")
        sys.stderr.flush()


def speak(least: int = INFO) -> None:
    """Show on stderr what this process says, from this level on: for a process that runs a program of the project."""
    if not any(isinstance(handler, _Lines) for handler in LOGGER.handlers):
        LOGGER.addHandler(_Lines())
        LOGGER.propagate = False  # a library may have given the root a handler, which would say it once more
    LOGGER.setLevel(least)


def spoken() -> int | None:
    """The level from which on this process shows what it says; None where it does not, as in another's program."""
    return LOGGER.level if any(isinstance(handler, _Lines) for handler in LOGGER.handlers) else None
