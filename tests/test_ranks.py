import os
import signal
import subprocess
import sys
from itertools import chain

import pytest

from MetaCaptioner import ranks
from MetaCaptioner.errors import StoppedEarly, UserError
from MetaCaptioner.ranks import Rank, StopSignal, assigned_ranks, claim_gpus, device_name, share, who_am_i

TORCHRUN = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "GROUP_RANK": "1",
    "GROUP_WORLD_SIZE": "2",
    "ROLE_RANK": "5",
    "ROLE_WORLD_SIZE": "8",
    "ROLE_NAME": "default",
    "MASTER_ADDR": "node0",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RUN_ID": "x",
    "TORCHELASTIC_RESTART_COUNT": "0",
}
SRUN = {
    "SLURM_JOB_ID": "77",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "6",
    "SLURM_NTASKS": "16",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_LOCALID": "2",
    "SLURM_NODEID": "1",
}


def test_torchruns_variables_are_read_and_taken_out() -> None:
    environment = {**TORCHRUN, "PATH": "/bin", "RANKING": "1"}
    assert who_am_i(environment) == Rank(5, 8, 1, 1, "torchrun")
    assert environment == {"PATH": "/bin", "RANKING": "1"}


def test_torchrun_under_srun_is_torchrun() -> None:
    environment = {**SRUN, **TORCHRUN}
    assert who_am_i(environment).launcher == "torchrun"
    assert environment == SRUN


def test_a_task_of_srun_is_a_rank() -> None:
    assert who_am_i(dict(SRUN)) == Rank(6, 8, 2, 1, "slurm")


def test_a_task_of_srun_without_a_step_count_takes_that_of_the_job() -> None:
    environment = {name: value for name, value in SRUN.items() if name != "SLURM_STEP_NUM_TASKS"}
    assert who_am_i(environment).world_size == 16


def test_a_batch_script_is_alone_whatever_its_number_of_tasks() -> None:
    environment = {name: value for name, value in SRUN.items() if "STEP" not in name}
    assert who_am_i(environment) == Rank(0, 1, 0, 0, "alone")


def in_array(number: int, first: int = 0, last: int = 3, count: int = 4) -> dict[str, str]:
    numbers = {"ID": number, "MIN": first, "MAX": last, "COUNT": count}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in numbers.items()}


def test_the_jobs_of_an_array_are_parts_of_one_launch() -> None:
    environment = {**SRUN, "SLURM_STEP_NUM_NODES": "2"}
    assert who_am_i({**environment, **in_array(0)}) == Rank(6, 32, 2, 1, "slurm")
    assert who_am_i({**environment, **in_array(3)}) == Rank(30, 32, 2, 7, "slurm")
    assert who_am_i({**environment, **in_array(4, first=1, last=4)}) == Rank(30, 32, 2, 7, "slurm")


def test_a_batch_script_in_an_array_is_one_rank_of_it() -> None:
    environment = {name: value for name, value in SRUN.items() if "STEP" not in name}
    assert who_am_i({**environment, **in_array(2)}) == Rank(2, 4, 0, 2, "alone")


def test_an_array_with_gaps_is_refused() -> None:
    with pytest.raises(UserError, match=r"the job array has 3 jobs numbered from 0 to 5: with gaps"):
        who_am_i({**SRUN, **in_array(5, last=5, count=3)})
    with pytest.raises(UserError, match="no numbers"):
        who_am_i({**SRUN, "SLURM_ARRAY_TASK_ID": "1"})


def test_without_a_launcher_a_process_is_alone() -> None:
    assert who_am_i({}) == Rank(0, 1, 0, 0, "alone")
    environment = {"MASTER_ADDR": "left over", "MASTER_PORT": "1"}
    assert who_am_i(environment) == Rank()
    assert environment == {}


@pytest.mark.parametrize("environment", [TORCHRUN | {"RANK": "five"}, SRUN | {"SLURM_PROCID": ""}])
def test_variables_that_are_no_numbers_are_refused(environment: dict[str, str]) -> None:
    with pytest.raises(UserError, match="the launcher's rank variables are no numbers"):
        who_am_i(dict(environment))


@pytest.mark.parametrize("world_size", range(1, 8))
@pytest.mark.parametrize("plan_ranks", range(1, 8))
def test_every_rank_of_a_plan_is_covered_once(world_size: int, plan_ranks: int) -> None:
    for plan in (list(range(plan_ranks)), [3 * number + 2 for number in range(plan_ranks)] * 2):
        mine = [assigned_ranks(Rank(rank, world_size), plan) for rank in range(world_size)]
        assert sorted(chain(*mine)) == sorted(set(plan))
        assert max(map(len, mine)) - min(map(len, mine)) <= 1


def test_where_the_numbers_match_each_rank_works_on_its_own() -> None:
    assert [assigned_ranks(Rank(rank, 4), [3, 1, 0, 2, 2]) for rank in range(4)] == [[0], [1], [2], [3]]


