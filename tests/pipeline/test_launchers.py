"""The same plan, started by the scripts, torchrun, srun or alone, yields the same samples."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.processes import children
from tests.pipeline.commands import environment, module, records, run, sample_ids, script, succeed
from tests.random_model import ROOT

SCRIPTED = ("--engine", "scripted")


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("planned") / "plan.jsonl"
    metafile = ROOT / "data" / "demo" / "Metafile.json"
    succeed(module("plan", "--metafile", metafile, "--num-ranks", "2", "--output", path))
    return path


@pytest.fixture
def plan(tmp_path: Path, planned: Path) -> Path:
    """The demo's 36 samples on two ranks."""
    return Path(shutil.copy(planned, tmp_path))


def caption(plan: Path, output: Path, *arguments: str) -> list[str | Path]:
    return module("captionpipeline", "--plan", plan, "--output-dir", output, "--model", "none", *SCRIPTED, *arguments)


def srun_variables(rank: int, tasks: int, node: int) -> dict[str, str]:
    return {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_ID": "0",
        "SLURM_PROCID": str(rank),
        "SLURM_NTASKS": str(tasks),
        "SLURM_STEP_NUM_TASKS": str(tasks),
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": str(node),
    }


def test_the_script_on_two_ranks_torchrun_on_two_and_srun_on_one_yield_the_same_samples(
    tmp_path: Path, plan: Path
) -> None:
    local, torchrun, srun, alone = (tmp_path / name for name in ("local", "torchrun", "srun", "alone"))
    variables = {"PLAN": str(plan), "OUTPUT": str(local), "MODEL": "none", "NPROC": "2", "CUDA_VISIBLE_DEVICES": ""}
    # Each keeps to the plan: else the first to be ready may do it all.
    succeed(["bash", ROOT / "script" / "run_caption.sh", *SCRIPTED, "--takeover-chunk", "0"], variables)
    program = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    _, *stage = caption(plan, torchrun, "--takeover-chunk", "0")
    succeed([*program, *stage], {"CUDA_VISIBLE_DEVICES": ""})
    succeed(caption(plan, srun), srun_variables(0, 1, 0))
    succeed(caption(plan, alone))
    assert len(sample_ids(local)) == 36
    assert sample_ids(local) == sample_ids(torchrun) == sample_ids(srun) == sample_ids(alone)
    for folder in (local, torchrun):
        assert {path.name[:5] for path in folder.glob("Rank*")} == {"Rank0", "Rank1"}
    for folder in (local, torchrun, srun, alone):
        assert "complete" in succeed(script("verify", "--plan", plan, "--data-folder", folder))


def launched(plan: Path, output: Path, **variables: str) -> str:
    """What run_caption.sh says that goes well on a node without GPUs, each rank keeping to the plan."""
    told = {"PLAN": str(plan), "OUTPUT": str(output), "MODEL": "none", "CUDA_VISIBLE_DEVICES": "", **variables}
    command = ["bash", ROOT / "script" / "run_caption.sh", *SCRIPTED, "--takeover-chunk", "0"]
    return succeed(command, told)


def test_an_interactive_shell_of_srun_makes_the_ranks_of_its_node(tmp_path: Path, plan: Path) -> None:
    launched(plan, tmp_path / "out", NPROC="2", NNODES="4", **srun_variables(0, 1, 0))
    assert {path.name[:5] for path in (tmp_path / "out").glob("Rank*")} == {"Rank0", "Rank1"}
    assert len(sample_ids(tmp_path / "out")) == 36


def test_each_process_of_mpirun_is_one_rank_and_makes_no_others(tmp_path: Path, plan: Path) -> None:
    for rank in ("0", "1"):
        mpi = {"OMPI_COMM_WORLD_RANK": rank, "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": rank}
        log = launched(plan, tmp_path / "out", NPROC="8", **mpi)
        assert log.count("loaded in") == 1
        assert f"rank {rank}: captionpipeline" in log
    assert len(sample_ids(tmp_path / "out")) == 36


