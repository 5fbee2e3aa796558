"""One task of a job, started by srun: a stage's script, with a sign of life as long as it runs.

    python -m MetaCaptioner.launch.slurm.rank FOLDER COMMAND...

FOLDER is that of `Signs`. A signal to stop is handed on once, as SIGUSR1; what COMMAND exits with is the status.
"""

import argparse
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from MetaCaptioner.errors import StoppedEarly, UserError
from MetaCaptioner.launch.slurm.signs_of_life import Signs, beat_seconds
from MetaCaptioner.runtime.rank import task_number
from MetaCaptioner.runtime.signals import STOP_SIGNALS
from MetaCaptioner.utils.cli import run_main
from MetaCaptioner.utils.processes import shell_status, signal_when_parent_ends

_AWAITED = {*STOP_SIGNALS, signal.SIGCHLD}


class _Beats(threading.Thread):
    """Writes the sign of life of `task`, and looks whether the rank shall stop: then this process is told by SIGUSR1.

    A thread of its own, for a file system may let it wait. A signal that came before srun knew of this rank has left
    the file `stop`. And without its slurmstepd a rank has nobody to report to, while SLURM may start it again
    elsewhere.
    """

    def __init__(self, signs: Signs, task: int, every: float) -> None:
        super().__init__(daemon=True)
        self._signs, self._sign, self._every = signs, signs.of_rank(task), every
        self._slurmstepd = os.getppid()
        self._ended = threading.Event()
        try:
            self._sign.write_text("0\n")
        except OSError as error:
            raise UserError(f"{self._sign}: the sign of life cannot be written: {error.strerror}") from error

    def run(self) -> None:
        beat = 0
        while not self._ended.wait(self._every):
            beat += 1
            with suppress(OSError):  # the folder may be out of reach for a moment
                self._sign.write_text(f"{beat}\n")
            if self._signs.stop_is_asked() or os.getppid() != self._slurmstepd:
                os.kill(os.getpid(), signal.SIGUSR1)

    def end(self) -> None:
        """The rank has come to its end: its file is taken away."""
        self._ended.set()
        self.join()
        try:
            self._sign.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{self._sign}: the sign of life cannot be taken away: {error.strerror}") from error


def run_rank(signs: Signs, command: Sequence[str]) -> int:
    """Run a command as a rank of a job; returns its exit status, 128 and the signal's number where one ended it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    if signs.stop_is_asked():
        return StoppedEarly.exit_status
    beats = _Beats(signs, task_number(os.environ), beat_seconds(os.environ))
    process = os.getpid()

    def begin() -> None:  # a signal to stop waits until the supervisor can take it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        signal_when_parent_ends(signal.SIGTERM, process)

    started = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=begin)
    beats.start()
    told = False
    while started.poll() is None:
        if signal.sigwaitinfo(_AWAITED).si_signo != signal.SIGCHLD and not told:
            told = True
            started.send_signal(signal.SIGUSR1)
    beats.end()
    return shell_status(started.returncode)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one rank; the exit status is the command's."""
    parser = argparse.ArgumentParser(
        prog="python -m MetaCaptioner.launch.slurm.rank", description="Run a command as one rank of a SLURM job."
    )
    parser.add_argument("folder", type=Path, help="of the signs of life")
    parser.add_argument("program", help="of the command")
    parser.add_argument("flags", nargs=argparse.REMAINDER, help="its flags")
    options = parser.parse_args(arguments)
    return run_rank(Signs(options.folder), [options.program, *options.flags])


if __name__ == "__main__":
    run_main(main)
