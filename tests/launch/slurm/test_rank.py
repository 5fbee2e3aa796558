"""One task of a job, as srun starts it: a process of its own, and a command that does as it is told."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.commands import environment, run

RANK = [sys.executable, "-m", "MetaCaptioner.launch.slurm.rank"]
TOLD = {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "BEAT_SECONDS": "0.05"}


def rank(folder: Path, code: str, *before: str) -> "subprocess.Popen[str]":
    """A rank whose command is `code` of bash, of which USR1 is heard."""
    command = [*before, *RANK, str(folder), "bash", "-c", code]
    return subprocess.Popen(command, env=environment(TOLD), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


HEARS = (
    f"{sys.executable} -c 'import os, signal, time; from pathlib import Path;"
    "heard = {signal.SIGUSR1, signal.SIGTERM};"
    'signal.pthread_sigmask(signal.SIG_BLOCK, heard); Path("{begun}").touch();'
    "print(signal.Signals(signal.sigwait(heard)).name); time.sleep(0.3);"
    "print([number.name for number in signal.sigpending()]); os._exit(3)'"
)
"""A command that prints the signal that it gets, and those that came after that; it ends with status 3."""


def hears(folder: Path) -> str:
    return HEARS.replace("{begun}", str(folder / "begun"))


def begun(folder: Path) -> Callable[[], bool]:
    return (folder / "begun").exists


def test_a_rank_gives_signs_of_life_until_its_end_and_has_its_command_s_status(tmp_path: Path) -> None:
    process = rank(tmp_path, f'until [ -e "{tmp_path}/go" ]; do sleep 0.02; done; exit 2')
    sign = tmp_path / "rank0"
    wait_for(lambda: sign.exists() and sign.read_text() not in ("", "0\n"))
    (tmp_path / "go").touch()
    assert process.wait(timeout=30) == 2
    assert not sign.exists()


def test_a_command_that_a_signal_ends_has_a_shell_s_status(tmp_path: Path) -> None:
    assert rank(tmp_path, "kill -9 $$").wait(timeout=30) == 137
    assert not (tmp_path / "rank0").exists()


def test_a_rank_lives_on_when_its_sign_of_life_cannot_be_written_for_a_moment(tmp_path: Path) -> None:
    folder, away = tmp_path / "job", tmp_path / "away"
    folder.mkdir()
    moved = f'sleep 0.3; mv "{folder}" "{away}"; sleep 0.3; mv "{away}" "{folder}"; : >"{folder}/rank0"; '
    written = f'until [ -s "{folder}/rank0" ]; do sleep 0.02; done; grep -c . "{folder}/rank0"'
    done = run([*RANK, folder, "bash", "-c", moved + written], TOLD)
    assert (done.returncode, done.stdout) == (0, "1\n")


def test_a_rank_that_cannot_give_a_sign_of_life_does_not_begin(tmp_path: Path) -> None:
    done = run([*RANK, tmp_path / "absent", "echo", "begun"], TOLD)
    assert (done.returncode, done.stdout) == (
        1,
        f"error: {tmp_path}/absent/rank0: the sign of life cannot be written: No such file or directory\n",
    )


def test_a_rank_that_shall_stop_before_it_has_begun_does_not_begin(tmp_path: Path) -> None:
    (tmp_path / "stop").touch()
    done = run([*RANK, tmp_path, "echo", "begun"], TOLD)
    assert (done.returncode, done.stdout) == (3, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_to_stop_is_handed_on_once_as_the_one_that_ranks_know(tmp_path: Path, number: signal.Signals) -> None:
    process = rank(tmp_path, hears(tmp_path))
    wait_for(begun(tmp_path))
    for each in (number, signal.SIGTERM, signal.SIGUSR1):
        process.send_signal(each)
        time.sleep(0.02)
    said, _ = process.communicate(timeout=30)
    assert (process.returncode, said) == (3, "SIGUSR1\n[]\n")


def test_a_stop_of_the_whole_step_finds_a_command_that_is_still_beginning(tmp_path: Path) -> None:
    """SLURM sends it to all processes of the step; a shell that only prepares the stage would die of it."""
    process = rank(tmp_path, f'touch "{tmp_path}/shell"; sleep 0.5; exec {hears(tmp_path)}')
    wait_for((tmp_path / "shell").exists)
    [shell] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(shell), signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    assert (process.returncode, said.splitlines()[0]) == (3, "SIGTERM")


def test_a_stop_that_came_before_srun_knew_of_the_rank_is_found(tmp_path: Path) -> None:
    process = rank(tmp_path, hears(tmp_path))
    wait_for(begun(tmp_path))
    (tmp_path / "stop").touch()
    said, _ = process.communicate(timeout=30)
    assert (process.returncode, said) == (3, "SIGUSR1\n[]\n")


def test_a_rank_that_has_lost_its_slurmstepd_stops(tmp_path: Path) -> None:
    slurmstepd = rank(tmp_path, hears(tmp_path), "bash", "-c", '"$@" & wait', "slurmstepd")
    wait_for(begun(tmp_path))
    slurmstepd.kill()
    said, _ = slurmstepd.communicate(timeout=30)
    assert said == "SIGUSR1\n[]\n"
    wait_for(lambda: not (tmp_path / "rank0").exists())


def test_kill_9_of_a_rank_stops_its_command_and_leaves_its_sign_of_life(tmp_path: Path) -> None:
    process = rank(tmp_path, hears(tmp_path))
    wait_for(begun(tmp_path))
    process.kill()
    # It may come again, from the kernel, for each thread of the rank; that is one stop.
    assert process.communicate(timeout=30)[0].splitlines()[0] == "SIGTERM"
    assert (tmp_path / "rank0").exists()


def test_what_srun_has_not_started_is_no_rank(tmp_path: Path) -> None:
    done = run([*RANK, tmp_path, "true"], {"SLURM_PROCID": ""})
    said = "error: this is no task that srun has started: SLURM_PROCID is ''\n"
    assert (done.returncode, done.stdout) == (1, said)


@pytest.mark.parametrize("name", ["rank", "job", "submit", "plans"])
def test_only_what_is_needed_is_loaded(name: str) -> None:
    """Each rank of a large job loads it anew from a shared file system."""
    code = f"import sys, MetaCaptioner.launch.slurm.{name}; print(*sorted(sys.modules))"
    loaded = set(run([sys.executable, "-c", code]).stdout.split())
    assert not loaded & {"numpy", "vllm", "torch", "pydantic", "msgspec", "yaml", "PIL", "asyncio"}
    rooms = {module.split(".")[1] for module in loaded if module.startswith("MetaCaptioner.")}
    assert rooms <= {"launch", "runtime", "utils", "errors"}