def test_the_ranks_of_the_jobs_of_an_array_share_the_plan(tmp_path: Path, plan: Path) -> None:
    array = {f"SLURM_ARRAY_TASK_{name}": value for name, value in {"COUNT": "2", "MIN": "0", "MAX": "1"}.items()}
    four = tmp_path / "four.jsonl"
    metafile = ROOT / "data" / "demo" / "Metafile.json"
    succeed(module("plan", "--metafile", metafile, "--num-ranks", "4", "--output", four))
    for number in ("0", "1"):
        launched(four, tmp_path / "out", NPROC="2", SLURM_ARRAY_TASK_ID=number, SLURM_JOB_ID="7", **array)
    assert {path.name[:11] for path in (tmp_path / "out").glob("Rank*")} == {
        *("Rank0_node0", "Rank1_node0", "Rank2_node1", "Rank3_node1")
    }
    assert len(sample_ids(tmp_path / "out")) == 36


@pytest.mark.parametrize(
    ("variables", "reason", "status"),
    [
        ({"NPROC": "0"}, "NPROC must be at least 1", 2),
        ({"TP": "two"}, "TP must be a whole number, not 'two'", 2),
        ({"NNODES": "2"}, "--nodes goes with --node (or NODE_RANK=…)", 2),
        ({"NNODES": "2", "NODE_RANK": "2"}, "--node 2: the nodes are numbered from 0 to 1", 2),
        ({"CUDA_VISIBLE_DEVICES": "gpu0"}, "CUDA_VISIBLE_DEVICES=gpu0: 'gpu0' is no GPU", 1),
        ({"PMIX_RANK": "1"}, "this process was started by PMIx (PMIX_RANK=1), which does not say of how many", 1),
    ],
)
def test_a_launch_that_cannot_be_is_one_line(variables: dict[str, str], reason: str, status: int) -> None:
    done = run(["bash", ROOT / "script" / "run_caption.sh", *SCRIPTED], {"CUDA_VISIBLE_DEVICES": "", **variables})
    assert (done.returncode, done.stdout.count("\n")) == (status, 1), done.stdout
    assert done.stdout.startswith(f"error: {reason}")


