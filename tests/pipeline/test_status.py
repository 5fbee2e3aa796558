"""`status` beside real ranks: right at every moment."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from MetaCaptioner.monitor.progress import Progress, Watcher
from MetaCaptioner.records.record import parse_record
from tests.helpers import picture_rows, write_annotation, write_metafile
from tests.pages import typed
from tests.pipeline.commands import environment, module, run, succeed
from tests.pipeline.test_pages import checkout, type_in  # noqa: F401

RANKS, SAMPLES = 4, 120
Start = Callable[..., "subprocess.Popen[bytes]"]
Counts = Counter[tuple[int | str, str]]


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """Two datasets for four ranks; every tenth picture of the second is missing."""
    rows = picture_rows(tmp_path / "media", 20)
    first = [dict(rows[number % 20], id=number) for number in range(SAMPLES // 2)]
    second = [{"id": n, "image": "gone.png"} if n % 10 == 0 else row for n, row in enumerate(first)]
    for name, annotation in (("first", first), ("second", second)):
        write_annotation(tmp_path / f"{name}.json", annotation)
    entries = {n: {"root": "media", "annotation": f"{n}.json", "task": "Natural"} for n in ("first", "second")}
    plan = tmp_path / "plan.jsonl"
    succeed(module("plan", "--metafile", write_metafile(tmp_path, **entries), "--num-ranks", "4", "--output", plan))
    return plan


@pytest.fixture
def start(tmp_path: Path, plan: Path) -> Iterator[Start]:
    """Starts one of four ranks with the scripted engine, in a process of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def rank(number: int, delay: float, *more: str) -> "subprocess.Popen[bytes]":
        command = module("captionpipeline", "--plan", plan, "--output-dir", tmp_path / "out", "--model", "none",
                         "--engine", "scripted", "--engine-arg", f"delay={delay}", "--in-flight", "2",
                         "--decode-threads", "1", *more)  # fmt: skip
        launcher = {"RANK": f"{number}", "WORLD_SIZE": f"{RANKS}", "OMP_NUM_THREADS": "1"}
        with (tmp_path / f"log{number}").open("ab") as log:
            process = subprocess.Popen(
                [str(part) for part in command], env=environment(launcher), stdout=log, stderr=log
            )
        started.append(process)
        return process

    yield rank
    for process in started:
        process.kill()
        process.wait()


def counted(folder: Path) -> Counts:
    """What is in the files, by parsing every line: by rank and by dataset, all records and the failed ones."""
    found: Counts = Counter()
    for path in folder.glob("Rank*_node*_*.jsonl"):
        rank = int(path.name.removeprefix("Rank").partition("_")[0])
        for record in map(parse_record, path.read_bytes().splitlines(keepends=True)):
            if record is not None:
                for key in (rank, record["data_name"]):
                    found[key, "done"] += 1
                    found[key, record["status"]] += 1
    return found


def told(progress: Progress) -> Counts:
    counts = {rank.rank: rank.count for rank in progress.ranks} | progress.datasets
    found: Counts = Counter()
    for key, count in counts.items():
        found += Counter(
            {(key, "done"): count.done, (key, "error"): count.failed, (key, "ok"): count.done - count.failed}
        )
    return found


def look(watcher: Watcher, folder: Path) -> Counts:
    """A look that must lie between a count of the files before it and one after it."""
    before = counted(folder)
    found = told(watcher.look())
    after = counted(folder)
    assert before <= found <= after
    return found


def test_four_ranks_are_told_of_as_they_are(tmp_path: Path, plan: Path, start: Start) -> None:
    out = tmp_path / "out"
    watcher = Watcher(plan, out, window=5, stall_seconds=300)
    assert look(watcher, out) == Counter()
    seen: set[int] = set()
    ranks = [start(0, delay=0.05)]
    while any(rank.poll() is None for rank in ranks):
        seen.add(look(watcher, out).total())
        done = counted(out)[0, "done"]
        if done and len(ranks) == 1:  # not before: they would take over what it has not begun
            ranks += [start(number, delay=0.01) for number in range(1, RANKS)]
        if done >= 5 and ranks[0].poll() is None:
            os.kill(ranks[0].pid, signal.SIGKILL)
        time.sleep(0.05)
    assert len(seen) > 10
    assert [rank.wait() for rank in ranks] == [-signal.SIGKILL, 0, 0, 0]
    progress = watcher.look()
    assert [rank.state for rank in progress.ranks[1:]] == ["done"] * 3
    assert progress.all.errors.keys() == {"media_missing"}
    assert 0 < progress.all.remaining <= SAMPLES // 4

    # Failures are taken out of the files and done again, while the killed rank goes on.
    ranks = [start(number, 0.01, "--retry-errors") for number in range(RANKS)]
    while any(rank.poll() is None for rank in ranks):
        progress = watcher.look()
        assert 0 <= progress.all.done <= SAMPLES
        time.sleep(0.05)
    assert {rank.wait() for rank in ranks} == {0}
    assert look(watcher, out) == counted(out)
    assert (watcher.look().all.done, watcher.look().all.failed) == (SAMPLES, SAMPLES // 20)


def test_the_command_watches_a_run_to_its_end(tmp_path: Path, plan: Path, start: Start) -> None:
    command = [str(part) for part in module("status", "--plan", plan, "--output-dir", tmp_path / "out")]
    watching = subprocess.Popen(
        [*command, "--watch", "0.2", "--json"], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    time.sleep(0.5)
    for number in range(RANKS):
        start(number, 0.01)
    said, complaints = watching.communicate(timeout=120)
    looks = [json.loads(line) for line in said.splitlines()]
    assert (watching.returncode, complaints) == (0, b"")
    done = [one["done"] for one in looks]
    assert done == sorted(done)
    assert done[0] == 0
    assert done[-1] == SAMPLES
    assert max(one["rate"] or 0 for one in looks) > 1
    shown = run(command)
    assert shown.returncode == 0
    assert "120 of 120 samples" in shown.stdout
    assert "media_missing" in shown.stdout


def test_the_commands_of_the_page(checkout: Path) -> None:  # noqa: F811
    made = "NPROC=1 MODEL=none bash script/run_plan.sh; MODEL=none NPROC=1 bash script/run_caption.sh\n"
    log = type_in(checkout, made + typed("how far it is"), {})
    assert log.count("12 of 12 samples") == 2
