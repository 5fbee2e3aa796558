import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from MetaCaptioner.launch import supervisor
from MetaCaptioner.launch.supervisor import Pulse
from MetaCaptioner.runtime.heartbeat import Heartbeat
from tests.helpers import plain
from tests.random_model import ROOT

WORKER = """
import os, pathlib, signal, sys, time
from MetaCaptioner.runtime.signals import StopSignal, dump_stacks_on_request
from MetaCaptioner.runtime.heartbeat import inherited_heartbeat
folder = pathlib.Path(os.environ["FOLDER"])
lives = folder / "lives"
with lives.open("a") as file:
    file.write(f"{os.getpid()}\\n")
life = len(lives.read_text().splitlines())
heartbeat = inherited_heartbeat(os.environ)
"""
SUPERVISOR = """
import sys
from MetaCaptioner.launch import supervisor as supervise
supervise._LOOK_SECONDS, supervise._DUMP_SECONDS, supervise._LEFTOVER_SECONDS = 0.1, 0.5, 1.0
supervise.run_main(supervise.main)
"""


def start(folder: Path, program: str, *options: str, rank: int = 0) -> "subprocess.Popen[str]":
    """A supervisor over a module made of `program`, which knows its `life` (from 1), its `heartbeat` and a `folder`."""
    (folder / "worker.py").write_text(WORKER + program)
    variables = {"PYTHONPATH": f"{ROOT}:{folder}", "FOLDER": str(folder), "RANK": str(rank), "WORLD_SIZE": "4"}
    return subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, *options, "worker"],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(folder: Path, program: str, *options: str, rank: int = 0) -> tuple[int, str]:
    """(exit status, what was said)"""
    process = start(folder, program, *options, rank=rank)
    said, _ = process.communicate(timeout=60)
    return process.returncode, plain(said)


def lives(folder: Path) -> list[int]:
    """The process ids of the workers so far."""
    path = folder / "lives"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline, f"no {path.name}"
        time.sleep(0.02)
    return path.read_text()


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.05)


IN_GOOD_ORDER = [("", 0), ("raise SystemExit(1)", 1), ("raise SystemExit(2)", 2), ("raise SystemExit(3)", 3)]


@pytest.mark.parametrize(("program", "status"), [*IN_GOOD_ORDER, ("1 / 0", 1)])
def test_a_worker_that_ends_in_good_order_is_not_started_again(tmp_path: Path, program: str, status: int) -> None:
    assert run(tmp_path, program)[0] == status
    assert len(lives(tmp_path)) == 1


@pytest.mark.parametrize(
    ("death", "told"),
    [
        ("os.kill(os.getpid(), 9)", "was killed by SIGKILL (out of memory?)"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "was killed by SIGSEGV"),
        ("os._exit(4)", "ended with its engine"),
        ("os._exit(17)", "ended with status 17"),
        ("os.kill(os.getpid(), signal.SIGRTMIN + 3)", f"was killed by signal {signal.SIGRTMIN + 3}"),
    ],
)
def test_a_worker_that_dies_is_started_again(tmp_path: Path, death: str, told: str) -> None:
    status, said = run(tmp_path, f"if life == 1:\n    {death}\nassert heartbeat.deaths == 1", rank=2)
    assert status == 0, said
    assert f"rank 2: the worker {told}; another one goes on" in said
    assert len(lives(tmp_path)) == 2


def test_a_rank_is_given_up_after_so_many_deaths_that_finished_nothing(tmp_path: Path) -> None:
    status, said = run(
        tmp_path, "heartbeat.max_deaths = 3\nos._exit(4) if life < 3 else os.kill(os.getpid(), 9)", rank=1
    )
    assert status == 1
    assert len(lives(tmp_path)) == 3
    assert said.splitlines()[-1] == (
        "error: rank 1: given up: 3 workers died without settling a sample between them (2 times it ended with its "
        "engine; once it was killed by SIGKILL (out of memory?)). What they said is above, what their engines printed "
        "in runs/Rank*_node*.engine.log beside the results. Mend the cause and run the "
        "same command again, or allow more with --max-deaths"
    )


def test_a_finished_sample_lets_the_count_of_deaths_begin_anew(tmp_path: Path) -> None:
    program = "heartbeat.max_deaths = 3\nheartbeat.finished += life in (2, 4)\nos._exit(4 if life < 6 else 0)"
    assert run(tmp_path, program)[0] == 0
    assert len(lives(tmp_path)) == 6


def test_error_records_are_no_progress(tmp_path: Path) -> None:
    """Else a machine on which every sample kills the engine would turn the whole dataset into `engine_crash`."""
    assert run(tmp_path, "heartbeat.max_deaths = 3\nheartbeat.records += 5\nos._exit(4)")[0] == 1
    assert len(lives(tmp_path)) == 3


