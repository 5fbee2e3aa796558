"""Calls to SLURM's commands that outlast a controller that restarts, is busy or is mute."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto

from MetaCaptioner.runtime.settings import seconds
from MetaCaptioner.utils import cli
from MetaCaptioner.utils.processes import heed_every_signal, shell_status

_PASSING = re.compile(
    "contact slurm controller|timed out|temporar|connection (refused|reset|closed)|zero bytes|standby|endpoint"
    "|unexpected message|communication|not responding|unable to (establish|connect|resolve)|dns srv|config source"
    "|unknown host|authentication|munge|unreachable|no route|socket|broken pipe|try again|interrupted|in progress",
    re.IGNORECASE,
)
"""What SLURM's commands say when another try may do better; whatever else they say is a refusal."""
_NUMBER_OF_A_JOB = r"^[0-9]+(;.*)?$"
_LONGEST_PAUSE_SECONDS = 60.0
_HOW_TO_REACH_SLURM = frozenset({"SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT"})
_OF_ANOTHER_SBATCH = frozenset({"SBATCH_ARRAY_INX", "SBATCH_WAIT"})


class _Outcome(Enum):
    ANSWERED = auto()
    UNANSWERED = auto()
    """Another try may do better."""
    REFUSED = auto()


@dataclass(frozen=True)
class _Attempt:
    """What came of one call: lines of its stdout, and what it said on stderr or what went wrong."""

    outcome: _Outcome
    answer: str = ""
    complaint: str = ""


def patience_seconds(environment: Mapping[str, str]) -> float:
    """So long is a call tried again: `SCHEDULER_SECONDS`."""
    return seconds(environment, "SCHEDULER_SECONDS", 600)


@dataclass(frozen=True)
class Scheduler:
    """Asks SLURM, again and again for up to `patience_seconds`; one call may take `call_seconds`.

    `begin_line` stands before each line that is said. `or_else` says what to do should this process be ended while it
    tries again. `own_job` is the number of the job that this is a part of, if it is. `pause` waits before another try.
    """

    patience_seconds: float
    call_seconds: float = 120.0
    begin_line: str = ""
    or_else: str = ""
    own_job: str = ""
    pause: Callable[[float], None] = time.sleep

    def note(self, message: str) -> None:
        """Have the person who reads the log look at something, a line at a time."""
        self._tell(cli.note, message)

    def complain(self, message: str) -> None:
        """Tell that person what went wrong, a line at a time."""
        self._tell(cli.complain, message)

    def _tell(self, tell: Callable[[str], None], message: str) -> None:
        """Where it cannot be written (a full disk, a closed terminal), what there is to do is done all the same."""
        for line in message.splitlines():
            with suppress(OSError):
                tell(f"{self.begin_line}{line}")

    def ask(self, *command: str, pattern: str = "") -> str | None:
        """The last line that a command prints that matches `pattern`; all lines, where that is empty.

        None where SLURM refuses, or has not answered in all that time; which of them, and why, is said.
        """
        tries = _Tries(self, command[0])
        while True:
            attempt = self._attempt(command, pattern, _untold(os.environ))
            if attempt.outcome is _Outcome.ANSWERED:
                return attempt.answer
            if attempt.outcome is _Outcome.REFUSED or not tries.another(attempt.complaint):
                self.complain(f"{' '.join(command)} failed: {attempt.complaint}")
                return None

    def submit(self, comment: str, words: Sequence[str], environment: Mapping[str, str]) -> str | None:
        """The number of the job that `sbatch WORDS` has made, marked by `comment`; None as in `ask`.

        An sbatch that was not answered may have made one all the same: it is looked for, by its comment, before
        another is made.
        """
        tries = _Tries(self, "sbatch")
        command = ("sbatch", "--parsable", f"--comment={comment}", *words)
        while True:
            attempt = self._attempt(command, _NUMBER_OF_A_JOB, _as_from_outside(environment))
            if attempt.outcome is not _Outcome.UNANSWERED:
                tell = self.note if attempt.outcome is _Outcome.ANSWERED else self.complain
                tell(attempt.complaint)
                return attempt.answer.partition(";")[0] or None
            if not tries.another(attempt.complaint):
                self.complain(f"sbatch failed: {attempt.complaint}")
                return None
            found = self.jobs_of(comment)
            if found is None:
                return None
            if found:
                return found[-1]

    def jobs_of(self, comment: str) -> list[str] | None:
        """The numbers of one's jobs that wait or run and whose comment ends so, but this one; None as in `ask`."""
        answer = self.ask("squeue", f"--user={os.geteuid()}", "--noheader", "--format=%F %k")
        if answer is None:
            return None
        listed = (line.strip().partition(" ") for line in answer.split("\n"))
        found = {job for job, _, told in listed if job.isdecimal() and told.endswith(comment.rstrip())}
        return sorted(found - {self.own_job}, key=int)

    def _attempt(self, command: Sequence[str], pattern: str, environment: Mapping[str, str]) -> _Attempt:
        try:
            status, answer, complaint = _call(command, environment, self.call_seconds)
        except subprocess.TimeoutExpired:
            return _Attempt(_Outcome.UNANSWERED, complaint=f"no answer within {self.call_seconds:g} s")
        except OSError as error:
            return _Attempt(_Outcome.REFUSED, complaint=f"{command[0]}: {error.strerror}")
        if pattern:
            answer = next((line for line in reversed(answer.split("\n")) if re.search(pattern, line)), "")
        if status == 0 and (answer or not pattern):
            return _Attempt(_Outcome.ANSWERED, answer, complaint)
        may_pass = status == 0 or not complaint or _PASSING.search(complaint)
        outcome = _Outcome.UNANSWERED if may_pass else _Outcome.REFUSED
        return _Attempt(outcome, complaint=complaint or f"it ended with status {status} and said nothing")


