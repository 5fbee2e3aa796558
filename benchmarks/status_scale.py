"""How long `status` takes over ten million records: its first answer, and the later ones while files grow.

Also with what ranks publish of their files, and how long a rank's event loop waits while it publishes.

    python -m benchmarks.status_scale --work scratch

Makes a plan and result files in the folder `--work` and removes them at the end. `status_scale.md` has the figures.
"""

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import time
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from MetaCaptioner.errors import BadArguments
from MetaCaptioner.monitor.progress import Progress, Watcher
from MetaCaptioner.planning.plan_file import PlanRow, write_plan
from MetaCaptioner.records.published_counts import RUNS, CountsPublisher
from MetaCaptioner.records.reader import ResultName, result_files
from MetaCaptioner.utils.cli import run_main, say

ROOT = Path(__file__).resolve().parents[1]
_RANKS_A_NODE = 8
_FAILED_EVERY = 100
_KINDS = ("media_missing", "media_corrupt", "prompt_too_long", "empty_output")
_WORDS = 'the “red” sign near a café \\alpha says: "status": "error", lower value 図 '


class Table:
    """Rows of what was measured against what was asked."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def timed(self, what: str, asked: str) -> Iterator[None]:
        """Add a row with the time that the block takes, and say it at once."""
        others = set(multiprocessing.active_children())
        begin, processors = time.perf_counter(), _processor_seconds()
        yield
        seconds = time.perf_counter() - begin
        for helper in set(multiprocessing.active_children()) - others:  # which are counted once they have ended
            helper.join()
        processors = _processor_seconds() - processors
        say(f"{what}: {seconds:.2f} s, processors {processors:.2f} s")
        self.lines.append(f"| {what} | {seconds:.2f} s | {processors:.2f} s | {asked} |")


def _processor_seconds() -> float:
    """What this process and those that it has waited for have used."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def make_plan(path: Path, records: int, datasets: int, ranks: int) -> list[PlanRow]:
    """Datasets of equal length, whose rows all stand in one line that is cut evenly."""
    length = records // datasets
    total = length * datasets
    of_ranks = [round(total * rank / ranks) for rank in range(ranks + 1)]
    cuts = sorted({*range(0, total + 1, length), *of_ranks})
    rows = []
    for start, end in itertools.pairwise(cuts):
        number = start // length
        rows.append(
            PlanRow(
                data_name=f"Dataset-{number:02d}",
                json_url=str(path.with_name(f"dataset_{number:02d}.jsonl")),
                root=str(path.parent),
                total=length,
                remain=length,
                start_idx=start - number * length,
                end_idx=end - number * length,
                anno_file_key=f"dataset_{number:02d}.jsonl",
                assign_rank=bisect(of_ranks, start) - 1,
            )
        )
    write_plan(rows, path)
    return rows


