import asyncio
import errno
import math
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image

from MetaCaptioner import captionpipeline, verify
from MetaCaptioner.agents.prompts import load_prompts
from MetaCaptioner.data import media_source
from MetaCaptioner.engine.base import Completion, Request
from MetaCaptioner.errors import EngineDead, ErrorKind, SampleError, UserError
from MetaCaptioner.media.loader import Media, load_media
from MetaCaptioner.records.store import RankResults
from MetaCaptioner.runner import loop
from tests.helpers import (
    FakeEngine,
    Hook,
    Row,
    Runner,
    agent_of,
    all_records,
    completion,
    error_kinds,
    fill_disk,
    names,
    picture_rows,
    records,
    sample_of,
    small_plan,
)

AGENTS = {agent.name for agent in load_prompts().workflows["Natural"].agents}


def fails_for(*samples: str, error: Callable[[], BaseException]) -> Hook:
    def hook(request: Request) -> None:
        if sample_of(request) in samples:
            raise error()

    return hook


def too_long() -> SampleError:
    return SampleError(ErrorKind.PROMPT_TOO_LONG, "the prompt has 20000 tokens")


# --- the run


def test_every_sample_ends_in_one_record_with_its_caption(tmp_path: Path, run: Runner) -> None:
    engine = FakeEngine()
    outcome = run.caption(small_plan(tmp_path, 5), tmp_path / "out", engine=engine)
    assert outcome.status == 0
    assert outcome.errors == []
    found = records(tmp_path / "out")
    assert set(found) == names(5)
    for name, record in found.items():
        assert (record["data_name"], record["status"], record["attempts"]) == ("set", "ok", 1)
        assert name == f"set/{record['index']}"
        assert (record["id"], record["image"]) == (record["index"], f"{record['index']}.png")
        assert (record["task"], record["task_source"], record["model"]) == ("Natural", "metafile", "scripted")
        assert set(record["agents"]) == AGENTS
        assert record["caption"] == record["agents"]["summary"]["text"] != ""
        assert record["agents"]["summary"]["finish_reason"] == "stop"
        assert record["truncated"] is False
        assert len(record["prompts"]) == 10
    assert len(engine.requests) == 5 * len(AGENTS)
    assert len({request.request_id for request in engine.requests}) == len(engine.requests)
    assert engine.closed
    assert [path.name for path in (tmp_path / "out").glob("*.jsonl")] == ["Rank0_node0_set.jsonl"]


def test_a_second_run_sends_nothing_to_the_engine(tmp_path: Path, run: Runner) -> None:
    plan = small_plan(tmp_path)
    run.caption(plan, tmp_path / "out")
    before = all_records(tmp_path / "out")
    outcome = run.caption(plan, tmp_path / "out", engine_opens=False)
    assert outcome.status == 0
    assert "4 of 4 samples are done, 0 to do" in outcome.said
    assert all_records(tmp_path / "out") == before


def test_all_agents_of_a_sample_see_the_same_media(tmp_path: Path, run: Runner) -> None:
    engine = FakeEngine()
    run.caption(small_plan(tmp_path, 3), tmp_path / "out", engine=engine)
    for name in names(3):
        seen = {r.media.media_id for r in engine.requests if sample_of(r) == name and r.media}
        assert len(seen) == 1


def test_the_record_tells_how_a_picture_is_shown_where_that_had_to_be_chosen(tmp_path: Path, run: Runner) -> None:
    plan = small_plan(tmp_path, 2)
    values = np.arange(56 * 56, dtype=np.uint16).reshape(56, 56)
    [root] = {path.parent for path in tmp_path.rglob("0.png")}
    Image.fromarray(values).save(root / "0.png")
    run.caption(plan, tmp_path / "out")
    found = records(tmp_path / "out")
    assert found["set/0"]["media_note"] == "values 0 to 3135 shown as black to white"
    assert "media_note" not in found["set/1"]


def test_a_caption_cut_at_its_budget_says_so(tmp_path: Path, run: Runner) -> None:
    def hook(request: Request) -> Completion | None:
        return completion("half a sent", "length") if agent_of(request) == "summary" else None

    outcome = run.caption(small_plan(tmp_path, 2), tmp_path / "out", engine=FakeEngine(hook))
    assert all(record["truncated"] for record in records(tmp_path / "out").values())
    assert "2 cut at their token budget" in outcome.said


