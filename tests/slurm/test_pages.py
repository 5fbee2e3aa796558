"""The pages' commands for SLURM, typed on a real one, without a model and smaller."""

import re
from pathlib import Path

import pytest

from tests.pages import typed
from tests.pipeline.commands import sample_ids
from tests.pipeline.test_pages import checkout  # noqa: F401
from tests.slurm.cluster import Cluster
from tests.slurm.test_submit import wait_for_chain

pytestmark = pytest.mark.slurm


def test_the_commands_on_slurm(checkout: Path, cluster: Cluster) -> None:  # noqa: F811
    smaller = {"NUM_RANKS=64": "NUM_RANKS=4", "NNODES=4": "NNODES=2", "--array=0-7": "--array=0-1"}
    size = "--nodes=1 --ntasks-per-node=2 --gpus-per-node=2 --cpus-per-task=1"

    def type_in(commands: str) -> str:
        for large, small in smaller.items():
            commands = commands.replace(large, small)
        commands = re.sub(r"\bsbatch ", f"sbatch --wait --parsable {size} ", commands)
        commands = re.sub(r"(submit\.sh|\.sbatch)$", r"\1 --engine scripted", commands, flags=re.MULTILINE)
        variables = {"PYTHONPATH": "", "ROUTE": "no", "GPUS_PER_NODE": "2", "CPUS": "1"}
        return cluster.say("bash", "-c", f'set -e; cd "{checkout}"\n{commands}', variables=variables)

    jobs = dict(re.findall(r"^(\w+) +job (\d+)", type_in(typed("a chain on SLURM")), flags=re.MULTILINE))
    wait_for_chain(cluster, jobs)
    captions = checkout / "Output" / "Caption"
    assert len(sample_ids(captions)) == len(set(sample_ids(captions))) == 12
    assert (captions / "filtered" / "summary.json").exists()

    array = type_in(typed("one stage on SLURM")).splitlines()[-1]
    assert len(sample_ids(captions)) == 12
    logs = "".join(path.read_text() for path in checkout.glob(f"slurm-{array}_*.out"))
    assert sorted(re.findall(r"rank (\d): captionpipeline", logs)) == ["0", "1", "2", "3"]
    assert logs.count(" 0 to do") == 4