def record_lines(row: PlanRow, start: int, end: int, caption: bytes) -> Iterator[bytes]:
    """Records as the caption stage writes them; one of a hundred failed."""
    name = row.data_name.encode()
    ok = b'"status": "ok", "caption": %b, "model": "m", "prompts": "p", "attempts": 1, "seconds": 1.5}\n' % caption
    failed = [
        b'"status": "error", "error": {"kind": "%b", "message": "no such file"}, "attempts": 1}\n' % kind.encode()
        for kind in _KINDS
    ]
    for index in range(start, end):
        status = failed[index // _FAILED_EVERY % len(failed)] if index % _FAILED_EVERY == 7 else ok
        yield (
            b'{"sample_id": "%b/%d", "data_name": "%b", "index": %d, "id": %d, "image": "%08d.jpg", '
            b'"root": "/data/set", "modality": "image", "task": "Natural", "task_source": "metafile", '
            b'"media_hash": "%064d", %b' % (name, index, name, index, index, index, index, status)
        )


def result_path(folder: Path, row: PlanRow) -> Path:
    """The result file of a shard."""
    return folder / str(ResultName(row.assign_rank, row.assign_rank // _RANKS_A_NODE, row.stem))


def caption_of(record_bytes: int) -> bytes:
    """A caption that makes records about so long."""
    beside = len(next(record_lines(_any_row(), 1_000_000, 1_000_001, b"")))
    length = max(0, record_bytes - beside)
    return json.dumps((_WORDS * (length // len(_WORDS) + 1))[:length], ensure_ascii=False).encode()


def _any_row() -> PlanRow:
    return PlanRow(
        data_name="Dataset-00",
        json_url="x",
        root="/",
        total=1,
        start_idx=0,
        end_idx=1,
        anno_file_key="x",
        assign_rank=0,
    )


def timed(table: Table, what: str, look: Callable[[], Progress], done: int, asked: str = "1 s") -> None:
    """Time a look, which must come to `done` samples.

    Raises:
        RuntimeError: it counted wrongly.
    """
    with table.timed(what, asked):
        progress = look()
    if progress.all.done != done:
        raise RuntimeError(f"{what}: {progress.all.done:,} samples counted, {done:,} are there")


def measure(work: Path, records: int, datasets: int, ranks: int, record_bytes: int) -> list[str]:
    """Make the files and measure; returns the lines of the table."""
    results, plan, table = work / "results", work / "plan.jsonl", Table()
    results.mkdir(parents=True)
    rows, caption = make_plan(plan, records, datasets, ranks), caption_of(record_bytes)
    later = {row: max(row.start_idx, row.end_idx - 100) for row in rows}
    begin = time.perf_counter()
    for row in rows:
        with result_path(results, row).open("wb") as file:
            file.writelines(record_lines(row, row.start_idx, later[row], caption))
    files = [path for path, _ in result_files(results)]
    size, done = sum(path.stat().st_size for path in files), sum(later[row] - row.start_idx for row in rows)
    say(f"{done:,} records in {len(files)} files, {size / 1e9:.1f} GB, made in {time.perf_counter() - begin:.0f} s")
    table.lines += [f"{done:,} records of {size / done:.0f} bytes in {len(files)} files, {size / 1e9:.2f} GB.", ""]
    table.lines += ["| measured | clock | processors | asked |", "| --- | ---: | ---: | ---: |"]
    _measure_command(table, plan, results, files, done)
    for rank in range(ranks):
        CountsPublisher(results, rank, 0, _of_rank(results, rank)).publish(lambda: False)
    _measure_command(table, plan, results, files, done, ", as ranks have published")
    shutil.rmtree(results / RUNS)
    _measure_looks(table, Watcher(plan, results, 60, 300), results, later, caption, done)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    table.lines.append(f"| peak memory of the watching process and its largest helper | {peak / 1024:,.0f} MiB | | |")
    return table.lines


def _of_rank(results: Path, rank: int) -> Callable[[], list[Path]]:
    return lambda: [path for path, _ in result_files(results, rank)]


def _measure_publishing(table: Table, published: CountsPublisher, what: str) -> None:
    """What a process takes to publish, and how long its event loop waits for that."""
    with table.timed(what, "–"):
        longest = asyncio.run(_longest_wait(published))
    table.lines.append(f"| longest that its event loop waits meanwhile | {1000 * longest:.1f} ms | | |")


async def _longest_wait(published: CountsPublisher) -> float:
    """Seconds by which a task that wakes up every millisecond came late, while counts are published in a thread."""
    publishing, longest = asyncio.create_task(asyncio.to_thread(published.publish, lambda: False)), 0.0
    while not publishing.done():
        begin = time.perf_counter()
        await asyncio.sleep(0.001)
        longest = max(longest, time.perf_counter() - begin - 0.001)
    return longest


def _measure_command(table: Table, plan: Path, results: Path, files: Sequence[Path], done: int, how: str = "") -> None:
    """The first answer of the command, from its start to its end, without and with the files in the page cache."""
    command = [sys.executable, "-m", "MetaCaptioner.status", "--plan", plan, "--output-dir", results, "--json"]
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    for cached in ("read from the disk", "in the page cache"):
        with table.timed(f"**first answer of the command{how}, files {cached}**", "10 s"):
            said = subprocess.run(list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
        if json.loads(said)["done"] != done:
            raise RuntimeError(f"{json.loads(said)['done']:,} samples counted, {done:,} are there")


def _measure_looks(
    table: Table, watcher: Watcher, results: Path, later: dict[PlanRow, int], caption: bytes, done: int
) -> None:
    """One watcher's first look and later ones: nothing new, growth everywhere, and a file that was rewritten."""
    published = CountsPublisher(results, 0, 0, lambda: [path for path, _ in result_files(results)])
    _measure_publishing(table, published, "one process counts and publishes all of it")
    shutil.rmtree(results / RUNS)
    timed(table, "first look of `--watch`", watcher.look, done, "10 s")
    timed(table, "**later look, nothing new**", watcher.look, done)
    for row, start in later.items():
        with result_path(results, row).open("ab") as file:
            file.writelines(record_lines(row, start, min(start + 50, row.end_idx), caption))
        done += min(start + 50, row.end_idx) - start
    timed(table, f"**later look, 50 new records in each of {len(later)} files**", watcher.look, done)
    _measure_publishing(table, published, "the process publishes all of it again with these")
    row = next(iter(later))
    path = result_path(results, row)
    kept = [line for line in path.read_bytes().splitlines(keepends=True) if b'"status": "error"' not in line]
    done -= path.read_bytes().count(b"\n") - len(kept)
    path.with_name(".new").write_bytes(b"".join(kept))
    path.with_name(".new").replace(path)
    timed(
        table, f"**later look, a file of {len(kept):,} records written anew without its failures**", watcher.look, done
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.status_scale", description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder to make and to remove, for some GB of data")
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--record-bytes", type=int, default=500)
    parser.add_argument("--datasets", type=int, default=40)
    parser.add_argument("--ranks", type=int, default=256)
    options = parser.parse_args(arguments)
    if options.work.exists():
        raise BadArguments(f"--work {options.work}: is there already; name a new folder")
    load = os.getloadavg()[0]
    try:
        lines = measure(options.work, options.records, options.datasets, options.ranks, options.record_bytes)
    finally:
        shutil.rmtree(options.work, ignore_errors=True)
    print("\n".join(lines))
    print(f"\nload average {load:.1f} before and {os.getloadavg()[0]:.1f} at the end")
    return 0


if __name__ == "__main__":
    run_main(main)
