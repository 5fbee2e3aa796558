import asyncio
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from MetaCaptioner import inferdomain, verify
from MetaCaptioner.captionpipeline import STAGE
from MetaCaptioner.engine.base import Completion, Request
from MetaCaptioner.errors import EngineDead, ErrorKind, SampleError, UserError
from MetaCaptioner.metrics import usage
from MetaCaptioner.metrics.in_words import describe
from MetaCaptioner.metrics.usage import Run, cost_of, figures, runs_of
from MetaCaptioner.records.counts import RecordCounts
from MetaCaptioner.records.published_counts import published_counts
from MetaCaptioner.runner import stage
from tests.helpers import FakeEngine, Runner, agent_of, make_clip, names, picture_rows, records, sample_of, small_plan

TOKENS = ("input_tokens", "cached_tokens", "output_tokens")


def tokens(text: str = "An answer.") -> Completion:
    return Completion(text, "stop", 100, 60, 7)


def lines(folder: Path, rank: int = 0, node: int = 0) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "runs" / f"Rank{rank}_node{node}.jsonl").read_text().splitlines()]


def a_run(**changes: object) -> Run:
    fields = {"stage": "captionpipeline", "rank": 0, "node": 0, "model": "m", "prompts": "p", "gpus": 1}
    counts = {"loading_seconds": 360.0, "working_seconds": 3240.0, "images": 900, "state": "done"}
    usage = {"input_tokens": 2_000_000, "cached_tokens": 1_500_000, "output_tokens": 592_000}
    return Run.model_validate({**fields, "device": "NVIDIA H200", **counts, **usage, **changes})


# --- what a record tells


def test_a_record_has_the_tokens_of_all_its_agents(tmp_path: Path, run: Runner) -> None:
    engine = FakeEngine(lambda request: tokens())
    assert run.caption(small_plan(tmp_path, 3), tmp_path / "out", engine=engine).status == 0
    for name, record in records(tmp_path / "out").items():
        requests = sum(sample_of(request) == name for request in engine.requests)
        assert [record[field] for field in TOKENS] == [100 * requests, 60 * requests, 7 * requests]
        assert {field: sum(agent[field] for agent in record["agents"].values()) for field in TOKENS} == {
            field: record[field] for field in TOKENS
        }


def test_router_and_further_tries_count_as_well(tmp_path: Path, run: Runner) -> None:
    def hook(request: Request) -> Completion:
        if agent_of(request) == "router":
            return Completion("A1", "stop", 1000, 0, 2, {"A": 1.0})
        empty = agent_of(request) == "summary" and request.request_id.endswith(".1")
        return tokens(" " if empty else "An answer.")

    engine = FakeEngine(hook)
    assert run.caption(small_plan(tmp_path, 1, task="auto"), tmp_path / "out", engine=engine).status == 0
    [record] = records(tmp_path / "out").values()
    routed = sum(agent_of(request) == "router" for request in engine.requests)
    assert routed == 2
    asked = len(engine.requests) - routed
    assert [record[field] for field in TOKENS] == [2000 + 100 * asked, 60 * asked, 4 + 7 * asked]
    assert asked == 2 * len(record["agents"])


def test_every_stage_and_failures_tell_tokens_and_seconds(tmp_path: Path, run: Runner) -> None:
    async def hook(request: Request) -> Completion | None:
        if agent_of(request) == "objects":
            await asyncio.sleep(0.02)
            return tokens()
        if sample_of(request) == "set/1" and agent_of(request) == "summary":
            raise SampleError(ErrorKind.PROMPT_TOO_LONG, "too long")
        return None

    rows = [*picture_rows(tmp_path / "media", 2), {"id": 2, "image": "none.png"}, {"id": 3}]
    plan, out = small_plan(tmp_path, rows), tmp_path / "out"
    run.caption(plan, out, engine=FakeEngine(hook))
    run.route(plan, tmp_path / "routes")
    run.score(out)
    found = records(out)
    assert found["set/1"]["status"] == "error"
    for record in (found["set/0"], found["set/1"]):
        assert record["input_tokens"] > 100
        assert 0.02 <= record["engine_seconds"] <= record["seconds"]
    for name in ("set/2", "set/3"):
        assert [found[name][field] for field in (*TOKENS, "engine_seconds")] == [0, 0, 0, 0]
    assert found["set/3"]["seconds"] == 0
    for folder in (tmp_path / "routes", out / "score"):
        assert records(folder)["set/0"]["output_tokens"] >= 0
        assert records(folder)["set/0"]["input_tokens"] > 0


