"""The small process that stands before a rank: it keeps a worker going, whatever becomes of one.

    python -m MetaCaptioner.launch.supervisor MODULE FLAGS...

The worker is MODULE with its engine. If it dies (killed, out of memory, its engine dead) or hangs (requests wait and no
token comes), another one is started, which goes on from the result files. Stop signals are handed on. What the worker
exits with in good order is the rank's exit status.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NoReturn

from MetaCaptioner.errors import EngineDead, ErrorKind, StoppedEarly, UserError, WorkerFailed
from MetaCaptioner.runtime import rank as rank_variables
from MetaCaptioner.runtime import signals
from MetaCaptioner.runtime.heartbeat import Heartbeat, is_worker, shared_heartbeat, tell_worker
from MetaCaptioner.utils import processes
from MetaCaptioner.utils.cli import complain, note, run_main

_IN_GOOD_ORDER = (0, 1, 2, 3)
"""What a worker exits with that knows what it says; it has cleaned up, and another one would say the same.

1 is also what Python ends with where a stage cannot even be imported; of what happens later see `WorkerFailed`.
"""
_MOST_IN_VAIN = 4
"""So many times the deaths that end a rank end it where each was of another sample, and none ended well meanwhile."""
_AWAITED = {*signals.STOP_SIGNALS, signal.SIGCHLD}
_LOOK_SECONDS = 1.0
_DUMP_SECONDS = 0.5
_LEFTOVER_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 60.0


class Pulse:
    """How long requests have waited without a sign of progress."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._seen = (0, 0)
        self._looked = time.monotonic()
        self.silent_seconds = 0.0

    def look(self) -> bool:
        """Whether the worker hangs; to be asked about once a second.

        A long time between two looks counts as a short one: then this process was itself stopped, and the worker too.
        """
        now, seen = time.monotonic(), (self._heartbeat.records, self._heartbeat.progress)
        if self._heartbeat.requests == 0 or seen != self._seen:
            self.silent_seconds = 0.0
        else:
            self.silent_seconds += min(now - self._looked, 2 * _LOOK_SECONDS)
        self._looked, self._seen = now, seen
        return 0 < self._heartbeat.stall_seconds < self.silent_seconds


class Deaths:
    """The deaths of workers, told by the heartbeat that all of them keep what they have come to meanwhile."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._finished = self._poisoned = 0
        self.since_settled: list[str] = []
        """How those died between which no sample was settled."""
        self.in_vain = 0
        """How many there were since a sample ended well."""

    def note(self, death: str) -> None:
        """Count one."""
        finished, poisoned = self._heartbeat.finished, self._heartbeat.poisoned
        if (finished, poisoned) != (self._finished, self._poisoned):
            self.in_vain = self.in_vain if finished == self._finished else 0
            self._finished, self._poisoned = finished, poisoned
            self.since_settled.clear()
        self.since_settled.append(death)
        self.in_vain += 1
        self._heartbeat.deaths += 1

    @property
    def are_all_in_vain(self) -> bool:
        """Whether it is hardly the samples that workers die of."""
        return self.in_vain >= _MOST_IN_VAIN * self._heartbeat.max_deaths

    @property
    def are_too_many(self) -> bool:
        """Whether another worker would die as well."""
        return self.are_all_in_vain or len(self.since_settled) >= self._heartbeat.max_deaths

    @property
    def pause(self) -> float:
        """Seconds to wait before another worker, for what killed the last one may need time to pass."""
        return min(2.0 ** (len(self.since_settled) - 1) - 1, _LONGEST_PAUSE_SECONDS)


class Supervisor:
    """Runs `command` as the worker of this rank, as often as it takes."""

    def __init__(self, command: Sequence[str], rank: int) -> None:
        self._command = command
        self._rank = rank
        self._descriptor, self._heartbeat = shared_heartbeat()
        self._heartbeat.max_deaths = 5  # until a worker has read its flags
        self._stopped = False
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signals.DUMP_SIGNAL, signal.SIG_IGN)  # inherited by all that do not know what it means
        signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
        processes.adopt_orphans()

    def run(self) -> int:
        """Returns the exit status of the rank: that of the last worker, 1 after too many deaths, 3 if stopped."""
        deaths = Deaths(self._heartbeat)
        while True:
            status, death = self._run_worker()
            if status in _IN_GOOD_ORDER:
                return status
            if self._stopped:
                return StoppedEarly.exit_status
            deaths.note(death)
            if deaths.are_too_many:
                in_vain = deaths.are_all_in_vain
                why = _gave_up_in_vain(deaths.in_vain) if in_vain else _gave_up(deaths.since_settled)
                self._complain(f"given up: {why}")
                return UserError.exit_status
            settled = f"{len(deaths.since_settled)} since a sample was settled"
            self._note(f"the worker {death}; another one goes on ({settled})")
            if not self._pause(deaths.pause):
                return StoppedEarly.exit_status

    def _run_worker(self) -> tuple[int, str]:
        """(exit status, how it died) of one worker; the status is negative for a signal, as in `subprocess`."""
        self._heartbeat.requests = 0
        supervisor = os.getpid()
        worker = subprocess.Popen(
            self._command,
            env=tell_worker(os.environ, self._descriptor),
            stdin=subprocess.DEVNULL,  # a library that asks the terminal a question would wait for ever
            pass_fds=[self._descriptor],
            process_group=0,  # a Ctrl-C reaches it through us alone, and its engine not at all
            preexec_fn=lambda: _begin_worker(supervisor),
        )
        pulse = Pulse(self._heartbeat)
        hangs = ""
        while worker.poll() is None:
            received = signal.sigtimedwait(_AWAITED, _LOOK_SECONDS)
            if received is not None and received.si_signo != signal.SIGCHLD:
                self._stopped = True
                worker.send_signal(received.si_signo)
            if not hangs and pulse.look():
                seconds = f"{pulse.silent_seconds:.0f} s"
                hangs = f"was taken for hung: {self._heartbeat.requests} requests, no token for {seconds}"
                self._end_hung(worker)
        if worker.returncode not in _IN_GOOD_ORDER:
            end_leftovers(worker.pid)
        return worker.returncode, hangs or _how_it_died(worker.returncode)

    def _end_hung(self, worker: "subprocess.Popen[bytes]") -> None:
        """Have the worker and its engine write to the log what they are at, one after another, then kill the worker."""
        self._note(f"no token for {self._heartbeat.stall_seconds:g} s; what worker and engine (see its log) are at:")
        for process, name in processes.members(worker.pid):
            self._note(f"process {process} ({name}):")
            with suppress(ProcessLookupError):
                os.kill(process, signals.DUMP_SIGNAL)
            time.sleep(_DUMP_SECONDS)
        worker.kill()

    def _pause(self, seconds: float) -> bool:
        """Wait; False if a signal to stop came."""
        return signal.sigtimedwait(signals.STOP_SIGNALS, seconds) is None

    def _note(self, message: str) -> None:
        note(f"rank {self._rank}: {message}")

    def _complain(self, message: str) -> None:
        complain(f"rank {self._rank}: {message}")


def _begin_worker(supervisor: int) -> None:
    """In the new process. Signals to stop wait until it can take them (`StopSignal.install`)."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    processes.kill_when_parent_ends(supervisor)


