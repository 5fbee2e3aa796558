"""What the batch script of a stage does: the stage on all tasks of the job, and the job once more where that helps.

    python -m MetaCaptioner.launch.slurm.job --output FOLDER SCRIPT FLAGS...

SCRIPT is that of the stage, in script/; FOLDER is that of the results, which all nodes see. The exit status is 0 once
every rank has done all its samples, 1 or 2 as the ranks do. Where one was stopped by a signal, or died, the job is
requeued and goes on from the result files.
"""

import argparse
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

from MetaCaptioner.errors import StoppedEarly, UserError
from MetaCaptioner.launch.slurm import REPOSITORY
from MetaCaptioner.launch.slurm.job_environment import RESTARTS, Job
from MetaCaptioner.launch.slurm.scheduler import Scheduler, patience_seconds
from MetaCaptioner.launch.slurm.signs_of_life import Signs, beat_seconds
from MetaCaptioner.launch.slurm.step import SRUN_ERROR, Outcome, block_signals, run_step, srun_command
from MetaCaptioner.utils.cli import run_main

_SHORT_RUN_SECONDS = 600
_SHORT_RUNS = 3
_WORST_IN_GOOD_ORDER = 2
_OF_A_SIGNAL = 128


class JobEnd:
    """What comes after the ranks of a job, which began at a time of `time.monotonic`."""

    def __init__(self, job: Job, scheduler: Scheduler, begun: float) -> None:
        self._job = job
        self._scheduler = scheduler
        self._begun = begun

    def settle(self, outcome: Outcome) -> int:
        """Start the job again where that helps; returns its exit status."""
        status = outcome.status
        in_good_order = status <= _WORST_IN_GOOD_ORDER
        if status == StoppedEarly.exit_status or (outcome.stopped and not in_good_order):
            self._start_again("stopped by a signal")
            return status
        death = _death(outcome)
        if not death:
            return status
        ran, before = time.monotonic() - self._begun, self._job.restarts
        if ran < _SHORT_RUN_SECONDS and before >= _SHORT_RUNS:
            started = f"within {int(ran)} s, and it was started {before} times before"
            self._scheduler.complain(f"{death} {started}: given up; {self._job.again}")
        else:
            self._start_again(death)
        return status or UserError.exit_status

    def _start_again(self, why: str) -> None:
        """Have SLURM requeue this job, unless it was cancelled or somebody has requeued it already.

        Where SLURM does not requeue it, it is submitted anew; where that cannot be done either, or nobody answers, what
        to do is said.
        """
        name, again, scheduler = self._job.name, self._job.again, self._scheduler
        state = self._scheduler.ask("squeue", "--noheader", f"--jobs={name}", "--format=%T", pattern="^[A-Z_]+$")
        if state is None:
            scheduler.complain(f"{why}, and not requeued; {again}")
        elif state != "RUNNING":
            was = f"SLURM has it as {state} (cancelled, out of time, or requeued already)"
            scheduler.note(f"{why}; {was}; unless it starts by itself, {again}")
        else:
            scheduler.note(f"{why}: requeued")  # by the time that it is, nothing more may be said
            if self._scheduler.ask("scontrol", "requeue", name) is not None:
                return
            other = self._submit_anew()
            if other is None:
                scheduler.complain(f"it could not be requeued; {again}")
            else:
                scheduler.note(f"it could not be requeued, and goes on as job {other}")

    def _submit_anew(self) -> str | None:
        """The same job once more, to begin when this one has ended; what waits for this one then waits for that one.

        Returns its number, or None where it cannot be submitted.
        """
        if not self._job.sbatch:
            return None
        comment, *words = self._job.sbatch
        after = f"--dependency=afterany:{self._job.number}"
        environment = {**os.environ, RESTARTS: str(self._job.restarts + 1)}
        other = self._scheduler.submit(comment, [after, *words], environment)
        if other is not None:
            self._hand_over_to(other)
        return other

    def _hand_over_to(self, other: str) -> None:
        """Have the jobs that wait for this one wait for another."""
        again, scheduler = self._job.again, self._scheduler
        listed = self._scheduler.ask("squeue", f"--user={os.geteuid()}", "--noheader", "--format=%F %E")
        if listed is None:
            scheduler.complain(f"job {other} is on its own; {again}")
            return
        for line in listed.split("\n"):
            waiting, _, dependency = line.strip().partition(" ")
            if not re.search(rf"afterok:{self._job.number}([^0-9]|$)", dependency):
                continue
            told = ("scontrol", "update", f"JobId={waiting}", f"Dependency=afterok:{other}")
            if self._scheduler.ask(*told) is None:
                scheduler.complain(f"job {waiting} does not wait for job {other}; once that is complete, {again}")


def _death(outcome: Outcome) -> str:
    """What has died, where something has."""
    if outcome.lost:
        return f"{outcome.lost} of its ranks died"
    if outcome.status == SRUN_ERROR:
        return "srun failed"
    if outcome.status > _OF_A_SIGNAL:
        number = outcome.status - _OF_A_SIGNAL
        return f"a rank died of signal {number}"
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ranks of this job; the exit status is the job's."""
    begun = time.monotonic()
    block_signals()  # one that comes before the ranks are there must not end the job without a word
    parser = argparse.ArgumentParser(
        prog="python -m MetaCaptioner.launch.slurm.job", description="Run a stage on all tasks of a SLURM job."
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="that of the results")
    parser.add_argument("script", help="the stage's, in script/, such as run_caption.sh")
    parser.add_argument("flags", nargs=argparse.REMAINDER, help="its flags")
    options = parser.parse_args(arguments)
    job = Job.this(os.environ)
    scheduler = Scheduler(
        patience_seconds(os.environ),
        begin_line=f"job {job.number}: ",
        or_else=f"; if nothing follows, {job.again}",
        own_job=job.number,
    )
    look_every = beat_seconds(os.environ)
    signs = Signs.made_anew(options.output, job.number, job.requeues)
    command = srun_command(signs, REPOSITORY / "script" / options.script, options.flags, job)
    outcome = run_step(command, signs, look_every, scheduler.complain)
    signs.remove()
    return JobEnd(job, scheduler, begun).settle(outcome)


if __name__ == "__main__":
    run_main(main)
