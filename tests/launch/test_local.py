"""Real processes: the launcher, a supervisor for each rank, and a worker that does as it is told."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from MetaCaptioner.launch import local
from tests.helpers import plain
from tests.pipeline.commands import environment

WORKER = """
import os, signal, sys, time
from pathlib import Path
rank, what = os.environ["RANK"], sys.argv[1:]
folder = Path(what[0])
def stop(number, frame):
    (folder / f"stopped{rank}").write_text(signal.Signals(number).name)
    sys.exit(3)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    signal.signal(number, stop)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1})
names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "OMP_NUM_THREADS")
(folder / f"told{rank}").write_text(" ".join(os.environ.get(name, "-") for name in names))
(folder / f"supervisor{rank}").write_text(str(os.getppid()))
while not (folder / "go").exists():
    time.sleep(0.02)
(folder / f"ended{rank}").touch()
sys.exit(int(dict(zip("0123", what[1:])).get(rank, 0)))
"""


def heed_signals() -> None:
    """Whatever has started the tests may ignore some of them, as nohup does."""
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


class Launch:
    """A launch of some ranks of the worker, which wait for the file `go`."""

    def __init__(
        self,
        folder: Path,
        ranks: int,
        nodes: int = 1,
        node: int = 0,
        statuses: tuple[int, ...] = (),
        before: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        (folder / "the_worker.py").write_text(WORKER)
        launch = local.command_of(local.Launch(ranks, nodes, node), "the_worker", [str(folder), *map(str, statuses)])
        env = environment()
        env["PYTHONPATH"] += f":{folder}"
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            [*before, *launch],
            env=env,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=heed_signals,
        )

    def wait_for(self, *names: str) -> None:
        deadline = time.monotonic() + 30
        while not all((self.folder / name).exists() for name in names):
            assert time.monotonic() < deadline, (names, self.said)
            time.sleep(0.02)

    @property
    def said(self) -> str:
        return plain((self.folder / "log").read_text())

    def supervisor(self, rank: int) -> int:
        return int((self.folder / f"supervisor{rank}").read_text())

    def end(self) -> int:
        (self.folder / "go").touch()
        return self.process.wait(timeout=30)


def test_each_rank_is_told_which_it_is_and_the_worst_status_is_that_of_all(tmp_path: Path) -> None:
    launch = Launch(tmp_path, 3, statuses=(0, 3, 2))
    assert launch.end() == 2
    told = [(tmp_path / f"told{rank}").read_text() for rank in range(3)]
    threads = max(1, len(os.sched_getaffinity(0)) // 3)
    assert told == [f"{rank} 3 {rank} 3 0 {threads}" for rank in range(3)]


@pytest.mark.parametrize(("statuses", "worst"), [((0, 0), 0), ((3, 0), 3), ((2, 3), 2), ((1, 2), 1)])
def test_the_worst_status(tmp_path: Path, statuses: tuple[int, ...], worst: int) -> None:
    assert Launch(tmp_path, 2, statuses=statuses).end() == worst


def test_the_ranks_of_a_second_node_start_although_the_first_never_does(tmp_path: Path) -> None:
    launch = Launch(tmp_path, 2, nodes=2, node=1)
    launch.wait_for("told2", "told3")
    assert launch.end() == 0
    assert (tmp_path / "told3").read_text().startswith("3 4 1 2 1 ")


@pytest.mark.parametrize(("number", "name"), [(signal.SIGKILL, "SIGKILL"), (signal.SIGRTMIN + 3, "signal 37")])
def test_a_supervisor_that_is_killed_leaves_the_other_ranks_working(tmp_path: Path, number: int, name: str) -> None:
    launch = Launch(tmp_path, 3)
    launch.wait_for("supervisor0", "supervisor1", "supervisor2")
    os.kill(launch.supervisor(1), number)
    while f"killed by {name}" not in launch.said:
        time.sleep(0.02)
    assert launch.process.poll() is None
    assert launch.end() == 1
    assert [(tmp_path / f"ended{rank}").exists() for rank in range(3)] == [True, False, True]
    assert f"rank 1: killed by {name}; the others go on" in launch.said


def test_kill_9_of_the_launcher_stops_its_ranks(tmp_path: Path) -> None:
    launch = Launch(tmp_path, 2)
    launch.wait_for("supervisor0", "supervisor1")
    launch.process.kill()
    launch.wait_for("stopped0", "stopped1")
    assert (tmp_path / "stopped0").read_text() == "SIGTERM"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP, signal.SIGQUIT])
def test_whatever_ends_the_launcher_stops_its_ranks(tmp_path: Path, number: signal.Signals) -> None:
    launch = Launch(tmp_path, 2)
    launch.wait_for("supervisor0", "supervisor1")
    launch.process.send_signal(number)
    assert launch.process.wait(timeout=30) == 3
    assert [(tmp_path / f"stopped{rank}").exists() for rank in range(2)] == [True, True]


def test_under_nohup_a_closed_terminal_ends_nothing(tmp_path: Path) -> None:
    launch = Launch(tmp_path, 1, before=("nohup",))
    launch.wait_for("supervisor0")
    launch.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert launch.end() == 0
    assert not (tmp_path / "stopped0").exists()


def test_a_signal_before_the_ranks_are_up_is_not_lost(tmp_path: Path) -> None:
    launch = Launch(tmp_path, 2)
    while not any(Path(f"/proc/{launch.process.pid}/task/{launch.process.pid}/children").read_text().split()):
        time.sleep(0.001)
    launch.process.send_signal(signal.SIGTERM)
    assert launch.process.wait(timeout=30) == 3
    assert "Traceback" not in launch.said


def test_a_rank_that_cannot_be_started_leaves_the_others_working(tmp_path: Path) -> None:
    """In a process of its own, for it takes over the signals; what fails is the second call of the system."""
    program = (
        "import errno, os, subprocess, sys\n"
        "from MetaCaptioner.launch import local\n"
        "def start(*command, env, **options):\n"
        "    if env['RANK'] == '1':\n"
        "        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))\n"
        "    return popen(*command, env=env, **options)\n"
        "popen, subprocess.Popen = subprocess.Popen, start\n"
        "command = [sys.executable, '-c', 'import os; open(os.environ[\\'RANK\\'], \\'w\\')']\n"
        "sys.exit(local.LocalRanks(command, local.Launch(3)).wait())\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment(), cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 1
    assert run.stderr == (
        "rank 1: cannot be started: Resource temporarily unavailable; the others go on. "
        "Run the same command again for what it left\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "2"]
