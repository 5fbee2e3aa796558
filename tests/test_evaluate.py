import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from MetaCaptioner.engine.base import Completion, Request
from MetaCaptioner.records.row_map import caption_hash
from tests.evaluating import ANOTHER, CHOICES, World, right
from tests.helpers import (
    SCRIPTED,
    FakeEngine,
    Runner,
    agent_of,
    all_records,
    completion,
    make_clip,
    records,
    sample_of,
    write_lines,
)
from tests.made_records import run_record
from tests.openai_server import MODEL, flags, serving
from tests.question_files import SHAPES, in_base64


@pytest.fixture
def world(run: Runner, tmp_path: Path) -> World:
    return World(run, tmp_path)


def test_questions_are_answered_from_captions_and_from_none(world: World) -> None:
    world.build("AI2D_TEST.tsv", CHOICES)
    world.caption()
    captions = {name: record["caption"] for name, record in records(world.captions).items()}
    assert len(captions) == 4
    engine = FakeEngine(right)
    outcome = world.evaluate(engine=engine)
    assert outcome.status == 0, outcome.said
    assert set(world.answers) == {f"AI2D_TEST@{one}/{n}" for one in ("captions", "none") for n in range(8)}
    for request in engine.requests:
        assert request.media is None
        number = int(sample_of(request).rpartition("/")[2])
        caption = captions[f"AI2D_TEST/{number // 2}"]
        assert (caption in request.instruction) == (agent_of(request) == "answer")
        assert f"Which is {number}?\nA. red\nB. green\nC. blue\nD. grey" in request.instruction
    found = world.answers["AI2D_TEST@captions/3"]
    assert (found["stage"], found["variant"], found["answer"]) == ("evaluate", "captions", "The answer is D.")
    assert (found["taken"], found["mark"], found["used_caption"], found["judged"]) == ("D", 1.0, True, False)
    assert found["captions"] == [{"index": 1, "hash": caption_hash(captions["AI2D_TEST/1"])}]
    assert found["asked"]["answers"] == ["D"]
    assert world.answers["AI2D_TEST@none/3"]["mark"] == 0.0
    cells = {line["variant"]: line["cells"]["AI2D"] for line in world.table["lines"]}
    assert (cells["captions"]["mean"], cells["captions"]["low"], cells["captions"]["questions"]) == (100, 100, 8)
    assert cells["none"]["mean"] == 25
    assert 0 <= cells["none"]["low"] < 25 < cells["none"]["high"] <= 75
    shares = {name: one["none"]["mean"] for name, one in world.table["by_category"]["AI2D"].items()}
    assert shares == {"even": 0, "odd": 50}
    assert "Of 8 right answers from captions 2 are right without any caption as well." in world.table["notes"]
    assert world.evaluate(engine_opens=False).status == 0  # and says the table again


def test_the_table_is_printed_and_kept(world: World) -> None:
    rows = [{**row, "category": f"\x1b[2J{row['category']}"} for row in CHOICES]
    world.build("AI2D_TEST.tsv", rows)
    world.caption()
    said = world.evaluate().said
    kept = (world.captions / "answers" / "table.md").read_text()
    assert kept.replace("\x1b", "\\x1b") in said
    assert "\x1b" not in said
    assert re.search(r"^\| +\| AI2D +\| Mean +\| Cost +\|$", kept, re.MULTILINE)
    assert "| captions, scripted" in kept
    assert "Answers by scripted; no judge was needed." in kept
    assert "AI2D" not in world.evaluate("--quiet").said


@pytest.mark.parametrize("name", SHAPES)
def test_the_eight_shapes_run_through(world: World, name: str) -> None:
    world.build(name, list(SHAPES[name]))
    make_clip(world.folder / "in" / "a.mp4", 8)
    world.caption()
    outcome = world.evaluate("--picture")
    assert outcome.status == 0, outcome.said
    found = world.answers
    assert len(found) == 3 * len(SHAPES[name])
    failed = [one["error"]["message"] for one in found.values() if one["status"] != "ok"]
    several = sum(one["variant"] == "picture" and len(one["asked"]["shown"]) > 1 for one in found.values())
    assert len(failed) == several
    assert all("several pictures" in one for one in failed)
    assert [line["variant"] for line in world.table["lines"]] == ["captions", "none", "picture"]
    if several:
        assert "The picture itself: 2 questions about several pictures are left out." in world.table["notes"]


