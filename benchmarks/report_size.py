"""How long `dataprocess/report.py` takes over many records, and how large its page is.

    python -m benchmarks.report_size --records 100000

Writes caption, score and route records of the usual lengths over pictures of a megapixel with the detail of
photographs, makes the page of one run and that of two, each in a process of its own, and prints a table.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from MetaCaptioner.agents.dimensions import SHIPPED
from MetaCaptioner.data.taxonomy import DOMAINS
from MetaCaptioner.records.record import Record
from MetaCaptioner.records.row_map import caption_hash
from MetaCaptioner.utils.cli import run_main, say

DIMENSIONS = [one.name for one in SHIPPED]

ROOT = Path(__file__).parents[1]
_DATASETS = 40
_SAMPLES_A_FILE = 5000
_AGENTS = ("objects", "relations", "setting", "summary")
_WORDS = "a the of and red small left right behind stands before tree house person table window light".split()  # noqa: SIM905


@dataclass(frozen=True)
class Measured:
    """One page: how long it took by the clock and in processor time, its bytes, the highest memory so far, in bytes."""

    name: str
    seconds: float
    processor: float
    page: int
    memory: int


def make_pictures(folder: Path, count: int) -> list[str]:
    """Pictures of 1152x896 pixels with the detail of photographs: noise on all scales; the names of the files."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        picture = np.zeros((896, 1152, 3))
        for cells in (4, 16, 64, 224):
            noise = rng.normal(128, 240 / cells**0.5, (cells * 7 // 9, cells, 3)).clip(0, 255).astype(np.uint8)
            picture += np.asarray(Image.fromarray(noise).resize((1152, 896), Image.Resampling.BICUBIC), float) - 128
        Image.fromarray((picture + 128).clip(0, 255).astype(np.uint8)).save(folder / f"{number}.jpg", quality=90)
    return [f"{number}.jpg" for number in range(count)]


def _text(rng: np.random.Generator, words: int) -> str:
    return " ".join(_WORDS[place] for place in rng.integers(0, len(_WORDS), words))


def make_records(number: int, media: Path, names: Sequence[str], seed: int) -> tuple[Record, Record | None, Record]:
    """Caption, score and route of one sample; two in a hundred fail."""
    rng = np.random.default_rng((seed, number))
    data_name, domain = f"dataset_{number % _DATASETS}", DOMAINS[number % len(DOMAINS)]
    index = number // _DATASETS
    sample: Record = {"sample_id": f"{data_name}/{index}", "data_name": data_name, "index": index, "id": index}
    sample |= {"image": names[number % len(names)], "root": str(media), "modality": "image", "task": domain.name}
    sample |= {"task_source": "metafile", "model": "m", "prompts": "p", "attempts": 1, "seconds": 12.5}
    route = {**sample, "status": "ok", "task_source": "router", "task_confidence": round(float(rng.beta(8, 1)), 4)}
    if rng.random() < 0.02:
        error = {"kind": "media_corrupt", "message": f"{number}.jpg: cannot be decoded"}
        return {**sample, "status": "error", "error": error}, None, route
    texts = {name: _text(rng, int(rng.lognormal(5.1, 0.4))) for name in _AGENTS}
    agents = {name: {"text": text, "finish_reason": "stop", "input_tokens": 1800, "cached_tokens": 1500,
                     "output_tokens": len(text) // 4} for name, text in texts.items()}  # fmt: skip
    caption = {**sample, "status": "ok", "caption": texts["summary"], "truncated": False, "agents": agents}
    marks = {name: int(mark) for name, mark in zip(DIMENSIONS, rng.integers(1, 6, len(DIMENSIONS)), strict=True)}
    judged = {"scores": marks, "overall": round(sum(marks.values()) / len(marks), 2), "reason": _text(rng, 30)}
    return caption, {**sample, "status": "ok", "caption_hash": caption_hash(texts["summary"]), **judged}, route


def write_run(folder: Path, count: int, media: Path, names: Sequence[str], seed: int) -> None:
    """The result files of one run: `Caption`, its scores, and `Domain` beside it."""
    for part in ("Caption/score", "Domain"):
        (folder / part).mkdir(parents=True)
    for first in range(0, count, _SAMPLES_A_FILE):
        made = [make_records(n, media, names, seed) for n in range(first, min(count, first + _SAMPLES_A_FILE))]
        name = f"Rank{first // _SAMPLES_A_FILE}_node0_all.jsonl"
        for place, part in enumerate(("Caption", "Caption/score", "Domain")):
            lines = (json.dumps(records[place]) + "\n" for records in made if records[place] is not None)
            (folder / part / name).write_text("".join(lines))


def measure(name: str, *arguments: str | Path) -> Measured:
    """Run the report once."""
    begin, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    output = Path(arguments[arguments.index("--output") + 1])
    command = [sys.executable, ROOT / "dataprocess" / "report.py", *arguments]
    subprocess.run([str(part) for part in command], check=True, stderr=subprocess.DEVNULL)
    seconds, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(name, seconds, processor, output.stat().st_size, after.ru_maxrss * 1024)


def benchmark(records: int, pictures: int, folder: Path) -> list[Measured]:
    """Make the data and both pages below `folder`."""
    names = make_pictures(folder / "media", pictures)
    for seed, run in enumerate(("one", "other")):
        write_run(folder / run, records, folder / "media", names, seed)
    one, other = folder / "one" / "Caption", folder / "other" / "Caption"
    return [
        measure("one run", "--data-folder", one, "--output", folder / "one.html"),
        measure("two runs", "--data-folder", one, "--compare", other, "--output", folder / "two.html"),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How long the report takes over many records, how large its page is.")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--pictures", type=int, default=1000, help="different pictures that the records share")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="report_size") as folder:
        results = benchmark(options.records, options.pictures, Path(folder))
    print(f"| {options.records:,} records | seconds | processor seconds | page, MB | peak memory, MB |")
    print("| --- | --- | --- | --- | --- |")
    for result in results:
        times = f"{result.seconds:.1f} | {result.processor:.1f}"
        print(f"| {result.name} | {times} | {result.page / 1e6:.1f} | {result.memory / 1e6:.0f} |")
    say("the page must be made in 30 s and be under 30 MB")
    return 0


if __name__ == "__main__":
    run_main(main)
