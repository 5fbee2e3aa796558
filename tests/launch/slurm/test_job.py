"""What is made of the ranks' statuses, with stand-ins for SLURM's commands."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from MetaCaptioner.launch.slurm.job import JobEnd
from MetaCaptioner.launch.slurm.job_environment import Job
from MetaCaptioner.launch.slurm.scheduler import Scheduler
from MetaCaptioner.launch.slurm.step import Outcome
from tests.helpers import plain
from tests.launch.slurm.conftest import Slurm
from tests.launch.slurm.test_scheduler import MUTE
from tests.pipeline.commands import environment

STOPS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
DISABLED = "echo 'Requested operation is presently disabled for job 7' >&2; exit 1"
AGAIN = "submit again to go on: cd /data && bash submit.sh"
ARRAY = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "4"}
SUBMITTED = {"_METACAPTIONER_SBATCH": r"metacaptioner\ caption\ /a\ b --nodes=2 '/a b/caption.sbatch' --flag"}


class Ends:
    """Ends job 7 as its variables say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(
        self, status: int, lost: int, stopped: bool, patience: float = 9, call_seconds: float = 120, **variables: str
    ) -> tuple[int, str]:
        """(exit status, what was said)."""
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)
        told = {"SLURM_JOB_ID": "7", "_METACAPTIONER_AGAIN": "cd /data && bash submit.sh", **variables}
        job = Job.this(told)
        or_else = f"; if nothing follows, {job.again}"
        scheduler = Scheduler(patience, call_seconds, begin_line="job 7: ", or_else=or_else, own_job="7")
        ended_with = JobEnd(job, scheduler, time.monotonic()).settle(Outcome(status, lost, stopped))
        return ended_with, plain(self._capsys.readouterr().err)