def test_questions_with_several_pictures_get_all_captions_numbered(world: World) -> None:
    world.build("MMMU_DEV_VAL.tsv", list(SHAPES["MMMU_DEV_VAL.tsv"]))
    world.caption()
    captions = [records(world.captions)[f"MMMU_DEV_VAL/{n}"]["caption"] for n in range(2)]
    engine = FakeEngine()
    world.evaluate(engine=engine)
    [asked] = [one for one in engine.requests if sample_of(one) == "MMMU_DEV_VAL@captions/0"]
    assert f"Picture 1:\n{captions[0]}\n\nPicture 2:\n{captions[1]}\n" in asked.instruction
    assert "How do (picture 1) and (picture 2) differ?" in asked.instruction


def test_a_missing_caption_counts_as_wrong_and_is_answered_once_it_is_there(world: World) -> None:
    world.build("AI2D_TEST.tsv", CHOICES)
    world.plan()
    captioned = world.run.caption(world.folder / "plan.jsonl", world.captions, "--max-samples", 3)
    assert captioned.status == 0
    outcome = world.evaluate(engine=FakeEngine(right))
    assert outcome.status == 0
    missing = [one for one in world.answers.values() if one["status"] == "error"]
    assert {one["error"]["kind"] for one in missing} == {"bad_source"}
    assert len(missing) == 2
    assert "there is no caption of AI2D_TEST/" in missing[0]["error"]["message"]
    assert "Captions: 2 questions without a caption count as wrong." in world.table["notes"]
    assert world.table["lines"][0]["cells"]["AI2D"]["mean"] == 75
    world.caption()
    engine = FakeEngine(right)
    assert world.evaluate(engine=engine).status == 0
    assert len(engine.requests) == 2
    assert all(one["status"] == "ok" for one in world.answers.values())
    assert world.table["lines"][0]["cells"]["AI2D"]["mean"] == 100


