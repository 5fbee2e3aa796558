import os
import signal
import subprocess
import sys
from itertools import chain

import pytest

from MetaCaptioner.errors import StoppedEarly, UserError
from MetaCaptioner.runtime import signals as signals
from MetaCaptioner.runtime.rank import Rank, assigned_ranks, share, task_number, who_am_i
from MetaCaptioner.runtime.signals import StopSignal

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


def without(environment: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in names}


@pytest.mark.parametrize(
    ("told", "local_rank"),
    [
        ({"SLURM_GTIDS": "4,5,6,7"}, 2),
        ({"SLURM_GTIDS": "1,3,6"}, 2),  # --distribution=cyclic
        ({"SLURM_STEP_NUM_NODES": "1"}, 6),
        ({"SLURM_STEP_NUM_NODES": "2"}, None),
        ({}, None),
    ],
)
def test_a_number_on_the_node_that_is_missing_is_derived_or_not_known(
    told: dict[str, str], local_rank: int | None
) -> None:
    assert who_am_i({**without(SRUN, "SLURM_LOCALID"), **told}).local_rank == local_rank


def test_a_node_number_or_step_count_that_is_missing_makes_no_two_ranks_one() -> None:
    assert who_am_i(without(SRUN, "SLURM_NODEID")) == Rank(6, 8, 2, 0, "slurm")
    counts = ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")
    assert who_am_i({**without(SRUN, *counts), "SLURM_NPROCS": "12"}).world_size == 12
    with pytest.raises(UserError, match=r"the launcher's rank variables cannot be: rank 6 of 1 \(node 1, slurm\)"):
        who_am_i(without(SRUN, *counts))


@pytest.mark.parametrize("step", ["4294967291", "4294967292", "4294967290"])
def test_a_shell_that_slurm_itself_has_started_is_alone(step: str) -> None:
    """The batch script, what runs beside a job, and the interactive shell of salloc."""
    assert who_am_i({**SRUN, "SLURM_STEP_ID": step}) == Rank()


def test_the_old_name_of_the_step_does_too() -> None:
    assert who_am_i({**without(SRUN, "SLURM_STEP_ID"), "SLURM_STEPID": "0"}) == Rank(6, 8, 2, 1, "slurm")


def test_the_parts_of_a_heterogeneous_job_s_step_are_one_launch() -> None:
    """As `srun --het-group=0,1` has them for one task on the first node and two on the second."""
    step = {"SLURM_HET_SIZE": "2", "SLURM_STEP_NUM_TASKS": "3", "SLURM_STEP_TASKS_PER_NODE": "1,2", "SLURM_NTASKS": "3"}
    second = {**SRUN, **step, "SLURM_PROCID": "2", "SLURM_LOCALID": "1", "SLURM_GTIDS": "1,2"}
    assert who_am_i(second) == Rank(2, 3, 1, 1, "slurm", ranks_on_node=2)


ONE_NODE = TORCHRUN | {"RANK": "1", "WORLD_SIZE": "4", "GROUP_RANK": "0", "GROUP_WORLD_SIZE": "1"}


def test_torchruns_that_the_tasks_of_one_srun_have_started_are_one_launch() -> None:
    alone_there = {"SLURM_GTIDS": "6"}
    assert who_am_i({**SRUN, **alone_there, **ONE_NODE}) == Rank(25, 32, 1, 1, "torchrun")
    crowded = {"SLURM_GTIDS": "4,5,6,7"}
    assert who_am_i({**SRUN, **crowded, **ONE_NODE}) == Rank(25, 32, None, 1, "torchrun")
    only = {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}
    assert who_am_i({**SRUN, **only, **ONE_NODE}) == Rank(1, 4, 1, 0, "torchrun")


def test_torchruns_in_the_jobs_of_an_array_are_one_launch() -> None:
    assert who_am_i({**ONE_NODE, **in_array(2)}) == Rank(9, 16, 1, 2, "torchrun")


@pytest.mark.parametrize(
    ("missing", "told", "expected"),
    [
        (("LOCAL_RANK",), {}, Rank(5, 8, 1, 1, "torchrun")),
        (("GROUP_RANK",), {}, Rank(5, 8, 1, 1, "torchrun")),
        (("LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK"), {}, Rank(5, 8, None, 0, "torchrun")),
        (("LOCAL_RANK", "LOCAL_WORLD_SIZE"), {"RANK": "0", "WORLD_SIZE": "1"}, Rank(0, 1, 0, 1, "torchrun")),
    ],
)
def test_launchers_that_set_torchruns_variables_in_part(
    missing: tuple[str, ...], told: dict[str, str], expected: Rank
) -> None:
    assert who_am_i({**without(TORCHRUN, *missing), **told}) == expected


