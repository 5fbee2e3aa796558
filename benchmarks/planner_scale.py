"""How planner and rank start bear ten million rows.

    python -m benchmarks.planner_scale --work /scratch/planner [--rows 10000000]

Makes datasets (some GB, removed at the end), plans them in a process of its own, plans again what some results leave,
starts single ranks, and prints what each took, as a Markdown table.
"""

import argparse
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil

from benchmarks.planner_data import describe_datasets, make_data, make_results
from MetaCaptioner import captionpipeline
from MetaCaptioner.agents.prompts import load_prompts
from MetaCaptioner.errors import BadArguments
from MetaCaptioner.planning.plan_file import read_plan
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.runner.stage import open_plan_work
from MetaCaptioner.runtime.rank import Rank
from MetaCaptioner.utils.cli import run_main, say

_POLL_SECONDS = 0.05
_MIB = 2**20


@dataclass(frozen=True)
class Planned:
    """One run of the planner with its helpers: seconds on the clock and of the processors, peak memory; its plan."""

    seconds: float
    processor_seconds: float
    peak_mib: float
    shards: int
    samples: int
    above_mean: float


@dataclass(frozen=True)
class Start:
    """One rank's start after its imports: seconds until its work is open and the first sample read; its samples."""

    seconds: float
    samples: int


def run_planner(metafile: Path, output: Path, ranks: int, *more: str | Path) -> Planned:
    """Plan in a process of its own and measure it."""
    command = [sys.executable, "-m", "MetaCaptioner.plan", "--metafile", metafile, "--output", output]
    command += ["--num-ranks", str(ranks), *more]
    begin = time.perf_counter()
    planner = subprocess.Popen([str(part) for part in command])
    peak = ended = 0
    while not ended:
        time.sleep(_POLL_SECONDS)
        peak = max(peak, _resident_bytes(planner.pid))
        ended, status, usage = os.wait4(planner.pid, os.WNOHANG)
    seconds = time.perf_counter() - begin
    planner.returncode = os.waitstatus_to_exitcode(status)
    if planner.returncode:
        raise subprocess.CalledProcessError(planner.returncode, "MetaCaptioner.plan")
    rows, _ = read_plan(output)
    loads = np.zeros(ranks)
    for row in rows:
        loads[row.assign_rank] += row.cost or 0.0
    samples = sum(row.end_idx - row.start_idx for row in rows)
    above_mean = float(loads.max() / loads.mean() - 1)
    return Planned(seconds, usage.ru_utime + usage.ru_stime, peak / _MIB, len(rows), samples, above_mean)


def _resident_bytes(process_id: int) -> int:
    """What a process and all that it started hold in memory."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        planner = psutil.Process(process_id)
        for process in (planner, *planner.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total


def start_rank(plan: Path, rank: int, ranks: int, output: Path) -> Start:
    """Start one rank in a process of its own, as far as its first sample."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
        return alone.submit(_start_rank, plan, rank, ranks, output).result()


def _start_rank(plan: Path, rank: int, ranks: int, output: Path) -> Start:
    options, prompts = StageOptions(model="none"), load_prompts()
    begin = time.perf_counter()
    with ExitStack() as stack:
        expected = captionpipeline.STAGE.expects(options, prompts)
        work = open_plan_work(expected, plan, output, options, Rank(rank, ranks), prompts, stack)
        samples = work.pending()
        next(work.items(), None)
        seconds = time.perf_counter() - begin
        if work.problems:
            raise RuntimeError(work.problems[0])
        return Start(seconds, samples)


