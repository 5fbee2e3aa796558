"""Calls to SLURM's commands, for which stand-ins do what a real SLURM does not do on demand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from MetaCaptioner.launch.slurm.scheduler import Scheduler
from tests.helpers import plain
from tests.launch.slurm.conftest import Slurm
from tests.pipeline.commands import environment

MUTE = "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1"


def scheduler(call_seconds: float = 120) -> Scheduler:
    return Scheduler(9, call_seconds, begin_line="job 7: ", or_else="; or else", own_job="7")


@pytest.mark.parametrize(
    ("mute", "why"),
    [
        (MUTE, "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"),
        ("echo 'slurm_load_jobs error: Socket timed out on send/recv operation' >&2; exit 1", "slurm_load_jobs"),
        ("exit 0", "it ended with status 0 and said nothing"),
        ("exit 1", "it ended with status 1 and said nothing"),
        ("kill -9 $$", "it ended with status 137 and said nothing"),
        ("sleep 60", "no answer within 1 s"),
        ("sleep 60 & exit 1", "no answer within 1 s"),
    ],
)  # fmt: skip
def test_a_command_that_is_mute_for_a_moment_is_asked_again(
    slurm: Slurm, capsys: pytest.CaptureFixture[str], mute: str, why: str
) -> None:
    slurm.stand_in("squeue", mute, times=1)
    assert scheduler(1).ask("squeue", "-h", pattern="^[A-Z_]+$") == "RUNNING"
    said = plain(capsys.readouterr().err)
    assert said.startswith(f"note: job 7: squeue gives no answer: {why}")
    assert said.endswith(": tried again for up to 9 s; or else\n")
    assert said.count("\n") == 1


def test_one_that_stays_mute_is_said(slurm: Slurm, capsys: pytest.CaptureFixture[str]) -> None:
    slurm.stand_in("squeue", MUTE)
    assert Scheduler(1).ask("squeue", "-h") is None
    assert plain(capsys.readouterr().err).splitlines()[1:] == [
        "error: squeue -h failed: slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    ]


def test_where_nobody_can_be_told_it_is_asked_again_all_the_same(slurm: Slurm) -> None:
    """A closed terminal does not keep a chain from being taken back."""
    slurm.stand_in("squeue", MUTE, times=1)
    code = (
        "from MetaCaptioner.launch.slurm.scheduler import Scheduler; "
        "from MetaCaptioner.utils.log_lines import speak; speak(); "
        "print(Scheduler(9).ask('squeue', '-h'), Scheduler(9).ask('scontrol', 'x'))"
    )
    slurm.stand_in("scontrol", "echo no >&2; exit 1")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], env=environment(), stdout=subprocess.PIPE, stderr=full)
    assert done.stdout == b"RUNNING None\n"


def test_a_refusal_is_none_to_try_again(slurm: Slurm, capsys: pytest.CaptureFixture[str]) -> None:
    slurm.stand_in("scontrol", "echo no >&2; echo never >&2; exit 1")
    assert scheduler().ask("scontrol", "requeue", "7") is None
    assert scheduler().ask("sprogram") is None
    assert plain(capsys.readouterr().err).splitlines() == [
        "error: job 7: scontrol requeue 7 failed: no",
        "error: job 7: never",
        "error: job 7: sprogram failed: sprogram: No such file or directory",
    ]


def test_a_job_that_sbatch_has_made_without_an_answer_is_not_made_twice(slurm: Slurm, tmp_path: Path) -> None:
    """The controller was too busy to say so."""
    made = 'echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1'
    slurm.stand_in("sbatch", f'touch "{tmp_path}/made"; {made}', times=1)
    slurm.stand_in(
        "squeue", f'[ ! -e "{tmp_path}/made" ] || printf "%s\\n" "7 the same" "12 of mine the same" "13 another"'
    )
    assert scheduler().submit("the same", ["x.sbatch"], os.environ) == "12"
    assert not slurm.calls


def test_a_job_that_was_not_made_is_submitted_again_and_a_refusal_is_not(
    slurm: Slurm, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.stand_in("sbatch", MUTE, times=1)
    assert scheduler().submit("c", ["x.sbatch"], os.environ) == "9"
    capsys.readouterr()
    slurm.stand_in("sbatch", "echo 'sbatch: error: invalid partition specified: gpus' >&2; exit 1")
    assert scheduler().submit("c", ["x.sbatch"], os.environ) is None
    assert plain(capsys.readouterr().err) == "error: job 7: sbatch: error: invalid partition specified: gpus\n"


def test_what_sbatch_says_beside_the_number_is_no_number(slurm: Slurm, capsys: pytest.CaptureFixture[str]) -> None:
    slurm.stand_in(
        "sbatch", "echo Welcome, 3 jobs are yours; echo 'sbatch: 5 hours are left' >&2; echo '21;here'; echo Bye"
    )
    assert scheduler().submit("c", ["x.sbatch"], os.environ) == "21"
    assert plain(capsys.readouterr().err) == "note: job 7: sbatch: 5 hours are left\n"


def test_a_job_that_is_submitted_from_within_another_knows_nothing_of_that(slurm: Slurm, tmp_path: Path) -> None:
    """Else a batch script would take itself for a task of a step, or a job for one of an array."""
    slurm.stand_in("sbatch", f"env | grep -E ^S | cut -d= -f1 | sort >{tmp_path}/told; echo 9")
    inside = dict.fromkeys(["SLURM_STEP_ID", "SLURM_ARRAY_TASK_ID", "SLURM_NTASKS", "SBATCH_WAIT"], "1")
    told = {"SLURM_CONF": "/etc/slurm.conf", "SBATCH_ACCOUNT": "a", "SQUEUE_STATES": "PENDING"}
    assert scheduler().submit("c", ["x.sbatch"], os.environ | inside | told) == "9"
    names = (tmp_path / "told").read_text().split()
    assert [name for name in names if name.startswith(("SL", "SB", "SQ"))] == ["SBATCH_ACCOUNT", "SLURM_CONF"]


def test_jobs_are_known_by_the_end_of_their_comment(slurm: Slurm) -> None:
    lines = ["30 mine a of /x", "7 a of /x", "30 mine a of /x", "5 of /x/y", "4 b of /x", "3"]
    slurm.stand_in("squeue", "\n".join(f"echo '{line}'" for line in lines))
    assert scheduler().jobs_of(" of /x") == ["4", "30"]