class _Tries:
    """How long a command has been tried, and how long to pause before the next time."""

    def __init__(self, scheduler: Scheduler, command: str) -> None:
        self._scheduler = scheduler
        self._command = command
        self._begun = time.monotonic()
        self._pause = 1.0

    def another(self, complaint: str) -> bool:
        """Wait before another try; False where it has been tried for too long."""
        limit = self._scheduler.patience_seconds
        if time.monotonic() - self._begun >= limit:
            return False
        if self._pause == 1:
            first = complaint.partition("\n")[0]
            self._scheduler.note(
                f"{self._command} gives no answer: {first}: tried again for up to {limit:g} s{self._scheduler.or_else}"
            )
        self._scheduler.pause(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        return True


def _call(command: Sequence[str], environment: Mapping[str, str], limit: float) -> tuple[int, str, str]:
    """(exit status, stdout, lines of stderr) of a command, which with all that it has started has so many seconds.

    Raises:
        subprocess.TimeoutExpired: it has not ended by then, and was killed.
        OSError: it cannot be started.
    """
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,  # a Ctrl-C does not cut off what it has begun
        preexec_fn=heed_every_signal,
    ) as process:
        try:
            output, errors = process.communicate(timeout=limit)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    said = "\n".join(line for line in os.fsdecode(errors).split("\n") if line)
    return shell_status(process.returncode), os.fsdecode(output).rstrip("\n"), said


def _untold(environment: Mapping[str, str]) -> dict[str, str]:
    """Without the settings of the user's terminal, such as SQUEUE_STATES=PENDING, that would change what is asked."""
    return {name: value for name, value in environment.items() if not name.startswith("SQUEUE_")}


def _as_from_outside(environment: Mapping[str, str]) -> dict[str, str]:
    """SLURM hands the variables of the job or step that a user is in on to those that he submits from there."""
    return {
        name: value
        for name, value in _untold(environment).items()
        if name in _HOW_TO_REACH_SLURM or not (name.startswith("SLURM_") or name in _OF_ANOTHER_SBATCH)
    }