def test_with_a_seed_every_answer_has_its_own_and_the_same_each_time(tmp_path: Path, run: Runner) -> None:
    seeds = []
    for name in ("first", "second"):
        engine = FakeEngine()
        run.caption(small_plan(tmp_path), tmp_path / name, "--seed", 5, engine=engine)
        seeds.append({request.request_id: request.sampling.seed for request in engine.requests})
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0].values())) == len(seeds[0])
    engine = FakeEngine()
    run.caption(small_plan(tmp_path), tmp_path / "third", engine=engine)
    assert {request.sampling.seed for request in engine.requests} == {None}


# --- how much at a time, and in which order


@pytest.mark.parametrize("in_flight", [1, 3])
def test_never_more_samples_than_allowed_are_in_the_engine(tmp_path: Path, run: Runner, in_flight: int) -> None:
    inside: list[str] = []
    most = 0

    async def hook(request: Request) -> None:
        nonlocal most
        inside.append(sample_of(request))
        most = max(most, len(set(inside)))
        await asyncio.sleep(0.005)
        inside.remove(sample_of(request))

    run.caption(small_plan(tmp_path, 12), tmp_path / "out", "--in-flight", in_flight, engine=FakeEngine(hook))
    assert most == in_flight
    assert set(records(tmp_path / "out")) == names(12)


