"""The caption stage over the captions of earlier results."""

import shutil
from pathlib import Path

import pytest

from MetaCaptioner import captionpipeline
from MetaCaptioner.agents.prompts import PROMPTS_FOLDER, load_prompts
from MetaCaptioner.errors import BadArguments
from MetaCaptioner.monitor.progress import Watcher
from MetaCaptioner.planning.remaining import drop_errors
from MetaCaptioner.records.row_map import caption_hash
from tests.helpers import (
    FakeEngine,
    Row,
    Runner,
    agent_of,
    all_records,
    completion,
    error_kinds,
    make_clip,
    names,
    picture_rows,
    plan_row,
    records,
    replace_record,
    sample_of,
    small_plan,
    write_annotation,
    write_plan,
    write_prompts,
)

SHORTEN = PROMPTS_FOLDER / "shorten"


def one_agent(prompt: str, domain: str = "*", **fields: object) -> Row:
    described = {} if domain == "*" else {"description": "Pictures."}
    return {"domain": domain, **described, "agents": [{"name": "again", "role": "summary", "prompt": prompt, **fields}]}


# --- texts, identity, lineage


def test_earlier_texts_are_in_the_prompts_and_the_lineage_in_the_records(tmp_path: Path, run: Runner) -> None:
    run.caption(small_plan(tmp_path), tmp_path / "first")
    prompt = "Shorten: {caption} It was seen: {agents.objects} ({subdomain})"
    prompts = write_prompts(tmp_path / "prompts", every=one_agent(prompt))
    engine = FakeEngine(lambda request: completion(f"Short {sample_of(request)}."))
    outcome = run.second_pass(tmp_path / "first", tmp_path / "out", "--prompts-dir", prompts, engine=engine)
    assert outcome.status == 0
    first, second = records(tmp_path / "first"), records(tmp_path / "out")
    assert set(second) == names(4)
    for request in engine.requests:
        record = first[sample_of(request)]
        seen = record["agents"]["objects"]["text"]
        assert request.instruction.endswith(f"Shorten: {record['caption']} It was seen: {seen} (not known)")
        assert request.media is not None
    for name, record in second.items():
        assert (record["status"], record["caption"]) == ("ok", f"Short {name}.")
        assert list(record["agents"]) == ["again"]
        assert record["source"] == {
            "caption_hash": caption_hash(first[name]["caption"]),
            "model": "scripted",
            "prompts": first[name]["prompts"],
        }
        same = ("data_name", "index", "id", "image", "root", "modality", "task", "task_source", "media_hash")
        assert {key: record[key] for key in same} == {key: first[name][key] for key in same}
        assert record["prompts"] == load_prompts(prompts).digest(("router", "agents")) != first[name]["prompts"]


def test_braces_in_an_earlier_text_are_not_interpreted(tmp_path: Path, run: Runner) -> None:
    run.caption(small_plan(tmp_path, 1), tmp_path / "first")
    replace_record(tmp_path / "first", "set/0", caption=r"{agents.objects} and {{x}} and \frac{a}{b}")
    prompts = write_prompts(tmp_path / "prompts", every=one_agent("Shorten: {caption}"))
    engine = FakeEngine()
    run.second_pass(tmp_path / "first", tmp_path / "out", "--prompts-dir", prompts, engine=engine)
    assert engine.requests[0].instruction.endswith(r"Shorten: {agents.objects} and {{x}} and \frac{a}{b}")


def test_the_router_is_not_asked_again_and_what_it_said_goes_on(tmp_path: Path, run: Runner) -> None:
    first = FakeEngine(lambda r: completion("D2", D=0.9, A=0.1) if agent_of(r) == "router" else None)
    run.caption(small_plan(tmp_path, task="auto"), tmp_path / "first", engine=first)
    prompts = write_prompts(tmp_path / "prompts", every=one_agent("Of {subdomain}: {caption}"))
    engine = FakeEngine()
    run.second_pass(tmp_path / "first", tmp_path / "out", "--prompts-dir", prompts, engine=engine)
    assert {agent_of(request) for request in engine.requests} == {"again"}
    for name, record in records(tmp_path / "out").items():
        earlier = records(tmp_path / "first")[name]
        told = ("task", "task_source", "task_confidence", "subdomain", "runner_up")
        assert {key: record[key] for key in told} == {key: earlier[key] for key in told}
        assert record["task_source"] == "router"
        assert all(f"Of {record['subdomain']}: " in request.instruction for request in engine.requests)


