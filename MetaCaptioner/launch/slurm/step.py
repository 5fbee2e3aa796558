"""The job step of a stage: srun starts a rank as each task, and is watched until the last of them has ended."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from MetaCaptioner.launch.slurm.job_environment import Job
from MetaCaptioner.launch.slurm.signs_of_life import Signs
from MetaCaptioner.runtime.signals import STOP_SIGNALS
from MetaCaptioner.utils.processes import heed_every_signal, shell_status

SRUN_ERROR = 70
"""What srun exits with when SLURM, not a rank, has failed."""
_NO_PROGRAM = 127
_SILENT_BEATS = 10
_SILENT = "the ranks that are left give no sign of life: their slurmstepd has died, the step is ended"
_STOPS = {*STOP_SIGNALS, signal.SIGHUP}
_AWAITED = {*_STOPS, signal.SIGCHLD}


@dataclass(frozen=True)
class Outcome:
    """How a step has ended.

    `status` is the highest of all ranks, as srun has it; `lost` counts the ranks that never came to their end, which
    srun may take for done; `stopped`: a signal to stop has come.
    """

    status: int
    lost: int
    stopped: bool


def block_signals() -> None:
    """Have signals to the batch script wait: for `run_step`, or for ever once the ranks have ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)


def srun_command(signs: Signs, script: Path, flags: Sequence[str], job: Job) -> list[str]:
    """A script as a rank on each task of the job, whatever else ends or fails.

    No MPI of the site's choice, no part of the environment left out (sbatch --export=NONE), all parts of a
    heterogeneous job.
    """
    command = ["srun", "--kill-on-bad-exit=0", "--wait=0", "--mpi=none", "--export=ALL"]
    if job.cpus_of_task:
        command.append(f"--cpus-per-task={job.cpus_of_task}")
    if job.parts:
        command.append(f"--het-group=0-{job.parts - 1}")
    rank = [sys.executable, "-m", "MetaCaptioner.launch.slurm.rank", str(signs.folder)]
    return [*command, *rank, "bash", str(script), *flags]


def run_step(command: Sequence[str], signs: Signs, look_every: float, complain: Callable[[str], None]) -> Outcome:
    """Run `srun_command`; signals to stop go to its ranks. Needs `block_signals`."""
    watch = _Watch(signs, look_every, complain)
    stopped = False
    while signal.sigtimedwait(_STOPS, 0) is not None:
        stopped = True
        watch.ask_to_stop()
    environment = {**os.environ, "SLURM_EXIT_ERROR": str(SRUN_ERROR)}
    try:
        srun = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, preexec_fn=heed_every_signal)
    except OSError as error:
        complain(f"{command[0]}: {error.strerror}")
        return Outcome(_NO_PROGRAM, 0, stopped)
    watch.begin(srun)
    while srun.poll() is None:
        if signal.sigwaitinfo(_AWAITED).si_signo != signal.SIGCHLD:
            stopped = True
            srun.send_signal(signal.SIGUSR1)
            watch.ask_to_stop()
    return Outcome(shell_status(srun.returncode), _lost(signs, complain), stopped)


def _lost(signs: Signs, complain: Callable[[str], None]) -> int:
    """How many ranks never came to their end; none where that cannot be told."""
    try:
        return len(signs.left())
    except OSError as error:
        complain(f"{signs.folder}: whether a rank has died cannot be told: {error.strerror}")
        return 0


class _Watch(threading.Thread):
    """Ends a step whose ranks are all dead, and leaves word for those that srun does not know of yet.

    srun does not notice that a slurmstepd has died, and waits for its ranks for ever. So each rank gives a sign of life
    now and then. A thread of its own, for the file system may let it wait, and signals must not.
    """

    def __init__(self, signs: Signs, every: float, complain: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        self._signs, self._every, self._complain = signs, every, complain
        self._before: Mapping[Path, bytes] = {}
        self._silent = 0
        self._woken = threading.Event()
        self._shall_stop = self._stop_is_told = False

    def begin(self, srun: "subprocess.Popen[bytes]") -> None:
        """Watch over the ranks of `srun`."""
        self._srun = srun
        self.start()

    def ask_to_stop(self) -> None:
        """Have the ranks told, those also that begin only now."""
        self._shall_stop = True
        self._woken.set()

    def run(self) -> None:
        """Until this process ends."""
        next_look = time.monotonic() + self._every
        while True:
            self._woken.wait(max(0.0, next_look - time.monotonic()))
            self._woken.clear()
            if self._shall_stop and not self._stop_is_told:
                self._tell_to_stop()
            if time.monotonic() >= next_look:
                if self._finds_silence() and self._srun.poll() is None:
                    self._complain(
                        "the ranks that are left give no sign of life: their slurmstepd has died, the step is ended"
                    )
                    self._srun.kill()
                next_look = time.monotonic() + self._every

    def _tell_to_stop(self) -> None:
        self._stop_is_told = True
        try:
            self._signs.ask_to_stop()
        except OSError as error:
            if self._srun.poll() is None:
                self._complain(
                    f"{self._signs.folder}: ranks that begin only now cannot be told to stop: {error.strerror}"
                )

    def _finds_silence(self) -> bool:
        """Look; whether no rank that is left has given a sign of life for so many looks."""
        try:
            now = self._signs.left()
        except OSError:  # which says nothing of the ranks
            self._silent = 0
            return False
        self._silent = self._silent + 1 if now and now == self._before else 0
        self._before = now
        if self._silent < _SILENT_BEATS:
            return False
        self._silent = 0
        return True
