"""Starts the program as a user does: in processes of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from MetaCaptioner.engine import vllm_arguments
from MetaCaptioner.records.reader import read_records, result_files
from tests.helpers import plain
from tests.random_model import ROOT

Record = dict[str, Any]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with the package on the path and no rank of an outer launcher.

    Nor what an engine has set that other tests have loaded in this process.
    """
    others = ("SLURM_", "RANK", *vllm_arguments.environment(on_gpu=False))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return {**inherited, "PYTHONPATH": str(ROOT), "PYTHON": sys.executable, **(extra or {})}


def run(
    command: Sequence[str | Path], extra: Mapping[str, str] | None = None, timeout: float = 300
) -> "subprocess.CompletedProcess[str]":
    """Run a command; stderr comes with stdout, in the order it was written, and `plain`."""
    done = subprocess.run(
        [str(part) for part in command],
        env=environment(extra),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    done.stdout = plain(done.stdout)
    return done


def module(name: str, *arguments: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", f"MetaCaptioner.{name}", *arguments]


def script(name: str, *arguments: str | Path) -> list[str | Path]:
    return [sys.executable, ROOT / "dataprocess" / f"{name}.py", *arguments]


def succeed(command: Sequence[str | Path], extra: Mapping[str, str] | None = None, timeout: float = 300) -> str:
    """Run a command that must end with status 0; returns what it printed."""
    done = run(command, extra, timeout)
    assert done.returncode == 0, done.stdout
    return done.stdout


def records(folder: Path) -> list[Record]:
    return [record for path, _ in result_files(folder) for record in read_records(path)]


def sample_ids(folder: Path) -> list[str]:
    return sorted(record["sample_id"] for record in records(folder))


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path
