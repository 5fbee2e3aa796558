"""Plans a dataset and submits route -> apply -> caption -> score -> filter, each to begin after the one before it.

    python -m MetaCaptioner.launch.slurm.submit FLAGS...

is what script/slurm/submit.sh starts, which names the variables; FLAGS go to the stages.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from MetaCaptioner.errors import BadArguments, UserError
from MetaCaptioner.launch.slurm import REPOSITORY
from MetaCaptioner.launch.slurm.job_environment import AGAIN, RESTARTS, SBATCH
from MetaCaptioner.launch.slurm.plans import PlanOfChain
from MetaCaptioner.launch.slurm.scheduler import Scheduler
from MetaCaptioner.launch.slurm.settings import Chain
from MetaCaptioner.utils.cli import run_main
from MetaCaptioner.utils.next_command import goes_on_by_itself
from MetaCaptioner.utils.processes import heed_every_signal, signal_when_parent_ends

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OF_OTHER_RUNS = frozenset({"OUTPUT", "INPUT", "RESULTS", RESTARTS, SBATCH})


class _Stopped(Exception):
    """A signal to stop has come."""


class _Signals:
    """Signals to stop, which from now on wait until they can be heeded."""

    def __init__(self) -> None:
        # Under nohup the end of the terminal is ignored, and stays so.
        self._stops = {number for number in _STOPS if signal.getsignal(number) is not signal.SIG_IGN}
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, {*self._stops, signal.SIGCHLD})

    def heed(self, seconds: float = 0.0) -> None:
        """Wait so long for one.

        Raises:
            _Stopped: one has come.
        """
        if signal.sigtimedwait(self._stops, seconds) is not None:
            raise _Stopped

    def run(self, command: Sequence[str]) -> int:
        """Run a program to its end; returns its exit status, negative for a signal. A signal to stop goes to it.

        Raises:
            _Stopped: one has come.
        """
        stopped = False
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            process_group=0,  # a Ctrl-C reaches it through us alone
            preexec_fn=partial(_begin_program, os.getpid()),
        )
        while process.poll() is None:
            received = signal.sigwaitinfo({*self._stops, signal.SIGCHLD}).si_signo
            if received != signal.SIGCHLD:
                stopped = True
                process.send_signal(received)
        if stopped:
            raise _Stopped
        return process.returncode


def _begin_program(submitter: int) -> None:
    heed_every_signal()
    signal_when_parent_ends(signal.SIGTERM, submitter)


class Submission:
    """A chain on its way: submitted whole or not at all."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._of_run = f" of {chain.run}"  # how the comments of its jobs end
        self._logs = str(chain.run / "logs").replace("%", "%%")  # SLURM replaces what follows a %
        self._scheduler = Scheduler(chain.patience_seconds)
        self._submitted: list[str] = []
        self._after = chain.sbatch.after

    def refuse_what_cannot_be(self) -> None:
        """Ask SLURM what is there: a chain that is still there would do the same work, its files are locked.

        Raises:
            UserError: there is one, or SLURM does not answer.
            BadArguments: the cluster takes no array of so many jobs.
        """
        chain = self._chain
        there = self._scheduler.jobs_of(self._of_run)
        if there is None:
            raise UserError(f"SLURM cannot be asked what is there; submit again: {chain.again}")
        if there:
            end = f"wait for it, or end it first: scancel {' '.join(there)}"
            raise UserError(f"a chain for {chain.run} waits or runs already: {end}")
        jobs = chain.size.jobs or 1
        if jobs > 1:
            told = self._scheduler.ask("scontrol", "show", "config", pattern="^MaxArraySize")
            most = re.search(r"\d+", told or "")
            if most is not None and jobs > int(most[0]):
                raise BadArguments(
                    f"ARRAY={jobs}{chain.size.at_a_time}: this cluster takes arrays of up to {int(most[0])} jobs "
                    "(MaxArraySize)"
                )

    def submit(self) -> int:
        """Plan and submit; returns 0, or 1 where there is no plan, which the planner has told.

        Raises:
            UserError: not every job could be submitted, so none is kept.
        """
        logs = self._chain.run / "logs"
        try:
            logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{logs}: cannot be made: {error.strerror}") from error
        signals = _Signals()
        patient = self._scheduler
        self._scheduler = replace(patient, pause=signals.heed)
        try:
            return self._plan(signals) or self._submit_stages(signals)
        except (_Stopped, _NotSubmitted, OSError) as error:
            self._scheduler = patient
            patient.complain(str(error))
            raise UserError(self._taken_back()) from None

    def _plan(self, signals: _Signals) -> int:
        """Have the planner make what it can now: the plan to route by, or where nothing is routed, to caption by."""
        chain, captions = self._chain, self._chain.run / "Caption"
        if not chain.route:
            return self._plan_of(chain.plan, captions).make_once(signals.run)
        status = 0 if chain.replan else self._plan_of(chain.plan, captions).check(signals.run)
        return status or self._plan_of(self._route_plan, chain.run / "Domain").make_once(signals.run)

    def _plan_of(self, plan: Path, results: Path) -> PlanOfChain:
        chain, flags = self._chain, self._chain.flags
        told = (*flags.outside, *flags.prompts, *flags.file)
        return PlanOfChain(plan, chain.metafile, chain.metafile, results, chain.size.ranks, chain.replan, told)

    @property
    def _route_plan(self) -> Path:
        return self._chain.run / "route_plan.jsonl"

    def _submit_stages(self, signals: _Signals) -> int:
        run, flags, size = self._chain.run, self._chain.flags, self._chain.size.options(self._logs)
        captions = {"OUTPUT": str(run / "Caption")}
        domains, routed = str(run / "Domain"), str(run / "routed")
        stages: list[tuple[str, Sequence[str], Sequence[str], Mapping[str, str]]] = [
            ("caption", size, flags.all, captions),
            ("score", size, flags.all, captions),
            ("filter", (), (*flags.outside, *flags.keep), captions),
        ]
        if self._chain.route:
            to_route = {"PLAN": str(self._route_plan), "OUTPUT": domains}
            to_apply = {"DOMAINS": domains, "ROUTED": routed, **captions}
            stages = [("route", size, flags.all, to_route), ("apply", (), flags.prompts, to_apply), *stages]
        for stage, options, told, variables in stages:
            self._submit_stage(stage, options, told, variables)
            signals.heed()
        _print(f"logs are in {run / 'logs'}; 'squeue --me' shows what waits and runs")
        return 0

    def _submit_stage(
        self, stage: str, options: Sequence[str], flags: Sequence[str], variables: Mapping[str, str]
    ) -> None:
        """Submit a stage to begin after the one before it.

        The job is told how, so that it can do so again where it is not requeued.

        Raises:
            _NotSubmitted: SLURM refuses it, or has not answered.
        """
        given = self._chain.sbatch
        comment = f"{given.comment} metacaptioner {stage}{self._of_run}".lstrip()
        script = REPOSITORY / "script" / "slurm" / f"{stage}.sbatch"
        logs = ("--export=ALL", f"--output={self._logs}/%x-%j.log")
        words = [*logs, *options, *given.options, str(script), *flags]
        waits = [f"--dependency={self._after}", "--kill-on-invalid-dep=yes"] if self._after else []
        told = {SBATCH: shlex.join([comment, *words])}
        environment = {**_environment_of_jobs(self._chain), **variables, **told}
        number = self._scheduler.submit(comment, [*waits, *words], environment)
        if number is None:
            raise _NotSubmitted
        self._submitted.append(number)
        after = f", after {self._after.removeprefix('afterok:')}" if self._after else ""
        self._after = f"afterok:{number}"
        _print(f"{stage:8} job {number}{after}")

    def _taken_back(self) -> str:
        """Cancel what was submitted, also a job that sbatch has made without an answer; what there is to say of it."""
        found = self._scheduler.jobs_of(self._of_run) or []
        jobs = list(dict.fromkeys([*self._submitted, *found]))
        left = ""
        if jobs and self._scheduler.ask("scancel", *jobs) is None:
            left = f" after: scancel {' '.join(jobs)}"
        return f"not every job could be submitted, so none is kept; submit again{left}: {self._chain.again}"


class _NotSubmitted(Exception):
    """SLURM refuses a job, or has not answered; which of them, and why, has been said."""


def _environment_of_jobs(chain: Chain) -> dict[str, str]:
    """What every job of a chain is told, on top of what the user's shell has."""
    inherited = {name: value for name, value in os.environ.items() if name not in _OF_OTHER_RUNS}
    size = chain.size
    return {
        **inherited,
        "METACAPTIONER": str(REPOSITORY),
        "TP": str(size.gpus_of_rank),
        "NPROC": str(size.ranks_of_node),
        "NNODES": str(size.nodes),
        "NUM_RANKS": str(size.ranks),
        "REPLAN": "yes" if chain.replan else "no",
        "METAFILE": str(chain.metafile),
        "PLAN": str(chain.plan),
        "OUTSIDE": " ".join(chain.flags.outside),
        **chain.flags.variables,
        AGAIN: chain.again,
    }


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Plan and submit; all or nothing."""
    chain = Chain.of(os.environ, sys.argv[1:] if arguments is None else arguments)
    submission = Submission(chain)
    submission.refuse_what_cannot_be()
    with goes_on_by_itself():
        return submission.submit()


if __name__ == "__main__":
    run_main(main)
