"""What is found out before ranks are started: which models are asked, and where those are that are served."""

import os
from pathlib import Path

import pytest
import yaml

from MetaCaptioner import captionpipeline, inferscore
from MetaCaptioner.agents.prompt_schema import PromptError
from MetaCaptioner.errors import BadArguments, UserError
from MetaCaptioner.launch.local import Launch
from MetaCaptioner.launch.options import LaunchOptions
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.stages.launching import launched
from MetaCaptioner.utils.options_sources import read
from tests.helpers import write_prompts

AGENTS = [{"name": "summary", "role": "summary", "prompt": "Describe it.", "model": "write"}]
SERVED = {"model": "J", "serve": {"gpus": 1}, "max_model_len": 2048}


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of them, and what is set is put back."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    for name in ("NPROC", "NNODES", "NODE_RANK", "RANK", "WORLD_SIZE", "LOCAL_RANK", "TP", "MODEL"):
        monkeypatch.delenv(name, raising=False)


def launch_of(folder: Path, models: object, score: bool = False) -> Launch | None:
    """The launch of captions, and of marks beside them."""
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({"models": models}))
    prompts = write_prompts(folder / "prompts", every={"domain": "*", "agents": AGENTS})
    options = read(StageOptions, ["--config", str(path), "--prompts-dir", str(prompts)], "")
    stages = [captionpipeline.STAGE, *([inferscore.STAGE] if score else [])]

    def here(gpus_a_rank: int, serves: bool) -> Launch | None:
        return read(LaunchOptions, [], "").launch(gpus_a_rank, os.environ, serves)

    return launched(stages, options, lambda: folder / "out", here)


def test_what_is_served_has_the_last_gpus_and_ranks_are_as_many_as_the_others(tmp_path: Path, gpus: None) -> None:
    models = {"write": {"model": "B"}, "router": {"model": "B"}, "judge": SERVED}
    launch = launch_of(tmp_path, models, score=True)
    assert launch is not None
    [one] = launch.served
    assert (launch.ranks, one.name, one.gpus, one.server.max_model_len) == (2, "judge", ("2",), 2048)
    assert one.log.startswith(str(tmp_path / "out" / "runs" / "served-judge-"))
    assert (os.environ["CUDA_VISIBLE_DEVICES"], os.environ["CUDA_DEVICE_ORDER"]) == ("0,1", "PCI_BUS_ID")


def test_a_model_that_nobody_asks_is_not_served(tmp_path: Path, gpus: None) -> None:
    launch = launch_of(tmp_path, {"write": {"model": "B"}, "router": {"model": "B"}, "judge": SERVED})
    assert launch == Launch(3)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1,2"


def test_where_a_launcher_makes_the_ranks_nobody_serves(
    tmp_path: Path, gpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadArguments, match="models: router: serve: nobody is there to start the server, as a launcher"):
        launch_of(tmp_path, {"write": SERVED, "router": SERVED})
    assert launch_of(tmp_path, {"write": {"model": "B"}, "router": {"model": "B"}}) is None


def test_mistakes_are_told_before_a_rank_is_started(tmp_path: Path, gpus: None) -> None:
    with pytest.raises(PromptError, match="asks the model 'write'"):
        launch_of(tmp_path, {"writer": {"model": "B"}})
    with pytest.raises(BadArguments, match="two models would be in the process of a rank"):
        launch_of(tmp_path, {"write": {"model": "B"}})
    greedy = {**SERVED, "serve": {"gpus": 3}}
    with pytest.raises(UserError, match="models: judge: serve: needs 3 GPUs of its own, and of the 3 here 3 are left"):
        launch_of(tmp_path, {"write": {"model": "B"}, "router": {"model": "B"}, "judge": greedy}, score=True)
