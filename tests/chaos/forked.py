"""Ranks that start in a moment, forked from a process that has imported the program, and are killed as any other."""

import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal

from MetaCaptioner import captionpipeline, inferscore
from MetaCaptioner.launch import supervisor
from MetaCaptioner.records import rank_lock
from MetaCaptioner.utils.cli import run_main
from tests.chaos.processes import children, session

Part = Literal["rank", "worker", "group"]
_MAINS = {"captionpipeline": captionpipeline.main, "inferscore": inferscore.main, "launch.supervisor": supervisor.main}
_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Rank:
    """One process of a launch, perhaps a supervisor with its worker, in a session of its own."""

    process: BaseProcess
    log: Path
    asked_log: Path

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def status(self) -> int | None:
        """None while it is there; negative if a signal has ended it."""
        return self.process.exitcode

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def asked(self) -> Counter[str]:
        """The requests that its engine has had."""
        return Counter(self.asked_log.read_text().splitlines() if self.asked_log.exists() else ())

    def kill(self, part: Part) -> bool:
        """Kill -9 it, its worker if it has one, or both and all of their groups; whether there was anything to kill."""
        workers = children(self.pid)
        groups = [self.pid, *workers]
        with suppress(ProcessLookupError):
            if part == "group":
                for group in groups:
                    os.killpg(group, signal.SIGKILL)
            else:
                os.kill(workers[0] if part == "worker" and workers else self.pid, signal.SIGKILL)
            return True
        return False

    def wait(self, seconds: float = 120) -> int:
        """The exit status, once it and all that it started are gone."""
        self.process.join(timeout=seconds)
        assert self.status is not None, f"hangs: {self.said}"
        deadline = time.monotonic() + seconds
        while any(session(int(entry.name)) == self.pid for entry in Path("/proc").glob("[0-9]*")):
            assert time.monotonic() < deadline, f"leaves processes: {self.said}"
            time.sleep(0.02)
        return self.status


def start(program: str, arguments: Sequence[object], log: Path, asked_log: Path, rank: tuple[int, int]) -> Rank:
    """Start a program of the package as rank `rank` = (number, world size)."""
    texts = [str(argument) for argument in arguments]
    process = _FORKING.Process(target=_run, args=(program, texts, log, rank))
    process.start()
    return Rank(process, log, asked_log)


def _run(program: str, arguments: list[str], log: Path, rank: tuple[int, int]) -> None:
    os.setsid()
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        del os.environ[name]
    root = str(Path(__file__).parents[2])
    os.environ.update(RANK=str(rank[0]), WORLD_SIZE=str(rank[1]), CUDA_VISIBLE_DEVICES="", PYTHONPATH=root)
    with log.open("ab") as out:
        os.dup2(out.fileno(), sys.stdout.fileno())
        os.dup2(out.fileno(), sys.stderr.fileno())
    rank_lock._LOCK_SECONDS = 0.5
    run_main(lambda: _MAINS[program](arguments))