def test_a_third_pass_has_the_lineage_of_both(tmp_path: Path, run: Runner) -> None:
    run.caption(small_plan(tmp_path, 1), tmp_path / "first")
    prompts = write_prompts(tmp_path / "prompts", every=one_agent("Shorten: {caption}"))
    again = write_prompts(tmp_path / "again", every=one_agent("Translate: {agents.again}"))
    run.second_pass(tmp_path / "first", tmp_path / "second", "--prompts-dir", prompts)
    assert run.second_pass(tmp_path / "second", tmp_path / "third", "--prompts-dir", again).status == 0
    first, second, third = (records(tmp_path / name)["set/0"] for name in ("first", "second", "third"))
    assert third["source"]["caption_hash"] == caption_hash(second["caption"])
    assert third["source"]["prompts"] == second["prompts"]
    assert third["source"]["source"]["prompts"] == first["prompts"]


# --- what is shipped


def test_the_shipped_prompts_shorten_every_domain_without_its_media(tmp_path: Path, run: Runner) -> None:
    rows = picture_rows(tmp_path / "media", 2)
    make_clip(tmp_path / "media" / "a.mp4", 8)
    rows[1]["task"] = "ui"
    rows.append({"id": 2, "video": "a.mp4", "task": "video"})
    run.caption(small_plan(tmp_path, rows), tmp_path / "first")
    (tmp_path / "media").rename(tmp_path / "moved")
    engine = FakeEngine()
    outcome = run.second_pass(tmp_path / "first", tmp_path / "out", "--prompts-dir", SHORTEN, engine=engine)
    assert outcome.status == 0, outcome.said
    first, second = records(tmp_path / "first"), records(tmp_path / "out")
    assert {record["status"] for record in second.values()} == {"ok"}
    assert {record["task"] for record in second.values()} == {"Natural", "UI & Interaction", "Video & Temporal"}
    assert len(engine.requests) == 3
    for request in engine.requests:
        assert request.media is None
        assert f"=== CAPTION BEGINS ===\n{first[sample_of(request)]['caption']}\n===" in request.instruction
    assert {n: r["media_hash"] for n, r in second.items()} == {n: r["media_hash"] for n, r in first.items()}


def test_media_are_needed_where_an_agent_sees_them_or_their_times(tmp_path: Path, run: Runner) -> None:
    run.caption(small_plan(tmp_path, 2), tmp_path / "first")
    (tmp_path / "media").rename(tmp_path / "moved")
    for prompt, sees in (("Refine {caption}", True), ("Of {duration}: {caption}", False)):
        prompts = write_prompts(tmp_path / "prompts", every=one_agent(prompt, sees_media=sees))
        outcome = run.second_pass(tmp_path / "first", tmp_path / "out", "--prompts-dir", prompts, engine_opens=False)
        assert outcome.status == 1
        assert f"root {tmp_path / 'media'} is not a folder" in outcome.errors[0]


def test_a_file_of_a_domain_goes_before_that_of_every_domain(tmp_path: Path, run: Runner) -> None:
    rows = picture_rows(tmp_path / "media", 2)
    rows[1]["task"] = "ui"
    run.caption(small_plan(tmp_path, rows), tmp_path / "first")
    files = {"every": one_agent("All: {caption}"), "ui": one_agent("Screens: {caption}", "UI & Interaction")}
    prompts, engine = write_prompts(tmp_path / "prompts", **files), FakeEngine()
    run.second_pass(tmp_path / "first", tmp_path / "out", "--prompts-dir", prompts, engine=engine)
    begun = {sample_of(request): request.instruction.split("\n\n")[-1].split(":")[0] for request in engine.requests}
    assert begun == {"set/0": "All", "set/1": "Screens"}


# --- resuming


def test_what_is_done_is_not_done_again_and_new_captions_are_done_later(tmp_path: Path, run: Runner) -> None:
    first, out, shorten = tmp_path / "first", tmp_path / "out", ("--prompts-dir", SHORTEN)
    plan = small_plan(tmp_path, 6)
    run.caption(plan, first, "--max-samples", 4)
    engine = FakeEngine()
    run.second_pass(first, out, *shorten, "--max-samples", 3, engine=engine)
    assert len(all_records(out)) == 3
    run.second_pass(first, out, *shorten, engine=engine)
    assert len(engine.requests) == len(all_records(out)) == 4
    run.caption(plan, first)
    run.second_pass(first, out, *shorten, engine=engine)
    assert set(records(out)) == names(6)
    assert len(engine.requests) == 6
    assert run.second_pass(first, out, *shorten, engine_opens=False).status == 0


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_any_number_of_processes_makes_one_record_a_sample(tmp_path: Path, run: Runner, world_size: int) -> None:
    root = tmp_path / "media"
    annotation = write_annotation(tmp_path / "set.json", picture_rows(root, 10))
    rows = [plan_row(annotation, root, 0, 7, 0), plan_row(annotation, root, 7, 10, 1)]
    run.caption(write_plan(tmp_path / "plan.jsonl", *rows), tmp_path / "first")
    done = []
    for rank in range(world_size):
        run.second_pass(tmp_path / "first", tmp_path / "out", "--prompts-dir", SHORTEN, rank=(rank, world_size))
        done.append(len(records(tmp_path / "out")))
    assert done == {1: [10], 2: [7, 10], 3: [4, 7, 10]}[world_size]
    assert set(records(tmp_path / "out")) == names(10)


