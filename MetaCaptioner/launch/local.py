"""Starts the ranks of this machine, each under a supervisor of its own, and waits for them.

    python -m MetaCaptioner.launch.local --ranks 8 [--nodes 2 --node 1] MODULE FLAGS...

A rank is a process with RANK, WORLD_SIZE and LOCAL_RANK. Ranks never wait for each other, so nothing brings them
together: one that ends or dies leaves the others working, and those of a node start whether or not another node does.
Signals to stop go to all of them; where this process itself dies, however that happens, they are told to stop too.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from MetaCaptioner.errors import BadArguments, StoppedEarly, UserError
from MetaCaptioner.runtime.rank import launch_variables
from MetaCaptioner.runtime.signals import STOP_SIGNALS
from MetaCaptioner.utils.cli import run_main, say
from MetaCaptioner.utils.processes import adopt_orphans, signal_name, signal_when_parent_ends

_ENDS_THE_SCRIPT = (signal.SIGHUP, signal.SIGQUIT)
"""What a closed terminal sends, and Ctrl-\\: to the ranks it is a stop as any other."""
_AGAIN = "Run the same command again for what it left"
_WORSE_AND_WORSE = (0, StoppedEarly.exit_status, BadArguments.exit_status, UserError.exit_status)
"""The statuses of ranks: the last of these that one of them has is that of the launch."""


class LocalRanks:
    """The ranks of this machine; `command` is what each of them runs."""

    def __init__(self, command: Sequence[str], ranks: int, nodes: int, node: int) -> None:
        # Under nohup the end of the terminal is ignored, and stays so; a stop is one whatever this shell ignores.
        ended = {number for number in _ENDS_THE_SCRIPT if signal.getsignal(number) is not signal.SIG_IGN}
        self._awaited = {*STOP_SIGNALS, *ended, signal.SIGCHLD}
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, self._awaited)
        adopt_orphans()
        self._running: dict[int, tuple[int, subprocess.Popen[bytes]]] = {}
        self._statuses = {0}
        self._stopped = False
        for place in range(ranks):
            self._start(command, launch_variables(place, ranks, node, nodes))

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
            say(f"rank {rank}: cannot be started: {error.strerror}; the others go on. {_AGAIN}")
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
            for process in self._running:  # all are our children until they have been waited for
                os.kill(process, received if received in STOP_SIGNALS else signal.SIGTERM)
        return max(self._statuses, key=_WORSE_AND_WORSE.index)

    def _take_leave(self) -> None:
        """Note the statuses of ranks that have ended. What they left without a parent is ours, and has none."""
        while True:
            try:
                process, ended = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            if process not in self._running:
                continue
            rank, started = self._running.pop(process)
            started.returncode = status = os.waitstatus_to_exitcode(ended)
            if status < 0:
                killer = signal_name(-status)
                say(f"rank {rank}: killed by {killer}; the others go on. {_AGAIN}")
                status = StoppedEarly.exit_status if self._stopped else UserError.exit_status
            self._statuses.add(status if status in _WORSE_AND_WORSE else UserError.exit_status)


def _begin_rank(launcher: int) -> None:
    """In the new process. A signal to stop waits until its supervisor can take it."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_ENDS_THE_SCRIPT, signal.SIGCHLD})
    signal_when_parent_ends(signal.SIGTERM, launcher)


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the ranks and wait for them; the exit status is the worst of theirs."""
    parser = argparse.ArgumentParser(
        prog="python -m MetaCaptioner.launch.local", description="Start a stage's ranks on this machine."
    )
    parser.add_argument("--ranks", type=int, default=1, help="how many of them this machine has")
    parser.add_argument("--nodes", type=int, default=1, help="machines on which this is started, each by itself")
    parser.add_argument("--node", type=int, default=0, help="which of them this is, from 0")
    parser.add_argument("module", help="the stage, such as MetaCaptioner.captionpipeline")
    parser.add_argument("flags", nargs=argparse.REMAINDER, help="its flags")
    options = parser.parse_args(arguments)
    if options.ranks < 1 or options.nodes < 1:
        raise BadArguments("--ranks and --nodes must be at least 1")
    if not 0 <= options.node < options.nodes:
        raise BadArguments(f"--node {options.node}: the nodes are numbered from 0 to {options.nodes - 1}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // options.ranks)))
    supervisor = [sys.executable, "-m", "MetaCaptioner.launch.supervisor", options.module, *options.flags]
    return LocalRanks(supervisor, options.ranks, options.nodes, options.node).wait()


if __name__ == "__main__":
    run_main(main)