OPEN_MPI = {"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}
PMI = {"PMI_RANK": "3", "PMI_SIZE": "8"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (OPEN_MPI, Rank(3, 8, 1, 0, "mpi")),
        (OPEN_MPI | SRUN, Rank(3, 8, 1, 0, "mpi")),  # mpirun starts its daemons by srun
        (PMI | {"MPI_LOCALRANKID": "1"}, Rank(3, 8, 1, 0, "mpi")),
        (PMI | SRUN, Rank(3, 8, None, 0, "mpi")),
        (PMI | {"PMI_RANK": "6"} | SRUN, Rank(6, 8, 2, 1, "slurm")),  # srun --mpi=pmi2
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, Rank(0, 1, 0, 0, "mpi")),
        ({"FLUX_TASK_RANK": "3", "FLUX_JOB_SIZE": "8", "FLUX_TASK_LOCAL_ID": "1"}, Rank(3, 8, 1, 0, "flux")),
        ({"PMIX_RANK": "6"} | SRUN, Rank(6, 8, 2, 1, "slurm")),
        (OPEN_MPI | {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}, Rank(1, 2, 1, 0, "torchrun")),
    ],
)
def test_a_process_of_another_launcher_is_a_rank(environment: dict[str, str], expected: Rank) -> None:
    assert who_am_i(dict(environment)) == expected


@pytest.mark.parametrize("name", ["PMIX_RANK", "PMI_RANK", "PALS_RANKID", "ALPS_APP_PE"])
def test_a_launcher_that_does_not_say_of_how_many_is_refused(name: str) -> None:
    """Else each of its processes would take itself for the only one."""
    with pytest.raises(UserError, match=rf"\({name}=3\), which does not say of how many it is one: start it with srun"):
        who_am_i({name: "3"})


@pytest.mark.parametrize(("rank", "size"), [("8", "8"), ("-1", "8"), ("0", "0")])
def test_numbers_that_cannot_be_are_refused(rank: str, size: str) -> None:
    with pytest.raises(UserError, match=f"the launcher's rank variables cannot be: rank {rank} of {size}"):
        who_am_i({"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": "0"})


def test_a_shell_can_ask_who_has_started_it() -> None:
    environment = {**os.environ, **SRUN}
    command = [sys.executable, "-m", "MetaCaptioner.runtime.rank"]
    assert subprocess.run(command, env=environment, capture_output=True, check=True).stdout == b"slurm 8\n"


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


# --- signals


@pytest.mark.usefixtures("run")  # puts the handlers back
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_the_first_signal_is_noted_and_only_a_later_ctrl_c_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    stop = StopSignal()
    stop.install()
    stop.interruptible = False
    os.kill(os.getpid(), number)
    os.kill(os.getpid(), signal.SIGINT)  # the same Ctrl-C, passed on by the launcher
    assert stop.received == number.name
    monkeypatch.setattr(signals, "_SAME_CTRL_C_SECONDS", 0.0)
    # The same stop again, from the scheduler and from those that hand it on: what is in flight keeps its grace time.
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGUSR1)
    with pytest.raises(StoppedEarly, match=f"stopped by {number.name}; run the same command again"):
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.usefixtures("run")
def test_during_set_up_the_first_signal_ends_the_process() -> None:
    signals.StopSignal().install()
    with pytest.raises(StoppedEarly, match="stopped by SIGTERM") as raised:
        os.kill(os.getpid(), signal.SIGTERM)
    assert raised.value.exit_status == 3


@pytest.mark.parametrize(("parent", "status"), [("os.getppid()", 0), ("1 if os.getppid() != 1 else 2", 1)])
def test_a_process_whose_parent_has_gone_before_it_asked_ends(parent: str, status: int) -> None:
    code = f"import os; from MetaCaptioner.utils.processes import kill_when_parent_ends as kill; kill({parent})"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == status


def test_a_task_of_srun_has_its_number_whatever_rank_it_is_by_another_launcher() -> None:
    assert task_number({"SLURM_PROCID": "12", "SLURM_STEP_ID": "0", "RANK": "0", "WORLD_SIZE": "1"}) == 12
    with pytest.raises(UserError, match="no task that srun has started: SLURM_PROCID is ''"):
        task_number({"RANK": "0", "WORLD_SIZE": "1"})
