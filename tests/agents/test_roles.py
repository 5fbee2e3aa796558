"""Which model an agent asks."""

from dataclasses import replace
from pathlib import Path

import pytest

from MetaCaptioner.agents.changed_prompts import resampling
from MetaCaptioner.agents.prompt_schema import PromptError
from MetaCaptioner.agents.prompts import Prompts, load_prompts
from MetaCaptioner.agents.roles import looks_by_model, with_models, writer
from tests.helpers import write_prompts

NATURAL = {
    "domain": "Natural",
    "description": "Photographs.",
    "agents": [
        {"name": "objects", "prompt": "List them.", "model": "look"},
        {
            "name": "summary",
            "role": "summary",
            "prompt": "Write it up: {objects}",
            "requires": ["objects"],
            "sees_media": False,
            "model": "write",
        },
    ],
}


def prompts_of(folder: Path, **changes: object) -> Prompts:
    return load_prompts(write_prompts(folder, natural={**NATURAL, **changes}))


def test_an_agent_asks_the_model_that_it_names_and_else_the_default(tmp_path: Path) -> None:
    prompts = with_models(prompts_of(tmp_path), ["look", "write"])
    assert [agent.model for agent in prompts.workflows["Natural"].agents] == ["look", "write"]
    assert {agent.model for agent in prompts.workflows["Video & Temporal"].agents} == {""}
    assert (prompts.router.model, prompts.judge.model) == ("", "")
    assert [agent.model for agent in resampling(prompts).workflows["Natural"].agents] == ["look", "write"]


def test_a_model_that_is_called_like_a_role_is_for_those_that_name_none(tmp_path: Path) -> None:
    prompts = with_models(prompts_of(tmp_path), ["look", "write", "summary", "judge", "router"])
    assert [agent.model for agent in prompts.workflows["Natural"].agents] == ["look", "write"]
    assert prompts.workflows["Video & Temporal"].agents[-1].model == "summary"
    assert (prompts.router.model, prompts.judge.model) == ("router", "judge")


def test_a_model_that_no_configuration_names_is_told_with_file_agent_and_what_is_meant(tmp_path: Path) -> None:
    with pytest.raises(
        PromptError,
        match=r"prompt file .*natural.yaml: agent 'summary' asks the model 'write', .* \(there are look, writer\); "
        "did you mean writer\\?",
    ):
        with_models(prompts_of(tmp_path), ["look", "writer"])
    with pytest.raises(PromptError, match=r"'objects' asks the model 'look', .*\(there are none\)"):
        with_models(prompts_of(tmp_path), [])


def test_the_router_and_the_judge_may_name_one_too(tmp_path: Path) -> None:
    agent = {"name": "router", "prompt": "Which? {domains}", "model": "look"}
    prompts = load_prompts(write_prompts(tmp_path, router={"agent": agent}))
    assert with_models(prompts, ["look"]).router.model == "look"
    with pytest.raises(PromptError, match=r"router.yaml: agent 'router' asks the model 'look'"):
        with_models(prompts, ["write"])


def test_prompts_are_others_when_an_agent_names_another_model_but_not_for_the_one_of_its_role(tmp_path: Path) -> None:
    shipped = load_prompts()
    named = prompts_of(tmp_path / "a")
    other = prompts_of(tmp_path / "b", agents=[{**agent, "model": "look"} for agent in NATURAL["agents"]])  # type: ignore[union-attr]
    none = prompts_of(tmp_path / "c", agents=[{**agent, "model": ""} for agent in NATURAL["agents"]])  # type: ignore[union-attr]
    assert len({prompts.digest(["agents"]) for prompts in (named, other, none)}) == 3
    assert with_models(shipped, ["judge", "summary"]).digest() == shipped.digest()
    assert replace(shipped, judge=replace(shipped.judge, model="look")).digest(["judge"]) != shipped.digest(["judge"])


def test_who_looks_and_who_writes(tmp_path: Path) -> None:
    prompts = with_models(prompts_of(tmp_path), ["look", "write"])
    agents = prompts.workflows["Natural"].agents
    assert looks_by_model([*agents, prompts.judge]) == {"": True, "look": True, "write": False}
    assert writer(agents, {"look": "A", "write": "B"}) == "B"
    assert writer([agents[0]], {"look": "A"}) == "A"
    both = [*agents, replace(agents[1], model="look")]
    assert writer(both, {"look": "A", "write": "B"}) == "B + A"