def test_a_proven_poisoned_sample_is_progress(tmp_path: Path) -> None:
    program = "heartbeat.max_deaths = 3\nheartbeat.poisoned += life > 2\nheartbeat.records += life > 2\n"
    status, said = run(tmp_path, f"{program}os._exit(4 if life < 11 else 0)")
    assert (status, len(lives(tmp_path))) == (0, 11), said


def test_where_all_samples_seem_poisoned_the_rank_is_given_up(tmp_path: Path) -> None:
    """Else a machine on which every sample kills the engine would turn the whole dataset into `engine_crash`."""
    status, said = run(
        tmp_path, "heartbeat.max_deaths = 2\nheartbeat.poisoned += 1\nheartbeat.records += 1\nos._exit(4)"
    )
    assert (status, len(lives(tmp_path))) == (1, 8)
    assert "8 workers died, and all samples between them ended as engine_crash: it may be the engine" in said
    assert "--retry-errors" in said


def test_one_sample_that_ends_well_lets_that_count_begin_anew_too(tmp_path: Path) -> None:
    program = "heartbeat.max_deaths = 2\nheartbeat.poisoned += 1\nheartbeat.finished += life % 7 == 0\n"
    assert run(tmp_path, f"{program}os._exit(4 if life < 16 else 0)")[0] == 0


SUPERVISED = """
os.environ["_METACAPTIONER_SUPERVISOR"] = f"{{os.getppid()}} -1"  # which was taken out above
from MetaCaptioner.errors import UserError
from MetaCaptioner.launch.supervisor import run_supervised
def main():
    if life == 1:
        {what}
    return 0
if __name__ == "__main__":
    run_supervised(main, list)
"""


@pytest.mark.parametrize("what", ["1 / 0", "[].pop()", "raise MemoryError"])
def test_what_nobody_foresaw_is_a_death_of_the_worker_and_no_good_order(tmp_path: Path, what: str) -> None:
    program = SUPERVISED.format(what=what)
    status, said = run(tmp_path, program)
    assert (status, len(lives(tmp_path))) == (0, 2), said
    assert "Traceback" in said
    assert "the worker ended with an error that nobody foresaw; another one goes on" in said


def test_what_the_user_must_mend_ends_the_rank_at_once(tmp_path: Path) -> None:
    status, said = run(tmp_path, SUPERVISED.format(what="raise UserError('mend it')"))
    assert (status, len(lives(tmp_path)), said) == (1, 1, "error: mend it\n")


# --- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_is_handed_on_even_if_the_worker_has_only_begun(tmp_path: Path, number: signal.Signals) -> None:
    process = start(
        tmp_path,
        "(folder / 'up').write_text('x\\n')\ntime.sleep(1)\nstop = StopSignal()\nstop.interruptible = False\n"
        "stop.install()\nprint('got', stop.received)\nsys.exit(3)\n",
    )
    wait_for(tmp_path / "up")
    process.send_signal(number)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 3
    assert said == f"got {number.name}\n"


def test_a_worker_that_dies_of_a_signal_to_stop_has_been_stopped(tmp_path: Path) -> None:
    process = start(
        tmp_path,
        "signal.signal(signal.SIGTERM, lambda *_: os._exit(4))\n"
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])\n"
        "(folder / 'up').write_text('x\\n')\ntime.sleep(30)\n",
    )
    wait_for(tmp_path / "up")
    process.terminate()
    assert process.wait(timeout=20) == 3
    assert len(lives(tmp_path)) == 1


def test_a_signal_between_two_workers_ends_the_rank(tmp_path: Path) -> None:
    process = start(tmp_path, "(folder / 'up').write_text('x\\n') if life == 3 else None\nos._exit(4)\n")
    wait_for(tmp_path / "up")  # the pause after the third death is of 3 s
    process.terminate()
    assert process.wait(timeout=20) == 3
    assert len(lives(tmp_path)) == 3


def test_a_ctrl_c_at_the_terminal_reaches_the_worker_but_not_its_engine(tmp_path: Path) -> None:
    """The terminal signals all processes of the foreground group at once."""
    process = start(
        tmp_path,
        "import subprocess\nengine = subprocess.Popen(['sleep', '30'])\n"
        "stop = StopSignal()\nstop.interruptible = False\nstop.install()\n(folder / 'up').write_text('x\\n')\n"
        "while not stop.received:\n    time.sleep(0.05)\ntime.sleep(0.3)\n"
        "print('engine', engine.poll())\nengine.kill()\nsys.exit(3)\n",
    )
    wait_for(tmp_path / "up")
    assert os.getpgid(lives(tmp_path)[0]) != os.getpgid(process.pid)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=20)
    assert (process.returncode, said) == (3, "engine None\n")


# --- no process is left over


def test_a_worker_does_not_outlive_its_supervisor(tmp_path: Path) -> None:
    process = start(tmp_path, "(folder / 'up').write_text('x\\n')\ntime.sleep(60)")
    wait_for(tmp_path / "up")
    process.kill()
    process.wait()
    wait_until_gone(lives(tmp_path)[0])


