"""What script/slurm/job.sh makes of the ranks' statuses, with stand-ins for SLURM's commands."""

import os
import re
from pathlib import Path

import pytest

from tests.pipeline.commands import run
from tests.random_model import ROOT
from tests.slurm.stand_ins import stand_in

STAND_INS = {
    "squeue": 'case $* in *%E*) echo "8 afterok:7(unfulfilled)" ;; *%k*) ;; *) echo "$STATE" ;; esac',
    "scontrol": 'echo "$@"; echo "scontrol $*" >&3',
    "sbatch": 'echo "sbatch $*" >&3; echo 9',
}
"""SLURM's commands, as far as they are needed; descriptor 3 leads to what a test sees."""
MUTE = "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1"
DISABLED = "echo 'Requested operation is presently disabled for job 7' >&2; exit 1"
AGAIN = "submit again to go on: cd /data && bash submit.sh"


@pytest.fixture
def slurm(tmp_path: Path) -> Path:
    """A folder of stand-ins for SLURM's commands."""
    for name, text in STAND_INS.items():
        stand_in(tmp_path, name, text)
    return tmp_path


def sourced(slurm: Path, code: str, *arguments: object, **variables: str) -> tuple[int, str]:
    """(exit status, what was said) of some code with job.sh's functions."""
    command = ["bash", "-c", f'exec 3>&1; source "$0/script/slurm/job.sh"\n{code}', str(ROOT), *map(str, arguments)]
    path = f"{slurm}:{os.environ['PATH']}"
    told = {
        "PATH": path,
        "SLURM_JOB_ID": "7",
        "SCHEDULER_SECONDS": "9",
        "METACAPTIONER_AGAIN": "cd /data && bash submit.sh",
    }
    done = run(command, told | variables)
    return done.returncode, done.stdout


def end_job(slurm: Path, *arguments: object, state: str = "RUNNING", **variables: str) -> tuple[int, str]:
    """(exit status, what it said) of `end_job STATUS LOST STOPPED`."""
    return sourced(slurm, 'end_job "$@"', *arguments, STATE=state, **variables)


def watched(folder: Path, seconds: float, living: bool = False) -> str:
    """What `end_when_silent` says of a step of so many seconds whose ranks leave their files in `folder`."""
    lines = [
        f"sleep {seconds} & step=$!",
        'while sleep 0.05; do echo $((n += 1)) >"$1/rank0"; done & beats=$!' if living else "beats=",
        'end_when_silent $step "$1" & watch=$!',
        "wait $step; kill $watch $beats",
    ]
    return sourced(folder, "\n".join(lines), folder, BEAT_SECONDS="0.05")[1]


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
def test_what_another_start_helps_is_requeued(
    slurm: Path, status: int, lost: int, stopped: str, ends_with: int, why: str
) -> None:
    assert end_job(slurm, status, lost, stopped) == (ends_with, f"job 7: {why}: requeued\nscontrol requeue 7\n")


@pytest.mark.parametrize("stopped", ["yes", "no"])
@pytest.mark.parametrize("status", [0, 1, 2])
def test_what_another_start_does_not_help_is_not(slurm: Path, status: int, stopped: str) -> None:
    assert end_job(slurm, status, 0, stopped) == (status, "")


def test_a_command_that_is_not_there_is_not_tried_again(slurm: Path) -> None:
    assert end_job(slurm, 127, 0, "no") == (127, "")


@pytest.mark.parametrize("state", ["COMPLETING", "PENDING"])
def test_a_job_that_was_cancelled_or_requeued_is_left_alone(slurm: Path, state: str) -> None:
    status, said = end_job(slurm, 3, 0, "yes", state=state)
    assert (status, said.count("scontrol")) == (3, 0)
    assert f"SLURM has it as {state} (cancelled, out of time, or requeued already); unless it starts by itself" in said
    assert AGAIN in said


def test_one_job_of_an_array_is_requeued_alone(slurm: Path) -> None:
    array = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "4"}
    assert end_job(slurm, 3, 0, "yes", **array)[1].endswith("scontrol requeue 7_4\n")