def test_another_caption_or_question_is_answered_anew_and_nothing_else(world: World) -> None:
    world.build("AI2D_TEST.tsv", CHOICES)
    world.caption()
    world.evaluate(engine=FakeEngine(right))
    [path] = world.captions.glob("Rank0_*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["caption"] = "Another caption."
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    engine = FakeEngine(right)
    world.evaluate(engine=engine)
    assert engine.samples == {f"AI2D_TEST@captions/{2 * lines[0]['index'] + n}" for n in range(2)}
    asked = world.folder / "AI2D_TEST.questions.jsonl"
    asked.write_text(asked.read_text().replace("Which is 5?", "Which is 5? Now"))
    engine = FakeEngine(right)
    world.evaluate(engine=engine)
    assert engine.samples == {"AI2D_TEST@captions/5", "AI2D_TEST@none/5"}
    assert len(all_records(world.captions / "answers")) == 16


def test_a_caption_that_was_sampled_again_is_the_one_that_counts(world: World) -> None:
    world.build("AI2D_TEST.tsv", CHOICES[:2])
    world.caption()
    [first] = records(world.captions).values()
    marks = {"scores": {"accuracy": 5}, "overall": 5.0, "reason": "fine"}
    source = {"caption_hash": caption_hash(first["caption"])}
    again = {
        **first,
        **marks,
        "caption": "A better one.",
        "caption_hash": caption_hash("A better one."),
        "source": source,
    }
    again |= {"stage": "resample", "round": 1, "rounds": [{"round": 1, "rejected": []}]}
    write_lines(world.captions / "score" / "resample" / "1" / "Rank0_node0_AI2D_TEST.jsonl", [again])
    engine = FakeEngine(right)
    world.evaluate(engine=engine)
    asked = [one.instruction for one in engine.requests if agent_of(one) == "answer"]
    assert len(asked) == 2
    assert all("A better one." in one and first["caption"] not in one for one in asked)


def test_several_ranks_share_the_questions_and_their_number_may_change(world: World) -> None:
    world.build("AI2D_TEST.tsv", CHOICES)
    world.caption()
    first = world.evaluate(engine=FakeEngine(right), rank=(1, 3))
    assert first.status == 0
    assert {one["index"] for one in world.answers.values()} == {1, 4, 7}
    assert "10 answers are not there yet; the table so far is in" in first.said
    for rank in range(2):
        world.evaluate(engine=FakeEngine(right), rank=(rank, 2))
    assert len(world.answers) == 16
    assert world.table["open"] == 0


def test_captions_are_made_before_with_the_same_engine(world: World) -> None:
    world.build("AI2D_TEST.tsv", CHOICES)
    plan = world.plan()
    engine = FakeEngine(right)
    one = world.folder / "OnePrompt"
    outcome = world.evaluate("--plan", plan, "--one-prompt", one, "--picture", engine=engine)
    assert outcome.status == 0, outcome.said
    assert len(records(world.captions)) == len(records(one)) == 4
    assert {name for record in records(one).values() for name in record["agents"]} == {"describe"}
    assert [line["variant"] for line in world.table["lines"]] == ["captions", "one_prompt", "none", "picture"]
    looked = [one for one in engine.requests if agent_of(one) == "look"]
    assert len(looked) == 8
    assert all(one.media is not None for one in looked)
    router = [one for one in engine.requests if "router" in agent_of(one)]
    assert len(router) == 4  # of the agents' captions, for the one prompt nobody need know the domain
    assert world.evaluate("--plan", plan, "--one-prompt", one, "--picture", engine_opens=False).status == 0


def test_captions_alone_for_another_model_to_answer_from(world: World) -> None:
    world.build("AI2D_TEST.tsv", CHOICES)
    assert world.evaluate("--plan", world.plan(), "--caption-only").status == 0
    assert len(records(world.captions)) == 4
    assert not (world.captions / "answers" / "table.md").exists()
    assert world.evaluate(*ANOTHER, engine=FakeEngine(right)).status == 0
    assert world.table["answered_by"] == "another"
    assert world.table["lines"][0]["label"] == "captions, scripted"


def test_a_server_answers_and_judges(world: World) -> None:
    world.build("MMVet.tsv", list(SHAPES["MMVet.tsv"]))
    world.caption()
    with serving() as server:
        outcome = world.evaluate(*flags([server]), "--price-in", 1, "--price-out", 3)
        assert outcome.status == 0, outcome.said
    assert {one["status"] for one in world.answers.values()} == {"ok"}
    assert world.table["answered_by"] == MODEL
    assert f"4 answers marked by {MODEL} as a judge" in world.table["notes"][0]


def test_a_judge_of_its_own_is_asked_and_named(world: World) -> None:
    world.build("MMVet.tsv", list(SHAPES["MMVet.tsv"]))
    world.caption()
    with serving() as server:
        judge = {"model": MODEL, "engine": "openai", "endpoint": [server.address]}
        outcome = world.evaluate("--models", json.dumps({"judge": judge}))
        assert outcome.status == 0, outcome.said
    assert world.table["answered_by"] == "scripted"
    assert f"Answers by scripted; 4 answers marked by {MODEL} as a judge" in world.table["notes"][0]
    assert {one["models"]["judge"] for one in world.answers.values()} == {MODEL}


def test_answers_of_two_models_are_not_mixed(world: World) -> None:
    world.build("AI2D_TEST.tsv", CHOICES)
    world.caption()
    world.evaluate()
    outcome = world.evaluate(*ANOTHER, engine_opens=False)
    assert outcome.status == 1
    assert "with another model (scripted, not another)" in outcome.said
    other = world.evaluate(*ANOTHER, "--output-dir", world.folder / "other", engine=FakeEngine(right))
    assert other.status == 0


def test_a_judge_marks_what_rules_cannot(world: World) -> None:
    world.build("MMVet.tsv", list(SHAPES["MMVet.tsv"]))
    world.build("MathVerse_MINI_Vision_Only.tsv", list(SHAPES["MathVerse_MINI_Vision_Only.tsv"]))
    world.caption()

    def hook(request: Request) -> Completion | None:
        told = {"answer": "It is -1. f(x)=0.5x", "guess": "No idea at all", "grade": "0.4", "same": "same"}
        return completion(told[agent_of(request)])

    engine = FakeEngine(hook)
    assert world.evaluate(engine=engine).status == 0
    found = world.answers
    assert [found[f"MMVet@captions/{n}"]["mark"] for n in range(2)] == [0.4, 0.4]
    assert [found[f"MathVerse_MINI_Vision_Only@captions/{n}"]["mark"] for n in range(2)] == [0.0, 1.0]
    graded = next(one for one in engine.requests if agent_of(one) == "grade")
    assert graded.constraint is not None
    assert graded.constraint.choices == ("0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1.0")
    assert "-1<AND>-5" in graded.instruction
    assert "6 answers marked by scripted as a judge" in world.table["notes"][0]
    columns = world.table["columns"]
    assert columns == ["MMVet", "MathVerse"]
    means = [world.table["lines"][0]["cells"][name]["mean"] for name in columns]
    assert world.table["lines"][0]["mean"]["mean"] == pytest.approx(sum(means) / 2)


def test_questions_that_nothing_can_answer_count_as_wrong(world: World) -> None:
    rows = [*CHOICES[:2], {**CHOICES[2], "image": "VGhpcyBpcyBubyBwaWN0dXJl" * 5}]
    world.build("AI2D_TEST.tsv", rows)
    world.caption()
    assert world.evaluate(engine=FakeEngine(right)).status == 0
    assert world.answers["AI2D_TEST@captions/2"]["error"]["kind"] == "bad_row"
    assert "that are no picture" in world.answers["AI2D_TEST@captions/2"]["error"]["message"]
    assert "Captions: 1 questions that ended in an error count as wrong." in world.table["notes"]
    assert world.table["lines"][0]["cells"]["AI2D"]["mean"] == pytest.approx(200 / 3)


def test_a_question_without_a_picture_is_told_apart(world: World) -> None:
    world.build("AI2D_TEST.tsv", [*CHOICES[:2], {**CHOICES[2], "image": None}])
    world.caption()
    engine = FakeEngine(right)
    world.evaluate(engine=engine)
    found = world.answers["AI2D_TEST@captions/2"]
    assert (found["used_caption"], found["answer"]) == (False, "B")
    assert "Captions: 1 questions have no picture: these answers used no caption." in world.table["notes"]


def test_flags_that_do_not_go_together(world: World) -> None:
    alone = world.evaluate("--caption-only")
    assert (alone.status, alone.errors) == (2, ["error: --caption-only goes with --plan"])
    same = world.evaluate("--one-prompt", world.captions)
    assert (same.status, "name the same folder" in same.said) == (2, True)


def test_what_cannot_be_evaluated_is_told(world: World, tmp_path: Path) -> None:
    world.metafile.write_text(json.dumps({"x": {"root": str(tmp_path), "annotation": "x.jsonl", "task": "auto"}}))
    outcome = world.evaluate(engine_opens=False)
    assert (outcome.status, "no dataset has questions" in outcome.said) == (1, True)
    world.metafile.unlink()
    world.build("AI2D_TEST.tsv", CHOICES)
    outcome = world.evaluate(engine_opens=False)
    assert (outcome.status, "holds no caption results" in outcome.said) == (1, True)
    world.caption()
    asked = world.folder / "AI2D_TEST.questions.jsonl"
    lines = asked.read_text().splitlines()
    asked.write_text("\n".join(["{}", lines[1].replace('"AI2D"', '"none"'), "[", *lines[3:]]) + "\n")
    assert world.evaluate(engine=FakeEngine(right)).status == 0
    told = [world.answers[f"AI2D_TEST@captions/{n}"]["error"]["message"] for n in range(3)]
    assert "is no question: Object missing required field `question`" in told[0]
    assert "'none' is no benchmark (MMMU," in told[1]
    assert "is no question" in told[2]


def test_captions_of_other_pictures_are_none(world: World) -> None:
    world.build("AI2D_TEST.tsv", CHOICES)
    world.caption()
    world.build("AI2D_TEST.tsv", [{**CHOICES[0], "image": in_base64(99)}], "--replace")
    world.evaluate(engine=FakeEngine(right))
    assert world.answers["AI2D_TEST@captions/0"]["error"]["message"].endswith("it is of another file")
    assert world.answers["AI2D_TEST@none/0"]["status"] == "ok"


def test_costs_are_those_of_the_run_logs(world: World) -> None:
    world.build("AI2D_TEST.tsv", CHOICES)
    world.caption()
    runs = world.captions / "runs"
    for path in runs.glob("Rank*.jsonl"):
        path.unlink()
    (runs / "Rank0_node0.jsonl").write_text(json.dumps(run_record(images=200, videos=0)) + "\n")
    world.evaluate("--gpu-hour-price", 2.5)
    cost = {line["variant"]: line["cost"] for line in world.table["lines"]}
    assert cost["captions"] == {"gpu_hours": 0.5, "money": 1.25}
    assert cost["none"] == {"gpu_hours": None, "money": None}
    priced = run_record(images=200, gpus=0, device=None, input_tokens=10**6, output_tokens=10**6)
    (runs / "Rank0_node0.jsonl").write_text(json.dumps(priced | {"price_in": 1.0, "price_out": 3.0}) + "\n")
    world.evaluate()
    assert world.table["lines"][0]["cost"] == {"gpu_hours": None, "money": 2.0}


def test_a_run_that_is_killed_goes_on_with_one_record_a_question(world: World) -> None:
    world.build("AI2D_TEST.tsv", CHOICES)
    world.caption()
    log = world.folder / "requests"
    slow = ("--engine-arg", "delay=0.3", "--engine-arg", f"log={log}", "--in-flight", "1")
    where = ("--metafile", world.metafile, "--data-folder", world.captions)
    command = [sys.executable, "-m", "MetaCaptioner.evaluate", *map(str, (*where, *SCRIPTED, *slow))]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        while process.poll() is None and (not log.exists() or len(log.read_text().splitlines()) < 5):
            pass
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    made = all_records(world.captions / "answers")
    assert 0 < len(made) < 16
    assert world.evaluate(engine=FakeEngine(right)).status == 0
    assert len(world.answers) == 16
