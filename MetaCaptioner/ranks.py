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
from dataclasses import dataclass
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

    `restarts` workers had this rank's work open before this one in the same run, and died.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    node: int = 0
    launcher: Literal["torchrun", "slurm", "alone"] = "alone"
    restarts: int = 0

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.world_size} (node {self.node}, {self.launcher})"


def who_am_i(environment: MutableMapping[str, str]) -> Rank:
    """Read the launcher's variables and take torchrun's out, so that no library forms a process group from them.

    A SLURM batch script has SLURM_PROCID too, but it is one process whatever SLURM_NTASKS says: it counts as alone.
    Only a task that srun started (it has a step id) is a rank.

    Raises:
        UserError: a variable is not a number.
    """
    try:
        if "RANK" in environment and "WORLD_SIZE" in environment:
            rank = Rank(
                int(environment["RANK"]),
                int(environment["WORLD_SIZE"]),
                int(environment.get("LOCAL_RANK", 0)),
                int(environment.get("GROUP_RANK", 0)),
                "torchrun",
            )
        elif _is_srun_task(environment):
            tasks = environment.get("SLURM_STEP_NUM_TASKS") or environment.get("SLURM_NTASKS") or "1"
            rank = Rank(
                int(environment["SLURM_PROCID"]),
                int(tasks),
                int(environment.get("SLURM_LOCALID", 0)),
                int(environment.get("SLURM_NODEID", 0)),
                "slurm",
            )
        else:
            rank = Rank()
    except ValueError as error:
        raise UserError(f"the launcher's rank variables are no numbers: {error}") from error
    for name in [name for name in environment if name in _TORCHRUN_VARIABLES or name.startswith("TORCHELASTIC_")]:
        del environment[name]
    return rank


def _is_srun_task(environment: MutableMapping[str, str]) -> bool:
    in_batch_script = "SLURM_JOB_ID" in environment and "SLURM_STEP_ID" not in environment
    return "SLURM_PROCID" in environment and not in_batch_script


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
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number, _ in enumerate(line for line in listing.splitlines() if line.startswith("GPU "))]


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
    """Have the kernel kill this process when its parent (its process id, where known) dies, however that happens.

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
    """If this is a process that multiprocessing spawned: end with the parent, and show stacks when asked.

    A rank killed with -9 cannot end its engine processes, which would keep the GPU's memory from the next run. A
    spawned process imports its parent's main module under the name `__mp_main__` before it does anything else.
    """
    if "__mp_main__" in sys.modules:
        kill_when_parent_ends()
        dump_stacks_on_request()


def share(total: int, rank: Rank) -> int:
    """This rank's share of `total` things; the shares of all ranks add up to it."""
    return total // rank.world_size + (1 if rank.rank < total % rank.world_size else 0)