def test_a_job_that_dies_soon_after_every_start_is_given_up(slurm: Path) -> None:
    assert "requeued" in end_job(slurm, 137, 0, "no", SLURM_RESTART_COUNT="2")[1]
    for before in ({"SLURM_RESTART_COUNT": "3"}, {"SLURM_RESTART_COUNT": "1", "METACAPTIONER_RESTARTS": "2"}):
        status, said = end_job(slurm, 137, 0, "no", **before)
        assert status == 137
        assert re.search("a rank died of signal 9 within [0-9] s, and it was started 3 times before: given up", said)
        assert AGAIN in said
    assert "requeued" in end_job(slurm, 3, 0, "no", SLURM_RESTART_COUNT="30")[1]


# --- a scheduler that does not answer


@pytest.mark.parametrize(
    ("mute", "why"),
    [
        (MUTE, "Unable to contact slurm controller"),
        ("echo 'slurm_load_jobs error: Socket timed out on send/recv operation' >&2; exit 1", "Socket timed out"),
        ("exit 0", "it ended with status 0 and said nothing"),
        ("exit 1", "it ended with status 1 and said nothing"),
        ("sleep 60", "no answer within 1 s"),
    ],
)
def test_a_scheduler_that_is_mute_for_a_moment_is_asked_again(slurm: Path, mute: str, why: str) -> None:
    stand_in(slurm, "squeue", mute, times=1)
    stand_in(slurm, "scontrol", MUTE, times=1)
    status, said = sourced(slurm, "CALL_SECONDS=1; end_job 3 0 yes", STATE="RUNNING")
    assert status == 3
    assert f"job 7: squeue gives no answer: {why}" in said or f"error: {why}" in said
    assert f"tried again for up to 9 s; if nothing follows, {AGAIN}" in said
    assert said.endswith("scontrol requeue 7\n")


def test_a_scheduler_that_stays_mute_is_not_the_job_s_silent_end(slurm: Path) -> None:
    stand_in(slurm, "squeue", MUTE)
    status, said = end_job(slurm, 3, 0, "yes", SCHEDULER_SECONDS="1")
    assert status == 3
    assert "squeue --noheader --jobs=7 --format=%T failed: slurm_load_jobs error: Unable to contact slurm" in said
    assert said.endswith(f"job 7: stopped by a signal, and not requeued; {AGAIN}\n")


def test_settings_of_the_user_s_terminal_change_nothing(slurm: Path) -> None:
    stand_in(slurm, "squeue", 'case ${SQUEUE_STATES:-} in "") echo RUNNING ;; esac')
    assert "requeued" in end_job(slurm, 3, 0, "yes", SQUEUE_STATES="PENDING", SQUEUE_FORMAT="%i")[1]


def test_where_a_job_is_not_requeued_and_nobody_knows_how_it_was_submitted_what_to_do_is_said(slurm: Path) -> None:
    stand_in(slurm, "scontrol", DISABLED)
    status, said = end_job(slurm, 3, 0, "yes")
    assert status == 3
    assert "scontrol requeue 7 failed: Requested operation is presently disabled for job 7" in said
    assert said.endswith(f"job 7: it could not be requeued; {AGAIN}\n")


SUBMITTED = {"METACAPTIONER_SBATCH": r"metacaptioner\ caption\ /a\ b --nodes=2 /a\ b/caption.sbatch --flag"}


def test_where_a_job_is_not_requeued_it_submits_itself_anew_and_the_next_of_the_chain_wait_for_that(
    slurm: Path,
) -> None:
    stand_in(slurm, "scontrol", DISABLED, times=1)
    said = end_job(slurm, 3, 0, "yes", **SUBMITTED)[1].splitlines()
    comment = "--comment=metacaptioner caption /a b"
    assert f"sbatch --parsable {comment} --dependency=afterany:7 --nodes=2 /a b/caption.sbatch --flag" in said
    assert said[-2:] == [
        "scontrol update JobId=8 Dependency=afterok:9",
        "job 7: it could not be requeued, and goes on as job 9",
    ]


def test_a_job_of_an_array_does_not_submit_itself_anew(slurm: Path) -> None:
    stand_in(slurm, "scontrol", DISABLED)
    array = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "4"}
    said = end_job(slurm, 3, 0, "yes", **array, **SUBMITTED)[1]
    assert "sbatch" not in said
    assert said.endswith(f"it could not be requeued; {AGAIN}\n")


