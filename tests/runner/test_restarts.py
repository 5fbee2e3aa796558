"""What a dead worker leaves to the next, and what the supervisor is told."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from MetaCaptioner.engine.base import Request
from MetaCaptioner.errors import EngineDead, UserError
from MetaCaptioner.records.journal import Journal, Past
from MetaCaptioner.runner import loop, stage
from MetaCaptioner.runtime.heartbeat import Heartbeat
from tests.helpers import (
    FakeEngine,
    Runner,
    error_kinds,
    names,
    records,
    sample_of,
    small_plan,
    write_metafile,
)
from tests.runner.test_loop import fails_for, too_long


async def slowly(request: Request) -> None:
    await asyncio.sleep(0.01)


def killed_by(*samples: str) -> FakeEngine:
    return FakeEngine(fails_for(*samples, error=lambda: EngineDead("the engine has died")))


def test_a_sample_that_kills_every_time_costs_three_workers_and_one_record(tmp_path: Path, run: Runner) -> None:
    plan, out, heartbeat = small_plan(tmp_path, 12), tmp_path / "out", Heartbeat()
    finished = set[str]()
    for _ in range(3):
        engine = killed_by("set/5")
        assert run.caption(plan, out, "--in-flight", 3, "--decode-threads", 1, engine=engine).status == 4
        assert not engine.samples & finished
        finished = set(records(out))
        run.restarted(heartbeat)
    assert finished >= names(5)  # those before it were done alone, then it was
    engine = killed_by("set/5")
    assert run.caption(plan, out, "--in-flight", 3, "--decode-threads", 1, engine=engine).status == 0
    assert engine.samples == names(12) - finished - {"set/5"}
    assert error_kinds(out) == {"set/5": "engine_crash"}
    assert set(records(out)) == names(12)
    assert records(out)["set/5"]["attempts"] == 3
    assert records(out)["set/5"]["error"]["message"] == "was in flight at 3 deaths of the worker, at the last one alone"
    assert not list(out.glob(".*journal"))


def test_two_that_kill_are_both_found_and_nothing_else_is_blamed(tmp_path: Path, run: Runner) -> None:
    plan, out, heartbeat = small_plan(tmp_path, 12), tmp_path / "out", Heartbeat()
    for _ in range(4):
        assert run.caption(plan, out, "--in-flight", 4, engine=killed_by("set/2", "set/4")).status == 4
        run.restarted(heartbeat)
    assert run.caption(plan, out, "--in-flight", 4, engine=killed_by("set/2", "set/4")).status == 0
    assert error_kinds(out) == {"set/2": "engine_crash", "set/4": "engine_crash"}
    assert set(records(out)) == names(12)


def test_a_suspect_is_done_with_nothing_else_in_flight(tmp_path: Path, run: Runner) -> None:
    inside: Counter[str] = Counter()
    company: dict[str, set[str]] = {}

    async def hook(request: Request) -> None:
        inside[sample_of(request)] += 1
        await asyncio.sleep(0.003)
        company.setdefault(sample_of(request), set()).update(name for name, count in inside.items() if count)
        inside[sample_of(request)] -= 1

    plan, out = small_plan(tmp_path, 12), tmp_path / "out"
    out.mkdir()
    journal = Journal(out / ".Rank0.journal")
    journal.remember((("set", number), Past(crashes=2)) for number in (4, 5, 9))
    assert run.caption(plan, out, "--in-flight", 4, engine=FakeEngine(hook)).status == 0
    assert all(company[f"set/{number}"] == {f"set/{number}"} for number in (4, 5, 9))
    assert max(len(company[name]) for name in company) > 1
    assert (set(records(out)), error_kinds(out)) == (names(12), {})


def test_what_a_stopped_or_lost_worker_had_in_flight_is_blamed_for_nothing(tmp_path: Path, run: Runner) -> None:
    """A new supervisor knows of no crash: the machine may have been lost, or the job preempted."""
    plan, out = small_plan(tmp_path, 8), tmp_path / "out"
    for _ in range(4):
        assert run.caption(plan, out, engine=killed_by("set/2")).status == 4
    assert run.caption(plan, out).status == 0
    assert (set(records(out)), error_kinds(out)) == (names(8), {})


def test_crashes_of_an_earlier_run_are_not_forgotten(tmp_path: Path, run: Runner) -> None:
    plan, out, heartbeat = small_plan(tmp_path, 8), tmp_path / "out", Heartbeat()
    for _ in range(2):
        run.caption(plan, out, engine=killed_by("set/2"))
        run.restarted(heartbeat)
    full = FakeEngine(fails_for(*names(8), error=lambda: UserError("the disk is full")))
    assert run.caption(plan, out, engine=full).status == 1  # takes note of the second crash, then ends in good order
    run.monkeypatch.setattr(stage, "inherited_heartbeat", lambda environment: Heartbeat())
    assert run.caption(plan, out, engine=killed_by("set/2")).status == 4  # alone
    run.restarted(Heartbeat())
    assert run.caption(plan, out, engine=killed_by("set/2")).status == 0
    assert error_kinds(out) == {"set/2": "engine_crash"}


def test_failures_are_tried_again_once_however_many_workers_it_takes(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path, 8), tmp_path / "out"
    run.caption(plan, out, engine=FakeEngine(fails_for("set/1", "set/3", "set/6", error=too_long)))

    def hook(request: Request) -> None:
        if sample_of(request) == "set/1":
            raise too_long()
        if sample_of(request) == "set/3":
            raise EngineDead("the engine has died")

    retry = ("--retry-errors", "--in-flight", 1, "--decode-threads", 1)
    assert run.caption(plan, out, *retry, engine=FakeEngine(hook)).status == 4
    run.restarted(Heartbeat())
    engine = FakeEngine(fails_for("set/6", error=too_long))
    assert run.caption(plan, out, *retry, engine=engine).status == 0
    assert engine.samples == {"set/3", "set/6"}
    attempts = {name: record["attempts"] for name, record in records(out).items()}
    assert attempts == {**dict.fromkeys(names(8), 1), "set/1": 2, "set/3": 2, "set/6": 2}
    assert error_kinds(out) == {"set/1": "prompt_too_long", "set/6": "prompt_too_long"}


def test_a_killer_that_is_tried_again_goes_alone_and_costs_one_worker(tmp_path: Path, run: Runner) -> None:
    plan, out, heartbeat = small_plan(tmp_path, 6), tmp_path / "out", Heartbeat()
    for status in (4, 4, 4, 0):
        assert run.caption(plan, out, engine=killed_by("set/2")).status == status
        run.restarted(heartbeat)
    run.monkeypatch.setattr(stage, "inherited_heartbeat", lambda environment: Heartbeat())
    assert run.caption(plan, out, "--retry-errors", engine=killed_by("set/2")).status == 4
    run.restarted(Heartbeat())
    assert run.caption(plan, out, "--retry-errors").status == 0
    assert error_kinds(out) == {"set/2": "engine_crash"}
    assert records(out)["set/2"]["attempts"] == 6


def test_a_killer_that_is_planned_again_is_tried_again(tmp_path: Path, run: Runner) -> None:
    """Even if the worker that recorded it was killed before it could put the journal in order."""
    plan, out, heartbeat = small_plan(tmp_path, 6), tmp_path / "out", Heartbeat()
    for _ in range(3):
        assert run.caption(plan, out, engine=killed_by("set/2")).status == 4
        run.restarted(heartbeat)
    with run.monkeypatch.context() as patched:
        patched.setattr(Journal, "close", lambda self: None)
        assert run.caption(plan, out, engine=killed_by("set/2")).status == 0
    assert (error_kinds(out), len(list(out.glob(".*journal")))) == ({"set/2": "engine_crash"}, 1)
    metafile = write_metafile(tmp_path, set={"root": "media", "annotation": "set.json", "task": "Natural"})
    assert run.plan(metafile, plan, "--results", out, "--retry-errors").status == 0
    engine = FakeEngine()
    assert run.caption(plan, out, engine=engine).status == 0
    assert engine.samples == {"set/2"}
    assert (set(records(out)), error_kinds(out)) == (names(6), {})


def test_the_supervisor_is_told_what_moves(tmp_path: Path, run: Runner) -> None:
    heartbeat = Heartbeat()
    run.monkeypatch.setattr(stage, "inherited_heartbeat", lambda environment: heartbeat)
    seen: list[tuple[int, int]] = []

    async def hook(request: Request) -> None:
        await asyncio.sleep(0.01)
        seen.append((heartbeat.requests, heartbeat.progress))

    run.monkeypatch.setattr(loop, "_PROGRESS_SECONDS", 0.001)
    engine = FakeEngine(hook)
    flags = ("--stall-seconds", 77, "--max-deaths", 9)
    plan, out = small_plan(tmp_path, 4), tmp_path / "out"
    run.caption(plan, out, "--max-samples", 3, *flags, engine=engine)
    assert (heartbeat.stall_seconds, heartbeat.max_deaths, heartbeat.begun) == (77, 9, 1)
    assert max(requests for requests, _ in seen) > 1
    assert len({progress for _, progress in seen}) > 1
    assert (heartbeat.records, heartbeat.finished, heartbeat.requests) == (3, 3, 0)
    run.caption(plan, out, engine=FakeEngine(fails_for("set/3", error=too_long)))
    assert (heartbeat.records, heartbeat.finished, heartbeat.requests) == (4, 3, 0)


def test_progress_that_cannot_be_told_ends_the_run(tmp_path: Path, run: Runner) -> None:
    """Else the watchdog would in time take a sound engine for hung."""
    engine = FakeEngine(slowly)
    run.monkeypatch.setattr(engine, "progress", lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        run.caption(small_plan(tmp_path), tmp_path / "out", engine=engine)


# --- the stage under a supervisor


def test_a_bound_on_the_samples_is_for_all_workers_together(tmp_path: Path, run: Runner) -> None:
    plan, out, heartbeat = small_plan(tmp_path, 12), tmp_path / "out", Heartbeat()
    run.monkeypatch.setattr(stage, "inherited_heartbeat", lambda environment: heartbeat)
    flags = ("--max-samples", 5, "--in-flight", 1, "--decode-threads", 1)
    assert run.caption(plan, out, *flags, engine=killed_by("set/3")).status == 4
    run.restarted(heartbeat)
    assert run.caption(plan, out, *flags).status == 0
    assert len(records(out)) == 5
    assert run.caption(plan, out, *flags, engine_opens=False).status == 0


def test_an_engine_that_could_be_loaded_once_is_tried_again(tmp_path: Path, run: Runner) -> None:
    """The dead one may not have given its memory back yet; a model that is not there is told at once."""
    plan, out = small_plan(tmp_path), tmp_path / "out"
    broken = UserError("model none cannot be loaded: no memory")
    assert run.caption(plan, out, engine=broken).status == 1
    run.restarted(Heartbeat())
    outcome = run.caption(plan, out, engine=broken)
    assert (outcome.status, outcome.errors) == (4, [])
    assert outcome.said.splitlines()[-1] == f"note: rank 0: {broken}"
