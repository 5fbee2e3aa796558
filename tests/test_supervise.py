import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.random_model import ROOT


def start(folder: Path, program: str, rank: int = 0) -> "subprocess.Popen[bytes]":
    """A supervisor over a module made of `program`."""
    (folder / "worker.py").write_text(program)
    return subprocess.Popen(
        [sys.executable, "-m", "MetaCaptioner.supervise", str(folder), "worker"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{folder}", "RANK": str(rank), "WORLD_SIZE": "4"},
    )


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return path.read_text()


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("", "0"),
        ("raise SystemExit(2)", "2"),
        ("raise SystemExit(3)", "3"),
        ("1 / 0", "1"),
        ("import os; os.kill(os.getpid(), 9)", "1"),
    ],
)
def test_the_supervisor_ends_well_and_leaves_the_status(tmp_path: Path, program: str, status: str) -> None:
    assert start(tmp_path, program, rank=3).wait(timeout=30) == 0
    assert (tmp_path / "rank3").read_text() == f"{status}\n"


@pytest.mark.parametrize(("handled", "status"), [(True, "3"), (False, "3")])
def test_a_signal_is_handed_on(tmp_path: Path, handled: bool, status: str) -> None:
    """A rank that is killed by it, because it had not yet begun, was stopped too."""
    handler = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\n" if handled else ""
    program = f"import pathlib, signal, sys, time\n{handler}pathlib.Path({str(tmp_path / 'up')!r}).write_text('x')\n"
    process = start(tmp_path, f"{program}time.sleep(30)")
    wait_for(tmp_path / "up")
    os.kill(int(wait_for(tmp_path / "pid0")), signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    assert (tmp_path / "rank0").read_text() == f"{status}\n"


def test_a_rank_does_not_outlive_its_supervisor(tmp_path: Path) -> None:
    up = tmp_path / "up"
    program = f"import os, pathlib, time\npathlib.Path({str(up)!r}).write_text(str(os.getpid()))\ntime.sleep(60)"
    process = start(tmp_path, program)
    rank = int(wait_for(up))
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{rank}").exists():
        assert time.monotonic() < deadline, "the rank goes on without its supervisor"
        time.sleep(0.05)
