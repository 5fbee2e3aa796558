"""What the tools that read results take over a hundred thousand records and over two million.

    python -m benchmarks.tools_scale --work scratch [--records 100000 2000000] [--taken-from 1000000]

Makes annotation files, routes, captions and scores of the usual lengths in the folder `--work` (some 12 GB for two
million records) and removes them at the end. Each tool runs in a process of its own. `tools_scale.md` has the figures.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from MetaCaptioner.agents.dimensions import SHIPPED
from MetaCaptioner.data.taxonomy import DOMAINS
from MetaCaptioner.errors import BadArguments
from MetaCaptioner.planning.leases import Leases
from MetaCaptioner.planning.plan_file import PlanRow, write_plan
from MetaCaptioner.records.done import DoneSamples
from MetaCaptioner.records.published_counts import RUNS, CountsPublisher
from MetaCaptioner.records.reader import ResultName
from MetaCaptioner.records.row_map import caption_hash
from MetaCaptioner.records.store import RankResults
from MetaCaptioner.utils.cli import run_main, say
from MetaCaptioner.worklist.base import RankFiles
from MetaCaptioner.worklist.plan_rows import PlanWork

DIMENSIONS = [one.name for one in SHIPPED]

ROOT = Path(__file__).resolve().parents[1]
_DATASETS, _RANKS, _PICTURES, _TEXTS = 8, 16, 64, 512
_FAILED_EVERY = 100
_OUT_OF_ORDER = 64  # as many samples are in flight, and end in any order
_CHUNK = 128
_LEAST_TAKEN_FROM = 20_000  # 21 chunks are taken over, from the half that their owner has not begun
_POLL_SECONDS = 0.02
_MIB = 2**20
_AFTER_THE_FILTER = "export --format jsonl"
_WORDS = "a the of and red small left right behind stands before tree house “sign” café table window light 図".split()  # noqa: SIM905


@dataclass(frozen=True)
class Measured:
    """One run of a tool with all it starts: seconds on the clock and of the processors, peak memory in bytes."""

    seconds: float
    processor_seconds: float
    peak: int


@dataclass
class Data:
    """The data of one size below a folder."""

    folder: Path
    records: int
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def __post_init__(self) -> None:
        self.captions, self.routes = self.folder / "Caption", self.folder / "Domain"
        self.plan, self.metafile = self.folder / "plan.jsonl", self.folder / "Metafile.json"

    def make(self) -> None:
        """Write all of it."""
        (self.folder / "media").mkdir(parents=True)
        for number in range(_PICTURES):
            Image.new("RGB", (64 + number, 64)).save(self.folder / "media" / f"{number:03}.png")
        for folder in (self.captions / "score", self.routes):
            folder.mkdir(parents=True)
        texts = [self._text(int(words)) for words in self.random.lognormal(3.9, 0.4, _TEXTS)]
        rows = [row for number in range(_DATASETS) for row in self._make_dataset(number, texts)]
        write_plan(rows, self.plan)
        entries = {row.data_name: {"root": "media", "annotation": Path(row.json_url).name} for row in rows}
        self.metafile.write_text(json.dumps(entries))

    def _text(self, words: int) -> str:
        return " ".join(_WORDS[place] for place in self.random.integers(0, len(_WORDS), words))

    def _make_dataset(self, number: int, texts: Sequence[str]) -> Iterator[PlanRow]:
        """The annotation file and the results of a dataset; its rows of the plan, one a rank."""
        name, length = f"dataset_{number}", self.records // _DATASETS
        path = self.folder / f"{name}.jsonl"
        with path.open("wb") as file:
            file.writelines(_annotation(index, texts[index % _TEXTS]) for index in range(length))
        cuts = np.linspace(0, length, _RANKS + 1).astype(int).tolist()
        for rank, (start, end) in enumerate(pairwise(cuts)):
            result = str(ResultName(rank, rank // 8, path.stem))
            places = (self.captions / result, self.captions / "score" / result, self.routes / result)
            files = [place.open("wb") for place in places]
            for lines in _Lines(name, number, self.folder / "media", texts, self.random).of(start, end):
                for file, line in zip(files, lines, strict=True):
                    file.write(line)
            for file in files:
                file.close()
            yield PlanRow(
                data_name=name,
                json_url=str(path),
                root=str(self.folder / "media"),
                total=length,
                start_idx=start,
                end_idx=end,
                anno_file_key=path.name,
                assign_rank=rank,
            )


def _annotation(index: int, text: str) -> bytes:
    turns = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": text}]
    row = {"id": index, "image": f"{index % _PICTURES:03}.png", "width": 64, "height": 64, "conversations": turns}
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


@dataclass
class _Lines:
    """The records of a dataset: caption, score and route of each sample; of a failed one no score."""

    name: str
    number: int
    root: Path
    texts: Sequence[str]
    random: np.random.Generator

    def __post_init__(self) -> None:
        self._json = [json.dumps(text, ensure_ascii=False) for text in self.texts]
        self._hashes = [caption_hash(text) for text in self.texts]
        self._domain = DOMAINS[self.number].name

    def of(self, start: int, end: int) -> Iterator[tuple[bytes, bytes, bytes]]:
        for first in range(start, end, _OUT_OF_ORDER):
            indexes = np.arange(first, min(end, first + _OUT_OF_ORDER))
            self.random.shuffle(indexes)
            chosen = self.random.integers(0, _TEXTS, (len(indexes), 4)).tolist()
            marks = self.random.integers(2, 6, (len(indexes), len(DIMENSIONS))).tolist()
            for index, texts, of_sample in zip(indexes.tolist(), chosen, marks, strict=True):
                yield self._caption(index, texts), self._score(index, texts, of_sample), self._route(index)

    def _sample(self, index: int, source: str) -> str:
        return (
            f'{{"sample_id": "{self.name}/{index}", "data_name": "{self.name}", "index": {index}, "id": {index}, '
            f'"image": "{index % _PICTURES:03}.png", "root": "{self.root}", "modality": "image", '
            f'"task": "{self._domain}", "task_source": "{source}", '
        )

    def _caption(self, index: int, texts: Sequence[int]) -> bytes:
        made = f'"stage": "captionpipeline", "model": "m", "prompts": "{"0" * 12}", "attempts": 1, "seconds": 9.5}}\n'
        if index % _FAILED_EVERY == 7:
            failed = '"status": "error", "error": {"kind": "media_corrupt", "message": "cannot be decoded"}, '
            return (self._sample(index, "metafile") + failed + made).encode()
        agents = ", ".join(
            f'"{name}": {{"text": {self._json[text]}, "finish_reason": "stop", "output_tokens": 99}}'
            for name, text in zip(("objects", "setting", "summary"), texts[1:], strict=True)
        )
        fields = f'"media_hash": "{index:064}", "status": "ok", "caption": {self._json[texts[0]]}, "truncated": false, '
        return (self._sample(index, "metafile") + fields + f'"agents": {{{agents}}}, ' + made).encode()

    def _score(self, index: int, texts: Sequence[int], marks: Sequence[int]) -> bytes:
        if index % _FAILED_EVERY == 7:
            return b""
        of_each = ", ".join(f'"{name}": {mark}' for name, mark in zip(DIMENSIONS, marks, strict=True))
        fields = (
            f'"caption_hash": "{self._hashes[texts[0]]}", "status": "ok", "scores": {{{of_each}}}, '
            f'"overall": {sum(marks) / len(marks)}, "reason": {self._json[texts[1]]}, '
        )
        made = f'"stage": "inferscore", "model": "judge", "prompts": "{"1" * 12}", "attempts": 1, "seconds": 1.5}}\n'
        return (self._sample(index, "metafile") + fields + made).encode()

    def _route(self, index: int) -> bytes:
        routed = f'"subdomain": "Table", "task_confidence": {0.5 + index % 50 / 100}, "runner_up": "Natural", '
        fields = f'"status": "ok", {routed}'
        made = f'"stage": "inferdomain", "model": "m", "prompts": "{"2" * 12}", "attempts": 1, "seconds": 0.5}}\n'
        return (self._sample(index, "router") + fields + made).encode()


def commands(data: Data) -> dict[str, list[str | Path]]:
    """What is measured, by its name, in its order: the export takes what the filter kept."""
    python, tools = sys.executable, ROOT / "dataprocess"
    of_captions: list[str | Path] = ["--data-folder", data.captions]
    routed: list[str | Path] = ["--domain-folder", data.routes, "--metafile", data.metafile]
    scoring: list[str | Path] = ["--output-dir", data.folder / "again", "--engine", "scripted", "--model", "none"]
    return {
        "apply_domains": [python, tools / "apply_domains.py", *routed, "--output-dir", data.folder / "routed"],
        "filterd_by_score": [python, tools / "filterd_by_score.py", *of_captions],
        "verify --scores": [python, tools / "verify.py", "--plan", data.plan, *of_captions, "--scores"],
        "report": [python, tools / "report.py", *of_captions],
        _AFTER_THE_FILTER: [
            *(python, tools / "export.py", *of_captions, "--format", "jsonl", "--output", data.folder / "exported")
        ],
        "export --all --format parquet": [
            *(python, tools / "export.py", *of_captions, "--all", "--format", "parquet"),
            *("--output", data.folder / "exported.parquet"),
        ],
        "inferscore, to its first sample": [
            *(python, "-m", "MetaCaptioner.inferscore", *of_captions, *scoring, "--max-samples", "1")
        ],
    }


def measure(name: str, command: Sequence[str | Path]) -> Measured:
    """Run a tool and look at it and all it starts, fifty times a second; say what it took.

    Memory is what is resident, shared libraries included; no tool maps files, so none of it is the page cache.

    Raises:
        CalledProcessError: it failed.
    """
    begin = time.perf_counter()
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(
        [str(part) for part in command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    peak = ended = 0
    while not ended:
        time.sleep(_POLL_SECONDS)
        peak = max(peak, _resident_bytes(process.pid))
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    said = process.stdout.read() if process.stdout else b""
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args, said)
    measured = Measured(seconds, usage.ru_utime + usage.ru_stime, max(peak, usage.ru_maxrss * 1024))
    say(f"{name}: {seconds:.1f} s, processors {measured.processor_seconds:.1f} s, {measured.peak / _MIB:.0f} MiB")
    return measured


def _resident_bytes(process_id: int) -> int:
    total = 0
    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(process_id)
        for process in (first, *first.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total


def _measure_all(commands: Mapping[str, Sequence[str | Path]], at_once: bool) -> dict[str, Measured]:
    """All tools, one after another; or `at_once` but for the export of what the filter keeps, which comes last."""
    names = [[name] for name in commands]
    if at_once:
        names = [[name for name in commands if name != _AFTER_THE_FILTER], [_AFTER_THE_FILTER]]
    measured: dict[str, Measured] = {}
    for group in names:
        with ThreadPoolExecutor(len(group)) as threads:
            measured |= zip(group, threads.map(measure, group, [commands[name] for name in group]), strict=True)
    return {name: measured[name] for name in commands}


def measure_tools(work: Path, sizes: Sequence[int], at_once: bool) -> list[str]:
    """The lines of the table of all tools over data of each size; the last column holds the last against the first."""
    measured: dict[str, list[Measured]] = {}
    for records in sizes:
        data = Data(work / str(records), records)
        begin = time.perf_counter()
        data.make()
        size = sum(path.stat().st_size for path in data.captions.glob("*.jsonl"))
        say(f"{records:,} records of {size / records:.0f} bytes, made in {time.perf_counter() - begin:.0f} s")
        for name, last in _measure_all(commands(data), at_once).items():
            measured.setdefault(name, []).append(last)
        shutil.rmtree(data.folder)
    return [
        "| tool | " + " | ".join(f"{records:,} records" for records in sizes) + " | time | memory |",
        "| --- |" + " ---: |" * (len(sizes) + 2),
        *(
            f"| {name} | "
            + " | ".join(f"{m.seconds:.1f} s ({m.processor_seconds:.1f}), {m.peak / _MIB:.0f} MiB" for m in of_tool)
            + f" | {of_tool[-1].seconds / of_tool[0].seconds:.1f} | {of_tool[-1].peak / of_tool[0].peak:.2f} |"
            for name, of_tool in measured.items()
        ),
    ]


def measure_take_over(work: Path, records: int) -> list[str]:
    """Take chunks over from a rank that has done so many samples, half of its own, and goes on meanwhile."""
    folder = work / "taken"
    (folder / "media").mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(folder / "media" / "000.png")
    annotation = folder / "set.jsonl"
    with annotation.open("wb") as file:
        file.writelines(b'{"id": %d, "image": "000.png"}\n' % index for index in range(2 * records + _CHUNK))
    total = 2 * records + _CHUNK
    rows = [
        PlanRow(
            data_name="set",
            json_url=str(annotation),
            root=str(folder / "media"),
            total=total,
            start_idx=start,
            end_idx=end,
            anno_file_key=annotation.name,
            assign_rank=rank,
        )
        for rank, (start, end) in enumerate(((0, 2 * records), (2 * records, total)))
    ]
    random = np.random.default_rng(0)
    texts = ["word " * int(words) for words in random.lognormal(3.9, 0.4, _TEXTS)]
    lines = _Lines("set", 0, folder / "media", texts, random)
    owners = folder / str(ResultName(0, 0, "set"))
    with owners.open("wb") as file:
        file.writelines(caption for caption, _, _ in lines.of(0, records))
    (folder / RUNS).mkdir()
    CountsPublisher(folder, 0, 0, lambda: [owners]).publish(lambda: False)  # as the owner does every half minute
    leases = Leases(folder, rows)
    leases.agree_on(_CHUNK)
    for chunk in range(records // _CHUNK):
        leases.lease(leases.chunk(0, chunk))
    with RankResults(folder, 1, 0) as results:
        files = {1: RankFiles(results, DoneSamples())}
        taker = PlanWork(rows[1:], DOMAINS, files, folder, [], leases, takes_over=True)

        def grow() -> None:
            with owners.open("ab") as file:
                file.writelines(caption for caption, _, _ in lines.of(records, records + 500))

        seconds, stalls = asyncio.run(_take_over(taker, grow))
    shutil.rmtree(folder)
    return [
        "",
        f"| a chunk is taken over from a rank with {records:,} records | first | the slowest of 20 later ones |",
        "| --- | ---: | ---: |",
        f"| until it is taken | {seconds[0] * 1000:.0f} ms | {max(seconds[1:]) * 1000:.0f} ms |",
        f"| longest wait of what is in flight | {stalls[0] * 1000:.0f} ms | {max(stalls[1:]) * 1000:.0f} ms |",
    ]


async def _take_over(taker: PlanWork, grow: Callable[[], None]) -> tuple[list[float], list[float]]:
    """How long each chunk takes, and for how long at most everything else had to wait meanwhile."""
    stall = 0.0

    async def tick() -> None:
        nonlocal stall
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            stall = max(stall, time.perf_counter() - before - 0.001)

    ticking = asyncio.create_task(tick())
    seconds, stalls = [], []
    for _ in range(21):
        grow()
        stall, begin = 0.0, time.perf_counter()
        if await asyncio.to_thread(taker.take_over) is None:
            raise RuntimeError("nothing was taken over")
        seconds.append(time.perf_counter() - begin)
        await asyncio.sleep(0.01)
        stalls.append(stall)
    ticking.cancel()
    return seconds, stalls


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tools_scale", description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder to make and to remove, for some GB of data")
    parser.add_argument("--records", type=int, nargs="+", default=[100_000, 2_000_000])
    parser.add_argument("--taken-from", type=int, default=1_000_000, help="records of the rank that others help")
    parser.add_argument("--at-once", action="store_true", help="all tools at the same time, on a machine of many cores")
    options = parser.parse_args(arguments)
    if options.work.exists():
        raise BadArguments(f"--work {options.work}: is there already; name a new folder")
    if options.taken_from < _LEAST_TAKEN_FROM:
        raise BadArguments(f"--taken-from must be at least {_LEAST_TAKEN_FROM}: fewer are not worth the help")
    load = os.getloadavg()[0]
    try:
        options.work.mkdir(parents=True)
        lines = measure_take_over(options.work, options.taken_from) + measure_tools(
            options.work, options.records, options.at_once
        )
    finally:
        shutil.rmtree(options.work, ignore_errors=True)
    print("\n".join(lines))
    print(f"\nload average {load:.1f} before and {os.getloadavg()[0]:.1f} at the end")
    return 0


if __name__ == "__main__":
    run_main(main)
