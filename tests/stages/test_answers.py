"""Answers that have to fit a schema, and refusals, in every stage that asks."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from MetaCaptioner.engine.base import Completion, Request
from tests.helpers import (
    FakeEngine,
    Row,
    Runner,
    agent_of,
    completion,
    error_kinds,
    names,
    records,
    sample_of,
    small_plan,
    write_prompts,
)

REFUSAL = "I'm sorry, but I can't help with that."
SCENE: Row = {
    "type": "object",
    "properties": {"count": {"type": "integer"}, "where": {"type": "string"}},
    "required": ["count", "where"],
}
COUNTED: Row = {
    "domain": "Natural",
    "description": "Pictures.",
    "agents": [
        {"name": "scene", "prompt": "Count.", "schema": SCENE, "max_tokens": 64},
        {
            "name": "summary",
            "role": "summary",
            "requires": ["scene"],
            "prompt": "There are {scene.count} at {scene.where}. All: {scene}",
        },
    ],
}


def again(prompt: str) -> Row:
    return {"domain": "*", "agents": [{"name": "again", "role": "summary", "prompt": prompt, "sees_media": False}]}


def engine_with(answers: Callable[[str, str, int], str | None]) -> FakeEngine:
    """An engine that answers by (sample, agent, number of the try), or as the scripted one where that is None."""

    def hook(request: Request) -> Completion | None:
        number = int(request.request_id.rpartition(".")[2])
        text = answers(sample_of(request), agent_of(request).partition("@")[0], number)
        return None if text is None else completion(text, "length" if text.endswith("…") else "stop")

    return FakeEngine(hook)


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    return write_prompts(tmp_path / "counted", natural=COUNTED)


# --- schemas


def test_the_value_is_kept_and_its_fields_are_in_later_prompts(tmp_path: Path, run: Runner, counted: Path) -> None:
    engine = FakeEngine()
    assert run.caption(small_plan(tmp_path), tmp_path / "out", "--prompts-dir", counted, engine=engine).status == 0
    for name, record in records(tmp_path / "out").items():
        scene = record["agents"]["scene"]
        assert json.loads(scene["text"]) == scene["data"]
        assert scene["data"].keys() == {"count", "where"}
        assert "data" not in record["agents"]["summary"]
        [asked] = [r.instruction for r in engine.requests if (sample_of(r), agent_of(r)) == (name, "summary")]
        told = f"There are {scene['data']['count']} at {scene['data']['where']}. All: {scene['text']}"
        assert asked.endswith(told)


def test_an_answer_that_does_not_fit_is_asked_for_once_more(tmp_path: Path, run: Runner, counted: Path) -> None:
    def answers(sample: str, agent: str, number: int) -> str | None:
        if agent == "scene" and sample in ("set/1", "set/2"):
            return '{"count": 3, "whe…' if sample == "set/1" or number == 1 else None
        return None

    engine = engine_with(answers)
    flags = ("--prompts-dir", counted, "--seed", 1)
    assert run.caption(small_plan(tmp_path), tmp_path / "out", *flags, engine=engine).status == 0
    found = records(tmp_path / "out")
    assert set(found) == names(4)
    assert error_kinds(tmp_path / "out") == {"set/1": "bad_answer"}
    assert "agent 'scene': the answer was cut at 5 tokens" in found["set/1"]["error"]["message"]
    assert {name: record["attempts"] for name, record in found.items()} == {
        "set/0": 1, "set/1": 2, "set/2": 2, "set/3": 1,
    }  # fmt: skip
    seeds = {r.sampling.seed for r in engine.requests if (sample_of(r), agent_of(r)) == ("set/1", "scene")}
    assert len(seeds) == 2


def test_a_second_pass_takes_fields_of_earlier_results(tmp_path: Path, run: Runner, counted: Path) -> None:
    run.caption(small_plan(tmp_path), tmp_path / "first", "--prompts-dir", counted)
    first = records(tmp_path / "first")
    prompts, engine = write_prompts(tmp_path / "again", every=again("{agents.scene.count} {caption}")), FakeEngine()
    flags = ("--prompts-dir", prompts)
    assert run.second_pass(tmp_path / "first", tmp_path / "out", *flags, engine=engine).status == 0
    for request in engine.requests:
        record = first[sample_of(request)]
        assert request.instruction == f"{record['agents']['scene']['data']['count']} {record['caption']}"
    assert len(engine.requests) == 4


def test_a_field_that_earlier_results_have_not_is_told_before_the_model_is_loaded(
    tmp_path: Path, run: Runner, counted: Path
) -> None:
    """Also by results as they were before there were schemas."""
    run.caption(small_plan(tmp_path), tmp_path / "old")
    prompts = write_prompts(tmp_path / "again", every=again("{agents.objects.count}"))
    outcome = run.second_pass(tmp_path / "old", tmp_path / "out", "--prompts-dir", prompts, engine_opens=False)
    assert outcome.status == 1
    assert "uses '{agents.objects.count}', which the captions of domain 'Natural' in" in outcome.said


def test_an_earlier_result_without_the_field_is_a_bad_source(tmp_path: Path, run: Runner, counted: Path) -> None:
    run.caption(small_plan(tmp_path), tmp_path / "first", "--prompts-dir", counted)
    [path] = (tmp_path / "first").glob("Rank0_*.jsonl")
    made = [json.loads(line) for line in path.read_text().splitlines()]
    for record in made:
        if record["sample_id"] == "set/2":
            del record["agents"]["scene"]["data"]["count"]
    path.write_text("".join(json.dumps(record) + "\n" for record in made))
    prompts = write_prompts(tmp_path / "again", every=again("{agents.scene.count}"))
    run.second_pass(tmp_path / "first", tmp_path / "out", "--prompts-dir", prompts)
    assert error_kinds(tmp_path / "out") == {"set/2": "bad_source"}


def test_a_second_pass_may_have_a_schema(tmp_path: Path, run: Runner) -> None:
    run.caption(small_plan(tmp_path, 2), tmp_path / "first")
    every = again("Count what this tells of: {caption}")
    every["agents"][0]["schema"] = SCENE
    prompts = write_prompts(tmp_path / "again", every=every)
    assert run.second_pass(tmp_path / "first", tmp_path / "out", "--prompts-dir", prompts).status == 0
    for record in records(tmp_path / "out").values():
        assert record["agents"]["again"]["data"] == json.loads(record["caption"])


def test_a_schema_that_is_none_is_one_line_before_anything_begins(tmp_path: Path, run: Runner) -> None:
    wrong = {**COUNTED, "agents": [{**COUNTED["agents"][0], "schema": {"type": "objekt"}}, COUNTED["agents"][1]]}
    prompts = write_prompts(tmp_path / "wrong", natural=wrong)
    plan = small_plan(tmp_path)
    outcome = run.caption(plan, tmp_path / "out", "--prompts-dir", prompts, engine_opens=False)
    assert (outcome.status, len(outcome.said.splitlines())) == (1, 1)
    assert f"prompt file {prompts / 'natural.yaml'}: agent 'scene': schema: is no JSON Schema" in outcome.said


# --- refusals


def test_a_refusal_is_asked_once_more_with_another_seed_and_then_an_error(tmp_path: Path, run: Runner) -> None:
    def answers(sample: str, agent: str, number: int) -> str | None:
        if agent == "setting" and (sample == "set/1" or (sample == "set/2" and number == 1)):
            return REFUSAL
        return f"A sign reads '{REFUSAL}'" if sample == "set/3" else None

    engine = engine_with(answers)
    assert run.caption(small_plan(tmp_path), tmp_path / "out", "--seed", 3, engine=engine).status == 0
    assert error_kinds(tmp_path / "out") == {"set/1": "refused"}
    found = records(tmp_path / "out")
    assert "agent 'setting' refused: " in found["set/1"]["error"]["message"]
    assert [found[f"set/{n}"]["attempts"] for n in range(4)] == [1, 2, 2, 1]
    asked = [r for r in engine.requests if (sample_of(r), agent_of(r)) == ("set/1", "setting")]
    assert len(asked) == len({r.sampling.seed for r in asked}) == 2


def test_a_refusal_in_a_second_pass(tmp_path: Path, run: Runner) -> None:
    run.caption(small_plan(tmp_path), tmp_path / "first")
    prompts = write_prompts(tmp_path / "again", every=again("Shorten: {caption}"))
    engine = engine_with(lambda sample, agent, number: "抱歉，我无法协助处理该请求。" if sample == "set/0" else None)
    run.second_pass(tmp_path / "first", tmp_path / "out", "--prompts-dir", prompts, engine=engine)
    assert error_kinds(tmp_path / "out") == {"set/0": "refused"}


@pytest.mark.parametrize("text", [REFUSAL, None])
def test_a_refusal_of_the_judge(tmp_path: Path, run: Runner, text: str | None) -> None:
    """In place of a verdict, as a server may answer that holds nothing to a schema, or as its reason."""
    run.caption(small_plan(tmp_path), tmp_path / "out")
    marks = dict.fromkeys(("accuracy", "completeness", "hallucination", "reasoning", "fluency"), 1)
    said = text or json.dumps({"reason": REFUSAL, **marks})
    engine = engine_with(lambda sample, agent, number: said if sample == "set/1" else None)
    assert run.score(tmp_path / "out", engine=engine).status == 0
    assert error_kinds(tmp_path / "out" / "score") == {"set/1": "refused"}
    assert records(tmp_path / "out" / "score")["set/1"]["attempts"] == 2


def test_a_refusal_when_a_caption_is_sampled_again_costs_that_round(tmp_path: Path, run: Runner) -> None:
    run.caption(small_plan(tmp_path, 2), tmp_path / "out")

    def hook(request: Request) -> Completion | None:
        agent, _, number = agent_of(request).partition("@")
        if agent == "judge":
            mark = 5 if number else 1
            dimensions = ("accuracy", "completeness", "hallucination", "reasoning", "fluency")
            return completion(json.dumps({"reason": "so", **dict.fromkeys(dimensions, mark)}))
        return completion(REFUSAL) if number == "1" or sample_of(request) == "set/1" else None

    assert run.score(tmp_path / "out", "--resample", 2, engine=FakeEngine(hook)).status == 0
    again = tmp_path / "out" / "score" / "resample" / "2"
    assert error_kinds(again) == {"set/1": "refused"}
    first, second = records(again)["set/0"]["rounds"]
    assert first["error"]["kind"] == "refused"
    assert second["rejected"] == []


def test_a_list_of_ones_own_counts(tmp_path: Path, run: Runner) -> None:
    prompts = write_prompts(tmp_path / "own", refusals={"Dutch": {"refusals": ["Ik kan niet helpen"]}})
    engine = engine_with(lambda sample, agent, number: "Ik kan niet helpen." if sample == "set/0" else REFUSAL)
    run.caption(small_plan(tmp_path), tmp_path / "out", "--prompts-dir", prompts, engine=engine)
    assert error_kinds(tmp_path / "out") == {"set/0": "refused"}
