import json
from pathlib import Path

import pytest

from MetaCaptioner.agents.dimensions import SHIPPED, Dimension, overall
from MetaCaptioner.agents.judge import REASON_CHARACTERS, parse_verdict, verdict_schema
from MetaCaptioner.engine.base import Completion, Request
from MetaCaptioner.errors import SampleError
from tests.helpers import (
    FakeEngine,
    Row,
    Runner,
    all_records,
    completion,
    error_kinds,
    names,
    records,
    sample_of,
    small_plan,
    write_prompts,
)

DIMENSIONS = tuple(one.name for one in SHIPPED)


def verdict(**changes: object) -> str:
    return json.dumps({"reason": "fine", **dict.fromkeys(DIMENSIONS, 4)} | changes)


def captions(folder: Path, count: int, rank: int = 0, **fields: object) -> None:
    """A caption result file of a rank, written by hand, with pictures that are there."""
    small_plan(folder, count)
    (folder / "out").mkdir(exist_ok=True)
    with (folder / "out" / f"Rank{rank}_node0_set.jsonl").open("a") as file:
        for n in range(count):
            record: Row = {"sample_id": f"r{rank}/{n}", "data_name": f"r{rank}", "index": n, "id": n}
            record |= {"image": f"{n}.png", "root": str(folder / "media"), "modality": "image", "task": "Natural"}
            file.write(json.dumps(record | {"status": "ok", "caption": f"Caption {n}."} | fields) + "\n")


def test_the_shipped_dimensions_weigh_the_same() -> None:
    assert DIMENSIONS == ("accuracy", "completeness", "hallucination", "reasoning", "fluency")
    assert overall(dict(zip(DIMENSIONS, (1, 2, 3, 4, 4), strict=True)), SHIPPED) == 2.8
    assert overall(dict(zip(DIMENSIONS, (5, 5, 5, 5, 4), strict=True)), SHIPPED) == 4.8


def test_a_dimension_counts_as_much_as_it_weighs() -> None:
    marked = (Dimension("truth", 3), Dimension("style"), Dimension("length", 0))
    assert overall({"truth": 5, "style": 1, "length": 1}, marked) == 4.0
    assert overall({"truth": 2, "style": 3, "length": 5}, marked) == 2.25


def test_the_schema_asks_for_what_a_verdict_takes() -> None:
    schema = verdict_schema(SHIPPED)
    assert schema["required"] == ["reason", *DIMENSIONS]
    assert parse_verdict(verdict(), SHIPPED).scores == dict.fromkeys(DIMENSIONS, 4)


def test_line_breaks_in_a_reason_are_taken_and_a_long_one_is_cut(tmp_path: Path, run: Runner) -> None:
    captions(tmp_path, 2)
    answers = {"r0/0": verdict(reason="one two").replace("one ", "one\n\t"), "r0/1": verdict(reason="x" * 9999)}
    assert run.score(tmp_path / "out", engine=FakeEngine(lambda r: completion(answers[sample_of(r)]))).status == 0
    found = records(tmp_path / "out" / "score")
    assert found["r0/0"]["reason"] == "one two"
    assert found["r0/1"]["reason"] == "x" * REASON_CHARACTERS


def test_captions_are_scored(tmp_path: Path, run: Runner) -> None:
    run.caption(small_plan(tmp_path), tmp_path / "out")
    texts = {name: record["caption"] for name, record in records(tmp_path / "out").items()}
    engine = FakeEngine(lambda request: completion(verdict(accuracy=1, reason=" too short ")))
    outcome = run.score(tmp_path / "out", engine=engine)
    assert outcome.status == 0
    found = records(tmp_path / "out" / "score")
    assert set(found) == names(4)
    for record in found.values():
        assert record["scores"] == {**dict.fromkeys(DIMENSIONS, 4), "accuracy": 1}
        assert (record["overall"], record["reason"], record["status"]) == (3.4, "too short", "ok")
        assert (record["data_name"], record["task"], record["attempts"]) == ("set", "Natural", 1)
    for request in engine.requests:
        assert texts[sample_of(request)] in request.instruction
        assert request.media is not None
        assert request.constraint is not None
        assert request.constraint.json_schema == verdict_schema(SHIPPED)
    assert run.score(tmp_path / "out", engine_opens=False).status == 0