def test_a_caption_that_was_made_anew_is_done_again(tmp_path: Path, run: Runner) -> None:
    first, out, shorten = tmp_path / "first", tmp_path / "out", ("--prompts-dir", SHORTEN)
    run.caption(small_plan(tmp_path), first)
    run.second_pass(first, out, *shorten)
    before = records(out)
    replace_record(first, "set/2", caption="Made anew.")
    engine = FakeEngine()
    run.second_pass(first, out, *shorten, engine=engine)
    assert engine.samples == {"set/2"}
    after = records(out)
    assert {name for name in after if after[name] != before[name]} == {"set/2"}
    assert after["set/2"]["source"]["caption_hash"] == caption_hash("Made anew.")


def test_the_same_words_about_other_media_are_taken_anew(tmp_path: Path, run: Runner) -> None:
    first, out, shorten = tmp_path / "first", tmp_path / "out", ("--prompts-dir", SHORTEN)
    run.caption(small_plan(tmp_path), first)
    run.second_pass(first, out, *shorten)
    replace_record(first, "set/2", image="0.png")
    engine = FakeEngine()
    run.second_pass(first, out, *shorten, engine=engine)
    assert engine.samples == {"set/2"}
    assert records(out)["set/2"]["image"] == "0.png"


def test_a_sample_whose_caption_failed_has_an_error_record_until_there_is_a_caption(
    tmp_path: Path, run: Runner
) -> None:
    rows = picture_rows(tmp_path / "media", 3)
    rows[2] = {"id": 2}
    (tmp_path / "media" / "1.png").rename(tmp_path / "1.png")
    plan, first, out = small_plan(tmp_path, rows), tmp_path / "first", tmp_path / "out"
    run.caption(plan, first)
    assert run.second_pass(first, out, "--prompts-dir", SHORTEN).status == 0
    assert error_kinds(out) == {"set/1": "bad_source", "set/2": "no_media"}
    told = records(out)["set/1"]
    assert "the earlier caption failed (media_missing)" in told["error"]["message"]
    assert told["source"]["caption_hash"] is None
    assert run.second_pass(first, out, "--prompts-dir", SHORTEN, engine_opens=False).status == 0
    (tmp_path / "1.png").rename(tmp_path / "media" / "1.png")
    run.caption(plan, first, "--retry-errors")
    engine = FakeEngine()
    run.second_pass(first, out, "--prompts-dir", SHORTEN, engine=engine)
    assert engine.samples == {"set/1"}
    assert set(records(out)) == names(3)
    assert error_kinds(out) == {"set/2": "no_media"}
    kept = records(out)["set/2"]
    assert run.second_pass(first, out, "--prompts-dir", SHORTEN, "--retry-errors", engine_opens=False).status == 0
    assert records(out)["set/2"] == kept


def test_captions_that_failed_do_not_stop_the_run(tmp_path: Path, run: Runner) -> None:
    (tmp_path / "media").mkdir()
    rows = [{"id": number, "image": 5} for number in range(220)] + picture_rows(tmp_path / "media", 2)
    run.caption(small_plan(tmp_path, rows), tmp_path / "first", "--max-error-rate", 1)
    assert run.second_pass(tmp_path / "first", tmp_path / "out", "--prompts-dir", SHORTEN).status == 0
    assert len(records(tmp_path / "out")) == 222


def two_ranks(folder: Path, name: str, cut: int, end: int = 8) -> Path:
    """A plan for two ranks of the pictures `set/0` … `set/7`, cut at one of them; with `cut` = `end` for one."""
    if not (folder / "set.json").exists():
        write_annotation(folder / "set.json", picture_rows(folder / "media", 8))
    cuts = [(0, cut), (cut, end)] if cut < end else [(0, end)]
    rows = (plan_row(folder / "set.json", folder / "media", *cut, rank) for rank, cut in enumerate(cuts))
    return write_plan(folder / name, *rows)


