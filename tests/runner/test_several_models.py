"""A run whose agents ask several models: what records, run log and costs tell, and what is refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from MetaCaptioner import filter
from MetaCaptioner.engine.base import Engine
from MetaCaptioner.engine.options import EngineOptions
from MetaCaptioner.report import command as report
from tests import helpers
from tests.helpers import FakeEngine, Outcome, Row, Runner, records, small_plan, write_prompts
from tests.report.test_command import page_data

AGENTS = [
    {"name": "objects", "prompt": "List them.", "model": "look"},
    {
        "name": "summary",
        "role": "summary",
        "prompt": "Write it up: {objects}",
        "requires": ["objects"],
        "sees_media": False,
        "model": "write",
    },
]
LOOK = {"model": "A", "engine": "openai", "endpoint": ["http://h:8000"], "price_in": 1000, "price_out": 2000}
WRITE = {"model": "B"}


class World:
    """A plan, prompts, and an engine for each model that is opened."""

    def __init__(self, folder: Path, run: Runner) -> None:
        self.folder, self._run = folder, run
        self.plan = small_plan(folder, 3)
        self.prompts = write_prompts(folder / "prompts", every={"domain": "*", "agents": AGENTS})
        self.engines: dict[str, FakeEngine] = {}
        self.opened: list[EngineOptions] = []

    def open(self, options: EngineOptions, *_: object) -> Engine:
        self.opened.append(options)
        return self.engines.setdefault(options.model, FakeEngine())

    def _flags(self, models: Mapping[str, object], more: tuple[object, ...]) -> tuple[object, ...]:
        file = self.folder / "run.yaml"
        file.write_text(yaml.safe_dump({"models": models}))
        return ("--config", file, "--prompts-dir", self.prompts, *more)

    def caption(self, models: Mapping[str, object], *more: object) -> Outcome:
        return self._run.caption(self.plan, self.folder / "out", *self._flags(models, more))

    def score(self, models: Mapping[str, object], *more: object) -> Outcome:
        return self._run.score(self.folder / "out", *self._flags(models, more))

    def run_log(self, folder: str = "out") -> Row:
        [path] = (self.folder / folder / "runs").glob("Rank*.jsonl")
        line: Row = json.loads(path.read_text().splitlines()[-1])
        return line


@pytest.fixture
def world(tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path, run)
    monkeypatch.setattr(helpers, "open_engine", made.open)
    return made


BOTH: dict[str, Any] = {"look": LOOK, "router": LOOK, "write": WRITE}


def test_records_tell_which_model_gave_each_text_and_the_writer_is_shown_nothing(world: World) -> None:
    outcome = world.caption(BOTH)
    assert outcome.status == 0, outcome.said
    for record in records(world.folder / "out").values():
        assert (record["status"], record["model"]) == ("ok", "B")
        assert record["models"] == {"look": "A", "router": "A", "write": "B"}
        assert {name: answer["model"] for name, answer in record["agents"].items()} == {"objects": "A", "summary": "B"}
    look, write = world.engines["A"], world.engines["B"]
    assert {request.media is None for request in look.requests} == {False}
    assert {request.media is None for request in write.requests} == {True}
    assert [(one.model, one.looks) for one in world.opened] == [("A", True), ("B", False)], "and the default is not"
    assert look.closed
    assert write.closed


def test_the_default_is_opened_where_somebody_asks_it_and_is_named_nowhere_else(world: World) -> None:
    assert world.caption({"look": LOOK, "write": WRITE}).status == 0
    assert [(one.kind, one.model) for one in world.opened] == [("scripted", "none"), ("openai", "A"), ("vllm", "B")]
    record = records(world.folder / "out")["set/0"]
    assert (record["model"], record["models"]) == ("scripted", {"look": "A", "write": "B"})


def test_with_one_model_nothing_is_told_of_several(tmp_path: Path, run: Runner) -> None:
    assert run.caption(small_plan(tmp_path, 1), tmp_path / "out").status == 0
    record = records(tmp_path / "out")["set/0"]
    assert "models" not in record
    assert all("model" not in answer for answer in record["agents"].values())
    [log] = (tmp_path / "out" / "runs").glob("Rank*.jsonl")
    assert "models" not in json.loads(log.read_text().splitlines()[-1])
    assert "models" not in json.loads((tmp_path / "out" / "made_with.json").read_text())[0]


def test_costs_are_told_for_each_model(world: World) -> None:
    outcome = world.caption(BOTH)
    line = world.run_log()
    look, write = line["models"]
    assert (look["model"], look["names"], write["model"]) == ("A", ["look", "router"], "B")
    assert look["output_tokens"] + write["output_tokens"] == line["output_tokens"] > 0
    assert look["input_tokens"] + write["input_tokens"] == line["input_tokens"]
    money = (look["input_tokens"] * 1000 + look["output_tokens"] * 2000) / 1e6
    assert line["money"] == pytest.approx(money)
    assert (
        f"A: {look['input_tokens']:,} input and {look['output_tokens']:,} output tokens, {money:,.2f} for"
        in outcome.said
    )
    assert f"B: {write['input_tokens']:,} input and {write['output_tokens']:,} output tokens" in outcome.said


def test_filter_and_report_tell_what_each_model_took(world: World, run: Runner) -> None:
    world.caption(BOTH)
    assert world.score({**BOTH, "judge": LOOK}).status == 0
    outcome = run.main(filter.main, "--data-folder", world.folder / "out", "--min-overall", 1, "--min-dim-score", 1)
    cost = json.loads((world.folder / "out" / "filtered" / "summary.json").read_text())["cost"]
    assert [*cost["models"]] == ["A", "B"]
    assert cost["models"]["A"]["money"] == pytest.approx(cost["money"])
    assert f"A: {cost['models']['A']['input_tokens']:,} input" in outcome.said
    page = world.folder / "report.html"
    assert run.main(report.main, "--data-folder", world.folder / "out", "--output", page).status == 0
    [told] = page_data(page)["runs"]
    assert told["byModel"]["A"]["output"] == cost["models"]["A"]["output_tokens"]
    assert set(told["models"]) == {"A", "B"}


def test_marks_name_the_judge(world: World) -> None:
    world.caption(BOTH)
    assert world.score({**BOTH, "judge": {"model": "J"}}).status == 0
    for record in records(world.folder / "out" / "score").values():
        assert (record["model"], record["models"]) == ("J", {"judge": "J"})
    assert len(world.engines["J"].requests) == 3


def test_the_file_that_a_run_keeps_names_the_models(world: World) -> None:
    world.caption(BOTH)
    [path] = (world.folder / "out" / "runs").glob("config-*.yaml")
    assert yaml.safe_load(path.read_text())["models"]["look"]["model"] == "A"


def test_another_model_for_a_name_is_another_model(world: World) -> None:
    world.caption(BOTH)
    other = {**BOTH, "look": {**LOOK, "model": "A2"}, "router": {**LOOK, "model": "A2"}}
    refused = world.caption(other)
    assert refused.status == 1
    assert "3 with another model for 'look' (A, not A2)" in refused.said
    assert refused.said.count("another model") == 2, "of the router too, and of the record as a whole nothing"
    writes_otherwise = world.caption({**BOTH, "write": {"model": "B2"}})
    assert writes_otherwise.said.count("another model") == 1
    assert world.caption(other, "--keep").status == 0
    assert "A2" not in world.engines
    assert world.caption(other, "--redo").status == 0
    assert {record["models"]["look"] for record in records(world.folder / "out").values()} == {"A2"}
    alone = world.caption({"look": LOOK, "write": WRITE})
    assert "with another model for 'router' (A2, not none of that name)" in alone.said


def test_an_agent_that_names_another_model_has_another_prompt(world: World) -> None:
    world.caption(BOTH)
    write_prompts(world.prompts, every={"domain": "*", "agents": [{**agent, "model": "look"} for agent in AGENTS]})
    refused = world.caption(BOTH)
    assert refused.status == 1
    assert "with other prompts" in refused.said


def test_a_name_that_no_model_has_is_told_before_work_begins(world: World) -> None:
    refused = world.caption({"look": LOOK, "router": LOOK, "writer": WRITE})
    assert refused.status == 1
    assert "every.yaml: agent 'summary' asks the model 'write', which" in refused.said
    assert "did you mean writer?" in refused.said
    assert not world.opened


def test_two_in_process_are_told_before_work_begins(world: World) -> None:
    refused = world.caption({"look": {"model": "A"}, "router": {"model": "A"}, "write": WRITE})
    assert refused.status == 2
    assert "two models would be in the process of a rank" in refused.said
    assert not world.opened
    assert not (world.folder / "out").exists()


def test_one_to_be_served_is_told_before_work_begins_where_nobody_does(world: World) -> None:
    refused = world.caption({**BOTH, "write": {"model": "B", "serve": {"gpus": 1}}})
    assert refused.status == 2
    assert "models: write: serve: this process was not started by metacaptioner" in refused.said
    assert not world.opened
    assert not (world.folder / "out").exists()


def test_a_later_stage_keeps_what_is_loaded_and_opens_what_it_asks_beside(world: World) -> None:
    outcome = world.caption({**BOTH, "judge": {**LOOK, "model": "J"}}, "--score")
    assert outcome.status == 0, outcome.said
    assert [one.model for one in world.opened] == ["A", "B", "J"]
    two = world.caption({**BOTH, "judge": {"model": "J"}}, "--score")
    assert "'judge' (J) and 'write' (B)" in two.said
    scores = world.run_log("out/score")
    assert {one["model"]: one["output_tokens"] > 0 for one in scores["models"]} == {"A": False, "B": False, "J": True}


def test_a_judge_that_nobody_looks_with_may_be_in_process_when_it_is_alone(world: World) -> None:
    models = {**BOTH, "judge": {"model": "J"}}
    assert world.caption(models).status == 0
    assert world.score(models).status == 0


def test_scripted_models_are_a_dry_run_of_several(tmp_path: Path, run: Runner) -> None:
    world = World(tmp_path, run)
    dry = {"engine": "scripted"}
    models = {"look": {"model": "A", **dry}, "router": {"model": "A", **dry}, "write": {"model": "B", **dry}}
    assert world.caption(models).status == 0
    record = records(tmp_path / "out")["set/0"]
    assert record["models"] == {"look": "scripted", "router": "scripted", "write": "scripted"}
