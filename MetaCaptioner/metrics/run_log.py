"""`runs/Rank*_node*.jsonl` of a result folder: what the runs of each rank took, appended and read back."""

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from MetaCaptioner.errors import ResultError
from MetaCaptioner.records.published_counts import RUNS
from MetaCaptioner.records.record import Record
from MetaCaptioner.utils.atomic_io import write_whole
from MetaCaptioner.utils.json_text import from_json, to_json
from MetaCaptioner.utils.safe_open import read_file


class RunLog:
    """The run log of one rank on one node.

    A line names its `run`, and of the lines of a run the last counts: a run that is killed leaves the one before.

    Raises:
        ResultError: it cannot be written.
    """

    def __init__(self, folder: Path, rank: int, node: int) -> None:
        self._path = folder / RUNS / f"Rank{rank}_node{node}.jsonl"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_RDWR | os.O_CLOEXEC, 0o666)
            size = os.fstat(self._file).st_size
            if size and os.pread(self._file, 1, size - 1) != b"\n":
                os.write(self._file, b"\n")  # a run was killed while it wrote
        except OSError as error:
            raise ResultError(f"run log {self._path}: cannot be written: {error.strerror}") from error

    def append(self, run: Record) -> None:
        """Write the account of a run, which takes the place of its earlier ones.

        Raises:
            ResultError: the disk is full or the like.
        """
        try:
            write_whole(self._file, to_json(run) + b"\n")
        except OSError as error:
            raise ResultError(f"run log {self._path}: cannot be written: {error.strerror}") from error

    def close(self) -> None:
        os.close(self._file)


def engine_log(folder: Path, rank: int, node: int) -> Path:
    """Where it is kept what the engine of a rank prints."""
    return folder / RUNS / f"Rank{rank}_node{node}.engine.log"


def server_log(folder: Path, name: str) -> Path:
    """Where it is kept what the server of a model prints, by its name and this machine's."""
    return folder / RUNS / f"served-{name}-{platform.node()}.log"


def run_logs(folder: Path) -> list[Path]:
    """The run logs of a result folder, one for each process that has worked there."""
    return sorted((folder / RUNS).glob("Rank*_node*.jsonl"))


def read_run_log(path: Path) -> Iterator[Record]:
    """The accounts in a run log, in the order they were written; torn lines are passed over.

    Raises:
        ResultError: it cannot be read.
    """
    try:
        lines = read_file(path).splitlines()
    except OSError as error:
        raise ResultError(f"run log {path}: cannot be read: {error.strerror}") from error
    for line in lines:
        with suppress(ValueError):
            run = from_json(line, finite=True)
            if isinstance(run, dict):
                yield run


def read_runs(folder: Path) -> list[Record]:
    """The last account of every run whose results are in `folder`.

    Raises:
        ResultError: a run log cannot be read.
    """
    return list({str(run.get("run")): run for path in run_logs(folder) for run in read_run_log(path)}.values())
