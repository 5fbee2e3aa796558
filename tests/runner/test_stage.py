import gc
import os
import signal
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from MetaCaptioner.agents.prompts import PROMPTS_FOLDER, Prompts, load_prompts, system_prompt_map_dict
from MetaCaptioner.engine.base import Completion, Request
from MetaCaptioner.errors import BadArguments, UserError
from MetaCaptioner.media.loader import Media
from MetaCaptioner.metrics import usage
from MetaCaptioner.records.row_map import caption_hash
from MetaCaptioner.records.store import RankResults
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.runner.stage import loop_settings
from MetaCaptioner.utils.options_sources import read
from tests.helpers import (
    MAPS,
    FakeEngine,
    Outcome,
    Runner,
    agent_of,
    all_records,
    completion,
    error_kinds,
    make_clip,
    make_read_only,
    names,
    picture_rows,
    plan_row,
    records,
    sample_of,
    small_plan,
    write_annotation,
    write_plan,
    write_prompts,
)


def agents_of(domain: str) -> set[str]:
    return {agent.name for agent in load_prompts().workflows[domain].agents}


# --- the way of a sample through the caption stage

OPENING = " ".join((PROMPTS_FOLDER / "opening.txt").read_text().split()) + "\n\n"


@pytest.mark.parametrize("domain", [domain.name for domain in load_prompts().domains if domain.modality == "image"])
def test_every_domain_captions_a_picture(tmp_path: Path, run: Runner, domain: str) -> None:
    assert run.caption(small_plan(tmp_path, 2, task=domain), tmp_path / "out").status == 0
    for record in records(tmp_path / "out").values():
        assert (record["status"], record["task"], record["task_source"]) == ("ok", domain, "metafile")
        assert set(record["agents"]) == agents_of(domain)


def test_a_clip_is_captioned(tmp_path: Path, run: Runner) -> None:
    (tmp_path / "media").mkdir()
    make_clip(tmp_path / "media" / "a.mp4", 30)
    (tmp_path / "media" / "b.mp4").write_text("<html>")
    rows = [{"id": 0, "video": "a.mp4"}, {"id": 1, "video": "b.mp4"}]
    plan = small_plan(tmp_path, rows, task="Video & Temporal", modality="video")
    engine = FakeEngine()
    assert run.caption(plan, tmp_path / "out", engine=engine).status == 0
    found = records(tmp_path / "out")
    assert error_kinds(tmp_path / "out") == {"set/1": "media_corrupt"}
    assert (found["set/0"]["video"], found["set/0"]["modality"]) == ("a.mp4", "video")
    assert set(found["set/0"]["agents"]) == agents_of("Video & Temporal")
    setting = next(request for request in engine.requests if agent_of(request) == "setting")
    assert "Length: 3.0 s. Frames sampled: 6, at these seconds: 0.0, 0.6" in setting.instruction


@pytest.mark.parametrize("task", ["auto", ""])
def test_what_has_no_task_is_routed_first(tmp_path: Path, run: Runner, task: str) -> None:
    def hook(request: Request) -> Completion | None:
        return completion("D2", D=0.9, A=0.1) if agent_of(request) == "router" else None

    rows = picture_rows(tmp_path / "media", 3)
    rows[2]["task"] = "ui"
    engine = FakeEngine(hook)
    assert run.caption(small_plan(tmp_path, rows, task=task), tmp_path / "out", engine=engine).status == 0
    found = records(tmp_path / "out")
    for name in ("set/0", "set/1"):
        assert (found[name]["task"], found[name]["task_source"]) == ("Medical & Bio-Imaging", "router")
        assert (found[name]["subdomain"], found[name]["task_confidence"]) == ("Pathology", 0.9)
        assert set(found[name]["agents"]) == agents_of("Medical & Bio-Imaging")
    assert (found["set/2"]["task"], found["set/2"]["task_source"]) == ("UI & Interaction", "row")
    assert "subdomain" not in found["set/2"]
    assert Counter(agent_of(request) for request in engine.requests)["router"] == 2
    hint = next(a for a in load_prompts().workflows["Medical & Bio-Imaging"].agents if "{subdomain}" in a.prompt)
    told = next(r.instruction for r in engine.requests if sample_of(r) == "set/0" and agent_of(r) == hint.name)
    before, _, _ = hint.prompt.partition("{subdomain}")
    assert told.startswith(f"{before}Pathology")