def test_what_the_check_of_claims_takes_is_told_apart(tmp_path: Path, run: Runner) -> None:
    def hook(request: Request) -> Completion:
        if agent_of(request).startswith("claims@"):
            return Completion("not visible" if agent_of(request) == "claims@2" else "supported", "stop", 70, 64, 1)
        return Completion("It sits. It flies.", "stop", 100, 60, 10)

    plan, out = small_plan(tmp_path, 2, task="Natural"), tmp_path / "out"
    outcome = run.caption(plan, out, "--claims", "rewrite", engine=FakeEngine(hook))
    assert outcome.status == 0
    for record in records(out).values():  # the caption is written twice, its two sentences are asked about each time
        assert len(record["agents"]) == 6
        assert [record[field] for field in TOKENS] == [6 * 100 + 4 * 70, 6 * 60 + 4 * 64, 6 * 10 + 4]
        assert [record[f"claim_{field}"] for field in TOKENS] == [100 + 4 * 70, 60 + 4 * 64, 10 + 4]
    [account] = runs_of([out])
    assert [getattr(account, f"claim_{field}") for field in TOKENS] == [760, 632, 28]
    assert account.claims == {"supported": 2, "not visible": 2}
    sums = figures([account])
    assert sums.claims_share == (760 - 632 + 28) / (2 * 5 * 50)
    told = (
        "claims: 2 supported, 2 not visible, for which 760 input and 28 output tokens of these (31.2% more than without"
    )
    assert told in outcome.said
    assert told in describe(account)
    content = cost_of([account, account], 4)["stages"]["captionpipeline"]
    assert (content["claims"], content["claim_input_tokens"]) == ({"supported": 4, "not visible": 4}, 1520)


# --- the run log


def test_a_run_leaves_the_account_of_its_records(tmp_path: Path, run: Runner) -> None:
    (tmp_path / "media").mkdir()
    make_clip(tmp_path / "media" / "a.mp4", 30)
    rows = [*picture_rows(tmp_path / "media", 3), {"id": 3, "video": "a.mp4", "task": "video"}, {"id": 4}]
    plan, out = small_plan(tmp_path, rows), tmp_path / "out"
    assert run.caption(plan, out, engine=FakeEngine()).status == 0
    [account] = runs_of([out])
    found = records(out)
    assert (account.stage, account.rank, account.node, account.state) == ("captionpipeline", 0, 0, "done")
    assert (account.model, account.prompts) == ("scripted", found["set/0"]["prompts"])
    assert (account.gpus, account.device) == (0, None)
    assert (account.images, account.videos, account.errors, account.truncated) == (3, 1, {"no_media": 1}, 0)
    for field in TOKENS:
        assert getattr(account, field) == sum(record[field] for record in found.values())
    assert account.working_seconds >= max(record["seconds"] for record in found.values()) - 0.001
    written = lines(out)
    assert [line["state"] for line in written] == ["loading", "working", "done"]
    assert written[-1]["images_an_hour"] == pytest.approx(3 * 3600 / account.working_seconds, rel=0.01)
    assert written[-1]["gpu_hours"] is None


def test_only_runs_that_load_an_engine_are_accounted_for(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path, 4), tmp_path / "out"
    run.caption(plan, out, "--max-samples", 1)
    run.caption(plan, out)
    run.caption(plan, out, engine_opens=False)
    assert [account.images for account in runs_of([out])] == [1, 3]
    assert runs_of([tmp_path / "absent"]) == []


