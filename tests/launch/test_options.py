"""How many ranks are to be started, by flags, environment and the launcher that has made this process."""

import pytest

from MetaCaptioner.errors import BadArguments
from MetaCaptioner.launch.local import Launch
from MetaCaptioner.launch.options import LaunchOptions
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.utils.options_sources import read

NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}
TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}
SRUN_SHELL = {"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_STEP_ID": "0"}


def launch(*typed: str, **environment: str) -> Launch | None:
    return read(LaunchOptions, typed, "").launch(1, NO_GPU | environment)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("NPROC", "NNODES", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_one_rank_without_gpus_and_one_for_each_group_of_gpus(said: pytest.MonkeyPatch) -> None:
    assert launch() == Launch(1)
    options = read(LaunchOptions, [], "")
    assert options.launch(2, {"CUDA_VISIBLE_DEVICES": "0,1,2,3,4"}) == Launch(2)
    assert options.launch(8, {"CUDA_VISIBLE_DEVICES": "0,1"}) == Launch(1)


def test_one_rank_where_servers_run_the_model_whatever_gpus_there_are(said: pytest.MonkeyPatch) -> None:
    asked = read(StageOptions, ["--engine=openai", "--endpoint=http://a:1", "--tensor-parallel-size=2"], "")
    assert read(LaunchOptions, [], "").launch(asked.gpus_a_rank, {"CUDA_VISIBLE_DEVICES": "0,1,2,3"}) == Launch(1)
    assert read(LaunchOptions, ["--ranks=3"], "").launch(asked.gpus_a_rank, {}) == Launch(3)


def test_the_environment_counts_where_nothing_is_typed(said: pytest.MonkeyPatch) -> None:
    for name, value in {"NPROC": "3", "NNODES": "4", "NODE_RANK": "2"}.items():
        said.setenv(name, value)
    assert launch() == Launch(3, 4, 2)
    assert launch("--ranks", "5", "--node", "0") == Launch(5, 4, 0)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (("--ranks", "0"), "--ranks must be at least 1"),
        (("--nodes", "0"), "--nodes must be at least 1"),
        (("--nodes", "2"), "--nodes goes with --node"),
        (("--node", "1"), "--node 1: the nodes are numbered from 0 to 0"),
        (("--nodes", "2", "--node", "2"), "--node 2: the nodes are numbered from 0 to 1"),
    ],
)
def test_a_launch_that_cannot_be_is_told(said: pytest.MonkeyPatch, typed: tuple[str, ...], told: str) -> None:
    with pytest.raises(BadArguments, match=told):
        launch(*typed)


def test_a_launchers_rank_starts_no_others_and_refuses_only_what_is_typed(said: pytest.MonkeyPatch) -> None:
    said.setenv("NPROC", "8")
    assert launch(**TORCHRUN) is None
    with pytest.raises(BadArguments, match="are of no use here: rank 1 of 2"):
        launch("--ranks", "8", **TORCHRUN)


def test_a_lone_task_of_slurm_starts_the_ranks_of_its_node(said: pytest.MonkeyPatch) -> None:
    said.setenv("NNODES", "4")
    assert launch("--ranks", "3", **SRUN_SHELL) == Launch(3)


def test_the_only_task_of_a_node_makes_its_ranks_where_a_model_is_served(said: pytest.MonkeyPatch) -> None:
    said.setenv("NPROC", "1")  # of the job: how many tasks a node has
    of_step = {"SLURM_STEP_ID": "0", "SLURM_NODEID": "1", "SLURM_LOCALID": "0", "SLURM_PROCID": "1"}
    alone = {**of_step, "SLURM_NTASKS": "3", "SLURM_GTIDS": "1", "CUDA_VISIBLE_DEVICES": "0,1,2,3"}
    options = read(LaunchOptions, [], "")
    assert options.launch(2, alone, serves=True) == Launch(2, 3, 1)
    assert options.launch(2, alone) is None
    assert options.launch(2, {**alone, "SLURM_GTIDS": "1,2"}, serves=True) is None
    array = {
        f"SLURM_ARRAY_TASK_{name}": value for name, value in {"ID": "0", "COUNT": "2", "MIN": "0", "MAX": "1"}.items()
    }
    assert options.launch(2, {**alone, **array}, serves=True) is None
    assert options.launch(1, TORCHRUN, serves=True) is None