@pytest.mark.parametrize("total", [0, 1, 5, 100])
@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_shares_add_up(total: int, world_size: int) -> None:
    shares = [share(total, Rank(rank, world_size)) for rank in range(world_size)]
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize(
    ("visible", "size", "local_rank", "mine"),
    [
        ("0,1,2,3", 1, 2, "2"),
        ("0,1,2,3", 2, 1, "2,3"),
        ("0,1,2,3", 4, 0, "0,1,2,3"),
        ("4,5,6,7", 2, 0, "4,5"),
        ("GPU-a,GPU-b", 1, 1, "GPU-b"),
    ],
)
def test_a_rank_takes_its_group_of_gpus(visible: str, size: int, local_rank: int, mine: str) -> None:
    environment = {"CUDA_VISIBLE_DEVICES": visible}
    assert claim_gpus(Rank(local_rank, 8, local_rank), size, environment) == mine.split(",")
    assert environment["CUDA_VISIBLE_DEVICES"] == mine


@pytest.mark.parametrize(("visible", "size", "local_rank"), [("3", 1, 5), ("6,7", 2, 3)])
def test_only_srun_is_believed_when_it_shows_one_group(visible: str, size: int, local_rank: int) -> None:
    """Two ranks of torchrun on a node with one GPU are too many, and must not share it."""
    mine = claim_gpus(Rank(local_rank, 8, local_rank, launcher="slurm"), size, {"CUDA_VISIBLE_DEVICES": visible})
    assert mine == visible.split(",")
    with pytest.raises(UserError, match="start fewer ranks"):
        claim_gpus(Rank(local_rank, 8, local_rank, launcher="torchrun"), size, {"CUDA_VISIBLE_DEVICES": visible})


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_ranks_of_a_node_share_no_gpu(size: int) -> None:
    taken: list[str] = []
    for local_rank in range(8 // size):
        taken += claim_gpus(Rank(local_rank, 8, local_rank), size, {"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"})
    assert sorted(taken) == list("01234567")


@pytest.mark.parametrize(
    ("visible", "size", "local_rank", "needs"),
    [("0,1,2", 2, 1, "GPUs 2 to 3"), ("0,1", 4, 0, "GPUs 0 to 3"), ("0,1,2,3", 1, 4, "GPUs 4 to 4")],
)
def test_too_few_gpus_are_one_line(visible: str, size: int, local_rank: int, needs: str) -> None:
    environment = {"CUDA_VISIBLE_DEVICES": visible}
    with pytest.raises(UserError) as raised:
        claim_gpus(Rank(local_rank, 8, local_rank), size, environment)
    message = str(raised.value)
    assert f"needs {needs} (--tensor-parallel-size {size})" in message
    assert f"sees only {len(visible.split(','))}" in message
    assert environment["CUDA_VISIBLE_DEVICES"] == visible


@pytest.mark.parametrize("visible", ["", "-1"])
def test_hidden_gpus_are_none(visible: str) -> None:
    environment = {"CUDA_VISIBLE_DEVICES": visible}
    assert claim_gpus(Rank(), 2, environment) == []
    assert environment["CUDA_VISIBLE_DEVICES"] == visible


def test_gpus_are_counted_by_the_driver_where_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    listing = "GPU 0: NVIDIA H100 (UUID: GPU-1)\n  MIG 1g.10gb\nGPU 1: NVIDIA H100 (UUID: GPU-2)\n"
    answer = subprocess.CompletedProcess([], 0, stdout=listing)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    environment: dict[str, str] = {}
    assert claim_gpus(Rank(1, 2, 1), 1, environment) == ["1"]
    assert environment == {"CUDA_VISIBLE_DEVICES": "1"}


def test_without_a_driver_nothing_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError("nvidia-smi")

    monkeypatch.setattr(subprocess, "run", missing)
    environment: dict[str, str] = {}
    assert claim_gpus(Rank(), 1, environment) == []
    assert environment == {}
    assert device_name(["0"]) is None


def test_the_device_is_that_of_the_rank_s_first_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def answer(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, stdout="NVIDIA H200\n")

    monkeypatch.setattr(subprocess, "run", answer)
    assert device_name(["6", "7"]) == "NVIDIA H200"
    assert "--id=6" in asked[0]
    assert device_name([]) is None
    assert len(asked) == 1


# --- signals


@pytest.mark.usefixtures("run")  # puts the handlers back
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_the_first_signal_is_noted_and_a_later_one_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    stop = StopSignal()
    stop.install()
    stop.interruptible = False
    os.kill(os.getpid(), number)
    os.kill(os.getpid(), signal.SIGTERM)  # the same Ctrl-C, passed on by the launcher
    assert stop.received == number.name
    monkeypatch.setattr(ranks, "_SAME_SIGNAL_SECONDS", 0.0)
    with pytest.raises(StoppedEarly, match=f"stopped by {number.name}; run the same command again"):
        os.kill(os.getpid(), number)


@pytest.mark.usefixtures("run")
def test_during_set_up_the_first_signal_ends_the_process() -> None:
    ranks.StopSignal().install()
    with pytest.raises(StoppedEarly, match="stopped by SIGTERM") as raised:
        os.kill(os.getpid(), signal.SIGTERM)
    assert raised.value.exit_status == 3


@pytest.mark.parametrize(("parent", "status"), [("os.getppid()", 0), ("1 if os.getppid() != 1 else 2", 1)])
def test_a_process_whose_parent_has_gone_before_it_asked_ends(parent: str, status: int) -> None:
    code = f"import os; from MetaCaptioner.ranks import kill_when_parent_ends as kill; kill({parent})"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == status