def test_gpus_and_device_are_told(tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    monkeypatch.setattr(stage, "device_name", lambda gpus: f"Device {','.join(gpus)}")
    flags = ("--engine", "vllm", "--tensor-parallel-size", 2)
    outcome = run.caption(small_plan(tmp_path, 1), tmp_path / "out", *flags, engine=FakeEngine())
    [account] = runs_of([tmp_path / "out"])
    assert (account.gpus, account.device) == (2, "Device 4,5")
    assert "GPU hours on 2 x Device 4,5" in outcome.said


def test_an_engine_without_a_model_takes_no_gpu(tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    outcome = run.caption(small_plan(tmp_path, 1), tmp_path / "out")
    assert "no GPU was used" in outcome.said
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


def test_a_run_that_fails_or_is_stopped_is_accounted_for(tmp_path: Path, run: Runner) -> None:
    def dies(request: Request) -> Completion | None:
        if sample_of(request) == "set/1":
            raise EngineDead("the engine has died")
        return None

    async def stops(request: Request) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.01)

    plan, out = small_plan(tmp_path, 3), tmp_path / "out"
    one_by_one = ("--in-flight", 1, "--decode-threads", 1)
    run.caption(plan, out, engine=UserError("no such model"))
    run.caption(plan, out, *one_by_one, engine=FakeEngine(dies))
    run.caption(plan, out, *one_by_one, engine=FakeEngine(stops))
    assert [account.state for account in runs_of([out])] == ["failed", "failed", "stopped"]
    assert runs_of([out])[1].images == 1


def test_the_account_is_kept_while_the_run_goes_on(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a run that is killed, or hangs until it is killed, leaves one."""
    monkeypatch.setattr(usage, "kept_again_after", lambda elapsed: 0.01)
    out, seen = tmp_path / "out", list[Run]()

    async def hook(request: Request) -> None:
        while sample_of(request) == "set/2" and not seen:
            await asyncio.sleep(0.01)
            seen.extend(account for account in runs_of([out]) if account.images == 2)

    run.caption(small_plan(tmp_path, 3), out, "--in-flight", 1, "--decode-threads", 1, engine=FakeEngine(hook))
    assert seen[0].state == "working"
    assert seen[0].working_seconds > 0
    assert seen[0].input_tokens > 0
    assert figures(seen[:1]).cut_off == 1
    assert figures(runs_of([out])).cut_off == 0


def test_the_log_of_a_long_run_stays_short() -> None:
    elapsed, times = 0.0, 0
    while elapsed < 7 * 24 * 3600:
        wait = usage.kept_again_after(elapsed)
        assert wait <= max(30, 0.01 * elapsed)
        elapsed, times = elapsed + wait, times + 1
    assert times < 1000


# --- the counts that are published beside the run log

COUNTS = "runs/Rank0_node0.counts.json"


def found(counts: RecordCounts) -> dict[str, object]:
    counts.look()
    return {
        path.name: (file.rows.keys(), [str(piece) for piece in file.pieces()]) for path, file in counts.files.items()
    }


def test_a_run_publishes_what_a_count_of_its_files_comes_to(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path, [*picture_rows(tmp_path / "media", 5), {"id": 5}]), tmp_path / "out"
    for stage_folder, do in ((out, lambda: run.caption(plan, out)), (out / "score", lambda: run.score(out))):
        assert do().status == 0
        [file] = published_counts(stage_folder)
        assert file.place is not None
        assert file.place.offset == file.path.stat().st_size
        assert found(RecordCounts(stage_folder, [file])) == found(RecordCounts(stage_folder))


def test_a_rank_that_is_killed_leaves_counts_that_are_true_of_what_it_has_written(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder as it is when some samples have been counted and some have not."""
    out, left = tmp_path / "out", tmp_path / "left"
    monkeypatch.setattr(usage, "kept_again_after", lambda elapsed: 0.01 if not left.exists() else 60)

    async def hook(request: Request) -> None:
        waits = 500 if sample_of(request) == "set/2" else 0
        while waits and not published_counts(out):
            await asyncio.sleep(0.01)
            waits -= 1
        if sample_of(request) == "set/4" and not left.exists():
            shutil.copytree(out, left)

    run.caption(small_plan(tmp_path, 6), out, "--in-flight", 1, "--decode-threads", 1, engine=FakeEngine(hook))
    with next(left.glob("*.jsonl")).open("ab") as file:
        file.write(b'{"sample_id": "set/4", "data_na')
    assert len(published_counts(left)) == 1
    assert found(RecordCounts(left, published_counts(left))) == found(RecordCounts(left))


def test_a_run_takes_back_what_was_published_before_it_writes(tmp_path: Path, run: Runner) -> None:
    plan, out, there = small_plan(tmp_path, 3), tmp_path / "out", list[bool]()
    run.caption(plan, out, "--max-samples", 1)
    false = (out / COUNTS).read_text() + " "
    (out / COUNTS).write_text(false)

    class Late(FakeEngine):
        def progress(self) -> int:
            there.append((out / COUNTS).exists() and (out / COUNTS).read_text() == false)
            return super().progress()

    assert run.caption(plan, out, engine=Late()).status == 0
    assert there
    assert not any(there)


def test_that_counts_cannot_be_published_is_said_once_and_ends_nothing(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "kept_again_after", lambda elapsed: 0.01)
    (tmp_path / "out" / COUNTS / "something").mkdir(parents=True)
    outcome = run.caption(small_plan(tmp_path, 3), tmp_path / "out")
    assert (outcome.status, outcome.said.count("counts for status")) == (0, 1)
    assert set(records(tmp_path / "out")) == names(3)


def test_a_rank_does_what_was_only_said_to_be_done(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path, 6), tmp_path / "out"
    run.caption(plan, out, "--max-samples", 3)
    said = json.loads((out / COUNTS).read_bytes())
    [of_file] = said["files"].values()
    of_file["datasets"]["set"]["done"] = [0, 6]
    (out / COUNTS).write_text(json.dumps(said))
    assert [file.rows["set"].total for file in published_counts(out)] == [6]  # nothing tells that it is not so
    assert "missing samples: set/3; set/4; set/5" in run.main(verify.main, "--plan", plan, "--data-folder", out).said
    assert run.caption(plan, out).status == 0
    assert set(records(out)) == names(6)


# --- figures


def test_runs_of_several_ranks_add_up() -> None:
    sums = figures([a_run(), a_run(rank=1, images=700, videos=20, gpus=2, errors={"bad_row": 5}, state="working")])
    assert (sums.runs, sums.cut_off, sums.without_gpu) == (2, 1, 0)
    assert (sums.images, sums.videos, sums.failed, sums.input_tokens) == (1600, 20, 5, 4_000_000)
    assert sums.images_an_hour == round(1600 / 1.8, 1)
    assert sums.tokens_a_second == 800
    assert sums.gpu_hours == 3


def test_gpu_hours_are_those_of_loading_and_working() -> None:
    content = cost_of([a_run(), a_run(stage="inferscore", working_seconds=0.0, images=0), a_run(gpus=0)], kept=550)
    assert content["gpu_hours"] == 1.1
    assert content["gpu_hours_per_thousand_kept"] == 2
    assert {name: stage["gpu_hours"] for name, stage in content["stages"].items()} == {
        "captionpipeline": 1.0,
        "inferscore": 0.1,
    }
    assert content["stages"]["captionpipeline"]["without_gpu"] == 1


@pytest.mark.parametrize(("runs", "kept"), [([a_run(gpus=0, device=None)], 10), ([], 10)])
def test_where_no_gpu_was_used_no_gpu_hours_are_made_up(runs: list[Run], kept: int) -> None:
    content = cost_of(runs, kept)
    assert content["gpu_hours"] is None
    assert content["gpu_hours_per_thousand_kept"] is None


def test_where_nothing_is_kept_there_is_no_cost_for_a_thousand() -> None:
    assert cost_of([a_run()], 0)["gpu_hours_per_thousand_kept"] is None


def test_a_run_is_told_in_one_line() -> None:
    told = describe(a_run(errors={"bad_row": 2, "media_missing": 8}, truncated=3))
    assert told == (
        "910 samples: 900 ok, 10 errors (media_missing 8, bad_row 2); 3 cut at their token budget; "
        "3240.0 s after 360.0 s of loading; 1,000 images an hour, 800 tokens a second; "
        "2,000,000 input tokens (75% cached), 592,000 output tokens; 1.00 GPU hours on 1 x NVIDIA H200"
    )
    assert "; 1,000 images and 100 videos an hour, " in describe(a_run(videos=90))
    assert "; 100 videos an hour, " in describe(a_run(images=0, videos=90))
    nothing = describe(a_run(images=0, gpus=0, device=None, working_seconds=0.0, input_tokens=0))
    assert nothing.startswith("0 samples: 0 ok, 0 errors; ")
    assert nothing.endswith("; no GPU was used")
    assert describe(a_run(device=None)).endswith("1 x GPU")


def test_the_stages_are_told_apart_by_their_names(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path, 2), tmp_path / "out"
    run.route(plan, tmp_path / "routes")
    run.caption(plan, out)
    run.score(out)
    names = [account.stage for account in runs_of([tmp_path / "routes", out, out / "score"])]
    assert names == [inferdomain.STAGE.name, STAGE.name, "inferscore"]