def end_leftovers(group: int) -> None:
    """Wait until a dead worker's engine is gone too, which the kernel kills; kill it if that takes long.

    Its helpers that tidy shared memory up after it need that moment; the next engine needs the GPU's memory. All of
    them are children of this process by now.
    """
    with suppress(ChildProcessError, ProcessLookupError):  # there are none (any more)
        for _ in range(2):
            deadline = time.monotonic() + _LEFTOVER_SECONDS
            while time.monotonic() < deadline:
                if os.waitpid(-group, os.WNOHANG) == (0, 0):
                    time.sleep(0.05)
            os.killpg(group, signal.SIGKILL)


def _how_it_died(status: int) -> str:
    if status == EngineDead.exit_status:
        return "ended with its engine"
    if status == WorkerFailed.exit_status:
        return "ended with an error that nobody foresaw"
    if status >= 0:
        return f"ended with status {status}"
    hint = " (out of memory?)" if -status == signal.SIGKILL else ""
    return f"was killed by {processes.signal_name(-status)}{hint}"


_WHERE_TOLD = "What they said is above, what their engines printed in runs/Rank*_node*.engine.log beside the results"


def _gave_up(deaths: Sequence[str]) -> str:
    counted = "; ".join(f"{_times(count)} it {death}" for death, count in Counter(deaths).most_common())
    return (
        f"{len(deaths)} workers died without settling a sample between them ({counted}). {_WHERE_TOLD}. "
        "Mend the cause and run the same command again, or allow more with --max-deaths"
    )


def _gave_up_in_vain(deaths: int) -> str:
    return (
        f"{deaths} workers died, and all samples between them ended as {ErrorKind.ENGINE_CRASH}: it may be the engine, "
        f"the driver or the machine, and not the samples. {_WHERE_TOLD}. Mend the cause and run the "
        "same command again with --retry-errors, or allow more with --max-deaths"
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def main(arguments: Sequence[str] | None = None) -> int:
    """Supervise one rank; the exit status is the rank's."""
    parser = argparse.ArgumentParser(
        prog="python -m MetaCaptioner.launch.supervisor", description="Keep a rank's worker going."
    )
    parser.add_argument("module", help="the stage, such as MetaCaptioner.captionpipeline")
    parser.add_argument("flags", nargs=argparse.REMAINDER, help="its flags")
    options = parser.parse_args(arguments)
    number = rank_variables.who_am_i(dict(os.environ)).rank
    return Supervisor([sys.executable, "-m", options.module, *options.flags], number).run()


def supervised(module: str, flags: Sequence[str]) -> list[str]:
    """The command of a rank: a supervisor, and the stage in `module` as its worker."""
    return [sys.executable, "-m", "MetaCaptioner.launch.supervisor", module, *flags]


def _become(module: str, flags: Callable[[], Sequence[str]]) -> NoReturn:
    command = supervised(module, flags())
    os.execv(command[0], command)


def _as_worker(main: Callable[[], int]) -> int:
    """Run `main`; an exception that nobody foresaw is a death of this worker, not the end of its rank.

    Raises:
        WorkerFailed: there was one; it is written to the log.
    """
    try:
        return main()
    except UserError:
        raise
    except Exception as error:
        traceback.print_exc()
        raise WorkerFailed(f"nobody foresaw this: {type(error).__name__}: {error}") from error


def run_supervised(main: Callable[[], int], flags: Callable[[], Sequence[str]]) -> NoReturn:
    """Run a stage's `main` as the worker of a supervisor; started by anyone else, become that supervisor first.

    `flags` reads the options, wherever they are said, and makes flags of them: what the first worker is told, all are.
    """
    specification = sys.modules["__main__"].__spec__
    if {"-h", "--help"} & {*sys.argv[1:]}:
        run_main(main)
    if specification is None or is_worker(os.environ):
        signals.dump_stacks_on_request()
        run_main(partial(_as_worker, main))
    run_main(partial(_become, specification.name, flags))


if __name__ == "__main__":
    run_main(main)
