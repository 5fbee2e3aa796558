"""Which GPUs a process may use, which of them are a rank's own, and what they are called.

    python -m MetaCaptioner.runtime.gpus

prints how many this shell may use. Only this module reads the variables that GPUs are shown and hidden by.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass

from MetaCaptioner.errors import UserError
from MetaCaptioner.runtime.rank import Rank
from MetaCaptioner.utils.cli import note, run_main

_HIDES_THE_REST = {"", "-1"}
_NONE_AT_ALL = {"NoDevFiles", "none", "void"}
"""What SLURM and container runtimes write for a job that has asked for no GPU."""
_NUMBER = re.compile(r"\d+")
_UNIQUE = ("GPU-", "MIG-")
_LISTED_GPU = re.compile(r"GPU (?P<number>\d+): (?P<name>.+) \(UUID: (?P<unique>[^)]+)\)")
_LISTED_INSTANCE = re.compile(r"\s+(?P<name>MIG \S+)\s.*\(UUID: (?P<unique>MIG-[^)]+)\)")


@dataclass(frozen=True)
class _Listed:
    """A GPU, or an instance of one that is divided (MIG), as the driver lists it."""

    number: int
    name: str
    unique: str

    @property
    def is_instance(self) -> bool:
        return self.unique.startswith("MIG-")


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that this process may use, as entries for CUDA_VISIBLE_DEVICES; none on a machine without.

    Where nothing is said, all that the driver lists: by their numbers, or where one is divided into instances, all by
    their ids, for instances have no numbers. A SLURM that does not hide the GPUs of other jobs at least names this
    one's (SLURM_STEP_GPUS, SLURM_JOB_GPUS).

    Raises:
        UserError: CUDA_VISIBLE_DEVICES names something that is no GPU, or one twice.
    """
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return _read(visible)
    listed = _listed()
    divided = {gpu.number for gpu in listed if gpu.is_instance}
    if divided:
        return [gpu.unique for gpu in listed if gpu.is_instance or gpu.number not in divided]
    given = _given_by_slurm(environment)
    return given if 0 < len(given) < len(listed) else [str(gpu.number) for gpu in listed]


def _read(visible: str) -> list[str]:
    """The entries of CUDA_VISIBLE_DEVICES that count.

    Source: CUDA C++ Programming Guide, environment variables: what comes after an invalid entry is not seen. Here only
    -1 and nothing may hide the rest: a slip of the pen is told, or a rank would be on the CPU, or two on one GPU.
    """
    names: list[str] = []
    for name in map(str.strip, visible.split(",")):
        if name in _HIDES_THE_REST or name in _NONE_AT_ALL:
            break
        if not _NUMBER.fullmatch(name) and not name.startswith(_UNIQUE):
            raise UserError(
                f"CUDA_VISIBLE_DEVICES={visible}: '{name}' is no GPU: give numbers, or ids as nvidia-smi -L shows them "
                "(GPU-…, MIG-…)"
            )
        if name in names:
            raise UserError(f"CUDA_VISIBLE_DEVICES={visible}: '{name}' is there twice: CUDA would see no GPU at all")
        names.append(name)
    return names


def _given_by_slurm(environment: Mapping[str, str]) -> list[str]:
    """The numbers of the GPUs that SLURM has given to this step or job on this node, such as "0,2-3"."""
    text = environment.get("SLURM_STEP_GPUS") or environment.get("SLURM_JOB_GPUS") or ""
    given: list[str] = []
    for part in text.split(",") if re.fullmatch(r"[\d,-]+", text) else ():
        first, _, last = part.partition("-")
        given += map(str, range(int(first), int(last or first) + 1))
    return given


def device_name(gpus: Sequence[str], environment: Mapping[str, str] | None = None) -> str | None:
    """What the driver calls the first of these GPUs, such as "NVIDIA H200"; None where there is none or it is mute.

    Nor is it told where CUDA was made to number GPUs in another order than the driver and they are not all alike.
    """
    if not gpus:
        return None
    listed = _listed()
    if gpus[0].startswith(_UNIQUE):
        return next((gpu.name for gpu in listed if gpu.unique.startswith(gpus[0])), None)
    whole = [gpu for gpu in listed if not gpu.is_instance]
    if (os.environ if environment is None else environment).get("CUDA_DEVICE_ORDER", _BY_PLACE) != _BY_PLACE:
        names = {gpu.name for gpu in whole}
        return names.pop() if len(names) == 1 else None
    return next((gpu.name for gpu in whole if str(gpu.number) == gpus[0]), None)


