"""Four supervised ranks of which one is slow: the others take its chunks over, also while workers are killed."""

import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.processes import Run, stage, wait_until_gone
from tests.helpers import all_records, names, picture_rows, plan_row, records, write_annotation, write_plan
from tests.pipeline.commands import script, succeed

RANKS, EACH, SLOW = 4, 40, 3


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    rows = picture_rows(tmp_path / "media", 20)
    annotation = write_annotation(tmp_path / "set.json", [dict(rows[n % 20], id=n) for n in range(RANKS * EACH)])
    shards = (plan_row(annotation, tmp_path / "media", rank * EACH, (rank + 1) * EACH, rank) for rank in range(RANKS))
    return write_plan(tmp_path / "plan.jsonl", *shards)


def start(folder: Path, plan: Path, rank: int) -> Run:
    delay = 0.4 if rank == SLOW else 0.02
    flags = ("--plan", plan, "--output-dir", folder / "out", "--model", "none", "--engine", "scripted")
    engine = ("--engine-arg", f"delay={delay}", "--engine-arg", f"log={folder / f'asked{rank}'}")
    loop = ("--takeover-chunk", "4", "--in-flight", "2", "--decode-threads", "1")
    command = stage("launch.supervisor", "MetaCaptioner.captionpipeline", *flags, *engine, *loop)
    return Run(["env", f"RANK={rank}", f"WORLD_SIZE={RANKS}", "OMP_NUM_THREADS=1", *command], folder / f"log{rank}")


def asked(folder: Path, rank: int) -> set[str]:
    return {line.rsplit("/", 2)[0] for line in (folder / f"asked{rank}").read_text().splitlines()}


@pytest.mark.parametrize("kills", [0, 6])
def test_no_sample_is_done_by_two_ranks_and_the_slow_one_is_helped(tmp_path: Path, plan: Path, kills: int) -> None:
    dice = random.Random(kills)
    runs = [start(tmp_path, plan, rank) for rank in range(RANKS)]
    for _ in range(kills):
        time.sleep(dice.uniform(1.0, 4.0))
        dice.choice(runs).kill("worker")
    for rank, run in enumerate(runs):
        assert run.process.wait(timeout=240) == 0, (tmp_path / f"log{rank}").read_text()
        wait_until_gone(run)
    assert set(records(tmp_path / "out")) == names(RANKS * EACH)
    assert {record["status"] for record in all_records(tmp_path / "out")} == {"ok"}
    told = succeed(script("verify", "--plan", plan, "--data-folder", tmp_path / "out"))
    assert "complete: 160 samples expected, 160 ok" in told
    by_rank = Counter(sample for rank in range(RANKS) for sample in asked(tmp_path, rank))
    assert set(by_rank.values()) == {1}
    done = {rank: len(asked(tmp_path, rank)) for rank in range(RANKS)}
    print(f"samples by rank: {done}")
    assert done[SLOW] < EACH < max(done.values())