def test_media_are_not_decoded_without_bound_ahead_of_need(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: set[str] = set()
    finished: set[str] = set()
    furthest = 0
    lock = threading.Lock()

    def counted(sample: object, budget: object) -> Media:
        nonlocal furthest
        with lock:
            decoded.add(sample.sample_id)  # type: ignore[attr-defined]
            furthest = max(furthest, len(decoded - finished))
        return load_media(sample, budget)  # type: ignore[arg-type]

    async def hook(request: Request) -> None:
        await asyncio.sleep(0.002)
        if agent_of(request) == "summary":
            finished.add(sample_of(request))

    monkeypatch.setattr(loop, "load_media", counted)
    plan = small_plan(tmp_path, 60)
    run.caption(plan, tmp_path / "out", "--in-flight", 2, "--decode-threads", 2, engine=FakeEngine(hook))
    assert furthest <= 2 + 2 * 2 + 1
    assert len(records(tmp_path / "out")) == 60


def test_older_samples_go_first(tmp_path: Path, run: Runner) -> None:
    engine = FakeEngine()
    run.caption(small_plan(tmp_path, 6), tmp_path / "out", engine=engine)
    priorities: dict[str, set[int]] = {}
    for request in engine.requests:
        priorities.setdefault(sample_of(request), set()).add(request.priority)
    assert all(len(found) == 1 for found in priorities.values())
    ordered = [min(priorities[f"set/{number}"]) for number in range(6)]
    assert ordered == sorted(set(ordered))


# --- samples that fail


def test_a_prompt_too_long_costs_one_error_record(tmp_path: Path, run: Runner) -> None:
    engine = FakeEngine(fails_for("set/1", error=too_long))
    outcome = run.caption(small_plan(tmp_path), tmp_path / "out", engine=engine)
    assert outcome.status == 0
    assert "4 samples: 3 ok, 1 errors (prompt_too_long 1)" in outcome.said
    found = records(tmp_path / "out")
    assert error_kinds(tmp_path / "out") == {"set/1": "prompt_too_long"}
    assert found["set/1"]["error"]["message"] == "the prompt has 20000 tokens"
    assert found["set/1"]["attempts"] == 1
    assert "caption" not in found["set/1"]
    assert set(found) == names(4)


def test_a_surprise_costs_one_error_record(tmp_path: Path, run: Runner) -> None:
    engine = FakeEngine(fails_for("set/2", error=lambda: ZeroDivisionError("by nought")))
    outcome = run.caption(small_plan(tmp_path), tmp_path / "out", engine=engine)
    assert outcome.status == 0
    error = records(tmp_path / "out")["set/2"]["error"]
    assert error == {"kind": "unexpected", "message": "ZeroDivisionError: by nought"}
    assert error_kinds(tmp_path / "out") == {"set/2": "unexpected"}


def test_a_surprise_while_decoding_costs_one_error_record(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(sample: object, budget: object) -> Media:
        if sample.index == 0:  # type: ignore[attr-defined]
            raise MemoryError
        return load_media(sample, budget)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "load_media", decode)
    assert run.caption(small_plan(tmp_path), tmp_path / "out").status == 0
    assert error_kinds(tmp_path / "out") == {"set/0": "unexpected"}


def test_bad_media_and_bad_rows_cost_one_error_record_each(tmp_path: Path, run: Runner) -> None:
    rows: list[object] = [*picture_rows(tmp_path / "media", 3)]
    (tmp_path / "media" / "page.jpg").write_text("<html>")
    (tmp_path / "media" / "empty.jpg").touch()
    rows += [{"id": 3, "image": "page.jpg"}, {"id": 4, "image": "none.jpg"}, {"id": 5, "image": "empty.jpg"}]
    rows += [{"id": 6}, [7], "eight", {"id": 9, "image": 5}, {"id": 10, "image": "a.jpg", "video": "a.mp4"}]
    rows += [{"id": 11, "image": "http://x/a.jpg"}, {"id": 12, "image": "0.png", "task": "Naturel"}]
    rows += [{"id": 13, "image": "x" * 5000}, {"id": 14, "images": ["0.png", "1.png"]}]
    outcome = run.caption(small_plan(tmp_path, rows), tmp_path / "out")
    assert outcome.status == 0
    assert error_kinds(tmp_path / "out") == {
        "set/3": "media_corrupt",
        "set/4": "media_missing",
        "set/5": "media_corrupt",
        "set/6": "no_media",
        **{f"set/{number}": "bad_row" for number in (7, 8, 9, 10, 11, 12, 13, 14)},
    }
    found = records(tmp_path / "out")
    assert set(found) == names(15)
    assert found["set/12"]["error"]["message"].startswith(
        "row 12: task 'Naturel' is no domain; did you mean 'Natural'?"
    )
    assert found["set/9"]["id"] == 9


def test_rows_that_are_known_to_be_of_no_use_do_not_stop_the_run(tmp_path: Path, run: Runner) -> None:
    (tmp_path / "media").mkdir()
    rows: list[object] = [{"id": n} if n % 2 else {"id": n, "image": 5} for n in range(300)]
    plan = small_plan(tmp_path, [*picture_rows(tmp_path / "media", 2), *rows])
    outcome = run.caption(plan, tmp_path / "out", "--max-error-rate", 0)
    assert outcome.status == 0
    assert set(records(tmp_path / "out")) == names(302)
    assert "152 samples: 2 ok, 150 errors (bad_row 150); 150 rows without media left out; " in outcome.said


def test_hints_that_are_none_do_not_cost_a_caption(tmp_path: Path, run: Runner) -> None:
    nan = float("nan")
    rows = [row | {"width": w} for row, w in zip(picture_rows(tmp_path / "media", 4), (9.0, nan, "9", -1), strict=True)]
    rows[0] |= {"video": "", "id": {"a": [nan]}}
    rows[1] |= {"video": None, "id": nan, "task": nan}
    rows[2] = {"images": [rows[2]["image"]], "id": [1, 2], "height": True}
    rows[3] |= {"image": f"file://{tmp_path}/media/3.png", "id": False}
    assert run.caption(small_plan(tmp_path, rows), tmp_path / "out").status == 0
    found = records(tmp_path / "out")
    assert error_kinds(tmp_path / "out") == {}
    assert [found[name]["id"] for name in sorted(found)] == ['{"a": [NaN]}', None, "[1, 2]", False]
    named = ["0.png", "1.png", "2.png", f"file://{tmp_path}/media/3.png"]
    assert [found[name]["image"] for name in sorted(found)] == named


def test_a_bad_line_of_jsonl_is_a_bad_row_and_the_others_are_done(tmp_path: Path, run: Runner) -> None:
    plan = small_plan(tmp_path, 3)
    path = tmp_path / "set.jsonl"
    path.write_text('{"id": 0, "image": "0.png"}\n{"id": 1, "ima\n{"id": 2, "image": "2.png"}\n')
    plan.write_text(plan.read_text().replace("set.json", "set.jsonl"))
    assert run.caption(plan, tmp_path / "out").status == 0
    assert error_kinds(tmp_path / "out") == {"set/1": "bad_row"}
    assert set(records(tmp_path / "out")) == names(3)


@pytest.mark.parametrize("row_id", ["NaN", "Infinity", "1e999", '"\\ud800"', "1" * 100])
def test_a_strange_id_costs_at_most_its_own_sample(tmp_path: Path, run: Runner, row_id: str) -> None:
    plan = small_plan(tmp_path, 3)
    path = tmp_path / "set.json"
    path.write_text(path.read_text().replace('"id": 1,', f'"id": {row_id},'))
    assert run.caption(plan, tmp_path / "out").status == 0
    assert set(records(tmp_path / "out")) == names(3)
    assert set(error_kinds(tmp_path / "out")) <= {"set/1"}


@pytest.mark.parametrize(("text", "kind"), [("  ", "empty_output"), ("the cat sat. " * 60, "degenerate_output")])
def test_an_empty_or_looping_answer_is_asked_for_once_more(tmp_path: Path, run: Runner, text: str, kind: str) -> None:
    def hook(request: Request) -> Completion | None:
        always = sample_of(request) == "set/1"
        once = sample_of(request) == "set/2" and request.request_id.endswith(".1")
        return completion(text) if agent_of(request) == "summary" and (always or once) else None

    engine = FakeEngine(hook)
    assert run.caption(small_plan(tmp_path), tmp_path / "out", engine=engine).status == 0
    found = records(tmp_path / "out")
    assert error_kinds(tmp_path / "out") == {"set/1": kind}
    assert "agent 'summary'" in found["set/1"]["error"]["message"]
    asked = [sample_of(request) for request in engine.requests if agent_of(request) == "summary"]
    assert {name: asked.count(name) for name in names(4)} == {"set/0": 1, "set/1": 2, "set/2": 2, "set/3": 1}
    attempts = {name: record["attempts"] for name, record in found.items()}
    assert attempts == {"set/0": 1, "set/1": 2, "set/2": 2, "set/3": 1}


def test_other_failures_are_not_asked_for_again(tmp_path: Path, run: Runner) -> None:
    engine = FakeEngine(fails_for("set/1", error=too_long))
    run.caption(small_plan(tmp_path), tmp_path / "out", engine=engine)
    assert not [request for request in engine.requests if request.request_id.endswith(".2")]


def test_a_failed_agent_cancels_the_others_of_its_sample(tmp_path: Path, run: Runner) -> None:
    cancelled: list[str] = []

    async def hook(request: Request) -> Completion | None:
        if sample_of(request) != "set/1":
            return None
        if agent_of(request) == "objects":
            raise too_long()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(agent_of(request))
            raise
        return None

    engine = FakeEngine(hook)
    run.caption(small_plan(tmp_path), tmp_path / "out", engine=engine)
    asked = {agent_of(request) for request in engine.requests if sample_of(request) == "set/1"}
    assert set(cancelled) == asked - {"objects"} != set()
    assert error_kinds(tmp_path / "out") == {"set/1": "prompt_too_long"}


# --- failures tried again


def test_only_failures_are_tried_again_and_their_attempts_count_up(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    run.caption(plan, out, engine=FakeEngine(fails_for("set/1", "set/3", error=too_long)))
    run.caption(plan, out, engine_opens=False)
    untouched = {name: records(out)[name] for name in ("set/0", "set/2")}
    engine = FakeEngine(fails_for("set/1", error=too_long))
    assert run.caption(plan, out, "--retry-errors", engine=engine).status == 0
    assert engine.samples == {"set/1", "set/3"}
    assert error_kinds(out) == {"set/1": "prompt_too_long"}
    assert run.caption(plan, out, "--retry-errors").status == 0
    found = records(out)
    assert set(found) == names(4)
    assert {name: record["attempts"] for name, record in found.items()} == {
        "set/0": 1,
        "set/1": 3,
        "set/2": 1,
        "set/3": 2,
    }
    assert error_kinds(out) == {}
    assert {name: found[name] for name in untouched} == untouched
    run.caption(plan, out, "--retry-errors", engine_opens=False)


def test_files_that_stay_missing_can_be_tried_again(tmp_path: Path, run: Runner) -> None:
    """All that is left to do is missing, yet the root is right."""
    rows = picture_rows(tmp_path / "media", 4)
    for name in ("1.png", "3.png"):
        (tmp_path / "media" / name).unlink()
    plan, out = small_plan(tmp_path, rows), tmp_path / "out"
    assert run.caption(plan, out).status == 0
    assert run.caption(plan, out, "--retry-errors").status == 0
    assert error_kinds(out) == {"set/1": "media_missing", "set/3": "media_missing"}
    assert set(records(out)) == names(4)


def test_a_run_that_stopped_before_missing_files_can_go_on(tmp_path: Path, run: Runner) -> None:
    rows = picture_rows(tmp_path / "media", 6)
    for number in (3, 4, 5):
        (tmp_path / "media" / f"{number}.png").unlink()
    plan, out = small_plan(tmp_path, rows), tmp_path / "out"
    assert run.caption(plan, out, "--max-samples", 3).status == 0
    assert run.caption(plan, out).status == 0
    assert set(records(out)) == names(6)


def test_what_fails_again_when_it_is_tried_again_does_not_stop_the_rank(tmp_path: Path, run: Runner) -> None:
    plan, out, count = small_plan(tmp_path, 210), tmp_path / "out", 210
    engine = FakeEngine(fails_for(*names(count), error=too_long))
    assert run.caption(plan, out, "--max-error-rate", 1, engine=engine).status == 0
    assert run.caption(plan, out, "--retry-errors", engine=engine).status == 0
    assert {record["attempts"] for record in records(out).values()} == {2}


# --- records that cannot be written, media that cannot be read for a while


def unwritable() -> dict[str, object]:
    loop: list[object] = []
    loop.append(loop)
    return {"a number that is none": math.nan, "infinity": -math.inf, "an object": object(), "itself": loop}


@pytest.mark.parametrize("what", unwritable())
def test_what_no_record_can_hold_costs_one_error_record(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    async def caption(*arguments: object) -> Row:
        made = await captionpipeline_caption(*arguments)  # type: ignore[arg-type]
        return {**made, "odd": unwritable()[what]}

    captionpipeline_caption = captionpipeline.caption
    plan, out = small_plan(tmp_path, 2), tmp_path / "out"
    monkeypatch.setattr(captionpipeline, "caption", caption)
    outcome = run.caption(plan, out)
    assert outcome.status == 0
    found = records(out)
    assert error_kinds(out) == dict.fromkeys(names(2), "unexpected")
    assert "cannot be written as JSON" in found["set/0"]["error"]["message"]
    assert {record["attempts"] for record in found.values()} == {1}
    monkeypatch.undo()
    assert run.caption(plan, out, "--retry-errors").status == 0
    assert error_kinds(out) == {}


@pytest.mark.parametrize("probability", [math.nan, math.inf, 0.0])
def test_a_probability_that_is_none_is_a_bad_route(tmp_path: Path, run: Runner, probability: float) -> None:
    def hook(request: Request) -> Completion | None:
        codes = request.constraint.choices if request.constraint else ()
        return completion(codes[0], **{codes[0][0]: probability}) if sample_of(request) == "set/1" else None

    plan, out = small_plan(tmp_path, 3), tmp_path / "out"
    assert run.route(plan, out, engine=FakeEngine(hook)).status == 0
    assert error_kinds(out) == {"set/1": "bad_route"}
    assert set(records(out)) == names(3)


def test_two_different_failures_of_one_run_are_two_attempts(tmp_path: Path, run: Runner) -> None:
    asked: list[str] = []

    def hook(request: Request) -> Completion | None:
        if sample_of(request) != "set/1" or agent_of(request) != "summary":
            return None
        asked.append(request.request_id)
        if len(asked) == 1:
            return completion("")
        raise too_long()

    plan, out = small_plan(tmp_path, 2), tmp_path / "out"
    run.caption(plan, out, engine=FakeEngine(hook))
    assert error_kinds(out) == {"set/1": "prompt_too_long"}
    assert records(out)["set/1"]["attempts"] == 2
    run.caption(plan, out, "--retry-errors", engine=FakeEngine(hook))
    assert records(out)["set/1"]["attempts"] == 3


def failing_reads(monkeypatch: pytest.MonkeyPatch, number: int, times: int) -> list[Path]:
    """Let the first so many attempts to read picture 1 fail with an error of the operating system."""
    failed: list[Path] = []
    read = media_source.open_file

    def opened(path: Path, root: Path | None) -> BinaryIO:
        if path.name == "1.png" and len(failed) < times:
            failed.append(path)
            raise OSError(number, os.strerror(number))
        return read(path, root)

    monkeypatch.setattr(media_source, "open_file", opened)
    monkeypatch.setattr(loop, "_PAUSES_SECONDS", (0.01, 0.01, 0.01))
    return failed


PASSING = [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.ENOTCONN]


@pytest.mark.parametrize("number", PASSING, ids=errno.errorcode.get)
def test_media_that_cannot_be_read_for_a_moment_are_looked_for_again(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    plan, out = small_plan(tmp_path, 3), tmp_path / "out"
    failed = failing_reads(monkeypatch, number, 3)
    assert run.caption(plan, out).status == 0
    assert (error_kinds(out), len(failed)) == ({}, 3)


@pytest.mark.parametrize(("number", "tries"), [(errno.EIO, 4), (errno.EACCES, 1)], ids=["EIO", "EACCES"])
def test_media_that_stay_unreadable_are_not_called_missing_and_are_done_by_another_run(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch, number: int, tries: int
) -> None:
    plan, out = small_plan(tmp_path, 3), tmp_path / "out"
    failed = failing_reads(monkeypatch, number, 10**6)
    assert run.caption(plan, out).status == 0
    assert (error_kinds(out), len(failed)) == ({"set/1": "media_unreadable"}, tries)
    assert f"cannot be read: {os.strerror(number)}" in records(out)["set/1"]["error"]["message"]
    monkeypatch.undo()
    assert run.caption(plan, out, "--retry-errors").status == 0
    assert (error_kinds(out), set(records(out))) == ({}, names(3))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE], ids=errno.errorcode.get)
def test_that_no_more_files_may_be_opened_is_no_fault_of_a_sample(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    plan, out = small_plan(tmp_path, 3), tmp_path / "out"
    failing_reads(monkeypatch, number, 1)
    outcome = run.caption(plan, out)
    assert outcome.status == 1
    assert "allow this process more of them (ulimit -n)" in outcome.errors[0]
    assert run.caption(plan, out).status == 0
    assert (error_kinds(out), set(records(out))) == ({}, names(3))


# --- runs that end early


def test_a_torn_line_costs_its_own_sample_once_more(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    run.caption(plan, out)
    path = out / "Rank0_node0_set.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines)[:-30])
    engine = FakeEngine()
    assert run.caption(plan, out, engine=engine).status == 0
    assert len(engine.samples) == 1
    assert set(records(out)) == names(4)
    assert path.read_bytes().splitlines(keepends=True)[:3] == lines[:3]


def test_a_broken_line_in_the_middle_is_refused_and_once_moved_aside_costs_its_own_sample_once_more(
    tmp_path: Path, run: Runner
) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    run.caption(plan, out)
    path = out / "Rank0_node0_set.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"\0garbage" + lines[1][8:], *lines[2:]]))
    refused = run.caption(plan, out, engine_opens=False)
    assert (refused.status, len(refused.errors)) == (1, 1)
    assert f"result file {path}, line 2: is no record" in refused.said
    assert run.main(verify.main, "--plan", plan, "--data-folder", out, "--mend").status == 1
    engine = FakeEngine()
    assert run.caption(plan, out, engine=engine).status == 0
    assert len(engine.samples) == 1
    assert set(records(out)) == names(4)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_after_a_signal_what_is_in_flight_is_finished_and_no_more(
    tmp_path: Path, run: Runner, number: signal.Signals
) -> None:
    plan, out = small_plan(tmp_path, 20), tmp_path / "out"

    async def hook(request: Request) -> None:
        if sample_of(request) == "set/4" and agent_of(request) == "summary":
            os.kill(os.getpid(), number)
        await asyncio.sleep(0.005)

    first = FakeEngine(hook)
    outcome = run.caption(plan, out, "--in-flight", 2, engine=first)
    assert outcome.status == 3
    assert outcome.said.splitlines()[-1] == (
        f"note: rank 0: stopped by {number.name}; run the same command again to go on"
    )
    done = set(records(out))
    assert first.samples == done
    assert 5 <= len(done) <= 15
    assert first.closed
    second = FakeEngine()
    assert run.caption(plan, out, engine=second).status == 0
    assert second.samples == names(20) - done
    assert set(records(out)) == names(20)
    assert error_kinds(out) == {}


def test_what_does_not_end_in_the_grace_time_is_left_for_the_next_run(tmp_path: Path, run: Runner) -> None:
    async def hook(request: Request) -> None:
        if sample_of(request) == "set/1":
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(60)

    plan, out = small_plan(tmp_path), tmp_path / "out"
    assert run.caption(plan, out, "--grace-seconds", 0.2, engine=FakeEngine(hook)).status == 3
    assert "set/1" not in records(out)
    assert run.caption(plan, out).status == 0
    assert set(records(out)) == names(4)
    assert error_kinds(out) == {}


def test_a_dead_engine_ends_the_run_and_nothing_is_lost(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path, 8), tmp_path / "out"
    died = EngineDead("the engine has died")
    engine = FakeEngine(fails_for("set/5", error=lambda: died))
    outcome = run.caption(plan, out, "--in-flight", 1, "--decode-threads", 1, engine=engine)
    assert outcome.status == 4  # the supervisor starts another worker
    assert outcome.said.splitlines()[-1] == f"note: rank 0: {died}"
    assert engine.closed
    begun = set(records(out))
    assert {"set/0", "set/1", "set/2"} <= begun
    assert "set/5" not in begun
    assert error_kinds(out) == {}
    second = FakeEngine()
    assert run.caption(plan, out, engine=second).status == 0
    assert second.samples == names(8) - begun
    assert set(records(out)) == names(8)


def test_a_rank_whose_samples_mostly_fail_stops_and_says_why(tmp_path: Path, run: Runner) -> None:
    failing = [name for number, name in enumerate(sorted(names(400))) if number % 4]
    engine = FakeEngine(fails_for(*failing, error=too_long))
    plan, out = small_plan(tmp_path, 400), tmp_path / "out"
    outcome = run.caption(plan, out, "--in-flight", 4, "--decode-threads", 1, engine=engine)
    assert outcome.status == 1
    [error] = outcome.errors
    assert error.startswith("error: rank 0: 1")
    assert " of the last 200 samples failed (prompt_too_long 1" in error
    kept = records(out)
    assert 200 <= len(kept) < 220
    assert set(error_kinds(out)) == set(kept) & set(failing)
    assert run.caption(plan, out, engine=FakeEngine()).status == 0
    assert set(records(out)) == names(400)


def test_an_error_of_the_whole_run_is_not_put_down_to_a_sample(tmp_path: Path, run: Runner) -> None:
    """Such as a chat template that cannot be used: else each of ten million samples fails with the same words."""
    engine = FakeEngine(fails_for(*names(4), error=lambda: UserError("its chat template cannot be used")))
    outcome = run.caption(small_plan(tmp_path), tmp_path / "out", engine=engine)
    assert outcome.status == 1
    assert outcome.errors == ["error: rank 0: its chat template cannot be used"]
    assert all_records(tmp_path / "out") == []


def test_a_full_disk_ends_the_run_with_whole_lines_and_the_next_one_completes_it(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, out = small_plan(tmp_path, 8), tmp_path / "out"
    with monkeypatch.context() as patched:
        fill_disk(patched, whole_lines=3)
        outcome = run.caption(plan, out)
    assert outcome.status == 1
    [error] = outcome.errors
    reason = "cannot be written: No space left on device; what it holds is kept"
    assert error == f"error: rank 0: result file {out / 'Rank0_node0_set.jsonl'}: {reason}"
    begun = set(records(out))
    assert len(begun) == 3
    second = FakeEngine()
    assert run.caption(plan, out, engine=second).status == 0
    assert second.samples == names(8) - begun
    assert set(records(out)) == names(8)


def test_a_rank_that_another_process_has_is_refused(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    with RankResults(out, 0, 0):
        outcome = run.caption(plan, out, engine_opens=False)
    assert outcome.status == 1
    [error] = outcome.errors
    assert error.startswith(f"error: rank 0: rank 0 is being worked on by another process in {out}: wait until ")
    assert run.caption(plan, out).status == 0


def test_records_of_a_failure_and_of_a_success_have_the_same_identity(tmp_path: Path, run: Runner) -> None:
    run.caption(small_plan(tmp_path), tmp_path / "out", engine=FakeEngine(fails_for("set/1", error=too_long)))
    found = records(tmp_path / "out")
    shared = ("sample_id", "data_name", "index", "id", "image", "modality", "task", "task_source", "status")
    both = (*shared, "model", "prompts", "attempts")
    good, bad = found["set/0"], found["set/1"]

    def order(record: Row) -> list[str]:
        return [key for key in record if key in both]

    assert order(good) == order(bad)
    assert set(order(good)) == set(both)
