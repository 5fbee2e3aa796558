"""Who am I (torchrun, SLURM, MPI, alone). Nothing else reads the variables of a launcher.

    python -m MetaCaptioner.runtime.rank

prints the launcher's name and how many ranks it has."""

import os
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.cli import run_main

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


_NO_STEPS_OF_RANKS = 0xFFFFFFF0
"""Step ids from here are SLURM's own: the batch script, an interactive shell, what runs beside a job."""
_COUNTLESS = {"PMIX_RANK": "PMIx", "PMI_RANK": "PMI", "PALS_RANKID": "PALS", "ALPS_APP_PE": "aprun"}
"""Variables of launchers that may number their processes without saying how many they are."""


@dataclass(frozen=True)
class Rank:
    """This process among all: `rank` of `world_size`, `local_rank` on node number `node`.

    `local_rank` is None where the launcher does not tell; so is `ranks_on_node`, how many ranks there are on this
    one's node. `restarts` workers had this rank's work open before this one in the same run, and died.
    `single_launch` is the user's word that no other launch works on the same folders.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int | None = 0
    node: int = 0
    launcher: Literal["torchrun", "slurm", "mpi", "flux", "alone"] = "alone"
    restarts: int = 0
    ranks_on_node: int | None = field(default=None, compare=False)
    single_launch: bool = False

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.world_size} (node {self.node}, {self.launcher})"


@dataclass(frozen=True)
class _Variables:
    """What a launcher calls a rank, how many there are, and (by one of these names) a rank's number on its node."""

    launcher: Literal["mpi", "flux"]
    rank: str
    world_size: str
    local_rank: Sequence[str]


