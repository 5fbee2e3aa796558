"""The processes of a run, by their part in it, and how to kill one of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.pipeline.commands import environment

Part = Literal["supervisor", "worker", "engine"]


def children(pid: int) -> list[int]:
    """The children of a process; none if it is gone."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@dataclass
class Run:
    """A supervised stage in processes of its own."""

    command: Sequence[str | Path]
    log: Path

    def __post_init__(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(part) for part in self.command],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def pid(self, part: Part) -> int | None:
        """The process that is this part just now, if there is one. An engine is what its worker has spawned."""
        if part == "supervisor":
            return self.process.pid
        worker = next(iter(children(self.process.pid)), None)
        if part == "worker" or worker is None:
            return worker
        # The scripted engine is a spawned process; vLLM gives its process a name instead.
        engines = [c for c in children(worker) if "spawn_main" in command_line(c) or "EngineCore" in command_line(c)]
        return engines[0] if engines else None

    def kill(self, part: Part) -> bool:
        """Kill -9; whether there was anything to kill."""
        pid = self.pid(part)
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        if part == "supervisor":
            self.process.wait()
        return True

    def family(self) -> list[int]:
        """All processes of the run that are alive, whoever their parent is by now."""
        everyone = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [pid for pid in everyone if session(pid) == self.process.pid]


def session(pid: int) -> int | None:
    """The session of a process that is alive."""
    try:
        state, _, _, number = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:4]
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else int(number)


def wait_until_gone(run: Run, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while family := run.family():
        assert time.monotonic() < deadline, f"left over: {[(pid, command_line(pid)) for pid in family]}"
        time.sleep(0.05)


def stage(name: str, *flags: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", f"MetaCaptioner.{name}", *flags]