def import_seconds() -> float:
    """How long Python takes to start and to import what a rank imports before its engine."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import MetaCaptioner.captionpipeline"], check=True)
    return time.perf_counter() - begin


class Table:
    """Rows of what was measured against what was asked."""

    def __init__(self) -> None:
        self.lines = ["| measured | value | asked |", "| --- | ---: | ---: |"]

    def add(self, what: str, value: str, asked: str = "") -> None:
        """Add a row, and say it at once."""
        say(f"{what}: {value}")
        self.lines.append(f"| {what} | {value} | {asked} |")

    def add_plan(self, what: str, plan: Planned, limit: str = "") -> None:
        """Add the rows of a run of the planner, which may have a limit on its time."""
        self.add(what, f"{plan.seconds:.1f} s", limit)
        self.add("processors' time for it", f"{plan.processor_seconds:.1f} s")
        self.add("peak memory, helpers included", f"{plan.peak_mib:,.0f} MiB", "1,500 MB")
        self.add("highest rank's cost above the mean", f"{100 * plan.above_mean:.3f}%", "1%")


def measure(work: Path, rows: int, datasets: int, ranks: int, records: int, table: Table) -> None:
    """Make `datasets` datasets of `rows` rows in all and measure plan, rank start and plan after `records` results."""
    begin = time.perf_counter()
    metafile = make_data(work, describe_datasets(rows, datasets))
    size = sum(path.stat().st_size for path in work.glob("set*"))
    say(f"{rows:,} rows in {datasets} files, {size / 1e9:.1f} GB, made in {time.perf_counter() - begin:.0f} s")
    what = f"{datasets} datasets, lists and JSONL" if datasets > 1 else "one JSON list"
    plan = work / "plan.jsonl"
    first = run_planner(metafile, plan, ranks)
    table.add_plan(
        f"**plan {rows:,} rows ({what}, {size / 1e9:.1f} GB), {ranks:,} ranks**", first, "60 s" if datasets > 1 else ""
    )
    again = run_planner(metafile, plan, ranks)
    table.add("the same once there are indexes", f"{again.seconds:.1f} s")
    _measure_starts(work, plan, ranks, table)
    for index in work.glob(".set*.npy"):
        index.unlink()
    missing = start_rank(plan, ranks // 2, ranks, work / "out")
    table.add("the same of a rank that finds no index, and makes it", f"{missing.seconds:.1f} s")
    if records:
        _measure_planning_again(work, metafile, plan, ranks, records, table)


def _measure_planning_again(work: Path, metafile: Path, plan: Path, ranks: int, records: int, table: Table) -> None:
    """Plan what `records` results leave, for other ranks."""
    results, second, fewer = work / "results", work / "second.jsonl", ranks // 2 + 3
    made = make_results(results, read_plan(plan)[0], records)
    rest = run_planner(metafile, second, fewer, "--results", results)
    table.add_plan(f"**plan what {made:,} results with holes leave, {fewer:,} ranks**", rest)
    table.add("shards, for the holes", f"{rest.shards:,}")
    _measure_starts(work, second, fewer, table)
    retried = run_planner(metafile, second, fewer, "--results", results, "--retry-errors")
    table.add("the same with --retry-errors", f"{retried.seconds:.1f} s")


def _measure_starts(work: Path, plan: Path, ranks: int, table: Table) -> None:
    for name, rank in (("first", 0), ("middle", ranks // 2), ("last", ranks - 1)):
        start = start_rank(plan, rank, ranks, work / "out")
        table.add(f"{name} rank's start: {start.samples:,} samples opened, one read", f"{start.seconds:.2f} s", "2 s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planner_scale", description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder to make and to remove, for some GB of data")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--datasets", type=int, default=40)
    parser.add_argument("--ranks", type=int, default=1024)
    parser.add_argument("--results", type=int, default=2_000_000, help="records that a second plan finds")
    options = parser.parse_args(arguments)
    if options.work.exists():
        raise BadArguments(f"--work {options.work}: is there already; name a new folder")
    table, load = Table(), os.getloadavg()[0]
    table.add("Python's start and a rank's imports", f"{import_seconds():.1f} s")
    for datasets, records in ((options.datasets, options.results), (1, 0)):
        try:
            measure(options.work, options.rows, datasets, options.ranks, records, table)
        finally:
            shutil.rmtree(options.work, ignore_errors=True)
    machine = f"{len(os.sched_getaffinity(0))} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB of memory"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine}, Python {sys.version.split()[0]}; the machine's load average was")
    print(f"{load:.1f} before and {os.getloadavg()[0]:.1f} at the end (the benchmark itself makes about 2).\n")
    print("\n".join(table.lines))
    return 0


if __name__ == "__main__":
    run_main(main)