@pytest.fixture
def end_job(slurm: Slurm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ends:
    return Ends(monkeypatch, capsys)


@pytest.mark.parametrize(
    ("status", "lost", "stopped", "ends_with", "why"),
    [
        (3, 0, False, 3, "stopped by a signal"),
        (3, 0, True, 3, "stopped by a signal"),
        (138, 0, True, 138, "stopped by a signal"),
        (137, 0, False, 137, "a rank died of signal 9"),
        (137, 2, False, 137, "2 of its ranks died"),
        (0, 2, False, 1, "2 of its ranks died"),
        (70, 0, False, 70, "srun failed"),
    ],
)
def test_what_another_start_helps_is_requeued(
    slurm: Slurm, end_job: Ends, status: int, lost: int, stopped: bool, ends_with: int, why: str
) -> None:
    assert end_job(status, lost, stopped) == (ends_with, f"note: job 7: {why}: requeued\n")
    assert slurm.calls == ["scontrol requeue 7"]


@pytest.mark.parametrize("stopped", [True, False])
@pytest.mark.parametrize("status", [0, 1, 2])
def test_what_another_start_does_not_help_is_not(slurm: Slurm, end_job: Ends, status: int, stopped: bool) -> None:
    assert end_job(status, 0, stopped) == (status, "")
    assert not slurm.calls


def test_a_command_that_is_not_there_is_not_tried_again(slurm: Slurm, end_job: Ends) -> None:
    assert end_job(127, 0, False) == (127, "")
    assert not slurm.calls


@pytest.mark.parametrize("state", ["COMPLETING", "PENDING"])
def test_a_job_that_was_cancelled_or_requeued_is_left_alone(slurm: Slurm, end_job: Ends, state: str) -> None:
    status, said = end_job(3, 0, True, STATE=state)
    assert (status, slurm.calls) == (3, [])
    assert f"SLURM has it as {state} (cancelled, out of time, or requeued already); unless it starts by itself" in said
    assert AGAIN in said


def test_one_job_of_an_array_is_requeued_alone(slurm: Slurm, end_job: Ends) -> None:
    end_job(3, 0, True, **ARRAY)
    assert slurm.calls == ["scontrol requeue 7_4"]


def test_a_job_that_dies_soon_after_every_start_is_given_up(slurm: Slurm, end_job: Ends) -> None:
    assert "requeued" in end_job(137, 0, False, SLURM_RESTART_COUNT="2")[1]
    for before in ({"SLURM_RESTART_COUNT": "3"}, {"SLURM_RESTART_COUNT": "1", "_METACAPTIONER_RESTARTS": "2"}):
        status, said = end_job(137, 0, False, **before)
        assert status == 137
        assert re.search("a rank died of signal 9 within [0-9] s, and it was started 3 times before: given up", said)
        assert AGAIN in said
    assert "requeued" in end_job(3, 0, False, SLURM_RESTART_COUNT="30")[1]


def test_what_is_typed_again_is_known_of_a_job_of_no_chain(slurm: Slurm) -> None:
    by_hand = Job.this({"SLURM_JOB_ID": "7", "SLURM_SUBMIT_DIR": "/here"}).again
    assert by_hand == "submit again to go on: cd /here && sbatch, with the options and flags as before"


# --- a scheduler that does not answer


def test_a_scheduler_that_is_mute_for_a_moment_is_asked_again(slurm: Slurm, end_job: Ends) -> None:
    slurm.stand_in("squeue", MUTE, times=1)
    slurm.stand_in("scontrol", MUTE, times=1)
    status, said = end_job(3, 0, True, call_seconds=1)
    assert status == 3
    assert "job 7: squeue gives no answer: slurm_load_jobs error: Unable to contact slurm controller" in said
    assert said.count(f"tried again for up to 9 s; if nothing follows, {AGAIN}") == 2
    assert slurm.calls == ["scontrol requeue 7"]


def test_a_scheduler_that_stays_mute_is_not_the_job_s_silent_end(slurm: Slurm, end_job: Ends) -> None:
    slurm.stand_in("squeue", MUTE)
    status, said = end_job(3, 0, True, patience=1)
    assert status == 3
    assert "squeue --noheader --jobs=7 --format=%T failed: slurm_load_jobs error: Unable to contact slurm" in said
    assert said.endswith(f"job 7: stopped by a signal, and not requeued; {AGAIN}\n")


def test_settings_of_the_user_s_terminal_change_nothing(slurm: Slurm, end_job: Ends) -> None:
    slurm.stand_in("squeue", 'case ${SQUEUE_STATES:-} in "") echo RUNNING ;; esac')
    assert "requeued" in end_job(3, 0, True, SQUEUE_STATES="PENDING", SQUEUE_FORMAT="%i")[1]


def test_where_a_job_is_not_requeued_and_nobody_knows_how_it_was_submitted_what_to_do_is_said(
    slurm: Slurm, end_job: Ends
) -> None:
    slurm.stand_in("scontrol", DISABLED)
    status, said = end_job(3, 0, True)
    assert status == 3
    assert "scontrol requeue 7 failed: Requested operation is presently disabled for job 7" in said
    assert said.endswith(f"job 7: it could not be requeued; {AGAIN}\n")


def test_where_a_job_is_not_requeued_it_submits_itself_anew_and_the_next_of_the_chain_wait_for_that(
    slurm: Slurm, end_job: Ends
) -> None:
    slurm.stand_in("scontrol", DISABLED, times=1)
    slurm.stand_in("sbatch", 'echo "$_METACAPTIONER_RESTARTS: sbatch $*" >>"$CALLS"; echo 9')
    said = end_job(3, 0, True, **SUBMITTED, SLURM_RESTART_COUNT="1", _METACAPTIONER_RESTARTS="2")[1].splitlines()
    comment = "--comment=metacaptioner caption /a b"
    assert slurm.calls == [
        f"4: sbatch --parsable {comment} --dependency=afterany:7 --nodes=2 /a b/caption.sbatch --flag",
        "scontrol update JobId=8 Dependency=afterok:9",
    ]
    assert said[-1] == "note: job 7: it could not be requeued, and goes on as job 9"


def test_only_what_waits_for_this_job_waits_for_the_new_one(slurm: Slurm, end_job: Ends) -> None:
    slurm.stand_in("scontrol", DISABLED, times=1)
    lines = ["8 afterok:77(unfulfilled)", "10 (null)", "11 afterok:3,afterok:7", "12"]
    slurm.stand_in("squeue", f'case $* in *%E*) printf "%s\\n" {" ".join(map(repr, lines))} ;; *) echo RUNNING ;; esac')
    end_job(3, 0, True, **SUBMITTED)
    assert slurm.calls[1:] == ["scontrol update JobId=11 Dependency=afterok:9"]


def test_what_of_the_chain_cannot_be_told_of_the_new_job_is_said(slurm: Slurm, end_job: Ends) -> None:
    slurm.stand_in("scontrol", DISABLED)
    said = end_job(3, 0, True, **SUBMITTED)[1]
    assert f"job 7: job 8 does not wait for job 9; once that is complete, {AGAIN}" in said
    slurm.stand_in("squeue", "case $* in *%E*) echo no >&2; exit 1 ;; *) echo RUNNING ;; esac")
    assert f"job 7: job 9 is on its own; {AGAIN}" in end_job(3, 0, True, **SUBMITTED)[1]


def test_a_job_of_an_array_does_not_submit_itself_anew(slurm: Slurm, end_job: Ends) -> None:
    slurm.stand_in("scontrol", DISABLED)
    said = end_job(3, 0, True, **ARRAY, **SUBMITTED)[1]
    assert not slurm.calls
    assert said.endswith(f"it could not be requeued; {AGAIN}\n")


# --- the batch script as a whole, with a stand-in for srun


def heed_signals() -> None:
    """Whatever has started the tests may ignore some of them, and bash traps none that is ignored."""
    for number in STOPS:
        signal.signal(number, signal.SIG_DFL)


def batch(folder: Path, *flags: str, log: IO[str] | int = subprocess.PIPE, **variables: str) -> "subprocess.Popen[str]":
    """The ranks of job 7, with results in `folder`."""
    program = [sys.executable, "-m", "MetaCaptioner.launch.slurm.job", f"--output={folder}", "run_caption.sh", *flags]
    told = {"BEAT_SECONDS": "0.05", "SLURM_JOB_ID": "7", **variables}
    return subprocess.Popen(
        program,
        env=environment(told),
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed_signals,
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    said, _ = process.communicate(timeout=60)
    return process.returncode, plain(said)


def test_a_folder_that_cannot_be_made_ends_the_job_before_its_ranks(slurm: Slurm, tmp_path: Path) -> None:
    slurm.stand_in("srun", "echo srun")
    (tmp_path / "file").touch()
    status, said = ended(batch(tmp_path / "file" / "out"))
    assert (status, said) == (1, f"error: {tmp_path}/file/out/.job-7.0: cannot be made: Not a directory\n")


def test_a_batch_script_that_is_none_is_one_line(slurm: Slurm, tmp_path: Path) -> None:
    said = "error: this is no job of SLURM (SLURM_JOB_ID is not set): submit it with sbatch\n"
    assert ended(batch(tmp_path, SLURM_JOB_ID="")) == (1, said)


def test_the_ranks_are_those_of_all_tasks_whatever_a_site_has_set(slurm: Slurm, tmp_path: Path) -> None:
    slurm.stand_in("srun", 'printf "%s\\n" "$SLURM_EXIT_ERROR" "$@" >"$CALLS"')
    assert ended(batch(tmp_path, "--a b", "--", SLURM_CPUS_PER_TASK="3", SLURM_HET_SIZE="2")) == (0, "")
    options, command = slurm.calls[1:8], slurm.calls[8:]
    assert slurm.calls[0] == "70"
    assert options == [
        *("--kill-on-bad-exit=0", "--wait=0", "--mpi=none", "--export=ALL", "--cpus-per-task=3", "--het-group=0-1"),
        sys.executable,
    ]
    assert command[:3] == ["-m", "MetaCaptioner.launch.slurm.rank", f"{tmp_path}/.job-7.0"]
    assert command[3] == "bash"
    assert Path(command[4]).name == "run_caption.sh"
    assert command[5:] == ["--a b", "--"]
    assert not list(tmp_path.glob(".job*"))


def test_what_an_earlier_start_has_left_is_removed(slurm: Slurm, tmp_path: Path) -> None:
    for name in (".job-7.0", ".job-77.0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rank3").touch()
    slurm.stand_in("srun", f"ls -A '{tmp_path}'; exit 2")
    assert ended(batch(tmp_path, SLURM_RESTART_COUNT="1")) == (2, ".job-7.1\n.job-77.0\nslurm\n")


def test_a_stop_goes_to_the_ranks_and_the_job_goes_on_later(slurm: Slurm, tmp_path: Path) -> None:
    slurm.stand_in(
        "srun",
        f"trap 'until ls {tmp_path}/.job-7.0 | grep stop; do sleep 0.02; done; exit 3' USR1; touch {tmp_path}/begun; "
        "while sleep 0.05; do :; done",
    )
    for number in STOPS:
        process = batch(tmp_path)
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        process.send_signal(number)
        assert ended(process) == (3, "stop\nnote: job 7: stopped by a signal: requeued\n")
        (tmp_path / "begun").unlink()
    assert slurm.calls == ["scontrol requeue 7"] * 4


def test_a_signal_that_comes_after_the_ranks_have_ended_does_not_keep_the_job_from_being_requeued(
    slurm: Slurm, tmp_path: Path
) -> None:
    slurm.stand_in("srun", "exit 3")
    slurm.stand_in("squeue", "kill -TERM $PPID; echo RUNNING")
    assert ended(batch(tmp_path)) == (3, "note: job 7: stopped by a signal: requeued\n")
    assert slurm.calls == ["scontrol requeue 7"]


def test_a_log_that_cannot_be_written_does_not_keep_the_job_from_being_requeued(slurm: Slurm, tmp_path: Path) -> None:
    slurm.stand_in("srun", "exit 3")
    slurm.stand_in("squeue", MUTE, times=1)
    with Path("/dev/full").open("w") as log:
        process = batch(tmp_path, log=log)
        assert process.wait(timeout=60) != 0
    assert slurm.calls == ["scontrol requeue 7"]


def test_srun_heeds_every_signal(slurm: Slurm, tmp_path: Path) -> None:
    slurm.stand_in("srun", "grep SigBlk /proc/self/status")
    assert int(ended(batch(tmp_path))[1].split()[-1], 16) == 0


def test_a_stop_reaches_the_ranks_while_the_file_system_lets_one_wait(slurm: Slurm, tmp_path: Path) -> None:
    waits = f"mkfifo {tmp_path}/.job-7.0/rank1; touch {tmp_path}/begun"  # whoever reads it waits
    slurm.stand_in("srun", f"trap 'rm {tmp_path}/.job-7.0/rank1; exit 3' USR1; {waits}; while sleep 0.05; do :; done")
    process = batch(tmp_path)
    while not (tmp_path / "begun").exists():
        time.sleep(0.01)
    time.sleep(0.3)  # some looks
    process.send_signal(signal.SIGTERM)
    assert ended(process) == (3, "note: job 7: stopped by a signal: requeued\n")


def test_a_rank_that_is_listed_but_has_ended_has_not_died(slurm: Slurm, tmp_path: Path) -> None:
    """A node may show the names in a folder as they were a minute ago."""
    slurm.stand_in("srun", f"ln -s gone {tmp_path}/.job-7.0/rank1")
    assert ended(batch(tmp_path)) == (0, "")


def test_a_folder_that_cannot_be_read_says_nothing_of_the_ranks(slurm: Slurm, tmp_path: Path) -> None:
    slurm.stand_in("srun", f"mkdir {tmp_path}/.job-7.0/rank1; sleep 1")
    said = f"error: job 7: {tmp_path}/.job-7.0: whether a rank has died cannot be told: Is a directory\n"
    assert ended(batch(tmp_path)) == (0, said)


@pytest.mark.parametrize("text", [r"17\n", ""])
def test_a_step_whose_ranks_are_dead_is_ended_whatever_they_wrote_last(slurm: Slurm, tmp_path: Path, text: str) -> None:
    # Nothing: killed between opening the file and writing to it.
    slurm.stand_in("srun", f"printf '{text}' >{tmp_path}/.job-7.0/rank1; exec sleep 60")
    assert ended(batch(tmp_path)) == (
        137,
        "error: job 7: the ranks that are left give no sign of life: their slurmstepd has died, the step is ended\n"
        "note: job 7: 1 of its ranks died: requeued\n",
    )


def test_a_step_is_waited_for_while_any_rank_lives(slurm: Slurm, tmp_path: Path) -> None:
    folder = tmp_path / ".job-7.0"
    beats = f'for n in {{1..60}}; do echo $n >"{folder}/rank0"; sleep 0.05; done'
    slurm.stand_in("srun", f'echo 17 >"{folder}/rank1"; {beats}; rm "{folder}"/rank*')
    assert ended(batch(tmp_path)) == (0, "")


def test_a_step_that_no_rank_has_begun_is_waited_for(slurm: Slurm, tmp_path: Path) -> None:
    slurm.stand_in("srun", f"touch {tmp_path}/.job-7.0/stop; exec sleep 2")
    assert ended(batch(tmp_path)) == (0, "")


def test_without_srun_the_job_is_not_tried_again(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(slurm.folder))
    (slurm.folder / "bash").symlink_to("/bin/bash")
    assert ended(batch(tmp_path)) == (127, "error: job 7: srun: No such file or directory\n")