def test_what_a_dead_worker_leaves_is_gone_before_the_next_begins(tmp_path: Path) -> None:
    """It may hold the GPU's memory."""
    program = (
        "import subprocess\n"
        "if life == 1:\n"
        "    engine = subprocess.Popen(['sleep', '60'])\n"
        "    (folder / 'engine').write_text(f'{engine.pid}\\n')\n"
        "    os.kill(os.getpid(), 9)\n"
        "engine = (folder / 'engine').read_text().strip()\n"
        "try:\n    state = pathlib.Path(f'/proc/{engine}/stat').read_text().split()[2]\n"
        "except FileNotFoundError:\n    state = 'gone'\n"
        "print('the engine is', state)\n"
    )
    status, said = run(tmp_path, program)
    assert status == 0
    assert re.search("the engine is (gone|Z)", said), said


# --- the watchdog


HANGS = "heartbeat.stall_seconds, heartbeat.requests = 0.5, 7\n"


def test_a_worker_without_progress_shows_its_stacks_and_is_started_again(tmp_path: Path) -> None:
    program = (
        "dump_stacks_on_request()\n"
        "def wait_for_a_token_that_never_comes():\n    time.sleep(60)\n"
        f"{HANGS}if life == 1:\n    wait_for_a_token_that_never_comes()\n"
    )
    status, said = run(tmp_path, program)
    assert status == 0
    told = "note: rank 0: no token for 0.5 s; what worker and engine (see its log) are at:\n"
    told += f"note: rank 0: process {lives(tmp_path)[0]} (python"
    assert told in said
    assert "in wait_for_a_token_that_never_comes" in said
    assert re.search(r"the worker was taken for hung: 7 requests, no token for \d s; another one goes on", said)


def test_a_worker_that_is_stuck_altogether_is_noticed_too(tmp_path: Path) -> None:
    status, said = run(tmp_path, f"{HANGS}if life == 1:\n    os.kill(os.getpid(), signal.SIGSTOP)\n")
    assert (status, len(lives(tmp_path))) == (0, 2), said


@pytest.mark.parametrize("sign", ["progress", "records"])
def test_a_slow_worker_is_left_alone(tmp_path: Path, sign: str) -> None:
    program = f"{HANGS}for _ in range(12):\n    heartbeat.{sign} += 1\n    time.sleep(0.2)\n"
    status, said = run(tmp_path, program)
    assert (status, said, len(lives(tmp_path))) == (0, "", 1)


@pytest.mark.parametrize("calm", ["heartbeat.requests = 0", "heartbeat.stall_seconds = 0"])
def test_nobody_waits_or_nobody_watches(tmp_path: Path, calm: str) -> None:
    assert run(tmp_path, f"{HANGS}{calm}\ntime.sleep(2)") == (0, "")


def test_time_in_which_the_supervisor_was_stopped_too_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A suspended job has had no token for hours when it goes on."""
    now = 1000.0
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: now)
    heartbeat = Heartbeat(requests=1, stall_seconds=10)
    pulse = Pulse(heartbeat)
    now += 5000
    assert not pulse.look()
    assert pulse.silent_seconds <= 2
    for _ in range(8):
        now += 1
        assert not pulse.look()
    now += 1
    assert pulse.look()
    heartbeat.progress += 1
    assert not pulse.look()
    assert pulse.silent_seconds == 0


# --- the supervisor itself


def test_the_supervisor_is_small() -> None:
    """It outlives many workers: nothing but the standard library and a few modules of ours."""
    program = (
        "import sys; import MetaCaptioner.launch.supervisor; "
        "print(*sorted({m.partition('.')[0] for m in sys.modules} - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    heavy = set(done.stdout.split()) & {"numpy", "PIL", "pydantic", "yaml", "tqdm", "torch", "vllm"}
    assert heavy == set()


@pytest.mark.parametrize("module", ["inferdomain", "captionpipeline", "inferscore"])
@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_a_stage_that_is_started_by_hand_becomes_its_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    """With all that is said as flags, so that a file that changes meanwhile makes no other worker of the next one."""
    became: list[list[str]] = []

    def execv(path: str, command: list[str]) -> None:
        became.append([path, *command])
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", execv)
    where = ["--data-folder=d"] if module == "inferscore" else ["--plan=p", "--output-dir=o"]
    (tmp_path / "run.yaml").write_text("max_pixels: 1000")
    monkeypatch.setenv("MODEL", "m")
    monkeypatch.setattr(sys, "argv", ["x", *where, f"--config={tmp_path / 'run.yaml'}"])
    with pytest.raises(SystemExit):
        runpy.run_module(f"MetaCaptioner.{module}", run_name="__main__", alter_sys=True)
    [[path, *command]] = became
    assert [path, *command[:4]] == [
        *(sys.executable, sys.executable, "-m", "MetaCaptioner.launch.supervisor", f"MetaCaptioner.{module}")
    ]
    assert sorted(command[4:]) == sorted([*where, "--model=m", "--max-pixels=1000", "--config="])
