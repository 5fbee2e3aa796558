import os
import subprocess
import sys
from pathlib import Path

import pytest

from MetaCaptioner.errors import UserError
from MetaCaptioner.runtime.gpus import claim_gpus, device_name, visible_gpus
from MetaCaptioner.runtime.rank import Rank

TWO = "GPU 0: NVIDIA H100 (UUID: GPU-1a)\nGPU 1: NVIDIA H200 (UUID: GPU-2b)\n"
DIVIDED = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5b)
  MIG 3g.20gb     Device  0: (UUID: MIG-c7e8)
  MIG 1g.5gb+me   Device  1: (UUID: MIG-a1b2)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-99aa)
"""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with what `nvidia-smi -L` lists; without it, the driver is mute."""
    listing = tmp_path / "listing"
    (tmp_path / "nvidia-smi").write_text(f'#!/bin/bash\n[ "$*" = -L ] && cat "{listing}"\n')
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return listing


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


def test_gpus_are_counted_by_the_driver_where_nothing_is_said(driver: Path) -> None:
    driver.write_text(TWO)
    environment: dict[str, str] = {}
    assert claim_gpus(Rank(1, 2, 1), 1, environment) == ["1"]
    assert environment == {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def test_the_user_s_order_of_gpus_stays(driver: Path) -> None:
    driver.write_text(TWO)
    environment = {"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}
    assert claim_gpus(Rank(), 1, environment) == ["0"]
    assert environment["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"
    assert device_name(["0"], environment) is None  # the driver's first may be CUDA's second
    driver.write_text(TWO.replace("H100", "H200"))
    assert device_name(["0"], environment) == "NVIDIA H200"


@pytest.mark.parametrize("installed", [True, False])
def test_without_a_driver_nothing_is_hidden(driver: Path, monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    if not installed:
        monkeypatch.setenv("PATH", str(driver))
    environment: dict[str, str] = {}
    assert claim_gpus(Rank(), 1, environment) == []
    assert environment == {}
    assert device_name(["0"]) is None


@pytest.mark.parametrize(
    ("gpu", "name"),
    [
        ("0", "NVIDIA A100-SXM4-40GB"),
        ("GPU-99aa", "NVIDIA A100-SXM4-40GB"),
        ("GPU-99", "NVIDIA A100-SXM4-40GB"),
        ("MIG-a1b2", "NVIDIA A100-SXM4-40GB MIG 1g.5gb+me"),
        ("7", None),
    ],
)
def test_the_device_is_that_of_the_rank_s_first_gpu(driver: Path, gpu: str, name: str | None) -> None:
    driver.write_text(DIVIDED)
    assert device_name([gpu, "0"], {}) == name
    assert device_name([], {}) is None


def test_the_instances_of_a_divided_gpu_are_each_a_rank_s(driver: Path) -> None:
    driver.write_text(DIVIDED)
    taken = [claim_gpus(Rank(rank, 3, rank), 1, {}) for rank in range(3)]
    assert taken == [["MIG-c7e8"], ["MIG-a1b2"], ["GPU-99aa"]]


@pytest.mark.parametrize("environment", [{}, {"CUDA_VISIBLE_DEVICES": "MIG-c7e8,MIG-a1b2"}])
def test_a_rank_of_several_instances_cannot_be(driver: Path, environment: dict[str, str]) -> None:
    driver.write_text(DIVIDED)
    with pytest.raises(UserError, match=r"instances of divided GPUs \(MIG\) do not reach each other: one rank an inst"):
        claim_gpus(Rank(), 2, dict(environment))


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [
        ("0,-1,1", ["0"]),  # as CUDA takes it
        (" 2 , 3", ["2", "3"]),
        ("NoDevFiles", []),
        ("MIG-GPU-5d5b/7/0", ["MIG-GPU-5d5b/7/0"]),  # as older drivers have it
    ],
)
def test_what_is_visible_is_what_cuda_sees(visible: str, gpus: list[str]) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": visible}) == gpus


@pytest.mark.parametrize(
    ("visible", "reason"),
    [("cuda:0", "'cuda:0' is no GPU"), ("0;1", "'0;1' is no GPU"), ("1,1", "'1' is there twice"), ("all", "is no GPU")],
)
def test_a_slip_of_the_pen_is_one_line(visible: str, reason: str) -> None:
    with pytest.raises(UserError, match=f"CUDA_VISIBLE_DEVICES={visible}: .*{reason}|CUDA_VISIBLE_DEVICES.*{reason}"):
        claim_gpus(Rank(), 1, {"CUDA_VISIBLE_DEVICES": visible})


@pytest.mark.parametrize(
    ("told", "gpus"),
    [
        ({"SLURM_JOB_GPUS": "1"}, ["1"]),  # another job has the other
        ({"SLURM_JOB_GPUS": "0-1", "SLURM_STEP_GPUS": "0"}, ["0"]),
        ({"SLURM_JOB_GPUS": "4,5"}, ["0", "1"]),  # the others are hidden, and what is left is numbered anew
        ({"SLURM_JOB_GPUS": "(null)"}, ["0", "1"]),
    ],
)
def test_where_slurm_hides_no_gpus_those_that_it_has_given_are_taken(
    driver: Path, told: dict[str, str], gpus: list[str]
) -> None:
    driver.write_text(TWO)
    assert visible_gpus(told) == gpus


def test_a_rank_that_does_not_know_its_place_takes_what_it_is_shown_or_nothing() -> None:
    rank = Rank(3, 8, None, 1, "slurm")
    assert claim_gpus(rank, 2, {"CUDA_VISIBLE_DEVICES": "6,7"}) == ["6", "7"]
    with pytest.raises(UserError, match=r"rank 3 of 8 .* sees 4 GPUs, and its launcher does not say which rank of its"):
        claim_gpus(rank, 2, {"CUDA_VISIBLE_DEVICES": "4,5,6,7"})


@pytest.mark.parametrize(("on_node", "fits"), [("1", False), ("2", True), ("8", True)])
def test_two_tasks_of_srun_do_not_share_the_one_gpu_that_both_see(on_node: str, fits: bool) -> None:
    rank = Rank(1, 2, 1, 0, "slurm", ranks_on_node=2)
    environment = {"CUDA_VISIBLE_DEVICES": "0", "SLURM_GPUS_ON_NODE": on_node}
    if fits:  # each is shown its own, which has the same number where devices are hidden
        assert claim_gpus(rank, 1, environment) == ["0"]
        return
    with pytest.raises(UserError, match=r"2 tasks of this node share 1 GPUs, and each needs 1 .*fewer tasks"):
        claim_gpus(rank, 1, environment)


def test_gpus_that_nobody_uses_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    rank = Rank(1, 2, 0, 1, "slurm", ranks_on_node=1)
    assert claim_gpus(rank, 2, {"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"}) == ["0", "1"]
    assert "uses 2 of the 8 GPUs that it sees: start 4 tasks a node (--ntasks-per-node)" in capsys.readouterr().err
    claim_gpus(Rank(1, 2, 0, 1, "slurm", ranks_on_node=4), 2, {"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"})
    assert capsys.readouterr().err == ""


def test_a_shell_can_ask_how_many_there_are(driver: Path) -> None:
    command = [sys.executable, "-m", "MetaCaptioner.runtime.gpus"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "GPU-1,GPU-2"}
    assert subprocess.run(command, env=environment, capture_output=True, check=True).stdout == b"2\n"
    done = subprocess.run(command, env=environment | {"CUDA_VISIBLE_DEVICES": "x"}, capture_output=True, check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
