"""The signals to stop, and the one that asks what every thread is at."""

import faulthandler
import os
import signal
import sys
import time
from contextlib import suppress
from types import FrameType

from MetaCaptioner.errors import StoppedEarly
from MetaCaptioner.utils.log_lines import NOTE, line
from MetaCaptioner.utils.processes import kill_when_parent_ends

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
DUMP_SIGNAL = signal.SIGUSR2
_SAME_CTRL_C_SECONDS = 2.0


class StopSignal:
    """Notes that SIGTERM, SIGINT or SIGUSR1 came. Only a Ctrl-C (SIGINT) some time after that ends the process at once.

    Not one right after the first: Ctrl-C may reach a rank both from the terminal and from its launcher. And no other
    signal: a scheduler sends them to all processes of a job, which hand them on too, so that one stop comes several
    times, on a busy machine seconds apart, and would cut off what is in flight.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._received_at = 0.0
        self.interruptible = True
        """While True (set-up, loading the model) the first signal already ends the process: nothing is in flight."""
        self.answer = ""
        """What is said at once when the first signal comes that is only noted; `{signal}` stands for its name."""

    def install(self) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, self._note)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # one may have waited for this

    def _note(self, number: int, frame: FrameType | None) -> None:
        since = time.monotonic() - self._received_at
        again = self.received is not None and number == signal.SIGINT and since > _SAME_CTRL_C_SECONDS
        if self.received is None:
            self.received = signal.Signals(number).name
            self._received_at = time.monotonic()
            if self.answer and not self.interruptible:
                # Past Python's buffer, which this may have interrupted in the middle of a line.
                answer = line(NOTE, self.answer.format(signal=self.received))
                with suppress(OSError, ValueError):
                    os.write(sys.stderr.fileno(), f"\n{answer}\n".encode())
        if again or self.interruptible:
            raise StoppedEarly(f"stopped by {self.received}; run the same command again to go on")


def dump_stacks_on_request() -> None:
    """On SIGUSR2, write to stderr what every thread is at, even where Python itself is stuck; on a crash too."""
    faulthandler.enable()
    faulthandler.register(DUMP_SIGNAL, all_threads=True)


def begin_helper() -> None:
    """If this is a process that multiprocessing spawned: end with the parent, show stacks when asked, ignore SIGUSR1.

    A rank killed with -9 cannot end its engine processes, which would keep the GPU's memory from the next run. A
    spawned process imports its parent's main module under the name `__mp_main__` before it does anything else; in any
    other that is one more name of its own main module, once multiprocessing is imported.

    SLURM sends SIGUSR1 to all processes of a job step, but what is in flight needs the engine.
    """
    if sys.modules.get("__mp_main__") not in (None, sys.modules["__main__"]):
        kill_when_parent_ends()
        dump_stacks_on_request()
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
