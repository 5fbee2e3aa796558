"""Starts the ranks of this machine, each under a supervisor of its own, and waits for them.

    python -m MetaCaptioner.launch.local [--serve MODEL] RANKS NODES NODE MODULE FLAGS...

RANKS of them on each of NODES machines, of which this is number NODE, for a program in MODULE; `launch/options.py` says
how many. A rank is a process with RANK, WORLD_SIZE and LOCAL_RANK. Ranks never wait for each other, so nothing brings
them together: one that ends or dies leaves the others working, and those of a node start whether or not another node
does. Signals to stop go to all of them; where this process itself dies, however that happens, they are told to too.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from MetaCaptioner.errors import BadArguments, StoppedEarly, UserError
from MetaCaptioner.launch.served import ServedModel, Servers
from MetaCaptioner.launch.supervisor import supervised
from MetaCaptioner.runtime.rank import launch_variables
from MetaCaptioner.runtime.signals import STOP_SIGNALS
from MetaCaptioner.utils.cli import complain, run_main
from MetaCaptioner.utils.json_text import read_as
from MetaCaptioner.utils.processes import adopt_orphans, signal_name, signal_when_parent_ends

_ENDS_THE_SCRIPT = (signal.SIGHUP, signal.SIGQUIT)
"""What a closed terminal sends, and Ctrl-\\: to the ranks it is a stop as any other."""
_AGAIN = "Run the same command again for what it left"
_WORSE_AND_WORSE = (0, StoppedEarly.exit_status, BadArguments.exit_status, UserError.exit_status)
"""The statuses of ranks: the last of these that one of them has is that of the launch."""


@dataclass(frozen=True)
class Launch:
    """How many ranks this machine has, of how many machines with as many, and which one it is."""

    ranks: int
    nodes: int = 1
    node: int = 0
    served: tuple[ServedModel, ...] = ()
    """The models for which it starts servers of its own."""


class LocalRanks:
    """The ranks of this machine, and the servers of the models that it serves; `command` is what each rank runs."""

    def __init__(self, command: Sequence[str], launch: Launch) -> None:
        # Under nohup the end of the terminal is ignored, and stays so; a stop is one whatever this shell ignores.
        ended = {number for number in _ENDS_THE_SCRIPT if signal.getsignal(number) is not signal.SIG_IGN}
        self._awaited = {*STOP_SIGNALS, *ended, signal.SIGCHLD}
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, self._awaited)
        adopt_orphans()
        self._running: dict[int, tuple[int, subprocess.Popen[bytes]]] = {}
        self._statuses = {0}
        self._stopped = False
        self._servers = Servers(launch.served, partial(_begin_rank, os.getpid()))
        told = self._servers.variables()
        for place in range(launch.ranks):
            self._start(command, told | launch_variables(place, launch.ranks, launch.node, launch.nodes))

    def _start(self, command: Sequence[str], variables: Mapping[str, str]) -> None:
        """Start one rank. One that cannot be started, for want of memory or processes, is one that has died."""
        rank = int(variables["RANK"])
        try:
            process = subprocess.Popen(
                command,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                process_group=0,  # a Ctrl-C reaches it through us alone
                preexec_fn=partial(_begin_rank, os.getpid()),
            )
        except OSError as error:
            complain(f"rank {rank}: cannot be started: {error.strerror}; the others go on. {_AGAIN}")
            self._statuses.add(UserError.exit_status)
        else:
            self._running[process.pid] = (rank, process)

    def wait(self) -> int:
        """Until all have ended; the worst of their statuses: 1 before 2 (bad arguments) before 3 (stopped) before 0."""
        while self._running:
            received = signal.sigwaitinfo(self._awaited).si_signo
            if received == signal.SIGCHLD:
                self._take_leave()
                continue
            self._stopped = True
            self._stop_ranks(received if received in STOP_SIGNALS else signal.SIGTERM)
        self._servers.end()
        return max(self._statuses, key=_WORSE_AND_WORSE.index)

    def _stop_ranks(self, number: int) -> None:
        for process in self._running:  # all are our children until they have been waited for
            os.kill(process, number)

    def _take_leave(self) -> None:
        """Note the statuses of ranks that have ended. What they left without a parent is ours, and has none."""
        while True:
            try:
                process, ended = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            if process in self._servers.keepers:
                self._lose_server(process, os.waitstatus_to_exitcode(ended))
            if process not in self._running:
                continue
            rank, started = self._running.pop(process)
            started.returncode = status = os.waitstatus_to_exitcode(ended)
            if status < 0:
                killer = signal_name(-status)
                complain(f"rank {rank}: killed by {killer}; the others go on. {_AGAIN}")
                status = StoppedEarly.exit_status if self._stopped else UserError.exit_status
            self._statuses.add(status if status in _WORSE_AND_WORSE else UserError.exit_status)

    def _lose_server(self, keeper: int, status: int) -> None:
        """Have the ranks stop that would wait for a model which nobody serves any more; why not has been said."""
        self._servers.keepers.pop(keeper).returncode = status
        if status < 0:
            complain(f"the keeper of a model's server was killed by {signal_name(-status)}. {_AGAIN}")
        self._statuses.add(UserError.exit_status)
        self._stopped = True
        self._stop_ranks(signal.SIGTERM)


def _begin_rank(launcher: int) -> None:
    """In the new process. A signal to stop waits until its supervisor can take it."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_ENDS_THE_SCRIPT, signal.SIGCHLD})
    signal_when_parent_ends(signal.SIGTERM, launcher)


