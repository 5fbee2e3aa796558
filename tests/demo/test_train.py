"""The training script makes a model that transformers loads, twice the same on a CPU."""

import json
from pathlib import Path

import pytest
import torch

from demo.drawing import KINDS
from demo.train import Settings, rate_at, run

SETTINGS = Settings(steps=2, batch=18, warmup=1, check_batches=1, reuse=2, pool=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    run(folder, SETTINGS, "cpu", workers=0)
    return folder


def test_a_model_of_the_true_architecture_and_the_agreed_size(trained: Path) -> None:
    from transformers import Qwen2_5_VLForConditionalGeneration

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(trained)
    assert model.dtype == torch.bfloat16
    assert sum(parameter.numel() for parameter in model.parameters()) <= 8_000_000
    assert (trained / "model.safetensors").stat().st_size <= 16_000_000
    assert model.config.vision_config.hidden_size // model.config.vision_config.num_heads == 64


def test_the_run_is_recorded(trained: Path) -> None:
    record = json.loads((trained / "training.json").read_text())
    assert record["settings"]["steps"] == 2
    assert [entry["step"] for entry in record["losses"]] == [1, 2]
    assert record["losses"][1]["notes"] < record["losses"][0]["notes"]
    assert set(record["exact_answers"]) == {*(kind.name for kind in KINDS), "page"}


def test_the_learning_rate_rises_and_falls() -> None:
    settings = Settings(steps=100, warmup=10)
    rates = [rate_at(step, settings) for step in range(100)]
    assert rates[9] == 1.0
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.001
