"""What script/slurm/job.sh makes of the ranks' statuses, with stand-ins for SLURM's commands."""

import re
from pathlib import Path

import pytest

from tests.pipeline.commands import run
from tests.random_model import ROOT

STAND_INS = """
source "$0/script/slurm/job.sh"
squeue() { echo "$STATE"; }
scontrol() { echo "scontrol $*"; }
"""


def end_job(*arguments: object, state: str = "RUNNING", **variables: str) -> tuple[int, str]:
    """(exit status, what it said) of `end_job STATUS LOST STOPPED`."""
    command = ["bash", "-c", f'{STAND_INS}\nend_job "$@"', str(ROOT), *map(str, arguments)]
    done = run(command, {"SLURM_JOB_ID": "7", "STATE": state, **variables})
    return done.returncode, done.stdout


def watched(folder: Path, seconds: float, living: bool = False) -> str:
    """What `end_when_silent` says of a step of so many seconds whose ranks leave their files in `folder`."""
    lines = [
        f"sleep {seconds} & step=$!",
        'while sleep 0.05; do echo $((n += 1)) >"$1/rank0"; done & beats=$!' if living else "beats=",
        'end_when_silent $step "$1" & watch=$!',
        "wait $step; kill $watch $beats",
    ]
    command = ["bash", "-c", "\n".join([STAND_INS, *lines]), str(ROOT), str(folder)]
    return run(command, {"SLURM_JOB_ID": "7", "BEAT_SECONDS": "0.05"}).stdout


@pytest.mark.parametrize("text", ["17\n", ""])
def test_a_step_whose_ranks_are_dead_is_ended_whatever_they_wrote_last(tmp_path: Path, text: str) -> None:
    (tmp_path / "rank1").write_text(text)  # nothing: killed between opening the file and writing to it
    assert "the ranks that are left give no sign of life" in watched(tmp_path, 60)


def test_a_step_is_waited_for_while_any_rank_lives(tmp_path: Path) -> None:
    (tmp_path / "rank1").write_text("17\n")
    assert "no sign of life" not in watched(tmp_path, 3, living=True)


def test_a_step_that_no_rank_has_begun_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "stop").touch()
    assert "no sign of life" not in watched(tmp_path, 3)


@pytest.mark.parametrize(
    ("status", "lost", "stopped", "ends_with", "why"),
    [
        (3, 0, "no", 3, "stopped by a signal"),
        (3, 0, "yes", 3, "stopped by a signal"),
        (138, 0, "yes", 138, "stopped by a signal"),
        (137, 0, "no", 137, "a rank died of signal 9"),
        (137, 2, "no", 137, "2 of its ranks died"),
        (0, 2, "no", 1, "2 of its ranks died"),
        (70, 0, "no", 70, "srun failed"),
    ],
)
def test_what_another_start_helps_is_requeued(status: int, lost: int, stopped: str, ends_with: int, why: str) -> None:
    assert end_job(status, lost, stopped) == (ends_with, f"job 7: {why}: requeued\nscontrol requeue 7\n")


@pytest.mark.parametrize("stopped", ["yes", "no"])
@pytest.mark.parametrize("status", [0, 1, 2])
def test_what_another_start_does_not_help_is_not(status: int, stopped: str) -> None:
    assert end_job(status, 0, stopped) == (status, "")


def test_a_command_that_is_not_there_is_not_tried_again() -> None:
    assert end_job(127, 0, "no") == (127, "")


@pytest.mark.parametrize("state", ["COMPLETING", "PENDING", ""])
def test_a_job_that_was_cancelled_or_requeued_is_left_alone(state: str) -> None:
    assert end_job(3, 0, "yes", state=state) == (3, "")


def test_one_job_of_an_array_is_requeued_alone() -> None:
    array = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "4"}
    assert end_job(3, 0, "yes", **array)[1].endswith("scontrol requeue 7_4\n")


def test_a_job_that_dies_soon_after_every_start_is_given_up() -> None:
    assert "requeued" in end_job(137, 0, "no", SLURM_RESTART_COUNT="2")[1]
    status, said = end_job(137, 0, "no", SLURM_RESTART_COUNT="3")
    assert status == 137
    assert re.search("a rank died of signal 9 within [0-9] s, and it was started 3 times before: given up", said)
    assert "requeued" in end_job(3, 0, "no", SLURM_RESTART_COUNT="30")[1]