_INNER_LAUNCHERS = (
    _Variables("mpi", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", ("OMPI_COMM_WORLD_LOCAL_RANK",)),
    _Variables("mpi", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", ("MV2_COMM_WORLD_LOCAL_RANK",)),
    _Variables("flux", "FLUX_TASK_RANK", "FLUX_JOB_SIZE", ("FLUX_TASK_LOCAL_ID",)),
    _Variables("mpi", "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE", ("JSM_NAMESPACE_LOCAL_RANK",)),
    _Variables("mpi", "PMI_RANK", "PMI_SIZE", ("MPI_LOCALRANKID", "PMI_LOCAL_RANK", "PALS_LOCAL_RANKID")),
)
"""Launchers that may start their daemons by srun, whose variables their ranks then have too: these come first."""


def who_am_i(environment: MutableMapping[str, str]) -> Rank:
    """Read the launcher's variables and take torchrun's out, so that no library forms a process group from them.

    A SLURM batch script has SLURM_PROCID too, but it is one process whatever SLURM_NTASKS says: it counts as alone.
    Only a task that srun started (it has a step id) is a rank. The jobs of a job array are parts of one launch, and so
    are the torchruns that the tasks of one srun have started each by itself.

    Raises:
        UserError: a variable is not a number; the launcher does not say of how many ranks this is one; a job array has
            gaps.
    """
    try:
        rank = _in_array(_in_job(environment), environment)
    except ValueError as error:
        raise UserError(f"the launcher's rank variables are no numbers: {error}") from error
    if not 0 <= rank.rank < rank.world_size:
        raise UserError(f"the launcher's rank variables cannot be: {rank}")
    for name in [name for name in environment if name in _TORCHRUN_VARIABLES or name.startswith("TORCHELASTIC_")]:
        del environment[name]
    return rank


def _in_job(environment: Mapping[str, str]) -> Rank:
    """A rank of what was launched at once."""
    task = _srun_task(environment) if _is_srun_task(environment) else None
    if "RANK" in environment and "WORLD_SIZE" in environment:
        mine = _torchrun(environment)
        by_itself = environment.get("GROUP_WORLD_SIZE") == "1"
        return _nested(mine, task) if task is not None and task.world_size > 1 and by_itself else mine
    for names in _INNER_LAUNCHERS:
        if names.rank in environment and names.world_size in environment:
            rank, size = int(environment[names.rank]), int(environment[names.world_size])
            if task is not None and (task.rank, task.world_size) == (rank, size):  # srun --mpi=pmi2 sets them too
                return task
            told = next((name for name in names.local_rank if name in environment), "")
            local = _number(environment, told, 0 if size == 1 else None)
            return Rank(rank, size, local, 0, names.launcher)
    if task is not None:
        return task
    for name, launcher in _COUNTLESS.items():
        if name in environment:
            raise UserError(
                f"this process was started by {launcher} ({name}={environment[name]}), which does not say of how many "
                "it is one: start it with srun, mpirun or torchrun, or set RANK, WORLD_SIZE and LOCAL_RANK"
            )
    return Rank()


def _number(environment: Mapping[str, str], name: str, otherwise: int | None) -> int | None:
    return int(environment[name]) if name in environment else otherwise


def _torchrun(environment: Mapping[str, str]) -> Rank:
    """A rank of torchrun, or of whatever sets its variables; some do not tell the number on the node, or the node."""
    rank, size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    on_node = _number(environment, "LOCAL_WORLD_SIZE", None)
    derived = rank % on_node if on_node else 0 if size == 1 else None
    node = _number(environment, "GROUP_RANK", rank // on_node if on_node else 0)
    local = _number(environment, "LOCAL_RANK", derived)
    return Rank(rank, size, local, node or 0, "torchrun", ranks_on_node=on_node)


def _nested(inner: Rank, task: Rank) -> Rank:
    """A rank of one of several torchruns, each started by a task of srun."""
    return replace(
        inner,
        rank=task.rank * inner.world_size + inner.rank,
        world_size=task.world_size * inner.world_size,
        local_rank=inner.local_rank if task.ranks_on_node == 1 else None,
        node=task.node,
    )


def _is_srun_task(environment: Mapping[str, str]) -> bool:
    if "SLURM_PROCID" not in environment:
        return False
    step = environment.get("SLURM_STEP_ID") or environment.get("SLURM_STEPID")
    return int(step) < _NO_STEPS_OF_RANKS if step else "SLURM_JOB_ID" not in environment


def _srun_task(environment: Mapping[str, str]) -> Rank:
    """A task of srun. Its number on its node may have to be derived from those of all tasks there (SLURM_GTIDS).

    Of a heterogeneous job's step, all numbers are those of the whole step.
    """
    rank = int(environment["SLURM_PROCID"])
    sizes = ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_NPROCS")
    size = int(next(filter(None, map(environment.get, sizes)), "1"))
    here = [int(number) for number in environment.get("SLURM_GTIDS", "").split(",") if number]
    derived = here.index(rank) if rank in here else None
    if derived is None and (size == 1 or environment.get("SLURM_STEP_NUM_NODES") == "1"):
        derived = rank
    local = _number(environment, "SLURM_LOCALID", derived)
    node = _number(environment, "SLURM_NODEID", 0)
    return Rank(rank, size, local, node or 0, "slurm", ranks_on_node=len(here) or None)


def task_number(environment: Mapping[str, str]) -> int:
    """The number of a task of srun among all of its step, from 0, whatever rank it is by an inner launcher.

    Raises:
        UserError: this is no task of srun.
    """
    number = environment.get("SLURM_PROCID", "")
    if not number.isdecimal():
        raise UserError(f"this is no task that srun has started: SLURM_PROCID is '{number}'")
    return int(number)


def is_of_array(environment: Mapping[str, str]) -> bool:
    """Whether this is a process of a job array."""
    return "SLURM_ARRAY_TASK_ID" in environment


def _in_array(rank: Rank, environment: MutableMapping[str, str]) -> Rank:
    """A rank of one job as a rank of the whole job array: the n-th job has the n-th run of ranks and of nodes.

    Raises:
        UserError: the array's numbers do not follow each other, so that the n-th job cannot be told.
    """
    if not is_of_array(environment):
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


def launch_variables(local_rank: int, ranks_on_node: int, node: int, nodes: int) -> dict[str, str]:
    """What tells a process which rank it is, in the words of torchrun, where all nodes have as many ranks."""
    return {
        "RANK": str(node * ranks_on_node + local_rank),
        "WORLD_SIZE": str(nodes * ranks_on_node),
        "LOCAL_RANK": str(local_rank),
        "LOCAL_WORLD_SIZE": str(ranks_on_node),
        "GROUP_RANK": str(node),
        "GROUP_WORLD_SIZE": str(nodes),
    }


def assigned_ranks(rank: Rank, plan_ranks: Sequence[int]) -> list[int]:
    """The ranks of the plan that this process works on, one after another.

    Where plan and launch have the same numbers, its own. Else the plan's ranks go round: every one is covered once.
    """
    return [
        plan_rank for number, plan_rank in enumerate(sorted(set(plan_ranks))) if number % rank.world_size == rank.rank
    ]


def share(total: int, rank: Rank) -> int:
    """This rank's share of `total` things; the shares of all ranks add up to it."""
    return total // rank.world_size + (1 if rank.rank < total % rank.world_size else 0)


def main() -> int:
    """Print the launcher and the number of ranks."""
    rank = who_am_i(dict(os.environ))
    sys.stdout.write(f"{rank.launcher} {rank.world_size}\n")
    return 0


if __name__ == "__main__":
    run_main(main)
