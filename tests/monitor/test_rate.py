"""Rates from what was watched and from run logs."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from MetaCaptioner.metrics.usage import Run
from MetaCaptioner.monitor.rate import Account, Accounts, Watched, by_plan_rank, launch_of, overall_rate

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC).timestamp()


def a_run(run: str, began: float = 0, loading: float = 10, working: float = 90, images: int = 0, **more: object) -> Run:
    """A run that began so many seconds after noon."""
    started = datetime.fromtimestamp(NOON + began, UTC).isoformat(timespec="seconds")
    fields = {"stage": "captionpipeline", "rank": 0, "node": 0, "model": "m", "prompts": "p", "gpus": 1, "device": None}
    times = {"started": started, "loading_seconds": loading, "working_seconds": working, "state": "working"}
    return Run.model_validate({**fields, **times, "run": run, "images": images, **more})


def write_log(folder: Path, rank: int, *runs: Run | str) -> None:
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    lines = [one if isinstance(one, str) else one.model_dump_json() for one in runs]
    (folder / "runs" / f"Rank{rank}_node0.jsonl").write_text("".join(f"{one}\n" for one in lines))


def test_accounts_are_the_last_of_each_run_with_the_one_before(tmp_path: Path) -> None:
    first, second = a_run("a", working=30, images=30), a_run("a", working=60, images=120, errors={"x": 30})
    later = a_run("b", began=500)
    torn = json.dumps({"run": "c", "started": "yesterday"})
    write_log(tmp_path, 0, a_run("a", working=0), first, second, later, torn, "{", '{"run": "c"')
    write_log(tmp_path, 1, a_run("d", began=-5))
    accounts = Accounts(tmp_path)
    assert accounts.look() == [Account(a_run("d", began=-5), None), Account(second, first), Account(later, None)]
    write_log(tmp_path, 0, first, second)
    assert [account.run.run for account in accounts.look()] == ["d", "a"]
    assert Accounts(tmp_path / "nowhere").look() == []


def test_the_recent_rate_is_that_between_two_accounts() -> None:
    first, second = a_run("a", working=30, images=30), a_run("a", working=60, images=90, videos=15, errors={"x": 15})
    assert Account(second, first).recent_rate() == 3.0
    assert Account(second, None).recent_rate() == 2.0
    assert Account(a_run("a", working=0), None).recent_rate() is None


def test_a_run_goes_on_until_it_ends_or_its_account_is_overdue() -> None:
    told = NOON + 100
    going = Account(a_run("a"), None)
    assert going.told == told
    assert [going.goes_on(told + seconds) for seconds in (0, 40, 50)] == [True, True, False]
    long = Account(a_run("a", working=100_000), None)  # is told every hundredth of its time
    assert [long.goes_on(long.told + seconds) for seconds in (1000, 1030)] == [True, False]
    assert not Account(a_run("a", state="stopped"), None).goes_on(told)


def test_a_launch_is_the_newest_run_and_those_at_the_same_time() -> None:
    old = Account(a_run("old", began=-1000, images=500), None)
    early = Account(a_run("early", began=0, working=90, images=100), None)
    late = Account(a_run("late", began=90, working=100, images=200), None)
    assert launch_of([old, early, late]) == [late, early]
    # From the first beginning, at 0 s, to the last account, at 200 s.
    assert overall_rate([late, early]) == pytest.approx(300 / 200)
    assert overall_rate([]) is None
    assert launch_of([]) == []


def test_the_process_of_each_rank_of_the_plan() -> None:
    zero, one = (Account(a_run(f"{rank}", rank=rank, world_size=2), None) for rank in (0, 1))
    newer = Account(a_run("newer", began=50, rank=0, world_size=2), None)
    unknown = Account(a_run("unknown", began=60, rank=0), None)
    assert by_plan_rank([zero, one, newer, unknown], [3, 5, 7]) == {3: newer, 5: one, 7: newer}


def test_what_was_watched() -> None:
    watched = Watched(window=60)
    assert watched.rate(0) is None
    watched.note(0.0, {0: 100}, set())
    assert watched.rate(0) is None
    watched.note(20.0, {0: 140, 1: 7}, set())
    assert (watched.rate(0), watched.seconds(0), watched.rate(1)) == (2.0, 20.0, None)
    for second in range(40, 200, 20):
        watched.note(float(second), {0: 140 + second}, set())
    assert watched.rate(0) == 1.0
    assert watched.seconds(0) == 60.0


def test_what_was_watched_of_a_rank_whose_failures_were_taken_out_no_longer_counts() -> None:
    watched = Watched(window=60)
    watched.note(0.0, {0: 100, 1: 100}, set())
    watched.note(20.0, {0: 10, 1: 120}, {0})
    assert (watched.rate(0), watched.rate(1)) == (None, 1.0)
    watched.note(30.0, {0: 20, 1: 120}, set())
    assert watched.rate(0) == 1.0
