"""Which job this is. Nothing else reads the variables that SLURM sets for a job."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from MetaCaptioner.errors import UserError
from MetaCaptioner.runtime.settings import whole_number

AGAIN, RESTARTS, SBATCH = "_METACAPTIONER_AGAIN", "_METACAPTIONER_RESTARTS", "_METACAPTIONER_SBATCH"
"""What submits a chain again; how often its job was submitted anew; comment and further words of that sbatch."""


@dataclass(frozen=True)
class Job:
    """This job, as SLURM and who has submitted it tell of it.

    `name` is what scontrol calls it: the id of one of an array's jobs is that of the array too. `requeues` are by
    SLURM, `restarts` are all times that it has begun before. `sbatch` are the words that have submitted it, its comment
    first; empty where nobody knows, or where it cannot be submitted by itself. `again` is what the user may type.
    `cpus_of_task` is empty where it was not asked for; `parts` are those of a heterogeneous job, 0 where it is none.
    """

    number: str
    name: str
    requeues: int
    restarts: int
    sbatch: tuple[str, ...]
    again: str
    cpus_of_task: str
    parts: int

    @classmethod
    def this(cls, environment: Mapping[str, str]) -> "Job":
        """Read SLURM's variables of a job, and our own.

        Raises:
            UserError: this is no job of SLURM.
        """
        number = environment.get("SLURM_JOB_ID")
        if not number:
            raise UserError("this is no job of SLURM (SLURM_JOB_ID is not set): submit it with sbatch")
        requeues = whole_number(environment, "SLURM_RESTART_COUNT", 0, 0)
        array = environment.get("SLURM_ARRAY_JOB_ID")
        told = f"cd {environment.get('SLURM_SUBMIT_DIR') or '.'} && sbatch, with the options and flags as before"
        return cls(
            number=number,
            name=f"{array}_{environment.get('SLURM_ARRAY_TASK_ID', '')}" if array else number,
            requeues=requeues,
            restarts=requeues + whole_number(environment, RESTARTS, 0, 0),
            # An array's jobs cannot each be submitted anew: their ranks' numbers need the whole array.
            sbatch=() if array else tuple(shlex.split(environment.get(SBATCH, ""))),
            again=f"submit again to go on: {environment.get(AGAIN) or told}",
            cpus_of_task=environment.get("SLURM_CPUS_PER_TASK", ""),
            parts=whole_number(environment, "SLURM_HET_SIZE", 0, 0),
        )
