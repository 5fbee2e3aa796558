"""Who am I (torchrun, SLURM, alone), which GPUs are mine, and the signals to stop.

Only this module reads rank variables.
"""

import ctypes
import faulthandler
import os
import signal
import subprocess
import sys
import time
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Literal

from MetaCaptioner.errors import StoppedEarly, UserError

_TORCHRUN_VARIABLES = frozenset(
    {
        "RANK",
        "WORLD_SIZE",
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        "GROUP_RANK",
        "GROUP_WORLD_SIZE",
        "ROLE_RANK",
        "ROLE_WORLD_SIZE",
        "ROLE_NAME",
        "MASTER_ADDR",
        "MASTER_PORT",
    }
)
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
DUMP_SIGNAL = signal.SIGUSR2
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SAME_SIGNAL_SECONDS = 2.0


@dataclass(frozen=True)
class Rank:
    """This process among all: `rank` of `world_size`, `local_rank` on node number `node`.

    `restarts` workers had this rank's work open before this one in the same run, and died. `ranks_here` are at most on
    this node, this one among them.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    node: int = 0
    launcher: Literal["torchrun", "slurm", "alone"] = "alone"
    restarts: int = 0
    ranks_here: int = field(default=1, compare=False)

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.world_size} (node {self.node}, {self.launcher})"


def who_am_i(environment: MutableMapping[str, str]) -> Rank:
    """Read the launcher's variables and take torchrun's out, so that no library forms a process group from them.

    A SLURM batch script has SLURM_PROCID too, but it is one process whatever SLURM_NTASKS says: it counts as alone.
    Only a task that srun started (it has a step id) is a rank. The jobs of a job array are parts of one launch.

    Raises:
        UserError: a variable is not a number; a job array has gaps.
    """
    try:
        if "RANK" in environment and "WORLD_SIZE" in environment:
            rank = Rank(
                int(environment["RANK"]),
                int(environment["WORLD_SIZE"]),
                int(environment.get("LOCAL_RANK", 0)),
                int(environment.get("GROUP_RANK", 0)),
                "torchrun",
                ranks_here=int(environment.get("LOCAL_WORLD_SIZE", 1)),
            )
        elif _is_srun_task(environment):
            tasks = environment.get("SLURM_STEP_NUM_TASKS") or environment.get("SLURM_NTASKS") or "1"
            rank = Rank(
                int(environment["SLURM_PROCID"]),
                int(tasks),
                int(environment.get("SLURM_LOCALID", 0)),
                int(environment.get("SLURM_NODEID", 0)),
                "slurm",
                ranks_here=-(-int(tasks) // int(environment.get("SLURM_STEP_NUM_NODES") or 1)),
            )
            rank = _in_array(rank, environment)
        else:
            rank = _in_array(Rank(), environment)
    except ValueError as error:
        raise UserError(f"the launcher's rank variables are no numbers: {error}") from error
    for name in [name for name in environment if name in _TORCHRUN_VARIABLES or name.startswith("TORCHELASTIC_")]:
        del environment[name]
    return rank


def _is_srun_task(environment: MutableMapping[str, str]) -> bool:
    in_batch_script = "SLURM_JOB_ID" in environment and "SLURM_STEP_ID" not in environment
    return "SLURM_PROCID" in environment and not in_batch_script


def _in_array(rank: Rank, environment: MutableMapping[str, str]) -> Rank:
    """A rank of one job as a rank of the whole job array: the n-th job has the n-th run of ranks and of nodes.

    Raises:
        UserError: the array's numbers do not follow each other, so that the n-th job cannot be told.
    """
    if "SLURM_ARRAY_TASK_ID" not in environment:
        return rank
    names = (f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "COUNT", "MIN", "MAX"))
    number, count, first, last = (int(environment.get(name, "")) for name in names)
    if last - first + 1 != count:
        raise UserError(
            f"the job array has {count} jobs numbered from {first} to {last}: with gaps, nobody would do the ranks "
            "that are missing; submit it whole, as in --array=0-7 (jobs with nothing left to do end at once)"
        )
    nodes = int(environment.get("SLURM_STEP_NUM_NODES") or environment.get("SLURM_NNODES") or 1)
    return replace(
        rank,
        rank=(number - first) * rank.world_size + rank.rank,
        world_size=count * rank.world_size,
        node=(number - first) * nodes + rank.node,
    )


def assigned_ranks(rank: Rank, plan_ranks: Sequence[int]) -> list[int]:
    """The ranks of the plan that this process works on, one after another.

    Where plan and launch have the same numbers, its own. Else the plan's ranks go round: every one is covered once.
    """
    return [
        plan_rank for number, plan_rank in enumerate(sorted(set(plan_ranks))) if number % rank.world_size == rank.rank
    ]


def count_gpus(environment: MutableMapping[str, str]) -> list[str]:
    """The GPUs that this process may use, as entries for CUDA_VISIBLE_DEVICES; none on a machine without."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip() and name.strip() != "-1"]
    listed = [line for line in _nvidia_smi("-L") if line.startswith("GPU ")]
    return [str(number) for number, _ in enumerate(listed)]