def test_a_caption_that_is_made_anew_by_another_rank_has_one_record(tmp_path: Path, run: Runner) -> None:
    first, out = tmp_path / "first", tmp_path / "out"
    plan = two_ranks(tmp_path, "plan.jsonl", 4)
    (tmp_path / "media" / "3.png").rename(tmp_path / "3.png")
    run.caption(plan, first)
    run.second_pass(first, out, "--prompts-dir", SHORTEN)
    assert error_kinds(out) == {"set/3": "bad_source"}
    (tmp_path / "3.png").rename(tmp_path / "media" / "3.png")
    drop_errors(first)
    remaining = write_plan(tmp_path / "rest.jsonl", plan_row(tmp_path / "set.json", tmp_path / "media", 3, 4, 1))
    run.caption(remaining, first, "--adopt-plan")
    run.second_pass(first, out, "--prompts-dir", SHORTEN)
    assert set(records(out)) == names(8)
    assert not error_kinds(out)


def test_captions_that_are_made_anew_by_fewer_ranks_have_one_record_each(tmp_path: Path, run: Runner) -> None:
    first, out = tmp_path / "first", tmp_path / "out"
    run.caption(two_ranks(tmp_path, "plan.jsonl", 4), first)
    run.second_pass(first, out, "--prompts-dir", SHORTEN)
    shutil.rmtree(first)
    run.caption(two_ranks(tmp_path, "one.jsonl", 8), first)
    run.second_pass(first, out, "--prompts-dir", SHORTEN)
    assert set(records(out)) == names(8)


def test_errors_are_retried_whoever_of_those_that_share_a_rank_has_them(tmp_path: Path, run: Runner) -> None:
    first, out, retry = tmp_path / "first", tmp_path / "out", ("--prompts-dir", SHORTEN, "--retry-errors")
    run.caption(small_plan(tmp_path, 6), first)
    failing = FakeEngine(lambda request: completion(""))
    run.second_pass(first, out, *retry, "--max-error-rate", 1, engine=failing)
    assert set(error_kinds(out)) == names(6)
    for rank in (1, 0):  # rank 1 begins before rank 0 has taken the errors out, which are all in its file
        assert run.second_pass(first, out, *retry, rank=(rank, 2)).status == 0
    assert set(records(out)) == names(6)
    assert not error_kinds(out)


def test_those_that_share_a_rank_have_the_same_captions_whatever_is_captioned_meanwhile(
    tmp_path: Path, run: Runner
) -> None:
    first, out, root = tmp_path / "first", tmp_path / "out", tmp_path / "media"
    files = [write_annotation(tmp_path / f"{name}.json", picture_rows(root, 4)) for name in "ab"]
    run.caption(write_plan(tmp_path / "some.jsonl", *(plan_row(file, root, 0, 3) for file in files)), first)
    run.second_pass(first, out, "--prompts-dir", SHORTEN, rank=(0, 2))
    run.caption(
        write_plan(tmp_path / "plan.jsonl", *(plan_row(file, root, 0, 4) for file in files)), first, "--adopt-plan"
    )
    run.second_pass(first, out, "--prompts-dir", SHORTEN, rank=(1, 2))
    assert set(records(out)) == names(4, "a") | names(4, "b")


# --- what cannot be


def test_a_text_that_earlier_records_lack_is_found_before_the_engine_is_opened(tmp_path: Path, run: Runner) -> None:
    run.caption(small_plan(tmp_path), tmp_path / "first")
    prompts = write_prompts(tmp_path / "prompts", every=one_agent("Use {agents.smells}."))
    outcome = run.second_pass(tmp_path / "first", tmp_path / "out", "--prompts-dir", prompts, engine_opens=False)
    assert outcome.status == 1
    [error] = outcome.errors
    assert f"prompt file {prompts / 'every.yaml'}: agent 'again' uses '{{agents.smells}}'" in error
    assert f"which the captions of domain 'Natural' in {tmp_path / 'first'} have not; they have agents." in error
    assert "agents.objects" in error


def test_a_text_that_one_record_lacks_costs_that_sample(tmp_path: Path, run: Runner) -> None:
    run.caption(small_plan(tmp_path), tmp_path / "first")
    replace_record(tmp_path / "first", "set/1", agents={})
    prompts = write_prompts(tmp_path / "prompts", every=one_agent("Use {agents.objects}."))
    assert run.second_pass(tmp_path / "first", tmp_path / "out", "--prompts-dir", prompts).status == 0
    assert error_kinds(tmp_path / "out") == {"set/1": "bad_source"}
    assert "has no 'agents.objects'" in records(tmp_path / "out")["set/1"]["error"]["message"]