def test_braces_in_a_caption_are_not_interpreted(tmp_path: Path, run: Runner) -> None:
    captions(tmp_path, 1, caption=r"Set \frac{a}{b} and {caption} and {{x}}.")
    engine = FakeEngine()
    assert run.score(tmp_path / "out", engine=engine).status == 0
    assert r"Set \frac{a}{b} and {caption} and {{x}}." in engine.requests[0].instruction


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (verdict(accuracy=6), "accuracy"),
        (verdict(accuracy=0), "accuracy"),
        (verdict(fluency=None), "fluency"),
        (verdict(extra=1), "extra"),
        ('{"reason": "cut', "is no JSON"),
        ("5", "cannot be used"),
        (json.dumps(dict.fromkeys(DIMENSIONS, 3)), "reason: Field required"),
    ],
)
def test_a_verdict_that_cannot_be_used_is_an_error_record(
    tmp_path: Path, run: Runner, answer: str, complaint: str
) -> None:
    captions(tmp_path, 3)

    def hook(request: Request) -> Completion | None:
        return completion(answer) if sample_of(request) == "r0/1" else None

    assert run.score(tmp_path / "out", engine=FakeEngine(hook)).status == 0
    assert error_kinds(tmp_path / "out" / "score") == {"r0/1": "bad_verdict"}
    assert complaint in records(tmp_path / "out" / "score")["r0/1"]["error"]["message"]


def test_a_verdict_cut_at_its_budget_is_an_error_record(tmp_path: Path, run: Runner) -> None:
    captions(tmp_path, 1)
    engine = FakeEngine(lambda request: completion(verdict(), "length"))
    run.score(tmp_path / "out", engine=engine)
    assert error_kinds(tmp_path / "out" / "score") == {"r0/0": "bad_verdict"}
    assert "was cut at 5 tokens" in records(tmp_path / "out" / "score")["r0/0"]["error"]["message"]


def test_failed_captions_are_not_scored(tmp_path: Path, run: Runner) -> None:
    captions(tmp_path, 2)
    captions(tmp_path, 3, rank=1, status="error", caption=None)
    assert run.score(tmp_path / "out").status == 0
    assert set(records(tmp_path / "out" / "score")) == names(2, "r0")


def test_files_that_are_no_captions_cost_nothing(tmp_path: Path, run: Runner) -> None:
    captions(tmp_path, 2)
    with (tmp_path / "out" / "Rank0_node0_set.jsonl").open("a") as file:
        file.write('{"sample_id": "x", "status": "ok", "caption": "no index"}\n')
        file.write('{"sample_id": "x", "status": "ok", "caption": "no data_name", "index": 1}\n')
        file.write('{"sample_id": "x", "status": "ok", "data_name": "x", "index": 1}\n')
        file.write('{"sample_id": "torn')
    assert run.score(tmp_path / "out").status == 0
    assert set(records(tmp_path / "out" / "score")) == names(2, "r0")


