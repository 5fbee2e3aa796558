"""What a process asks of the kernel about its parent and its children."""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def kill_when_parent_ends(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent dies, however that happens.

    `parent` is the parent's process id, from who knows it; without, a parent that is process 1 counts as dead already,
    which is wrong for the first process of a container.

    Source: prctl(2), PR_SET_PDEATHSIG. Linux only; elsewhere nothing is done.
    """
    signal_when_parent_ends(signal.SIGKILL, parent)


def signal_when_parent_ends(number: signal.Signals, parent: int | None = None) -> None:
    """The same by another signal, on which this process may tidy up; if the parent is gone already, it just ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
        if os.getppid() == 1 if parent is None else os.getppid() != parent:  # it died before we asked
            os._exit(1)


def members(group: int) -> list[tuple[int, str]]:
    """(process id, name) of every process of a process group that has not ended, oldest first.

    Source: proc(5), /proc/[pid]/stat.
    """
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = entry.read_text().partition("(")[2].rpartition(")")
            state, _, of, *_ = rest.split()
            if int(of) == group and state != "Z":
                found.append((int(entry.parent.name), name))
    return sorted(found)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that it can be waited for.

    Source: prctl(2), PR_SET_CHILD_SUBREAPER. Linux only; elsewhere nothing is done.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def heed_every_signal() -> None:
    """In a new process, before its program: block no signal, whatever its parent waits for."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def shell_status(status: int) -> int:
    """A status of `subprocess`, negative for a signal, as a shell has it: 128 and the signal's number."""
    return status if status >= 0 else 128 - status


def signal_name(number: int) -> str:
    """What a signal is called; those of real time, and of other systems, have numbers only."""
    return signal.Signals(number).name if number in {*signal.Signals} else f"signal {number}"
