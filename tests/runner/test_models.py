"""Several models: what a file may say of them, and how they are told apart."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from MetaCaptioner.agents.prompts import load_prompts
from MetaCaptioner.agents.roles import with_models
from MetaCaptioner.agents.workflow import Agent
from MetaCaptioner.captionpipeline import STAGE
from MetaCaptioner.engine.by_model import EngineByModel, Part
from MetaCaptioner.errors import BadArguments
from MetaCaptioner.runner.models import AskedModels
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.runner.stage import loop_settings
from MetaCaptioner.runtime.served import KEY_VARIABLE, Served, tell_ranks
from MetaCaptioner.utils.options import as_flags, said_in
from MetaCaptioner.utils.options_sources import READ_NO_FILE, as_file, read
from tests.helpers import FakeEngine, write_prompts

THERE = {"model": "A", "engine": "openai", "endpoint": ["http://h:8000"]}
MODELS = {
    "look": THERE,
    "write": {"model": "B", "engine_arg": {"dtype": "float16"}},
    "judge": {"model": "C", "serve": {}},
}


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


def options_of(folder: Path, **models: object) -> StageOptions:
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({"model": "M", "models": models}))
    return read(StageOptions, ["--config", str(path)], "")


def agents(*models: str, **fields: Any) -> list[Agent]:
    return [Agent(f"of_{name or 'default'}", "perception", "?", model=name, **fields) for name in models]


def test_a_file_names_models_and_flags_and_files_say_the_same_again(tmp_path: Path) -> None:
    options = options_of(tmp_path, **MODELS)
    assert [options.models[name].model for name in MODELS] == ["A", "B", "C"]
    assert options.models["look"].endpoint == ["http://h:8000/v1"]
    assert options.models["write"].engine_options().extra == {"dtype": "float16"}
    again = read(StageOptions, [*as_flags(options), READ_NO_FILE], "")
    assert said_in(again.models) == said_in(options.models)
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(as_file(options)))
    again = read(StageOptions, ["--config", str(tmp_path / "again.yaml")], "")
    assert said_in(again.models) == said_in(options.models)


def test_a_folder_is_found_from_anywhere_by_the_file_that_a_run_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    options = options_of(tmp_path, here={"model": "model"}, home={"model": "~/model"})
    assert as_file(options)["models"] == {name: {"model": str(tmp_path / "model")} for name in ("here", "home")}


@pytest.mark.parametrize(
    ("models", "told"),
    [
        ({"look": {"modl": "A"}}, "models: look: modl: there is no such option; did you mean model?"),
        ({"look": {"endpoint": ["http://h"], "engine": "openai"}}, "models: look: missing: --model"),
        ({"look": "A"}, "models: look must be options with values, not 'A'"),
        (["A"], "models must be names with options, not ['A']"),
        (
            {"look": {"model": "A", "serve": {"gpu": 1}}},
            "look: serve: gpu: there is no such option; did you mean gpus?",
        ),
        ({"look": {"model": "A", "serve": {"gpus": 0}}}, "models: look: serve: gpus must be at least 1"),
        ({"look": {"model": "A", "engine": "vlm"}}, "models: look: engine must be one of vllm, openai, scripted"),
        ({"look": {"model": "A", "endpoint": ["x"]}}, "models: look: --endpoint x: is no address"),
        ({"look": {"model": "A", "engine": "openai"}}, "models: look: --engine openai needs --endpoint URL"),
        ({"look": {**THERE, "serve": {}}}, "models: look: serve: starts vLLM"),
        ({"look": {"model": "A", "serve": {}, "tensor_parallel_size": 2}}, "models: look: serve: 'gpus' says"),
        ({"look": {"model": "A", "quiet": True}}, "models: look: quiet: there is no such option"),
        ({"a-b": {"model": "A"}}, "models: a-b: is no name of a model"),
        ({"look": {"model": "A", "seed": "x"}}, "models: look: seed must be a whole number, not 'x'"),
    ],
)
def test_what_cannot_be_is_one_line_with_its_place(tmp_path: Path, models: object, told: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"models": models}))
    with pytest.raises(BadArguments) as error:
        read(StageOptions, ["--config", str(path)], "")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        (THERE, "endpoint"),
        ({"model": "A", "engine_arg": {"a": 1}}, "engine_arg"),
        ({"model": "A", "key-variable": "K"}, "key-variable"),
        ({"model": "A", "serve": {"gpus": 1}}, None),
    ],
)
def test_a_file_that_just_lies_there_does_not_say_where_pictures_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: object, refused: str | None
) -> None:
    (tmp_path / "metacaptioner.yaml").write_text(yaml.safe_dump({"models": {"look": said}}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("METACAPTIONER_CONFIG")
    if refused is None:
        assert read(StageOptions, [], "").models["look"].model == "A"
        return
    with pytest.raises(BadArguments, match=f"models: look: {refused}: counts only in a file that you name"):
        read(StageOptions, [], "")


def test_only_what_is_asked_counts(tmp_path: Path) -> None:
    options = options_of(tmp_path, write={"model": "B"}, judge={"model": "C"}, look=THERE)
    assert AskedModels(options, agents("write", "look")).in_process is not None
    asked = AskedModels(options, agents("look"))
    assert (asked.in_process, asked.gpus_a_rank, asked.are_several) == (None, 0, True)
    assert not AskedModels(options, agents("")).are_several


def test_two_models_in_process_are_one_line_that_names_both_and_the_way_out(tmp_path: Path) -> None:
    options = options_of(tmp_path, write={"model": "B"}, judge={"model": "C"})
    with pytest.raises(BadArguments, match=r"'judge' \(C\) and 'write' \(B\): have one of them served \('serve: "):
        AskedModels(options, agents("write", "judge"))
    router = Agent("router", "router", "?")
    with pytest.raises(
        BadArguments, match=r"the default \(M, for router\) and 'write' \(B\).*; 'models: router:' would"
    ):
        AskedModels(options, [router, *agents("write")])


def test_names_with_the_same_options_are_one_model(tmp_path: Path) -> None:
    options = options_of(tmp_path, write={"model": "B"}, judge={"model": "B"}, other={"model": "B", "seed": 1})
    asked = AskedModels(options, [*agents("judge"), *agents("write", sees_media=False)])
    [one] = asked.all
    assert (one.name, one.looks, [*asked.by_name]) == ("judge", True, ["judge", "write"])
    with pytest.raises(BadArguments):
        AskedModels(options, agents("judge", "other"))


def test_a_model_has_the_runs_seed_unless_it_has_its_own(tmp_path: Path) -> None:
    options = options_of(tmp_path, write={"model": "B"}, look={**THERE, "seed": 5})
    asked = AskedModels(options, agents("write", "look"))
    assert [asked.by_name[name].engine_options(3).seed for name in ("write", "look")] == [3, 5]
    prompts = with_models(load_prompts(), ["write", "look"])
    settings = loop_settings(FakeEngine(), options, prompts)
    assert (settings.seed, settings.seeds) == (None, {"look": 5})


def test_as_many_samples_are_in_flight_as_every_engine_takes_of_those_that_ask_it(tmp_path: Path) -> None:
    options = options_of(tmp_path, look={"model": "A"}, write={"model": "B", "serve": {}}, judge={"model": "C"})
    folder = write_prompts(tmp_path / "prompts", every={"domain": "*", "agents": AGENTS})
    prompts = with_models(load_prompts(folder), options.models)

    def in_flight(**caches: int | None) -> int:
        several = EngineByModel()
        for name, tokens in caches.items():
            engine = FakeEngine()
            engine.cache_tokens = tokens
            several.add(name, Part(name, engine, name, looks=name == "look"))
        return loop_settings(several, options, prompts).in_flight

    looks, writes = in_flight(look=20_000, write=10**9), in_flight(look=10**9, write=20_000)
    assert looks < writes, "who is shown nothing has no media in its cache"
    assert in_flight(look=20_000, write=20_000) == looks
    assert in_flight(look=10**9, write=None) == 128, "of a server as of one endpoint"
    assert 1 < in_flight(judge=20_000) < looks, "a judge has no more of a sample than all of its agents"


def test_a_served_model_is_asked_where_the_launch_has_told_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = options_of(tmp_path, judge={"model": "C", "serve": {"gpus": 2}, "engine_arg": {"dtype": "float16"}})
    asked = AskedModels(options, agents("judge"))
    [judge] = asked.served
    assert (judge.serve_gpus, asked.gpus_a_rank, asked.in_process) == (2, 0, None)
    server = judge.server(seed=None)
    assert (server.model, server.gpus, server.extra) == ("C", 2, {"dtype": "float16"})
    with pytest.raises(BadArguments, match="models: judge: serve: this process was not started by metacaptioner"):
        judge.engine_options(None)
    for name, value in tell_ranks({"judge": Served("http://127.0.0.1:9/v1", 2)}, "secret").items():
        monkeypatch.setenv(name, value)
    engine = judge.engine_options(None)
    assert engine.servers is not None
    assert (engine.kind, engine.servers.endpoints, engine.extra) == ("openai", ("http://127.0.0.1:9/v1",), {})
    assert (engine.servers.key(), engine.servers.waits_to_begin) == ("secret", True)
    assert os.environ[KEY_VARIABLE] == "secret"


def test_the_router_is_not_asked_where_nobody_looks_or_all_have_domains() -> None:
    options = STAGE.options(input=Path("in"), output_dir=Path("out"))
    prompts = load_prompts()
    assert all(agent.role != "router" for agent in STAGE.asked(options, prompts))
    first = STAGE.options(plan=Path("plan"), output_dir=Path("out"))
    assert STAGE.asked(first, prompts)[0].role == "router"