def keep_signals() -> None:
    """Have a signal to stop wait until the process that starts the ranks can take it, which this one will become."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def command_of(launch: Launch, module: str, flags: Sequence[str]) -> list[str]:
    """The process that starts the ranks and waits for them; `flags` are those of the program in `module`."""
    numbers = map(str, (launch.ranks, launch.nodes, launch.node))
    served = [f"--serve={model.as_told()}" for model in launch.served]
    return [sys.executable, "-m", "MetaCaptioner.launch.local", *served, *numbers, module, *flags]


def become(launch: Launch | None, module: str, flags: Sequence[str]) -> NoReturn:
    """Go on as the process that starts the ranks, which is small, or as the one rank that a launcher has started."""
    if launch is None:
        os.execv(sys.executable, supervised(module, flags))
    command = command_of(launch, module, flags)
    os.execv(command[0], command)


@contextmanager
def started(
    launch: Launch, module: str, flags: Sequence[str], descriptors: Sequence[int] = ()
) -> Iterator["subprocess.Popen[bytes]"]:
    """The process that starts the ranks and waits for them, as a child that stops if this process dies.

    A signal to stop reaches it through this process alone, and waits until it can be taken. It has the `descriptors`
    open as long as there are ranks.
    """
    begin = partial(_begin_launch, os.getpid())
    with subprocess.Popen(
        command_of(launch, module, flags),
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=begin,
        pass_fds=descriptors,
    ) as process:
        yield process


def _begin_launch(parent: int) -> None:
    """In the new process."""
    keep_signals()
    signal_when_parent_ends(signal.SIGTERM, parent)


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the ranks and wait for them; the exit status is the worst of theirs."""
    parser = argparse.ArgumentParser(
        prog="python -m MetaCaptioner.launch.local", description="Start a stage's ranks on this machine."
    )
    parser.add_argument("--serve", action="append", default=[], metavar="MODEL", help="one to be served, as JSON")
    parser.add_argument("ranks", type=int, help="how many, here")
    parser.add_argument("nodes", type=int, help="machines that have as many")
    parser.add_argument("node", type=int, help="which of them this is, from 0")
    parser.add_argument("module", help="the stage, such as MetaCaptioner.captionpipeline")
    parser.add_argument("flags", nargs=argparse.REMAINDER, help="its flags")
    told = parser.parse_args(arguments)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // told.ranks)))
    served = tuple(read_as(model.encode(), ServedModel) for model in told.serve)
    launch = Launch(told.ranks, told.nodes, told.node, served)
    return LocalRanks(supervised(told.module, told.flags), launch).wait()


if __name__ == "__main__":
    run_main(main)
