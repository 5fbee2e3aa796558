"""Host memory and start-up of a rank over short and long shards, without a model.

    python -m benchmarks.host_memory [--samples 10000 100000] [--work FOLDER]

Runs the commands that users run, with the scripted engine, over shards whose rows share a few small pictures. Every
stage is run over all samples but the last four hundred, then once more to go on with those, which shows what it costs
to read back what is done. Ends with status 1 if a peak over the longest shard is over 10% above that over the shortest;
`host_memory.md` has the figures.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from PIL import Image

from MetaCaptioner.errors import BadArguments, UserError
from MetaCaptioner.planning.plan_file import PlanRow, write_plan
from MetaCaptioner.records.reader import result_files
from MetaCaptioner.utils.cli import run_main

ROOT = Path(__file__).resolve().parents[1]
ALLOWED_GROWTH = 0.10
_PICTURES = 8
# Enough for many looks at a run, on a busy machine as well: a peak between two looks is not seen.
_LEFT_FOR_LATER = 400
_POLL_SECONDS = 0.02
# One decoder: with more it is chance how many have begun before a short run is through.
_SCRIPTED = ("--model", "none", "--engine", "scripted", "--decode-threads", "1")


@dataclass(frozen=True)
class Measured:
    """What one rank took. `peak` is the largest resident memory of its processes together, in bytes."""

    case: str
    samples: int
    peak: int
    first_record_seconds: float
    seconds: float


def write_shard(folder: Path, samples: int, suffix: str) -> Path:
    """An annotation file of `samples` rows, its pictures and a plan of one rank. Returns the plan."""
    media = folder / "media"
    media.mkdir(parents=True)
    for number in range(_PICTURES):
        Image.new("RGB", (56, 56), (30 * number, 200, 90)).save(media / f"{number}.png")
    annotation = folder / f"rows{suffix}"
    begin, between, end = ("[", ",\n", "]\n") if suffix == ".json" else ("", "\n", "\n")
    with annotation.open("w") as file:
        for number in range(samples):
            file.write((between if number else begin) + json.dumps(_row(number)))
        file.write(end)
    row = PlanRow(
        data_name="rows",
        json_url=str(annotation),
        root=str(media),
        task="Natural",
        modality="image",
        total=samples,
        processed=0,
        remain=samples,
        shard_index=0,
        num_shards=1,
        start_idx=0,
        end_idx=samples,
        anno_file_key=annotation.name,
        assign_rank=0,
    )
    write_plan([row], folder / "plan.jsonl")
    return folder / "plan.jsonl"


def _row(number: int) -> dict[str, object]:
    question = {"from": "human", "value": f"<image>\nWhat is to be seen in picture {number}? Answer at length."}
    answer = {"from": "gpt", "value": "A plain field of one colour, without any object in it. " * 3}
    size = {"width": 56, "height": 56}
    return {"id": number, "image": f"{number % _PICTURES}.png", **size, "conversations": [question, answer]}


def bytes_written(folder: Path) -> int:
    """The size of all result files of a folder."""
    return sum(path.stat().st_size for path, _ in result_files(folder))


def memory_now(pid: int) -> int:
    """The memory that a process and all that it started take now, in bytes; 0 once it has ended.

    The program that a user starts becomes the supervisor of the rank, which is its child. Pages that processes share,
    as decoders do that were forked, count once among them.

    Source: proc(5), Pss of smaps_rollup.
    """
    try:
        first = psutil.Process(pid)
        return sum(map(_memory_of_one, [first.pid, *(child.pid for child in first.children(recursive=True))]))
    except psutil.NoSuchProcess:
        return 0


def _memory_of_one(pid: int) -> int:
    try:
        told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in told.splitlines() if line.startswith("Pss:")), 0)


def measure(case: str, samples: int, output: Path, module: str, *arguments: str | Path) -> Measured:
    """Run a stage over results in `output` and watch it.

    Raises:
        UserError: it ended with another status than 0, or wrote nothing.
    """
    before, log = bytes_written(output), output.with_suffix(".log")
    command = [sys.executable, "-m", f"MetaCaptioner.{module}", *_SCRIPTED, *map(str, arguments)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    begin, peak, before_that, first = time.monotonic(), 0, 0, 0.0
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)
    try:
        while process.poll() is None:
            now = memory_now(process.pid)
            # What is there for one look only may be a process that is about to become another program.
            peak, before_that = max(peak, min(now, before_that)), now
            if not first and bytes_written(output) > before:
                first = time.monotonic() - begin
            time.sleep(_POLL_SECONDS)
    finally:
        process.kill()
    if process.returncode or not first:
        raise UserError(f"{module} ended with status {process.returncode}:\n{log.read_text()}")
    return Measured(case, samples, peak, first, time.monotonic() - begin)


def runs(samples: int, suffix: str, folder: Path) -> Iterator[Measured]:
    """The runs over one shard: captions from nothing, the rest of the captions, and the same for the scores."""
    plan, captions = write_shard(folder, samples, suffix), folder / "Caption"
    most = ("--max-samples", str(max(1, samples - _LEFT_FOR_LATER)))
    caption = ("captionpipeline", "--plan", plan, "--output-dir", captions)
    yield measure(f"caption {suffix}", samples, captions, *caption, *most)
    yield measure(f"caption {suffix}, resumed", samples, captions, *caption)
    if suffix == ".jsonl":  # scoring reads no annotation file
        score = ("inferscore", "--data-folder", captions)
        yield measure("score", samples, captions / "score", *score, *most)
        yield measure("score, resumed", samples, captions / "score", *score)


def table(measured: Sequence[Measured]) -> str:
    """All runs as Markdown, each group of equal runs in order of length, with its growth over the shortest."""
    lines = ["| run | samples | peak MiB | against the shortest | s to the first record | samples a second |"]
    lines.append("| --- |" + " --- |" * 5)
    for group in by_case(measured):
        for one in group:
            resumed = one.case.endswith("resumed")
            done = min(one.samples, _LEFT_FOR_LATER) if resumed else one.samples
            rate = "" if resumed else f"{done / one.seconds:,.0f}"
            growth = f"{100 * (one.peak / group[0].peak - 1):+.1f}%"
            figures = f"{one.samples:,} | {one.peak / 2**20:,.1f} | {growth} | {one.first_record_seconds:.2f} | {rate}"
            lines.append(f"| {one.case} | {figures} |")
    return "\n".join(lines)


def by_case(measured: Sequence[Measured]) -> list[list[Measured]]:
    """Runs that differ only in the number of samples, shortest first."""
    groups: dict[str, list[Measured]] = defaultdict(list)
    for one in sorted(measured, key=lambda one: one.samples):
        groups[one.case].append(one)
    return list(groups.values())


def grown(measured: Sequence[Measured]) -> list[str]:
    """The cases whose peak over the longest shard is more than 10% above that over the shortest."""
    return [group[0].case for group in by_case(measured) if group[-1].peak > (1 + ALLOWED_GROWTH) * group[0].peak]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and say with the exit status whether memory is bounded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[10_000, 100_000], help="lengths of the shards")
    parser.add_argument("--work", type=Path, help="where the shards go for the time being (3 kB a sample)")
    options = parser.parse_args(arguments)
    if min(options.samples) < 2:
        raise BadArguments("--samples must be at least 2")
    if options.work and not options.work.is_dir():
        raise BadArguments(f"--work {options.work}: there is no such folder")
    measured: list[Measured] = []
    for samples in options.samples:
        for suffix in (".jsonl", ".json"):
            with tempfile.TemporaryDirectory(prefix="host_memory_", dir=options.work) as folder:
                measured += runs(samples, suffix, Path(folder))
    print(table(measured))
    too_much = grown(measured)
    if too_much:
        print(f"\nMemory grows with the length of the shard by more than {ALLOWED_GROWTH:.0%}: {'; '.join(too_much)}")
    return 1 if too_much else 0


if __name__ == "__main__":
    run_main(main)