def test_a_tenth_domain_of_one_file_is_captioned_end_to_end(tmp_path: Path, run: Runner) -> None:
    def hook(request: Request) -> Completion | None:
        return completion("J1", J=1.0) if agent_of(request) == "router" else None

    prompts = write_prompts(tmp_path / "prompts", maps=MAPS)
    rows = picture_rows(tmp_path / "media", 4)
    rows[0]["task"], rows[1]["task"], rows[2]["task"] = "Maps", "CARTOGRAPHY", "auto"
    plan = small_plan(tmp_path, rows)
    engine = FakeEngine(hook)
    assert run.caption(plan, tmp_path / "out", "--prompts-dir", prompts, engine=engine).status == 0
    found = records(tmp_path / "out")
    assert [found[f"set/{n}"]["task"] for n in range(4)] == ["Maps", "Maps", "Maps", "Natural"]
    for number in range(3):
        assert set(found[f"set/{number}"]["agents"]) == {"places", "summary"}
        told = next(r.instruction for r in engine.requests if r.request_id.startswith(f"set/{number}/summary/"))
        assert told == OPENING + f"Describe the map. {found[f'set/{number}']['agents']['places']['text']}"
    run.caption(plan, tmp_path / "without")
    assert error_kinds(tmp_path / "without") == {"set/0": "bad_row", "set/1": "bad_row"}


