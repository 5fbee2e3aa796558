"""What is told of a run: states of ranks, rates, the end to come."""

import os
from pathlib import Path
from typing import Any

import pytest

from MetaCaptioner.errors import UserError
from MetaCaptioner.monitor import progress, rate
from MetaCaptioner.monitor.progress import Progress, RankState, Watcher
from tests.helpers import plan_row, write_plan
from tests.monitor.test_coverage import oks, write
from tests.monitor.test_rate import NOON, a_run, write_log
from tests.records.test_scan import failed_record


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A clock at noon that is set by hand; result files are written by it too."""

    class Clock:
        now = NOON

        def write(self, folder: Path, rank: int, *records: object) -> None:
            os.utime(write(folder, rank, *records), (self.now, self.now))

    clock = Clock()
    monkeypatch.setattr(progress.time, "time", lambda: clock.now)
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock.now - NOON + 5)
    return clock


def plan(tmp_path: Path, *shards: tuple[int, int, int], total: int = 1000) -> Path:
    annotation = tmp_path / "set.json"
    return write_plan(
        tmp_path / "plan.jsonl",
        *(plan_row(annotation, tmp_path, start, end, rank, total=total) for rank, start, end in shards),
    )


def watcher(tmp_path: Path, *shards: tuple[int, int, int], window: float = 60) -> Watcher:
    return Watcher(plan(tmp_path, *shards), tmp_path / "out", window, stall_seconds=300)


def states(found: Progress) -> dict[int, RankState]:
    return {rank.rank: rank.state for rank in found.ranks}


TWO = ((0, 0, 500), (1, 500, 1000))


def test_before_anything(tmp_path: Path, clock: Any) -> None:
    found = watcher(tmp_path, *TWO).look()
    assert (found.rate, found.rate_overall, found.eta_seconds) == (None, None, None)
    assert states(found) == {0: "not begun", 1: "not begun"}
    assert found.notes == [f"{tmp_path / 'out'}: there is no such folder yet"]


def test_rates_and_the_end_from_watching(tmp_path: Path, clock: Any) -> None:
    out, looks = tmp_path / "out", watcher(tmp_path, *TWO)
    clock.write(out, 0, *oks(0))
    clock.write(out, 1, *oks(500))
    assert looks.look().rate is None
    clock.now += 20
    clock.write(out, 0, *oks(*range(1, 101)))
    clock.write(out, 1, *oks(*range(501, 541)), failed_record("set", 541))
    found = looks.look()
    assert [rank.rate for rank in found.ranks] == [5.0, 2.05]
    assert found.rate == pytest.approx(7.05)
    assert [rank.rank for rank in found.slowest()] == [1, 0]
    assert found.eta_seconds == pytest.approx((500 - 42) / 2.05)
    assert (found.all.done, found.all.failed, found.all.remaining) == (143, 1, 857)
    clock.now += 400
    found = looks.look()
    assert states(found) == {0: "silent", 1: "silent"}
    assert [rank.idle_seconds for rank in found.standing_still()] == [400, 400]
    assert (found.rate, found.eta_seconds) == (0.0, None)


def test_the_first_look_tells_the_rate_that_the_run_logs_tell(tmp_path: Path, clock: Any) -> None:
    out, looks = tmp_path / "out", watcher(tmp_path, *TWO)
    runs = [a_run("r", -200, 20, working, images, world_size=2) for working, images in ((130, 50), (160, 110))]
    write_log(out, 0, *runs)
    clock.write(out, 0, *oks(*range(100)))
    found = looks.look()
    assert [rank.rate for rank in found.ranks] == [2.0, None]
    assert found.eta_seconds == 200
    assert found.rate_overall == pytest.approx(110 / 180)
    clock.now += rate.ENOUGH_SECONDS
    clock.write(out, 0, *oks(*range(100, 130)))
    assert looks.look().ranks[0].rate == 3.0


def test_the_state_of_a_rank(tmp_path: Path, clock: Any) -> None:
    shards = [(rank, 100 * rank, 100 * rank + 100) for rank in range(8)]
    out, looks = tmp_path / "out", watcher(tmp_path, *shards)
    last = {"world_size": 8}
    write_log(out, 0, a_run("0", -100, 10, 90, state="done", rank=0, **last))
    clock.write(out, 0, *oks(*range(100)))
    write_log(out, 1, a_run("1", -100, 99, 0, state="loading", rank=1, **last))
    write_log(out, 2, a_run("2", -100, 50, 50, rank=2, **last))  # ready, and no record yet
    write_log(out, 3, a_run("3", -100, 50, 20, state="stopped", rank=3, **last))
    write_log(out, 4, a_run("4", -100, 50, 20, state="failed", rank=4, **last))
    write_log(out, 5, a_run("5", -100, 50, 20, state="done", rank=5, **last))
    clock.now -= 32
    for rank in (3, 4, 5):
        clock.write(out, rank, *oks(100 * rank))
    clock.now -= 1000
    write_log(out, 6, a_run("6", -1100, 50, 20, rank=6, **last))  # killed long ago
    clock.write(out, 6, *oks(600))
    clock.now = NOON
    found = looks.look()
    assert states(found) == {
        **{0: "done", 1: "loading", 2: "working", 3: "stopped"},
        **{4: "failed", 5: "ended", 6: "silent", 7: "not begun"},
    }
    assert [rank.rank for rank in found.standing_still()] == [6, 4, 3, 5, 7]
    clock.now += 20  # rank 3 was started again
    write_log(out, 3, a_run("3", 10, 10, 0, rank=3, **last))
    clock.write(out, 3, *oks(301))
    assert states(looks.look())[3] == "working"


def test_a_rank_that_has_its_engine_and_writes_nothing_falls_silent(tmp_path: Path, clock: Any) -> None:
    out, looks = tmp_path / "out", watcher(tmp_path, (0, 0, 100))
    clock.now += 410
    write_log(out, 0, a_run("0", 0, 100, 300, world_size=1))
    assert states(looks.look()) == {0: "silent"}


def test_ranks_of_a_plan_that_share_a_process_wait_for_each_other(tmp_path: Path, clock: Any) -> None:
    out, looks = tmp_path / "out", watcher(tmp_path, (0, 0, 400), (1, 400, 500), (2, 500, 1000))
    write_log(out, 0, a_run("r", 0, 0, 0, rank=0, world_size=2), a_run("r", 0, 0, 30, 60, rank=0, world_size=2))
    write_log(out, 1, a_run("s", 0, 0, 0, rank=1, world_size=2), a_run("s", 0, 0, 30, 60, rank=1, world_size=2))
    clock.now += 31
    clock.write(out, 0, *oks(*range(60)))
    clock.write(out, 1, *oks(*range(400, 460)))
    found = looks.look()
    assert states(found) == {0: "working", 1: "working", 2: "waiting"}
    assert found.eta_seconds == (340 + 500) / 2
    clock.now += 1
    clock.write(out, 2, *oks(500))
    clock.write(out, 1, *oks(*range(460, 500)))
    assert states(looks.look()) == {0: "waiting", 1: "done", 2: "working"}


def test_a_plan_that_is_made_again_is_read_again(tmp_path: Path, clock: Any) -> None:
    looks = watcher(tmp_path, *TWO)
    clock.write(tmp_path / "out", 0, *oks(1, 2))
    assert states(looks.look()) == {0: "working", 1: "not begun"}
    plan(tmp_path, (0, 0, 100), (1, 100, 200), (2, 200, 500))
    found = looks.look()
    assert list(states(found)) == [0, 1, 2]
    assert (found.all.total, found.all.done) == (500, 2)


def test_oddities_and_broken_plan_lines_are_noted(tmp_path: Path, clock: Any) -> None:
    path = plan(tmp_path, *TWO)
    path.write_text(path.read_text() + "{}\n")
    clock.write(tmp_path / "out", 0, *oks(1, 1, 2000))
    notes = Watcher(path, tmp_path / "out", 60, 300).look().notes
    assert len(notes) == 3
    assert "plan.jsonl: line 3:" in notes[0]
    assert notes[1].startswith("1 records are of no sample of this plan")
    assert notes[2].startswith("1 records are of samples that have another one")


def test_without_a_plan(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        Watcher(tmp_path / "plan.jsonl", tmp_path / "out", 60, 300)