@pytest.mark.parametrize("folder", ["nowhere", "empty"])
def test_a_folder_without_captions_is_one_line(tmp_path: Path, run: Runner, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    outcome = run.score(tmp_path / folder, engine_opens=False)
    assert outcome.status == 1
    assert outcome.errors == [
        f"error: rank 0: data folder {tmp_path / folder}: holds no caption results (Rank*_node*_*.jsonl)"
    ]


def test_scores_go_where_one_says(tmp_path: Path, run: Runner) -> None:
    captions(tmp_path, 2)
    run.score(tmp_path / "out", "--output-dir", tmp_path / "elsewhere")
    assert set(records(tmp_path / "elsewhere")) == names(2, "r0")
    assert not (tmp_path / "out" / "score").exists()


@pytest.mark.parametrize("world_sizes", [(3, 1), (1, 3), (2, 5), (1, 1)])
@pytest.mark.parametrize("caption_ranks", [[0], [0, 1]])
def test_processes_of_changing_number_give_one_score_a_caption(
    tmp_path: Path, run: Runner, world_sizes: tuple[int, int], caption_ranks: list[int]
) -> None:
    for rank in caption_ranks:
        captions(tmp_path, 9, rank)
    score, total = tmp_path / "out" / "score", 9 * len(caption_ranks)
    first, second = FakeEngine(), FakeEngine()
    for rank in range(world_sizes[0]):
        share = ("--max-samples", 6)
        assert run.score(tmp_path / "out", *share, rank=(rank, world_sizes[0]), engine=first).status == 0
    begun = set(records(score))
    assert 0 < len(begun) <= 6
    for rank in range(world_sizes[1]):
        assert run.score(tmp_path / "out", rank=(rank, world_sizes[1]), engine=second).status == 0
    assert len(records(score)) == total
    assert first.samples | second.samples == set(records(score))
    assert not first.samples & second.samples
    assert error_kinds(score) == {}


def test_processes_that_share_a_caption_rank_take_its_captions_in_turn(tmp_path: Path, run: Runner) -> None:
    captions(tmp_path, 9)
    engines = [FakeEngine() for _ in range(3)]
    for rank, engine in enumerate(engines):
        run.score(tmp_path / "out", "--output-dir", tmp_path / f"alone{rank}", rank=(rank, 3), engine=engine)
    assert [len(engine.samples) for engine in engines] == [3, 3, 3]
    assert set.union(*(engine.samples for engine in engines)) == names(9, "r0")


def test_failures_of_many_processes_can_be_tried_again_by_one(tmp_path: Path, run: Runner) -> None:
    captions(tmp_path, 9)
    score = tmp_path / "out" / "score"
    for rank in range(3):
        run.score(tmp_path / "out", rank=(rank, 3), engine=FakeEngine(lambda request: completion("no verdict")))
    assert set(error_kinds(score)) == names(9, "r0")
    assert run.score(tmp_path / "out", "--retry-errors").status == 0
    assert error_kinds(score) == {}
    assert set(records(score)) == names(9, "r0")


def test_captions_that_come_later_are_scored_later(tmp_path: Path, run: Runner) -> None:
    captions(tmp_path, 3)
    run.score(tmp_path / "out")
    captions(tmp_path, 2, rank=1)
    engine = FakeEngine()
    run.score(tmp_path / "out", engine=engine)
    assert engine.samples == names(2, "r1")
    assert len(all_records(tmp_path / "out" / "score")) == 5


def test_pictures_that_are_gone_cost_an_error_record_each(tmp_path: Path, run: Runner) -> None:
    captions(tmp_path, 3)
    (tmp_path / "media" / "1.png").unlink()
    assert run.score(tmp_path / "out").status == 0
    assert error_kinds(tmp_path / "out" / "score") == {"r0/1": "media_missing"}


def test_a_root_that_has_gone_is_found_before_the_engine_is_opened(tmp_path: Path, run: Runner) -> None:
    captions(tmp_path, 3)
    (tmp_path / "media").rename(tmp_path / "moved")
    outcome = run.score(tmp_path / "out", engine_opens=False)
    assert outcome.status == 1
    [error] = outcome.errors
    assert str(tmp_path / "media") in error


@pytest.mark.parametrize("anew", [{"caption": "Another caption."}, {"image": "0.png"}])
def test_a_caption_that_was_made_again_is_scored_again(tmp_path: Path, run: Runner, anew: Row) -> None:
    """Also one of another picture, of which the same is said: rows may have other numbers by then."""
    captions(tmp_path, 3)
    score = tmp_path / "out" / "score"
    run.score(tmp_path / "out")
    before = records(score)
    path = tmp_path / "out" / "Rank0_node0_set.jsonl"
    made = [json.loads(line) for line in path.read_text().splitlines()]
    made[1] |= anew
    path.write_text("".join(json.dumps(record) + "\n" for record in made))
    engine = FakeEngine()
    run.score(tmp_path / "out", engine=engine)
    assert engine.samples == {made[1]["sample_id"]}
    after = records(score)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {made[1]["sample_id"]}
    assert len(all_records(score)) == 3


def test_a_folder_of_another_stage_is_refused(tmp_path: Path, run: Runner) -> None:
    run.route(small_plan(tmp_path), tmp_path / "Domain")
    outcome = run.score(tmp_path / "Domain")
    assert (outcome.status, outcome.said.count("\n")) == (1, 1)
    assert "has no caption: is it of the caption stage?" in outcome.said
    assert not (tmp_path / "Domain" / "score").exists()


def test_a_caption_is_not_judged_by_another_picture(tmp_path: Path, run: Runner) -> None:
    run.caption(small_plan(tmp_path), tmp_path / "out")
    media = tmp_path / "media"
    (media / "2.png").write_bytes((media / "1.png").read_bytes())
    assert run.score(tmp_path / "out").status == 0
    scores = tmp_path / "out" / "score"
    assert error_kinds(scores) == {"set/2": "media_changed"}
    assert "another than the caption was made from" in records(scores)["set/2"]["error"]["message"]


OWN: Row = {
    "agent": {"name": "judge", "prompt": "Mark {caption}. {dimensions}"},
    "dimensions": [{"name": "truth", "weight": 3, "meaning": "Is it true?"}, "style"],
}


def test_marks_are_for_what_the_judge_lists(tmp_path: Path, run: Runner) -> None:
    captions(tmp_path, 2)
    prompts = write_prompts(tmp_path / "own", judge=OWN)
    engine = FakeEngine(lambda request: completion(json.dumps({"reason": "so", "truth": 5, "style": 1})))
    outcome = run.score(tmp_path / "out", "--prompts-dir", prompts, engine=engine)
    assert outcome.status == 0
    for record in records(tmp_path / "out" / "score").values():
        assert (record["scores"], record["overall"]) == ({"truth": 5, "style": 1}, 4.0)
    for request in engine.requests:
        assert request.constraint is not None
        assert request.constraint.json_schema is not None
        assert request.constraint.json_schema["required"] == ["reason", "truth", "style"]
    assert run.score(tmp_path / "out", "--prompts-dir", prompts, engine_opens=False).status == 0


def test_a_dimension_may_be_called_as_models_call_what_is_theirs() -> None:
    called = ("schema", "copy", "json", "model_dump", "model_config", "dict", "class", "self")
    marks = {name: 1 + number % 5 for number, name in enumerate(called)}
    dimensions = [Dimension(name) for name in called]
    assert parse_verdict(json.dumps({"reason": "so", **marks}), dimensions).scores == marks
    with pytest.raises(SampleError, match="model_dump: Field required"):
        parse_verdict(json.dumps({"reason": "so"} | {n: m for n, m in marks.items() if n != "model_dump"}), dimensions)


def test_an_answer_in_other_dimensions_is_a_bad_verdict(tmp_path: Path, run: Runner) -> None:
    captions(tmp_path, 1)
    prompts = write_prompts(tmp_path / "own", judge=OWN)
    run.score(tmp_path / "out", "--prompts-dir", prompts, engine=FakeEngine(lambda request: completion(verdict())))
    assert error_kinds(tmp_path / "out" / "score") == {"r0/0": "bad_verdict"}


def test_scores_of_another_judge_are_not_mixed_unasked(tmp_path: Path, run: Runner) -> None:
    captions(tmp_path, 2)
    assert run.score(tmp_path / "out", "--max-samples", 1).status == 0
    prompts = write_prompts(tmp_path / "own", judge=OWN)
    outcome = run.score(tmp_path / "out", "--prompts-dir", prompts, engine_opens=False)
    assert outcome.status == 1
    assert "with other prompts" in outcome.said
    assert run.score(tmp_path / "out", "--prompts-dir", prompts, "--redo").status == 0
    assert {tuple(one["scores"]) for one in records(tmp_path / "out" / "score").values()} == {("truth", "style")}


def test_a_judge_of_ones_own_that_lists_nothing_is_told(tmp_path: Path, run: Runner) -> None:
    captions(tmp_path, 1)
    prompts = write_prompts(tmp_path / "own", judge={"agent": {"name": "judge", "prompt": "How useful is {caption}?"}})
    outcome = run.score(tmp_path / "out", "--prompts-dir", prompts)
    assert outcome.status == 0
    assert f"note: prompt file {prompts / 'judge.yaml'}: lists no 'dimensions', so marks are for" in outcome.said
    assert "lists no" not in run.score(tmp_path / "out", "--redo").said


def test_a_threshold_of_no_dimension_is_told_before_anything_is_scored(tmp_path: Path, run: Runner) -> None:
    captions(tmp_path, 1)
    flags = ("--resample", 1, "--min-dim-score", "flency=4")
    outcome = run.score(tmp_path / "out", *flags, engine_opens=False)
    assert (outcome.status, len(outcome.said.splitlines())) == (1, 1)
    assert "--min-dim-score flency: judge.yaml marks accuracy, " in outcome.said
    assert outcome.said.endswith("did you mean fluency?\n")
    assert not (tmp_path / "out" / "score").exists()