def device_name(gpus: Sequence[str]) -> str | None:
    """What the driver calls the first of these GPUs, such as "NVIDIA H200"; None where there is none or it is mute."""
    if not gpus:
        return None
    return next(iter(_nvidia_smi("--query-gpu=name", "--format=csv,noheader", f"--id={gpus[0]}")), None)


def _nvidia_smi(*arguments: str) -> list[str]:
    """What nvidia-smi prints, in lines; none where it fails or is not there."""
    try:
        done = subprocess.run(["nvidia-smi", *arguments], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.splitlines()


def claim_gpus(rank: Rank, group_size: int, environment: MutableMapping[str, str]) -> list[str]:
    """Take this rank's group of GPUs and hide the others; on a machine without GPUs nothing is hidden.

    The n-th rank of a node takes the n-th group of `group_size`. A launcher that has shown this rank exactly one group
    (srun --gpus-per-task) is believed.

    Raises:
        UserError: there are GPUs, but not enough for this rank.
    """
    gpus = count_gpus(environment)
    if not gpus:
        return []
    shown_one_group = rank.launcher == "slurm" and len(gpus) == group_size
    first = 0 if shown_one_group else rank.local_rank * group_size
    mine = gpus[first : first + group_size]
    if len(mine) < group_size:
        raise UserError(
            f"{rank}: local rank {rank.local_rank} needs GPUs {first} to {first + group_size - 1} "
            f"(--tensor-parallel-size {group_size}), but sees only {len(gpus)}; start fewer ranks on a node (NPROC)"
        )
    environment["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
    return mine


class StopSignal:
    """Notes that SIGTERM, SIGINT or SIGUSR1 came. A second one, some time later, ends the process at once.

    Not one right after the first: Ctrl-C reaches a rank both from the terminal and from its launcher.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._received_at = 0.0
        self.interruptible = True
        """While True (set-up, loading the model) the first signal already ends the process: nothing is in flight."""

    def install(self) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, self._note)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # one may have waited for this

    def _note(self, number: int, frame: FrameType | None) -> None:
        again = self.received is not None and time.monotonic() - self._received_at > _SAME_SIGNAL_SECONDS
        if self.received is None:
            self.received = signal.Signals(number).name
            self._received_at = time.monotonic()
        if again or self.interruptible:
            raise StoppedEarly(f"stopped by {self.received}; run the same command again to go on")


def kill_when_parent_ends(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent dies, however that happens.

    `parent` is the parent's process id, from who knows it; without, a parent that is process 1 counts as dead already,
    which is wrong for the first process of a container.

    Source: prctl(2), PR_SET_PDEATHSIG. Linux only; elsewhere nothing is done.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() == 1 if parent is None else os.getppid() != parent:  # it died before we asked
            os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that it can be waited for.

    Source: prctl(2), PR_SET_CHILD_SUBREAPER. Linux only; elsewhere nothing is done.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def dump_stacks_on_request() -> None:
    """On SIGUSR2, write to stderr what every thread is at, even where Python itself is stuck; on a crash too."""
    faulthandler.enable()
    faulthandler.register(DUMP_SIGNAL, all_threads=True)


def begin_helper() -> None:
    """If this is a process that multiprocessing spawned: end with the parent, show stacks when asked, ignore SIGUSR1.

    A rank killed with -9 cannot end its engine processes, which would keep the GPU's memory from the next run. A
    spawned process imports its parent's main module under the name `__mp_main__` before it does anything else.

    SLURM sends SIGUSR1 to all processes of a job step, but what is in flight needs the engine.
    """
    if "__mp_main__" in sys.modules:
        kill_when_parent_ends()
        dump_stacks_on_request()
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def share(total: int, rank: Rank) -> int:
    """This rank's share of `total` things; the shares of all ranks add up to it."""
    return total // rank.world_size + (1 if rank.rank < total % rank.world_size else 0)
