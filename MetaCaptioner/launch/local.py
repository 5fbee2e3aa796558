"""Starts the ranks of this machine, each under a supervisor of its own, and waits for them.

    python -m MetaCaptioner.launch.local [--ranks 8] [--nodes 2 --node 1] MODULE FLAGS...

Where a launcher (srun, torchrun, mpirun) has made several ranks already, this is one of them; one task alone, such as
an interactive shell of srun, makes those of its node. A rank is a process with RANK, WORLD_SIZE and LOCAL_RANK. Ranks
never wait for each other, so nothing brings them together: one that ends or dies leaves the others working, and those
of a node start whether or not another node does. Signals to stop go to all of them; where this process itself dies,
however that happens, they are told to stop too.
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
from MetaCaptioner.runtime.gpus import visible_gpus
from MetaCaptioner.runtime.rank import launch_variables, who_am_i
from MetaCaptioner.runtime.settings import whole_number
from MetaCaptioner.runtime.signals import STOP_SIGNALS
from MetaCaptioner.utils.cli import command_line, run_main, say
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


@dataclass(frozen=True)
class Launch:
    """How many ranks this machine has, of how many machines with as many, and which one it is."""

    ranks: int
    nodes: int
    node: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that say how many ranks are started here; what they leave open is that of the environment."""
    add = parser.add_argument_group("ranks of this machine").add_argument
    ranks = "ranks of this machine; or NPROC=… (default: its GPUs / --tensor-parallel-size; 1 without GPUs)"
    add("--ranks", type=int, metavar="N", help=ranks)
    nodes = "machines on which this is started, each by itself; or NNODES=… (default: 1)"
    add("--nodes", type=int, metavar="N", help=nodes)
    add("--node", type=int, metavar="N", help="with --nodes: which of them this is, from 0; or NODE_RANK=…")


def asked_for(options: argparse.Namespace, environment: Mapping[str, str], nodes: int | None = None) -> Launch:
    """What the flags and, in place of those that are left out, NPROC, NNODES, NODE_RANK, TP and this machine say.

    Raises:
        BadArguments: one of them cannot be.
        UserError: the GPUs of this machine cannot be told.
    """
    gpus_a_rank = whole_number(environment, "TP", 1, otherwise=1)
    nodes = nodes or (whole_number(environment, "NNODES", 1, otherwise=1) if options.nodes is None else options.nodes)
    node = options.node
    if node is None:
        node = whole_number(environment, "NODE_RANK", 0, otherwise=None) if nodes > 1 else 0
        named = f"NODE_RANK={node}"
    else:
        named = f"--node {node}"
    ranks = options.ranks
    if ranks is None:
        ranks = whole_number(environment, "NPROC", 1, otherwise=0) or max(
            len(visible_gpus(environment)) // gpus_a_rank, 1
        )
    if ranks < 1 or nodes < 1:
        raise BadArguments("--ranks and --nodes must be at least 1")
    if not 0 <= node < nodes:
        raise BadArguments(f"{named}: the nodes are numbered from 0 to {nodes - 1}")
    return Launch(ranks, nodes, node)


def _given(options: argparse.Namespace) -> list[str]:
    """The flags of `add_arguments` that are given."""
    values = {name: getattr(options, name) for name in ("ranks", "nodes", "node")}
    return [part for name, value in values.items() if value is not None for part in (f"--{name}", str(value))]


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """(the flags of `add_arguments`, the others) of a command line that has both and is known to be right."""
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser)
    mine, others = parser.parse_known_args(arguments)
    return _given(mine), others


def is_one_of_several() -> bool:
    """Whether a launcher has made this process a rank among others; a task of SLURM that is alone makes its own.

    Raises:
        UserError: its variables cannot be understood.
    """
    me = who_am_i(dict(os.environ))
    return me.launcher != "alone" and not (me.launcher == "slurm" and me.world_size == 1)


def start(options: argparse.Namespace, module: str, flags: Sequence[str]) -> int:
    """Start the ranks that are asked for and wait for them, or be the one rank that a launcher has started.

    Raises:
        BadArguments: it was not said how many, or how many cannot be.
        UserError: a launcher's variables cannot be understood.
    """
    supervisor = [sys.executable, "-m", "MetaCaptioner.launch.supervisor", module, *flags]
    if is_one_of_several():
        if _given(options):
            me = who_am_i(dict(os.environ))
            raise BadArguments(f"--ranks, --nodes and --node are of no use here: {me} was started by its launcher")
        os.execv(sys.executable, supervisor)
    is_a_job = who_am_i(dict(os.environ)).launcher == "slurm"
    launch = asked_for(options, os.environ, nodes=1 if is_a_job else None)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // launch.ranks)))
    return LocalRanks(supervisor, launch.ranks, launch.nodes, launch.node).wait()


def keep_signals() -> None:
    """Have a signal to stop wait until the process that starts the ranks can take it, which this one will become."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def become(arguments: Sequence[str], module: str, flags: Sequence[str]) -> NoReturn:
    """Go on as the process that starts the ranks, which is small."""
    os.execv(sys.executable, [sys.executable, "-m", "MetaCaptioner.launch.local", *arguments, module, *flags])


@contextmanager
def started(
    arguments: Sequence[str], module: str, flags: Sequence[str], descriptors: Sequence[int] = ()
) -> Iterator["subprocess.Popen[bytes]"]:
    """The process that starts the ranks and waits for them, as a child that stops if this process dies.

    A signal to stop reaches it through this process alone, and waits until it can be taken. It has the `descriptors`
    open as long as there are ranks.
    """
    command = [sys.executable, "-m", "MetaCaptioner.launch.local", *arguments, module, *flags]
    begin = partial(_begin_launch, os.getpid())
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=begin, pass_fds=descriptors
    ) as process:
        yield process


def _begin_launch(parent: int) -> None:
    """In the new process."""
    keep_signals()
    signal_when_parent_ends(signal.SIGTERM, parent)


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the ranks and wait for them; the exit status is the worst of theirs."""
    parser = command_line("Start a stage's ranks on this machine.")
    add_arguments(parser)
    parser.add_argument("module", help="the stage, such as MetaCaptioner.captionpipeline")
    parser.add_argument("flags", nargs=argparse.REMAINDER, help="its flags")
    options = parser.parse_args(arguments)
    return start(options, options.module, options.flags)


if __name__ == "__main__":
    run_main(main)