@pytest.mark.parametrize("text", ["caption", "agents.objects"])
def test_prompts_of_a_second_pass_are_refused_for_a_first(tmp_path: Path, run: Runner, text: str) -> None:
    prompts = write_prompts(tmp_path / "prompts", every=one_agent(f"Use {{{text}}}."))
    outcome = run.caption(small_plan(tmp_path), tmp_path / "out", "--prompts-dir", prompts, engine_opens=False)
    assert outcome.status == 1
    assert outcome.errors == [
        f"error: rank 0: prompt file {prompts / 'every.yaml'}: agent 'again' uses '{{{text}}}': "
        "only a second pass over earlier captions has it (--input)"
    ]


def test_a_domain_without_prompts_is_told(tmp_path: Path, run: Runner) -> None:
    run.caption(small_plan(tmp_path), tmp_path / "first")
    replace_record(tmp_path / "first", "set/0", task="Maps")
    outcome = run.second_pass(tmp_path / "first", tmp_path / "out", "--prompts-dir", SHORTEN, engine_opens=False)
    assert outcome.status == 1
    assert "domain 'Maps' of earlier captions has no prompts here (is --prompts-dir missing?)" in outcome.errors[0]


def test_results_of_another_stage_are_told_before_the_engine_is_opened(tmp_path: Path, run: Runner) -> None:
    run.route(small_plan(tmp_path), tmp_path / "routes")
    outcome = run.second_pass(tmp_path / "routes", tmp_path / "out", "--prompts-dir", SHORTEN, engine_opens=False)
    assert outcome.status == 1
    assert f"data folder {tmp_path / 'routes'}: set/" in outcome.errors[0]
    assert "has no caption: is it of the caption stage?" in outcome.errors[0]
    assert not (tmp_path / "out").exists()


def test_folders_that_cannot_be(tmp_path: Path, run: Runner) -> None:
    outcome = run.second_pass(tmp_path / "none", tmp_path / "out", engine_opens=False)
    assert outcome.errors == [
        f"error: rank 0: data folder {tmp_path / 'none'}: holds no caption results (Rank*_node*_*.jsonl)"
    ]
    run.caption(small_plan(tmp_path), tmp_path / "out")
    outcome = run.second_pass(tmp_path / "out", tmp_path / "out", "--prompts-dir", SHORTEN, engine_opens=False)
    assert "is that of the earlier captions; name another" in outcome.errors[0]
    with pytest.raises(BadArguments, match=r"^missing: --plan .*, or --input"):
        captionpipeline.main(["--output-dir", str(tmp_path / "x"), "--model", "m"])


# --- the stages after it


def test_the_status_knows_which_rank_has_taken_over_what_in_the_first_pass(tmp_path: Path, run: Runner) -> None:
    first, out, plan = tmp_path / "first", tmp_path / "out", two_ranks(tmp_path, "plan.jsonl", 4)
    run.caption(plan, first, "--takeover-chunk", 2, rank=(1, 2))
    assert set(records(first)) == names(8)
    assert not list(first.glob("Rank0_*"))
    for _ in range(2):
        assert run.second_pass(first, out, "--prompts-dir", SHORTEN, rank=(0, 1)).status == 0
        looked = Watcher(plan, out, 60, 300).look()
        assert [(rank.state, rank.count.remaining) for rank in looked.ranks] == [("done", 0), ("done", 0)]


def test_the_second_passs_folder_is_scored_like_any(tmp_path: Path, run: Runner) -> None:
    run.caption(small_plan(tmp_path), tmp_path / "first")
    run.second_pass(tmp_path / "first", tmp_path / "out", "--prompts-dir", SHORTEN)
    engine = FakeEngine()
    assert run.score(tmp_path / "out", engine=engine).status == 0
    for request in engine.requests:
        assert records(tmp_path / "out")[sample_of(request)]["caption"] in request.instruction
    assert {r["status"] for r in records(tmp_path / "out" / "score").values()} == {"ok"}


@pytest.mark.parametrize("named", [False, True])
def test_prompts_that_use_no_earlier_text_are_refused(tmp_path: Path, run: Runner, named: bool) -> None:
    run.caption(small_plan(tmp_path), tmp_path / "first")
    prompts = write_prompts(tmp_path / "prompts", every=one_agent("Say what is there."))
    flags = ("--prompts-dir", prompts) if named else ()
    outcome = run.second_pass(tmp_path / "first", tmp_path / "out", *flags, engine_opens=False)
    assert outcome.status == 1
    which = f"prompts folder {prompts}: they" if named else "the shipped prompts"
    assert f"{which} use no text of the earlier captions" in outcome.errors[0]
    assert not (tmp_path / "out").exists()