_BY_PLACE = "PCI_BUS_ID"


def _listed() -> list[_Listed]:
    """All GPUs and instances that the driver lists, each instance after its GPU; none where it is mute or not there."""
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    listed: list[_Listed] = []
    for line in done.stdout.splitlines():
        if found := _LISTED_GPU.match(line):
            whole = _Listed(int(found["number"]), found["name"], found["unique"])
            listed.append(whole)
        elif listed and (found := _LISTED_INSTANCE.match(line)):
            listed.append(_Listed(whole.number, f"{whole.name} {found['name']}", found["unique"]))
    return listed


def show_gpus(gpus: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Variables for a process that is to see these GPUs and no others; CUDA numbers them as the driver does, unless the
    user says otherwise."""
    order = environment.get("CUDA_DEVICE_ORDER", _BY_PLACE)
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus), "CUDA_DEVICE_ORDER": order}


def claim_gpus(rank: Rank, group_size: int, environment: MutableMapping[str, str]) -> list[str]:
    """Take this rank's group of GPUs and hide the others; on a machine without GPUs nothing is hidden.

    The n-th rank of a node takes the n-th group of `group_size`. A launcher that has shown this rank exactly one group
    (srun --gpus-per-task) is believed. CUDA then numbers GPUs as the driver, SLURM and vLLM do, unless the user says
    otherwise: by itself it puts the fastest first, and the rank would be on another one than is said.

    Raises:
        UserError: there are GPUs, but not enough for this rank; its group cannot be told, or cannot work together.
    """
    gpus = visible_gpus(environment)
    if not gpus:
        return []
    if group_size > 1 and any(name.startswith("MIG-") for name in gpus):
        raise UserError(
            f"{rank}: --tensor-parallel-size {group_size}: instances of divided GPUs (MIG) do not reach each other: "
            "one rank an instance (--tensor-parallel-size 1), or GPUs that are whole"
        )
    mine = _group(rank, group_size, gpus, environment)
    environment["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
    environment.setdefault("CUDA_DEVICE_ORDER", _BY_PLACE)
    return mine


def _group(rank: Rank, group_size: int, gpus: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    size = f"--tensor-parallel-size {group_size}"
    tasks = rank.ranks_on_node
    on_node = environment.get("SLURM_GPUS_ON_NODE", "")
    if rank.launcher == "slurm" and tasks and on_node.isdigit() and int(on_node) < tasks * group_size:
        raise UserError(
            f"{rank}: {tasks} tasks of this node share {on_node} GPUs, and each needs {group_size} ({size}); start "
            "fewer tasks (--ntasks-per-node), or ask for more GPUs (--gpus-per-node)"
        )
    if len(gpus) == group_size and (rank.launcher == "slurm" or rank.local_rank is None):
        return list(gpus)
    if rank.local_rank is None:
        raise UserError(
            f"{rank}: sees {len(gpus)} GPUs, and its launcher does not say which rank of its node this is: show each "
            f"rank its own {group_size} (CUDA_VISIBLE_DEVICES, or srun --gpus-per-task), or set LOCAL_RANK"
        )
    first = rank.local_rank * group_size
    mine = list(gpus[first : first + group_size])
    if len(mine) < group_size:
        raise UserError(
            f"{rank}: local rank {rank.local_rank} needs GPUs {first} to {first + group_size - 1} "
            f"({size}), but sees only {len(gpus)}; start fewer ranks on a node (NPROC)"
        )
    if tasks == 1 and len(gpus) >= 2 * group_size:
        note(
            f"{rank} is alone on its node and uses {group_size} of the {len(gpus)} GPUs that it sees: start "
            f"{len(gpus) // group_size} tasks a node (--ntasks-per-node)"
        )
    return mine


def main() -> int:
    """Print the number of GPUs that may be used."""
    sys.stdout.write(f"{len(visible_gpus(os.environ))}\n")
    return 0


if __name__ == "__main__":
    run_main(main)