def test_a_job_that_sbatch_has_made_without_an_answer_is_not_made_twice(slurm: Path) -> None:
    """The controller was too busy to say so."""
    made = 'echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1'
    stand_in(slurm, "sbatch", f'touch "{slurm}/made"; {made}', times=1)
    stand_in(
        slurm, "squeue", f'[ ! -e "{slurm}/made" ] || printf "%s\\n" "7 the same" "12 of mine the same" "13 another"'
    )
    _, said = sourced(slurm, 'submit_job "the same" x.sbatch; echo "$? $ANSWER"')
    assert said.splitlines()[-1] == "0 12"
    assert "sbatch --parsable" not in said


def test_a_job_that_was_not_made_is_submitted_again_and_a_refusal_is_none_to_try_again(slurm: Path) -> None:
    stand_in(slurm, "sbatch", MUTE, times=1)
    assert sourced(slurm, 'submit_job c x.sbatch; echo "$? $ANSWER"')[1].splitlines()[-1] == "0 9"
    stand_in(slurm, "sbatch", "echo 'sbatch: error: invalid partition specified: gpus' >&2; exit 1")
    said = sourced(slurm, 'submit_job c x.sbatch; echo "$?"')[1]
    assert said == "job 7: sbatch: error: invalid partition specified: gpus\n1\n"


def test_what_sbatch_says_beside_the_number_is_no_number(slurm: Path) -> None:
    stand_in(
        slurm, "sbatch", "echo Welcome, 3 jobs are yours; echo 'sbatch: 5 hours are left' >&2; echo '21;here'; echo Bye"
    )
    said = sourced(slurm, 'submit_job c x.sbatch; echo "$? $ANSWER"')[1]
    assert said == "job 7: sbatch: 5 hours are left\n0 21\n"


def test_a_job_that_is_submitted_from_within_another_knows_nothing_of_that(slurm: Path) -> None:
    """Else a batch script would take itself for a task of a step, or a job for one of an array."""
    stand_in(slurm, "sbatch", "env | grep -E ^S | cut -d= -f1 | sort | paste -sd ' ' >&3; echo 9")
    inside = dict.fromkeys(["SLURM_STEP_ID", "SLURM_ARRAY_TASK_ID", "SLURM_NTASKS", "SBATCH_WAIT"], "1")
    told = {"SLURM_CONF": "/etc/slurm.conf", "SBATCH_ACCOUNT": "a"}
    said = sourced(slurm, "submit_job c x.sbatch", **inside, **told)[1]
    assert [name for name in said.split() if name.startswith(("SLURM", "SB"))] == ["SBATCH_ACCOUNT", "SLURM_CONF"]


def test_a_folder_that_cannot_be_made_ends_the_job_before_its_ranks(slurm: Path, tmp_path: Path) -> None:
    stand_in(slurm, "srun", "echo srun")
    (tmp_path / "file").touch()
    status, said = sourced(slurm, 'run_ranks "$1" run_caption.sh', tmp_path / "file" / "out")
    assert (status, "srun" in said, "Not a directory" in said) == (1, False, True)


def test_a_search_path_for_cd_leads_nowhere_else(slurm: Path, tmp_path: Path) -> None:
    (tmp_path / "script" / "slurm").mkdir(parents=True)
    code = (
        'cd "$0"; export CDPATH="$1"; source script/slurm/job.sh; echo "$ROOT"; source script/common.sh; echo "$ROOT"'
    )
    assert sourced(slurm, code, tmp_path)[1] == f"{ROOT}\n{ROOT}\n"


def test_a_rank_lives_on_when_its_sign_of_life_cannot_be_written_for_a_moment(tmp_path: Path) -> None:
    folder, away = tmp_path / "job", tmp_path / "away"
    folder.mkdir()
    moved = f'sleep 0.3; mv "{folder}" "{away}"; sleep 0.3; mv "{away}" "{folder}"; : >"{folder}/rank0"; sleep 0.5; '
    looked = f'grep -c . "{folder}/rank0"'
    command = ["bash", str(ROOT / "script" / "slurm" / "rank.sh"), str(folder), "bash", "-c", moved + looked]
    done = run(command, {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "BEAT_SECONDS": "0.05"})
    assert (done.returncode, done.stdout) == (0, "1\n")