@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_srun_tasks_cover_a_plan_of_other_rank_numbers(tmp_path: Path, plan: Path, tasks: int) -> None:
    output = tmp_path / "out"
    processes = [
        subprocess.Popen(
            [str(part) for part in caption(plan, output)],
            env=environment(srun_variables(rank, tasks, rank % 2)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for rank in range(tasks)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0] * tasks
    assert len(sample_ids(output)) == len(set(sample_ids(output))) == 36
    assert "complete" in succeed(script("verify", "--plan", plan, "--data-folder", output))


def test_a_batch_script_is_one_process_whatever_the_number_of_tasks(tmp_path: Path, plan: Path) -> None:
    variables = {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_NODEID": "0"}
    succeed(caption(plan, tmp_path / "out"), variables)
    assert len(sample_ids(tmp_path / "out")) == 36


def test_the_node_is_in_the_file_name_and_another_node_goes_on_where_one_stopped(tmp_path: Path, plan: Path) -> None:
    output = tmp_path / "out"
    succeed(caption(plan, output, "--max-samples", "10"), srun_variables(0, 1, 0))
    assert len(records(output)) == 10
    log = succeed(caption(plan, output), srun_variables(0, 1, 3))
    assert "10 of 36 samples are done, 26 to do" in log
    assert {path.name.split("_")[1] for path in output.glob("Rank*")} == {"node0", "node3"}
    assert len(sample_ids(output)) == len(set(sample_ids(output))) == 36


def test_a_rank_that_fails_leaves_the_other_working(tmp_path: Path, plan: Path) -> None:
    """Rank 0's shards are for a missing file."""
    lines = plan.read_text().splitlines()
    broken = [line.replace("/data/demo/", "/data/nowhere/") if '"assign_rank": 0' in line else line for line in lines]
    plan.write_text("\n".join(broken) + "\n")
    mine = sum('"assign_rank": 1' in line for line in lines)
    output = tmp_path / "out"
    variables = {"PLAN": str(plan), "OUTPUT": str(output), "MODEL": "none", "NPROC": "2", "CUDA_VISIBLE_DEVICES": ""}
    slowly = ("--engine-arg", "delay=0.3", "--in-flight", "2")
    alone = ("--takeover-chunk", "0")  # else rank 0, with nothing of its own to do, may be done with rank 1's first
    done = run(["bash", ROOT / "script" / "run_caption.sh", *SCRIPTED, *slowly, *alone], variables)
    assert done.returncode == 1, done.stdout
    assert "error: rank 0: plan row" in done.stdout
    assert mine > 0
    assert {path.name[:5] for path in output.glob("Rank*")} == {"Rank1"}
    assert all(record["status"] == "ok" for record in records(output))
    covered = sum(row["end_idx"] - row["start_idx"] for row in map(json.loads, lines) if row["assign_rank"])
    assert len(records(output)) == covered


def two_ranks(plan: Path, output: Path) -> dict[str, str]:
    return {"PLAN": str(plan), "OUTPUT": str(output), "MODEL": "none", "NPROC": "2", "CUDA_VISIBLE_DEVICES": ""}


def slow_run(plan: Path, output: Path) -> "subprocess.Popen[str]":
    """Two scripted ranks that take some ten seconds."""
    command = [
        "bash",
        str(ROOT / "script" / "run_caption.sh"),
        *SCRIPTED,
        "--engine-arg",
        "delay=0.5",
        "--in-flight",
        "2",
    ]
    return subprocess.Popen(
        command,
        env=environment(two_ranks(plan, output)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for_both(output: Path) -> None:
    deadline = time.monotonic() + 60
    while {path.name[:5] for path in output.glob("Rank*_node*")} != {"Rank0", "Rank1"}:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_rank_that_is_killed_is_started_again_and_the_other_never_notices(tmp_path: Path, plan: Path) -> None:
    output = tmp_path / "out"
    process = slow_run(plan, output)
    wait_for_both(output)
    ranks = subprocess.run(["pgrep", "-f", f"captionpipeline.*{output}"], capture_output=True, text=True, check=True)
    victim = next(
        int(pid)
        for pid in ranks.stdout.split()
        if b"\0RANK=0\0" in Path(f"/proc/{pid}/environ").read_bytes()
        and b"MetaCaptioner.launch.supervisor" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    os.kill(victim, signal.SIGKILL)
    log, _ = process.communicate(timeout=120)
    assert process.returncode == 0, log
    assert "rank 0: the worker was killed by SIGKILL (out of memory?); another one goes on" in log
    assert log.count("loaded in") == 3
    assert "complete" in succeed(script("verify", "--plan", plan, "--data-folder", output))


def test_a_signal_to_the_script_stops_all_ranks_with_status_3(tmp_path: Path, plan: Path) -> None:
    output = tmp_path / "out"
    process = slow_run(plan, output)
    wait_for_both(output)
    os.kill(process.pid, signal.SIGTERM)
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 3, log
    assert "Traceback" not in log
    assert log.count("run the same command again to go on") == 2
    assert len(records(output)) < 36
    succeed(["bash", ROOT / "script" / "run_caption.sh", *SCRIPTED], two_ranks(plan, output))
    assert "complete" in succeed(script("verify", "--plan", plan, "--data-folder", output))


def test_a_signal_before_the_ranks_are_up_is_not_lost(tmp_path: Path, plan: Path) -> None:
    process = slow_run(plan, tmp_path / "out")
    deadline = time.monotonic() + 60
    proc = Path(f"/proc/{process.pid}")
    while b"MetaCaptioner.launch.local" not in (proc / "cmdline").read_bytes() or not children(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGTERM)
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 3, log


def test_bad_arguments_end_with_status_2_on_several_ranks_too(tmp_path: Path, plan: Path) -> None:
    done = run(["bash", ROOT / "script" / "run_caption.sh", "--video-frames", "1"], two_ranks(plan, tmp_path))
    assert done.returncode == 2
    assert "--video-frames must be at least 2" in done.stdout
    assert "Traceback" not in done.stdout