def test_changed_prompts_reach_the_engine_and_the_records(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = small_plan(tmp_path, 1)
    run.caption(plan, tmp_path / "before")
    monkeypatch.setitem(system_prompt_map_dict["Natural"], "objects", "Count the birds.")
    engine = FakeEngine()
    run.caption(plan, tmp_path / "after", engine=engine)
    assert OPENING + "Count the birds." in {request.instruction for request in engine.requests}
    digests = {records(tmp_path / folder)["set/0"]["prompts"] for folder in ("before", "after")}
    assert len(digests) == 2


def test_texts_of_agents_with_braces_are_handed_on_as_they_are(tmp_path: Path, run: Runner) -> None:
    strange = r"{living_things} {{x}} \frac{a}{b} { %s"

    def hook(request: Request) -> Completion | None:
        return completion(strange) if agent_of(request) == "objects" else None

    engine = FakeEngine(hook)
    assert run.caption(small_plan(tmp_path, 1), tmp_path / "out", engine=engine).status == 0
    summary = next(request for request in engine.requests if agent_of(request) == "summary")
    assert strange in summary.instruction
    assert error_kinds(tmp_path / "out") == {}


# --- one line for what cannot be done


def test_a_plan_that_is_missing_is_one_line(tmp_path: Path, run: Runner) -> None:
    outcome = run.caption(tmp_path / "none.jsonl", tmp_path / "out", engine_opens=False)
    assert outcome.status == 1
    assert outcome.said == (
        f"error: rank 0: plan {tmp_path / 'none.jsonl'}: cannot be read: No such file or directory; "
        "plan first (metacaptioner plan)\n"
    )


def test_an_output_folder_below_a_file_is_one_line(tmp_path: Path, run: Runner) -> None:
    (tmp_path / "file").touch()
    outcome = run.caption(small_plan(tmp_path), tmp_path / "file" / "out", engine_opens=False)
    assert outcome.status == 1
    assert outcome.said == (
        f"error: rank 0: output folder {tmp_path / 'file' / 'out'}: cannot be written: Not a directory\n"
    )


@pytest.mark.parametrize("wanted", ["inferdomain", "captionpipeline", "inferscore"])
@pytest.mark.parametrize("there", ["inferdomain", "captionpipeline", "inferscore"])
def test_results_of_another_stage_are_left_as_they_are(tmp_path: Path, run: Runner, there: str, wanted: str) -> None:
    plan, captions, out = small_plan(tmp_path), tmp_path / "captions", tmp_path / "out"
    run.caption(plan, captions)

    def make(stage: str, **how: Any) -> Outcome:
        if stage == "inferscore":
            return run.score(captions, "--output-dir", out, **how)
        return (run.route if stage == "inferdomain" else run.caption)(plan, out, **how)

    make(there)
    before = {path: path.read_bytes() for path in out.glob("Rank*")}
    assert before
    outcome = make(wanted, engine_opens=False)
    assert {path: path.read_bytes() for path in out.glob("Rank*")} == before
    if there == wanted:
        assert (outcome.status, outcome.errors) == (0, [])
    else:
        told = f"error: rank 0: output folder {out}: holds results of {there}, not of {wanted}; name another"
        assert (outcome.status, outcome.errors) == (1, [told])


def test_a_second_pass_leaves_scores_as_they_are(tmp_path: Path, run: Runner) -> None:
    captions = tmp_path / "captions"
    run.caption(small_plan(tmp_path), captions)
    run.score(captions)
    before = {path: path.read_bytes() for path in (captions / "score").glob("Rank*")}
    outcome = run.second_pass(
        captions, captions / "score", "--prompts-dir", PROMPTS_FOLDER / "shorten", engine_opens=False
    )
    assert "is for the scores of the results in" in outcome.said
    assert {path: path.read_bytes() for path in (captions / "score").glob("Rank*")} == before


def test_a_read_only_output_folder_is_one_line(tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = small_plan(tmp_path)
    (tmp_path / "out").mkdir()
    make_read_only(monkeypatch, tmp_path / "out")
    outcome = run.caption(plan, tmp_path / "out", engine_opens=False)
    assert outcome.status == 1
    assert outcome.said == (
        f"error: rank 0: output folder {tmp_path / 'out'}: cannot be written: Read-only file system\n"
    )


def test_a_broken_prompt_file_is_one_line(tmp_path: Path, run: Runner) -> None:
    prompts = write_prompts(tmp_path / "prompts", maps="domain: [")
    outcome = run.caption(small_plan(tmp_path), tmp_path / "out", "--prompts-dir", prompts, engine_opens=False)
    assert outcome.status == 1
    assert outcome.said.startswith(f"error: rank 0: prompt file {prompts / 'maps.yaml'}: is no valid YAML")
    assert outcome.said.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [(UserError("model none cannot be loaded: no config"), 1), (BadArguments("--engine-arg x: unknown"), 2)],
)
def test_an_engine_that_cannot_be_opened_is_one_line(
    tmp_path: Path, run: Runner, error: UserError, status: int
) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    outcome = run.caption(plan, out, engine=error)
    assert outcome.status == status
    [line] = outcome.errors
    of_rank = "rank 0: " if status == 1 else ""
    assert line == f"error: {of_rank}{error}"
    assert all_records(out) == []
    assert run.caption(plan, out).status == 0


def test_a_signal_during_set_up_ends_the_run_at_once(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(folder: Path | None) -> Prompts:
        os.kill(os.getpid(), signal.SIGTERM)
        return load_prompts(folder)

    plan, out = small_plan(tmp_path), tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr("MetaCaptioner.runner.options.load_prompts", load)
        outcome = run.caption(plan, out, engine_opens=False)
    assert outcome.status == 3
    assert outcome.said == "note: rank 0: stopped by SIGTERM; run the same command again to go on\n"
    assert run.caption(plan, out).status == 0
    assert set(records(out)) == names(4)


# --- how much is done


def test_so_many_samples_are_done_and_the_next_run_goes_on(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path, 6), tmp_path / "out"
    engine = FakeEngine()
    assert run.caption(plan, out, "--max-samples", 2, engine=engine).status == 0
    assert set(records(out)) == {"set/0", "set/1"} == engine.samples
    assert run.caption(plan, out, "--max-samples", 3).status == 0
    assert set(records(out)) == names(5)
    assert run.caption(plan, out, "--max-samples", 3).status == 0
    assert set(records(out)) == names(6)
    run.caption(plan, out, "--max-samples", 3, engine_opens=False)


@pytest.mark.parametrize(("limit", "shares"), [(1, [1, 0, 0]), (4, [2, 1, 1]), (100, [3, 3, 3])])
def test_the_limit_is_over_all_ranks(tmp_path: Path, run: Runner, limit: int, shares: list[int]) -> None:
    small_plan(tmp_path, 9)
    rows = [plan_row(tmp_path / "set.json", tmp_path / "media", 3 * r, 3 * r + 3, r) for r in range(3)]
    plan = write_plan(tmp_path / "plan.jsonl", *rows)
    for rank in range(3):
        outcome = run.caption(
            plan, tmp_path / "out", "--max-samples", limit, rank=(rank, 3), engine_opens=bool(shares[rank])
        )
        assert outcome.status == 0
    done = Counter(int(name.removeprefix("set/")) // 3 for name in records(tmp_path / "out"))
    assert [done[rank] for rank in range(3)] == shares


def test_a_rank_without_work_is_done_at_once(tmp_path: Path, run: Runner) -> None:
    outcome = run.caption(small_plan(tmp_path), tmp_path / "out", rank=(3, 5), engine_opens=False)
    assert outcome.status == 0
    assert "rank 3: captionpipeline: 0 of 0 samples are done, 0 to do" in outcome.said
    assert all_records(tmp_path / "out") == []


def test_result_files_are_named_for_rank_node_and_annotation_file(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = picture_rows(tmp_path / "media", 2)
    for name in ("ade.v2.json", "cars.jsonl"):
        write_annotation(tmp_path / name, rows)
    plan = write_plan(
        tmp_path / "plan.jsonl",
        plan_row(tmp_path / "ade.v2.json", tmp_path / "media", 0, 2, 5),
        plan_row(tmp_path / "cars.jsonl", tmp_path / "media", 0, 2, 5),
    )
    monkeypatch.setenv("GROUP_RANK", "2")
    assert run.caption(plan, tmp_path / "out", rank=(0, 1)).status == 0
    found = sorted(path.name for path in (tmp_path / "out").glob("*.jsonl"))
    assert found == ["Rank5_node2_ade.v2.jsonl", "Rank5_node2_cars.jsonl"]


def test_a_bound_on_the_output_reaches_the_engine(tmp_path: Path, run: Runner) -> None:
    engine = FakeEngine()
    run.caption(small_plan(tmp_path, 1), tmp_path / "out", "--max-output-tokens", 7, engine=engine)
    assert {request.sampling.max_tokens for request in engine.requests} == {7}


def test_the_media_budget_reaches_the_engine(tmp_path: Path, run: Runner) -> None:
    plan = small_plan(tmp_path, 1)
    engine = FakeEngine()
    engine.pixel_multiple = 32
    run.caption(plan, tmp_path / "out", "--max-pixels", 32 * 32, engine=engine)
    sizes = {(request.media.width, request.media.height) for request in engine.requests if request.media}
    assert sizes == {(32, 32)}


# --- memory


def test_what_the_loop_holds_does_not_grow_with_the_samples_done(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted exactly, in one run: the smallest object that is kept for each sample would be above the bound."""
    monkeypatch.setattr(usage, "kept_again_after", lambda _: 3600.0)  # what is held to publish counts, once, is not it
    early, late, held = 600, 1800, dict[int, tracemalloc.Snapshot]()
    one_at_a_time = ("--in-flight", 1, "--decode-threads", 1)
    asked = 0

    def hook(request: Request) -> None:
        nonlocal asked
        asked += agent_of(request) == "summary"
        if asked in (early, late) and asked not in held:
            gc.collect()
            held[asked] = tracemalloc.take_snapshot()

    class Forgetful(FakeEngine):
        async def generate(self, request: Request) -> Completion:
            self.requests.clear()
            return await super().generate(request)

    rows = [{"id": number, "image": f"{number % 8}.png"} for number in range(late + 100)]
    picture_rows(tmp_path / "media", 8)
    plan = small_plan(tmp_path, rows)
    run.caption(plan, tmp_path / "first", "--max-samples", 100)  # what is imported and cached once is not counted
    tracemalloc.start()
    try:
        assert run.caption(plan, tmp_path / "out", *one_at_a_time, engine=Forgetful(hook)).status == 0
    finally:
        tracemalloc.stop()
    grown = held[late].compare_to(held[early], "lineno")
    assert sum(line.size_diff for line in grown) < 50 * (late - early), grown[:5]


@pytest.mark.parametrize("stage_name", ["caption", "score"])
def test_what_is_held_to_go_on_with_a_shard_is_some_bytes_a_row(tmp_path: Path, run: Runner, stage_name: str) -> None:
    """Where each row is, whether it is done, how often it was tried, and which caption it has."""
    peaks = {}
    for count in (5_000, 20_000):
        folder = tmp_path / str(count)
        picture_rows(folder / "media", 1)
        plan = small_plan(folder, [{"id": number, "image": "0.png"} for number in range(count)])
        identity = {"data_name": "set", "image": "0.png", "root": str(folder / "media"), "modality": "image"}
        with RankResults(folder / "out", 0, 0) as captions, RankResults(folder / "out" / "score", 0, 0) as scores:
            for number in range(count):
                sample = {**identity, "sample_id": f"set/{number}", "index": number, "attempts": 1}
                error = {"status": "error", "error": {"kind": "unexpected", "message": "…"}}
                failed = stage_name == "caption"
                captions.append("set", {**sample, "caption": f"{number}", **(error if failed else {"status": "ok"})})
                scores.append("set", {**sample, **error, "caption_hash": caption_hash(f"{number}")})
        refused = UserError("this is as far as it goes")
        tracemalloc.start()
        try:
            if stage_name == "caption":
                outcome = run.caption(plan, folder / "out", "--retry-errors", engine=refused)
            else:
                outcome = run.score(folder / "out", "--retry-errors", engine=refused)
            peaks[count] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert f"0 of {count} samples are done, {count} to do" in outcome.said
    assert peaks[20_000] - peaks[5_000] < 20 * 15_000


@pytest.mark.parametrize(
    ("cache_tokens", "flags", "in_flight"),
    [(None, (), 64), (10, (), 1), (10**9, (), 448), (10**9, ("--in-flight", "7"), 7)],
)
def test_as_many_samples_are_in_flight_as_the_cache_holds(
    cache_tokens: int | None, flags: tuple[str, ...], in_flight: int
) -> None:
    engine = FakeEngine()
    engine.cache_tokens = cache_tokens
    options = read(StageOptions, ["--model", "m", *flags], "")
    assert loop_settings(engine, options, load_prompts()).in_flight == in_flight
    engine.cache_tokens = 300_000
    assert loop_settings(engine, options, load_prompts()).in_flight in (7, *range(60, 130))


def test_a_domain_whose_agents_all_look_at_nothing_opens_no_file(tmp_path: Path, run: Runner) -> None:
    agent = {"name": "summary", "role": "summary", "sees_media": False, "prompt": "Say something."}
    domain = {"domain": "Natural", "description": "All.", "agents": [agent]}
    prompts, plan, out = write_prompts(tmp_path / "prompts", own=domain), small_plan(tmp_path, 3), tmp_path / "out"
    for path in (tmp_path / "media").iterdir():
        path.unlink()
    engine = FakeEngine()
    outcome = run.caption(plan, out, "--prompts-dir", prompts, engine=engine)
    assert (outcome.status, error_kinds(out)) == (0, {})
    assert all(request.media is None for request in engine.requests)
    assert not any("media_hash" in record for record in records(out).values())


def test_what_media_take_is_what_the_engine_says_of_the_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that cuts pictures into tiles takes many times the tokens that one of their size takes in Qwen-VL."""
    shown: list[Media] = []

    def media_tokens(media: Media) -> int | None:
        shown.append(media)
        return None if media.modality == "video" else 40_000 if media.width > media.height else 100

    engine = FakeEngine()
    engine.cache_tokens = 300_000
    options = read(StageOptions, ["--model", "m", "--max-pixels", "200704"], "")
    before = loop_settings(engine, options, load_prompts()).in_flight
    monkeypatch.setattr(engine, "media_tokens", media_tokens)
    after = loop_settings(engine, options, load_prompts()).in_flight
    assert after < before / 8
    assert all(150_000 < media.width * media.height <= 200_704 for media in shown if media.modality == "image")
    [clip] = [media for media in shown if media.modality == "video"]
    assert clip.data.shape == (32, clip.height, clip.width, 3)


@pytest.mark.parametrize(
    ("tokens", "rank", "is_told"),
    [(256, (0, 2), True), (3699, (0, 2), True), (2000, (0, 2), False), (256, (1, 2), False), (256, (0, 1), False)],
)
def test_a_model_for_which_the_plan_is_rough_is_told_of_once(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch, tokens: int, rank: tuple[int, int], is_told: bool
) -> None:
    engine = FakeEngine()
    monkeypatch.setattr(engine, "media_tokens", lambda media: tokens if media.modality == "image" else None)
    outcome = run.caption(small_plan(tmp_path, 2), tmp_path / "out", engine=engine, rank=rank)
    told = f"note: this model takes {tokens:,} tokens for a large picture, the plan counts 1,280 for any model"
    assert outcome.status == 0
    assert outcome.said.count(told) == is_told


def test_what_was_chosen_for_speed_is_told(tmp_path: Path, run: Runner) -> None:
    engine = FakeEngine()
    plan = small_plan(tmp_path, 2)
    assert "chosen for" not in run.caption(plan, tmp_path / "none", engine=engine).said
    engine.chosen_for_speed = ("max_num_seqs=9", "a=b")
    said = run.caption(plan, tmp_path / "some", engine=engine).said
    assert "rank 0: chosen for this GPU and model: max_num_seqs=9 a=b" in said
